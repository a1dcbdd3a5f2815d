"""Tokenised documents on disk, as memory-mapped arrays."""

import dataclasses
import itertools
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tqdm

from elbert_jax.data import documents
from elbert_jax.data.documents import Document
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.errors import UserError

_CHUNK = 4096  # paragraphs handed to the tokenizer at once


@dataclasses.dataclass(frozen=True, eq=False)
class TokenStore:
    """M documents in flat arrays: document m is `tokens[offsets[m] : offsets[m + 1]]`.

    No special piece is among the tokens.
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
    """Returns the documents of files, tokenised once and from then on mapped.

    Args:
      files: see `documents.read`.
      tokenizer: its vocabulary decides the pieces.
      directory: gets a folder whose name is a hash of the text and the tokenizer.
      text_column: see `documents.read`.

    Raises:
      UserError: a file cannot be used, or there is no text in any.
    """
    folder = directory / documents.digest(files, tokenizer.fingerprint, text_column)
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write(documents.read(files, text_column), tokenizer, partial)
        partial.rename(folder)
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
    dtype = np.uint16 if len(tokenizer) <= 1 << 16 else np.int32
    raw, lengths = folder / "tokens.raw", []
    with (
        raw.open("wb") as file,
        tqdm.tqdm(unit="token", unit_scale=True, desc="tokenising") as bar,
    ):
        for number, ids in _tokenised(texts, tokenizer):
            lengths += [0] * (number + 1 - len(lengths))
            lengths[number] += len(ids)
            file.write(np.array(ids, dtype).tobytes())
            bar.update(len(ids))
    tokens = np.fromfile(raw, dtype)
    np.save(folder / "tokens.npy", tokens)
    np.save(folder / "offsets.npy", np.cumsum([0, *lengths], dtype=np.int64))
    raw.unlink()


def _tokenised(
    texts: Iterable[Document], tokenizer: Tokenizer
) -> Iterator[tuple[int, list[int]]]:
    """Yields the pieces of every paragraph, with the number of its document."""
    paragraphs = ((m, text) for m, document in enumerate(texts) for text in document)
    while chunk := list(itertools.islice(paragraphs, _CHUNK)):
        numbers, lines = zip(*chunk)
        yield from zip(numbers, tokenizer.pieces(lines))
