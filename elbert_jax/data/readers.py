"""Rows of TSV, CSV, JSON lines, text and Parquet files: columns, or an error."""

import codecs
import collections
import contextlib
import csv
import dataclasses
import gzip
import lzma
import os
import pathlib
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import orjson
import pyarrow
import pyarrow.parquet

from elbert_jax.errors import UserError, reason, warn

FORMATS = ("tsv", "csv", "jsonl", "txt", "parquet")
_SHOWN = 5  # bad rows that are reported one by one
_LONGEST_FIELD = 1 << 24  # characters; limits what a stray CSV quote can swallow


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be read; `line` counts from 1 (rows in Parquet)."""

    line: int
    message: str


Row = tuple[int, dict[str, Any]]  # line and columns
_Cells = tuple[int, list[str]]
_T = TypeVar("_T")


def format_of(path: str) -> str:
    """Returns a file's format by its suffix; a UserError lists the known ones."""
    suffixes = pathlib.Path(path.lower()).suffixes
    if suffixes[-1:] in ([".gz"], [".xz"]):
        suffixes.pop()
    name = suffixes[-1][1:] if suffixes else ""
    if name in FORMATS:
        return name
    raise UserError(
        f"{path}: the name should end with {', '.join('.' + f for f in FORMATS)}, "
        "or the format be given"
    )


def read(
    path: str, format: str, columns: Sequence[str] | None = None
) -> Iterator[Row | BadRow]:
    """Returns the rows of a file, in order and in constant memory.

    "-" is standard input; .gz and .xz are decompressed; TSV is as in GLUE, without
    quoting; `columns` are for a TSV or CSV file without a header line.
    """
    path = os.path.expanduser(path)
    if format == "parquet":
        return _parquet(path)
    lines = _lines(path)
    if format == "jsonl":
        return _json(lines)
    if format == "txt":
        return _table(_split(lines, None), ["text"], path)
    if format == "tsv":
        return _table(_split(lines, "\t"), columns, path)
    if format == "csv":
        return _table(_csv(lines), columns, path)
    raise UserError(f"no format {format!r}; there are {', '.join(FORMATS)}")


def without_bad(rows: Iterable[_T | BadRow], name: str) -> Iterator[_T]:
    """Yields the good rows of a file, and warns about the others."""
    bad = 0
    for row in rows:
        if isinstance(row, BadRow):
            bad += 1
            if bad <= _SHOWN:
                warn(f"{name}:{row.line}: {row.message}")
        else:
            yield row
    if bad > _SHOWN:
        warn(f"{name}: {bad} bad rows in all are left out")


def _open(path: str) -> contextlib.AbstractContextManager[Iterable[bytes]]:
    if path == "-":
        return contextlib.nullcontext(sys.stdin.buffer)
    if path.lower().endswith(".gz"):
        return gzip.GzipFile(path)
    return lzma.LZMAFile(path) if path.lower().endswith(".xz") else open(path, "rb")


def _lines(path: str) -> Iterator[bytes]:
    try:
        with _open(path) as file:
            for number, line in enumerate(file):
                yield line if number else line.removeprefix(codecs.BOM_UTF8)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}") from error


def _split(lines: Iterable[bytes], tab: str | None) -> Iterator[_Cells | BadRow]:
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            yield BadRow(number, "not valid UTF-8")
        else:
            yield number, text.split(tab) if tab else [text]


def _csv(lines: Iterator[bytes]) -> Iterator[_Cells | BadRow]:
    csv.field_size_limit(_LONGEST_FIELD)
    again: collections.deque[bytes] = collections.deque()
    taken: list[bytes] = []  # lines of the current row

    def feed() -> Iterator[str]:
        while line := again.popleft() if again else next(lines, None):
            taken.append(line)
            yield line.decode(errors="surrogateescape")

    start, reader = 1, csv.reader(feed(), strict=True)
    while True:
        try:
            cells = next(reader, None)
            if cells is None:
                return
            "".join(cells).encode()
            yield start, cells or [""]
        except UnicodeEncodeError:
            yield BadRow(start, "not valid UTF-8")
        except csv.Error as error:
            yield BadRow(start, f"invalid CSV: {error}")
            # A stray quote swallows lines: read all but the first of them again.
            again.extendleft(reversed(taken[1:]))
            del taken[1:]
            reader = csv.reader(feed(), strict=True)
        start += len(taken)
        taken.clear()


def _table(
    rows: Iterator[_Cells | BadRow], columns: Sequence[str] | None, path: str
) -> Iterator[Row | BadRow]:
    if columns is None:
        header = next(rows, None)
        if header is None or isinstance(header, BadRow):
            raise UserError(f"{path}: the first line should name the columns")
        columns = header[1]
    for row in rows:
        if isinstance(row, BadRow):
            yield row
        elif len(row[1]) == len(columns):
            yield row[0], dict(zip(columns, row[1]))
        elif row[1] != [""]:  # a blank line
            yield BadRow(row[0], f"{len(row[1])} columns instead of {len(columns)}")


def _json(lines: Iterable[bytes]) -> Iterator[Row | BadRow]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)  # refuses lone surrogates, unlike json
        except orjson.JSONDecodeError as error:
            yield BadRow(number, f"invalid JSON: {error.msg}")
        else:
            good = isinstance(row, dict)
            yield (number, row) if good else BadRow(number, "not a JSON object")


def _parquet(path: str) -> Iterator[Row | BadRow]:
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for number, row in enumerate(_dicts(batch), number + 1):
                    known = row is not None
                    yield (number, row) if known else BadRow(number, "not valid UTF-8")
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}") from error


def _dicts(batch: pyarrow.RecordBatch) -> list[dict[str, Any] | None]:
    try:
        return batch.to_pylist()
    except (ValueError, OverflowError):  # in one of the rows
        return [_dict(batch.slice(i, 1)) for i in range(len(batch))]


def _dict(batch: pyarrow.RecordBatch) -> dict[str, Any] | None:
    """Returns a row without what Python cannot hold; None if it is not UTF-8."""
    row = {}
    for name, column in zip(batch.schema.names, batch.columns):
        try:
            row[name] = column[0].as_py()
        except UnicodeDecodeError:
            return None
        except (ValueError, OverflowError):  # a time of nanoseconds, a far date
            continue
    return row
