"""Rows written to JSON lines, CSV, TSV or Parquet files, whole or not at all."""

import functools
import io
import itertools
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import orjson
import pyarrow
import pyarrow.parquet

from elbert_jax import filesystem

Row = dict[str, Any]
Rows = Callable[[], Iterator[Row]]  # starts a new pass over the rows

_ROW_GROUP = 16384  # rows of a Parquet file held in memory and written together
_INT64 = range(-(1 << 63), 1 << 63)


def write(path: str, rows: Rows, columns: Sequence[str]) -> None:
    """Writes rows, in constant memory, to a file in the format of its suffix.

    All rows have the same keys; `columns` is the header if there are none. In TSV, tabs
    and line ends within a cell become spaces. In Parquet, the column "id" is int64 if
    every id fits, else string.
    """
    with filesystem.replacing(path) as file:
        columns = list(next(rows(), columns))
        _WRITERS[pathlib.Path(path).suffix](file, rows, columns)


def json_lines(rows: Iterator[Row] | Sequence[Row]) -> Iterator[bytes]:
    """Yields one JSON line per row; a NaN or infinite number becomes null."""
    return (orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _write_json(file: BinaryIO, rows: Rows, columns: Sequence[str]) -> None:
    file.writelines(json_lines(rows()))


def _write_text(
    tab: str,
    cell: Callable[[str], str],
    file: BinaryIO,
    rows: Rows,
    columns: Sequence[str],
) -> None:
    text = io.TextIOWrapper(file, "utf-8", newline="")
    for values in itertools.chain([columns], (row.values() for row in rows())):
        cells = ("" if value is None else cell(str(value)) for value in values)
        text.write(tab.join(cells) + "\n")
    text.detach()


# The csv module leaves a lone carriage return unquoted if lines end with "\n".
def _csv_cell(value: str) -> str:
    quoted = re.search(r'[",\r\n]', value)
    return '"' + value.replace('"', '""') + '"' if quoted else value


def _tsv_cell(value: str) -> str:
    return re.sub(r"[\t\r\n]", " ", value)


def _write_parquet(file: BinaryIO, rows: Rows, columns: Sequence[str]) -> None:
    whole = all(type(row["id"]) is int and row["id"] in _INT64 for row in rows())
    id = pyarrow.int64() if whole else pyarrow.string()
    known = {"id": id, "score": pyarrow.float64(), "exit_layer": pyarrow.int32()}
    schema = pyarrow.schema([(c, known.get(c, pyarrow.string())) for c in columns])
    source = rows()
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        while group := list(itertools.islice(source, _ROW_GROUP)):
            if not whole:
                group = [row | {"id": str(row["id"])} for row in group]
            writer.write_batch(pyarrow.RecordBatch.from_pylist(group, schema))


_WRITERS = {
    ".jsonl": _write_json,
    ".csv": functools.partial(_write_text, ",", _csv_cell),
    ".tsv": functools.partial(_write_text, "\t", _tsv_cell),
    ".parquet": _write_parquet,
}
SUFFIXES = tuple(_WRITERS)
