"""Unlabelled text for pretraining, read document by document."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence

from elbert_jax.data import readers
from elbert_jax.data.readers import BadRow
from elbert_jax.errors import UserError, reason

Document = list[str]  # paragraphs, none of them blank


def read(files: Sequence[str], text_column: str = "text") -> Iterator[Document]:
    """Yields the documents of files, in order and in constant memory.

    A .txt file has one paragraph per line and a blank line between documents; any other
    format has one document per row and one paragraph per line of its `text_column`.

    Raises:
      UserError: A file is missing or damaged.
    """
    for file in files:
        lines = readers.without_bad(_texts(file, text_column), file)
        if readers.format_of(file) == "txt":
            yield from _paragraphs(lines)
        else:
            for text in lines:
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


def _texts(file: str, column: str) -> Iterator[str | BadRow]:
    format = readers.format_of(file)
    for row in readers.read(file, format):
        if isinstance(row, BadRow):
            yield row
        else:
            line, columns = row
            text = columns.get("text" if format == "txt" else column)
            good = isinstance(text, str)
            yield text if good else BadRow(line, f"no text in a column {column!r}")


def _paragraphs(lines: Iterable[str]) -> Iterator[Document]:
    document: Document = []
    for line in lines:
        if line.strip():
            document.append(line.strip())
        elif document:
            yield document
            document = []
    if document:
        yield document
