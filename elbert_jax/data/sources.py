"""Files and TensorFlow Datasets, row by row, as `Example`s."""

import itertools
import math
import pathlib
import re
import socket
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from elbert_jax.data import readers, synthetic
from elbert_jax.data.example import Example
from elbert_jax.data.readers import BadRow
from elbert_jax.data.tasks import Task
from elbert_jax.errors import UserError, reason

# Default text columns, in this order of preference, each with its second text.
_TEXT_COLUMNS = (
    ("text", None),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("sentence", None),
    ("sentence1", None),
    ("premise", None),
    ("question", None),
)
_ID_COLUMNS = ("id", "idx", "index")
_PEEK = 100  # rows searched for columns, as JSON objects may differ
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")


class _Columns(NamedTuple):
    text: str | None
    text_pair: str | None
    label: str | None
    id: str | None


def read_file(
    path: str | pathlib.Path,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    id: str | None = None,
    columns: Sequence[str] | None = None,
    format: str | None = None,
    labelled: bool = True,
) -> Iterator[Example | BadRow]:
    """Yields the rows of a file as examples, in order and in constant memory.

    A plain text file has one column, "text". Labels stay strings or integers as found;
    a TSV or CSV cell that spells an integer is one. A row without an id gets its
    number, from 0.

    Args:
      path: See `readers.read`.
      text: Column of the text; by default the first known name in the file.
      text_pair: Column of the second text; by default the partner in GLUE of a default
        text column.
      label: Column of the label; by default "label", if it exists.
      id: Column of the id; by default "id", "idx" or "index", if one exists.
      columns: Column names of a TSV or CSV file without a header line.
      format: By default the suffix, and "txt" for standard input.
      labelled: False leaves every label None.
    """
    path = str(path)
    format = format or ("txt" if path == "-" else readers.format_of(path))
    rows = readers.read(path, format, columns)
    named = _Columns(text, text_pair, label, id)
    head, found = [], {}
    for item in itertools.islice(rows, _PEEK):
        head.append(item)
        found |= {} if isinstance(item, BadRow) else item[1]
        if found and not _missing(found, named):
            break
    if found and (missing := _missing(found, named)):
        raise UserError(f"{path}: no column {missing}; there are {', '.join(found)}")
    chosen = _choose(found, named)
    spelled = format in ("tsv", "csv")
    for number, item in enumerate(itertools.chain(head, rows)):
        if isinstance(item, BadRow):
            yield item
            continue
        line, row = item
        try:
            texts = [_text(row, name) for name in chosen[:2] if name]
            found_label = row.get(chosen.label or "label") if labelled else None
            found_label = _label(found_label, spelled)
        except ValueError as error:
            yield BadRow(line, str(error))
        else:
            one, other = texts if chosen.text_pair else (*texts, None)
            found_id = row.get(chosen.id) if chosen.id else None
            yield Example(_id(found_id, number), one, other, found_label, row)


def _missing(found: Mapping[str, Any], named: _Columns) -> str | None:
    for name in named:
        if name is not None and name not in found:
            return repr(name)
    if named.text is None and not any(text in found for text, _ in _TEXT_COLUMNS):
        return "'text': name the one that holds the text"
    return None


def _choose(found: Mapping[str, Any], named: _Columns) -> _Columns:
    text, pair = named.text, named.text_pair
    if text is None:
        known = ((t, p) for t, p in _TEXT_COLUMNS if t in found and p in (None, *found))
        text, partner = next(known, ("text", None))
        pair = pair or partner
    id = named.id or next((name for name in _ID_COLUMNS if name in found), None)
    return _Columns(text, pair, named.label, id)


def _text(row: Mapping[str, Any], name: str) -> str:
    text = row.get(name)
    if not isinstance(text, str):
        fault = f"of type {type(text).__name__}" if name in row else "missing"
        raise ValueError(f"the text {name!r} is {fault}")
    if "\0" in text:
        raise ValueError(f"the text {name!r} holds a NUL character")
    return text


def _label(label: Any, spelled: bool) -> str | int | None:
    """Returns a row's label; where numbers are `spelled` in text, they become int."""
    if label == "":
        return None
    if isinstance(label, bool) or not isinstance(label, str | int | None):
        raise ValueError(f"the label {label!r} is neither a string nor an integer")
    if spelled and isinstance(label, str) and _INTEGER.fullmatch(label):
        return int(label)
    return label


def _id(id: Any, number: int) -> str | int:
    if isinstance(id, float):  # pandas writes integers as floats beside missing values
        exact = id.is_integer() and abs(id) < 2**53
        id = int(id) if exact else None if math.isnan(id) else str(id)
    return id if isinstance(id, str | int) else number if id is None else str(id)


def read_task(task: Task, split: str, data_dir: str | None = None) -> Sequence[Example]:
    """Returns a split of a named data set, read by TFDS without TensorFlow.

    The rows gain a column, "split". `data_dir` is TFDS's folder, if not the default.
    """
    if task.name == "synthetic":
        return synthetic.examples(split)
    # These take a second to import, and only this function needs them.
    import tensorflow_datasets as tfds
    import tensorflow_datasets.text.glue  # noqa: F401  registers glue/*

    try:
        builder = tfds.builder(task.name, data_dir=data_dir, file_format="array_record")
    except ValueError as error:
        raise UserError(
            f"{task.name} is prepared as TFRecord files, which need TensorFlow: "
            "prepare it with file_format=array_record, in another data_dir"
        ) from error
    if not builder.is_prepared():
        advice = (
            f"{task.name} is not prepared under {builder.data_dir} and cannot be "
            f"downloaded from {task.host}: give --config.data.train_file, "
            "or copy a prepared folder there"
        )
        if not _reachable(task.host):  # TFDS would retry for minutes
            raise UserError(advice)
        try:
            builder.download_and_prepare()
        except Exception as error:  # TFDS raises any kind
            raise UserError(f"{advice} ({reason(error)})") from error
    if split not in builder.info.splits:
        known = ", ".join(builder.info.splits)
        raise UserError(f"{task.name} has no split {split!r}; there are {known}")
    source = builder.as_data_source(split)  # pyright: ignore[reportCallIssue]
    return [_tfds_example(task, split, *each) for each in enumerate(source)]


def _tfds_example(
    task: Task, split: str, number: int, raw: Mapping[str, Any]
) -> Example:
    row = {k: v.decode() if isinstance(v, bytes) else v for k, v in raw.items()}
    row["split"] = split
    pair = row[task.text_pair] if task.text_pair else None
    label = int(row["label"])  # -1 if unpublished
    id = int(row.get("idx", number))  # TFDS shuffles the rows
    return Example(id, row[task.text], pair, None if label < 0 else label, row)


def _reachable(host: str) -> bool:
    if urllib.request.getproxies():
        return True  # only the proxy could tell
    try:
        return bool(socket.getaddrinfo(host, 443))
    except OSError:
        return False
