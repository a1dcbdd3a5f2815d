"""Input files of texts in every format, and prediction files read back."""

import csv
import gzip
import io
import json
import pathlib

import pyarrow
import pyarrow.parquet
import pytest

from elbert_jax.data.example import Example
from elbert_jax.data.readers import BadRow
from elbert_jax.data.sources import read_file

WORDS = 'good bad film plot dull naïve 数据 , "quoted" it\'s slow fine'.split()
TEXTS = [" ".join(WORDS[i % 12 : i % 12 + 1 + i % 3]) for i in range(50)]


def write(path, content):
    """Writes a file, gzipped if its name ends with .gz; returns the name."""
    content = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def write_rows(path, texts=TEXTS, ids=None):
    """Writes a file with the columns "id" and "text", or the texts alone to a .txt."""
    ids = ids or [f"k{i}" for i in range(len(texts))]
    rows = [{"id": id, "text": text} for id, text in zip(ids, texts, strict=True)]
    kind = path.name.split(".")[1]
    if kind == "txt":
        return write(path, "".join(f"{text}\n" for text in texts))
    if kind == "jsonl":
        return write(path, "".join(json.dumps(row) + "\n" for row in rows))
    if kind == "tsv":
        lines = ["id\ttext", *(f"{row['id']}\t{row['text']}" for row in rows)]
        return write(path, "\n".join(lines))
    if kind == "csv":
        file = io.StringIO()
        table = csv.DictWriter(file, ["id", "text"])
        table.writeheader()
        table.writerows(rows)
        return write(path, file.getvalue())
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return str(path)


def read_json(path):
    """Returns the objects of a file of JSON lines."""
    return [json.loads(line) for line in pathlib.Path(path).read_bytes().splitlines()]


def read_rows(path):
    """Returns the rows of a prediction file, with scores and exit layers as numbers."""
    suffix = pathlib.Path(path).suffix
    if suffix == ".parquet":
        return pyarrow.parquet.read_table(path).to_pylist()
    if suffix == ".jsonl":
        return read_json(path)
    with open(path, encoding="utf-8", newline="") as file:
        quoting = csv.QUOTE_MINIMAL if suffix == ".csv" else csv.QUOTE_NONE
        delimiter = "," if suffix == ".csv" else "\t"
        rows = list(csv.DictReader(file, delimiter=delimiter, quoting=quoting))
    return [
        row
        | {"score": float(row["score"]) if row["score"] else None}
        | {"exit_layer": int(row["exit_layer"])}
        for row in rows
    ]


def expected(classifier, texts=TEXTS, ids=None):
    """Returns the predictions for each text alone; scores compare equal within 1e-5."""
    ids = range(len(texts)) if ids is None else ids
    rows = [{"id": id} | classifier(text) for id, text in zip(ids, texts, strict=True)]
    return [row | {"score": pytest.approx(row["score"], abs=1e-5)} for row in rows]


def examples(path, **options) -> list[Example]:
    """Returns the rows of a file, none of which may be bad."""
    rows = list(read_file(path, **options))
    bad = [row for row in rows if isinstance(row, BadRow)]
    assert not bad, bad
    return [row for row in rows if isinstance(row, Example)]
