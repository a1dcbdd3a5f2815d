"""Unlabelled documents for pretraining: read from files, and tokenised on disk."""

import dataclasses
import hashlib
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
import tqdm

from elbert_jax import filesystem
from elbert_jax.data import readers
from elbert_jax.data.readers import BadRow
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.errors import UserError, reason

Document = list[str]  # paragraphs, none of them blank
_CHUNK = 4096  # paragraphs per call of the tokenizer


@dataclasses.dataclass(frozen=True, eq=False)
class TokenStore:
    """M documents in flat arrays: document m is `tokens[offsets[m] : offsets[m + 1]]`.

    The tokens have no special ones among them.
    """

    tokens: np.ndarray  # uint16 or int32 [sum of L], memory-mapped
    offsets: np.ndarray  # int64 [M + 1]
    digest: str  # of the text and the tokenizer

    def __len__(self) -> int:
        return len(self.offsets) - 1


def read(files: Sequence[str], text_column: str = "text") -> Iterator[Document]:
    """Yields the documents of files, in order and in constant memory.

    A .txt file has one paragraph per line and a blank line between documents; any other
    format has one document per row and one paragraph per line of its `text_column`.
    """
    for file in files:
        format = readers.format_of(file)
        column = "text" if format == "txt" else text_column
        texts = readers.without_bad(_texts(file, format, column), file)
        if format == "txt":
            yield from _paragraphs(texts)
        else:
            for text in texts:
                yield from _paragraphs(filter(str.strip, text.splitlines()))


def digest(files: Sequence[str], *others: object) -> str:
    """Returns a hash of the files' bytes, their formats, and other values."""
    hashed = hashlib.sha256(repr(others).encode())
    for name in files:
        hashed.update(readers.format_of(name).encode())
        try:
            with open(os.path.expanduser(name), "rb") as file:
                hashed.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise UserError(f"{name} cannot be read: {reason(error)}") from error
    return hashed.hexdigest()[:16]


def tokenise(
    files: Sequence[str],
    tokenizer: Tokenizer,
    directory: pathlib.Path,
    text_column: str = "text",
) -> TokenStore:
    """Returns the documents of files, tokenised at the first call and then reused.

    `directory` receives a folder named by a hash of the text and the tokenizer.
    """
    folder = directory / digest(files, tokenizer.fingerprint, text_column)
    if not folder.exists():
        with filesystem.creating_directory(folder) as partial:
            _write(read(files, text_column), tokenizer, partial)
    tokens = np.load(folder / "tokens.npy", mmap_mode="r")
    if not len(tokens):
        raise UserError(f"there is no text in {', '.join(files)}")
    return TokenStore(tokens, np.load(folder / "offsets.npy"), folder.name)


def _texts(file: str, format: str, column: str) -> Iterator[str | BadRow]:
    for row in readers.read(file, format):
        if isinstance(row, BadRow):
            yield row
        elif isinstance(text := row[1].get(column), str):
            yield text
        else:
            yield BadRow(row[0], f"no text in a column {column!r}")


def _paragraphs(lines: Iterable[str]) -> Iterator[Document]:
    for filled, group in itertools.groupby(map(str.strip, lines), bool):
        if filled:
            yield list(group)


def _write(
    texts: Iterable[Document], tokenizer: Tokenizer, folder: pathlib.Path
) -> None:
    """Writes both arrays in constant memory."""
    dtype = np.dtype(np.uint16 if len(tokenizer) <= 1 << 16 else np.int32)
    lengths = []
    with (
        (folder / "tokens.npy").open("wb") as file,
        tqdm.tqdm(unit="token", unit_scale=True, desc="tokenising") as bar,
    ):
        _write_header(file, dtype, 0)
        for number, ids in _tokenised(texts, tokenizer):
            lengths += [0] * (number + 1 - len(lengths))
            lengths[number] += len(ids)
            file.write(np.array(ids, dtype).tobytes())
            bar.update(len(ids))
        file.seek(0)
        _write_header(file, dtype, sum(lengths))
    np.save(folder / "offsets.npy", np.cumsum([0, *lengths], dtype=np.int64))


def _write_header(file: BinaryIO, dtype: np.dtype, count: int) -> None:
    """Writes the header of an .npy file, whose length does not depend on `count`."""
    descr = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": descr, "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(file, header)


def _tokenised(
    texts: Iterable[Document], tokenizer: Tokenizer
) -> Iterator[tuple[int, list[int]]]:
    """Yields the token ids of every paragraph, with the number of its document."""
    paragraphs = ((m, text) for m, document in enumerate(texts) for text in document)
    while chunk := list(itertools.islice(paragraphs, _CHUNK)):
        numbers, lines = zip(*chunk)
        yield from zip(numbers, tokenizer.token_ids(lines))
