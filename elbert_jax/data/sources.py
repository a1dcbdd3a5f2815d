"""Files and prepared data sets, row by row, as `Example`s."""

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
from elbert_jax.errors import UserError

# Text columns looked for, in this order, with the second text that goes with each.
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
_PEEK = 100  # JSON objects need not be alike: rows searched for the columns
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
    """Yields the rows of a file, in order and in constant memory.

    TSV is GLUE's: nothing is quoted. CSV may quote commas and line ends. A file of
    plain lines has one column, "text". Labels stay strings or integers as they are
    found; a TSV or CSV cell that spells an integer is one. A row without an id is
    called by its number, from 0.

    Args:
      path: a .tsv, .csv, .jsonl or .txt file, each also .gz or .xz, or .parquet; "-"
        is standard input.
      text: column of the text; by default the first known name that there is.
      text_pair: column of the second text; by default GLUE's partner of a text
        column that is itself the default.
      label: column of the label; by default "label", if there is one.
      id: column of the id; by default "id", "idx" or "index", if there is one.
      columns: names of the columns of a TSV or CSV file without a header line.
      format: "tsv", "csv", "jsonl", "txt" or "parquet", where the name does not
        tell; for standard input "txt" by default.
      labelled: reads labels too; otherwise every example is without one.

    Raises:
      UserError: the file or a named column is not there, or the file is damaged.
    """
    path = str(path)
    format = format or ("txt" if path == "-" else readers.format_of(path))
    source = readers.read(path, format, columns)
    named = _Columns(text, text_pair, label, id)
    head, found = [], {}
    for item in itertools.islice(source, _PEEK):
        head.append(item)
        found |= {} if isinstance(item, BadRow) else item[1]
        if found and not _missing(found, named):
            break
    if found and (missing := _missing(found, named)):
        raise UserError(f"{path}: no column {missing}; there are {', '.join(found)}")
    chosen = _choose(found, named)
    for number, item in enumerate(itertools.chain(head, source)):
        if isinstance(item, BadRow):
            yield item
        else:
            spelled = format in ("tsv", "csv") if labelled else None
            yield _example(*item, chosen, number, spelled)


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


def _example(
    line: int, row: dict[str, Any], columns: _Columns, number: int, spelled: bool | None
) -> Example | BadRow:
    """Returns a row as an example; `spelled` is None where labels do not matter."""
    texts = []
    for name in filter(None, (columns.text, columns.text_pair)):
        text = row.get(name)
        if not isinstance(text, str):
            fault = f"of type {type(text).__name__}" if name in row else "missing"
            return BadRow(line, f"the text {name!r} is {fault}")
        if "\0" in text:
            return BadRow(line, f"the text {name!r} holds a NUL character")
        texts.append(text)
    label = None if spelled is None else row.get(columns.label or "label")
    if label == "":
        label = None
    if spelled and label and _INTEGER.fullmatch(label):
        label = int(label)
    if isinstance(label, bool) or not isinstance(label, str | int | None):
        return BadRow(line, f"the label {label!r} is neither a string nor an integer")
    id = row.get(columns.id) if columns.id else None
    if isinstance(id, float):  # as pandas writes integers beside gaps, which are NaN
        exact = id.is_integer() and abs(id) < 2**53
        id = int(id) if exact else None if math.isnan(id) else str(id)
    text, pair = texts if columns.text_pair else (*texts, None)
    known = id if isinstance(id, str | int) else number if id is None else str(id)
    return Example(known, text, pair, label, row)


def read_task(task: Task, split: str, data_dir: str | None = None) -> Sequence[Example]:
    """Returns a split of a named data set, through TFDS and without TensorFlow.

    The rows gain a column, "split".

    Args:
      task: one of `tasks.TASKS`.
      split: a split's name, such as "train".
      data_dir: the TFDS folder; by default TFDS's own.

    Raises:
      UserError: the set is not prepared and cannot be downloaded.
    """
    if task.name == "synthetic":
        if split not in synthetic.SIZES:
            known = ", ".join(synthetic.SIZES)
            raise UserError(f"synthetic has no split {split!r}; there are {known}")
        return synthetic.examples(split)
    # These take a second to import, and only this function wants them.
    import tensorflow_datasets as tfds
    import tensorflow_datasets.text.glue  # noqa: F401  registers glue/*

    try:
        builder = tfds.builder(task.name, data_dir=data_dir, file_format="array_record")
    except ValueError as error:
        raise UserError(
            f"{task.name} is prepared as TFRecord files, which want TensorFlow: "
            "prepare it with file_format=array_record, in another data_dir"
        ) from error
    if not builder.is_prepared():
        advice = (
            f"{task.name} is not prepared under {builder.data_dir} and cannot be "
            f"downloaded from {task.host}: give --config.data.train_file, "
            "or copy a prepared folder there"
        )
        if not _reachable(task.host):  # TFDS would try for minutes
            raise UserError(advice)
        try:
            builder.download_and_prepare()
        except Exception as error:  # TFDS raises whatever its parts raise
            reason = str(error).splitlines()[0]
            raise UserError(f"{advice} ({reason})") from error
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
    label = int(row[task.label])  # -1 where it is not published
    id = int(row.get("idx", number))  # the order of the rows is TFDS's own
    return Example(id, row[task.text], pair, None if label < 0 else label, row)


def _reachable(host: str) -> bool:
    if urllib.request.getproxies():
        return True  # the proxy knows
    try:
        return bool(socket.getaddrinfo(host, 443))
    except OSError:
        return False
