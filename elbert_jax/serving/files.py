"""A file of texts in, a file of answers out: in order and in constant memory."""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import math
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np
import orjson
import pyarrow
import pyarrow.parquet
import tqdm

from elbert_jax import interruption
from elbert_jax.data import readers, sources
from elbert_jax.data.example import Example
from elbert_jax.data.readers import BadRow
from elbert_jax.data.writers import Row
from elbert_jax.errors import UserError, warn
from elbert_jax.inference.classifier import Classifier
from elbert_jax.serving.prediction_writer import AnswerFile, StandardOutput

# Rows answered and kept together. Many keep the slots full; few show progress soon, and
# cost little when a job is killed: so chunks double from the one to the other.
_FIRST_CHUNK, _ROWS_PER_SLOT = 256, 64


def check(input: str, output: str) -> None:
    """Raises a UserError where `predict` could not begin; it takes no time."""
    if input != "-" and not os.path.exists(input):
        raise UserError(f"--input={input}: there is no such file")
    if output != "-":
        AnswerFile.check(output, input)


def predict(
    classifier: Classifier,
    input: str,
    output: str,
    *,
    with_text: bool = False,
    **reading: Any,
) -> None:
    """Answers every row of a file; see `AnswerFile` for how it goes on after a kill.

    Args:
      classifier: the model.
      input: the file; "-" is standard input.
      output: a .jsonl, .csv, .tsv or .parquet file that is not there yet; "-" is JSON
        lines on standard output.
      with_text: puts the text, or both, into the answers.
      **reading: the options of `sources.read_file`.

    Raises:
      UserError: the input or the output cannot be used; or, when all others are
        answered, that some rows could not be read.
    """
    check(input, output)
    largest = classifier.slots * classifier.mesh.size * _ROWS_PER_SLOT
    chunk_size = functools.partial(_chunk_size, largest=largest)
    damage: list[UserError] = []
    source = sources.read_file(input, labelled=False, **reading)
    items = _until_damaged(source, damage)
    if output == "-":
        target, advice = StandardOutput(), ""
    else:
        job = {"model": _digest(classifier), "input": _identity(input), **reading}
        target = AnswerFile(output, job | {"with_text": with_text}, chunk_size)
        advice = ": the same command goes on from there"
        if not os.path.isfile(input):
            advice = f", in {target.journal.path}: the input cannot be read again"
    with target:
        try:
            with tqdm.tqdm(
                total=_row_count(input, **reading),
                initial=target.done,
                unit="row",
                delay=0.5,  # seconds, in which most mistakes are found
                disable=output == "-" and sys.stdout.isatty(),  # it would cut answers
            ) as bar:
                chunks = _chunks(items, target.done, chunk_size)
                for chunk in _answer(classifier, chunks, with_text):
                    target.append(chunk)
                    bar.update(len(chunk))
                    interruption.check()
            if damage and not target.done:
                raise damage[0]
            with interruption.waiting():  # nothing is left to stop
                counts = target.finish()
        except KeyboardInterrupt:
            advice = advice if target.done else ""
            print(f"{target.done} rows are done{advice}", file=sys.stderr)
            raise
    if output != "-":
        answered = counts.total() - counts["bad"]
        print(f"{answered} of {counts.total()} rows are answered in {output}")
    _complain(counts, damage, target.bad_rows)


def _complain(counts: Counter[str], damage: list[UserError], bad_rows: str) -> None:
    total, bad, unscored = counts.total(), counts["bad"], counts["unscored"]
    if unscored:
        warn(
            f"{unscored} of {total - bad} answers have no score and mean nothing: "
            "the model's output is not finite, so check its weights"
        )
    faults = [f"{error}; the {total} rows before that are done" for error in damage]
    if bad:
        faults.append(f"{bad} of {total} rows cannot be answered: see {bad_rows}")
    if faults:
        raise UserError("; ".join(faults))


def _until_damaged(items: Iterator[Any], damage: list[UserError]) -> Iterator[Any]:
    """Ends a file where it cannot be read on, so that the rows before it count."""
    try:
        yield from items
    except UserError as error:
        damage.append(error)


def _chunk_size(done: int, largest: int) -> int:
    # Of the row's number alone: a job that goes on forms the chunks of one that was
    # never stopped, and so gets the very same floats.
    return min(max(done, _FIRST_CHUNK), largest)


def _chunks(
    items: Iterator[Any], done: int, chunk_size: Callable[[int], int]
) -> Iterator[list[Any]]:
    """Yields the chunks of rows that come after the first `done`."""
    items = itertools.islice(items, done, None)
    while chunk := list(itertools.islice(items, chunk_size(done))):
        yield chunk
        done += len(chunk)


def _answer(
    classifier: Classifier, chunks: Iterable[list[Example | BadRow]], with_text: bool
) -> Iterator[list[Row]]:
    """Yields the answers of each chunk."""
    for chunk in chunks:
        texts = [item.input for item in chunk if isinstance(item, Example)]
        with warnings.catch_warnings():  # `_complain` says it once
            warnings.filterwarnings("ignore", "the logits of .* not finite")
            results = iter(classifier(texts))
        yield [
            _row(item, next(results), with_text)
            if isinstance(item, Example)
            else {"line": item.line, "error": item.message}
            for item in chunk
        ]


def _row(example: Example, result: Row, with_text: bool) -> Row:
    row: Row = {"id": example.id}
    if with_text:
        row["text"] = example.text
        if example.text_pair is not None:
            row["text_pair"] = example.text_pair
    score = result["score"] if math.isfinite(result["score"]) else None
    return row | result | {"score": score}


def _digest(classifier: Classifier) -> str:
    """Returns a hash of all in a classifier that its answers depend on."""
    settings = [
        dataclasses.asdict(classifier.config),
        classifier.labels,
        classifier.exit.to_dict(),
        classifier.max_length,
        classifier.tokenizer.truncation,
        classifier.tokenizer.hf.backend_tokenizer.to_str(),
    ]
    digest = hashlib.blake2b(orjson.dumps(settings), digest_size=16)
    for leaf in jax.tree.leaves(classifier.params):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _identity(path: str) -> list[Any]:
    if not os.path.isfile(path):
        return [path, time.time_ns()]  # a stream is never the same again
    status = os.stat(path)
    return [os.path.realpath(path), status.st_size, status.st_mtime_ns]


def _row_count(
    path: str, *, format: str | None = None, columns: Any = None, **_: Any
) -> int | None:
    """Returns about how many rows there are, or None where that is dear to know."""
    if not os.path.isfile(path) or path.lower().endswith((".gz", ".xz")):
        return None
    format = format or readers.format_of(path)
    with contextlib.suppress(OSError, pyarrow.ArrowException):  # the reader will tell
        if format == "parquet":
            return pyarrow.parquet.read_metadata(path).num_rows
        lines, block = 0, b"\n"
        with open(path, "rb") as file:
            while more := file.read(1 << 20):
                lines, block = lines + more.count(b"\n"), more
        lines += not block.endswith(b"\n")
        return lines - (format in ("csv", "tsv") and not columns)
