"""Tokenised documents on disk, as memory-mapped arrays."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
import tqdm

from elbert_jax import filesystem
from elbert_jax.data import documents
from elbert_jax.data.documents import Document
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.errors import UserError

_CHUNK = 4096  # paragraphs per call of the tokenizer


@dataclasses.dataclass(frozen=True, eq=False)
class TokenStore:
    """M documents in flat arrays: document m is `tokens[offsets[m] : offsets[m + 1]]`.

    The tokens have no special ones among them.
    """

    tokens: np.ndarray  # uint16 or int32 [sum of L]
    offsets: np.ndarray  # int64 [M + 1]
    digest: str  # of the text and the tokenizer

    def __len__(self) -> int:
        return len(self.offsets) - 1


def build(
    files: Sequence[str],
    tokenizer: Tokenizer,
    directory: pathlib.Path,
    text_column: str = "text",
) -> TokenStore:
    """Returns the documents of files, tokenised at the first call and then reused.

    `directory` receives a folder named by a hash of the text and the tokenizer.

    Raises:
      UserError: A file cannot be used, or has no text.
    """
    folder = directory / documents.digest(files, tokenizer.fingerprint, text_column)
    if not folder.exists():
        with filesystem.creating_directory(folder) as partial:
            _write(documents.read(files, text_column), tokenizer, partial)
    store = TokenStore(
        np.load(folder / "tokens.npy", mmap_mode="r"),
        np.load(folder / "offsets.npy"),
        folder.name,
    )
    if not len(store.tokens):
        raise UserError(f"there is no text in {', '.join(files)}")
    return store


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
