"""Predicts a file of texts: in order, in constant memory, resumable after a kill."""

import functools
import itertools
import math
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import tqdm

from elbert_jax import interruption
from elbert_jax.data import sources
from elbert_jax.data.example import Example
from elbert_jax.data.readers import BadRow
from elbert_jax.data.writers import Row
from elbert_jax.errors import UserError, warn
from elbert_jax.inference.classifier import Classifier
from elbert_jax.serving import job
from elbert_jax.serving.prediction_writer import PredictionFile, StandardOutput

# Rows that are predicted and journaled together. Many keep the slots full; few show
# progress soon, and lose little at a kill: so chunks double from the first size to as
# many rows per slot.
_FIRST_CHUNK, _ROWS_PER_SLOT = 256, 64


def check(input: str, output: str) -> None:
    """Raises a UserError if `predict` cannot start; it takes no time."""
    if input != "-" and not os.path.exists(input):
        raise UserError(f"--input={input}: there is no such file")
    if output != "-":
        PredictionFile.check(output, input)


def predict(
    classifier: Classifier,
    input: str,
    output: str,
    *,
    with_text: bool = False,
    **reading: Any,
) -> None:
    """Predicts every row of a file; see `PredictionFile` for resuming after a kill.

    Args:
      classifier: the model.
      input: the file; "-" is standard input.
      output: a new .jsonl, .csv, .tsv or .parquet file; "-" is JSON lines on standard
        output.
      with_text: repeat the text, or both of a pair, in the predictions.
      **reading: the options of `sources.read_file`.

    Raises:
      UserError: the input or the output cannot be used; or, after all other rows are
        predicted, that some rows could not be read.
    """
    check(input, output)
    largest = classifier.slots * classifier.mesh.size * _ROWS_PER_SLOT
    chunk_size = functools.partial(_chunk_size, largest=largest)
    damage: list[UserError] = []
    rows = _until_damaged(sources.read_file(input, labelled=False, **reading), damage)
    target, advice = StandardOutput(), ""
    if output != "-":
        model, identity = job.model_digest(classifier), job.input_identity(input)
        own = {"model": model, "input": identity, **reading, "with_text": with_text}
        target = PredictionFile(output, own, chunk_size)
        advice = ": the same command goes on from there"
        if not os.path.isfile(input):
            advice = f", in {target.journal.path}: the input cannot be read again"
    with target:
        try:
            with _progress(input, output, target.done, reading) as progress:
                for chunk in _chunks(rows, target.done, chunk_size):
                    target.append(_predictions(classifier, chunk, with_text))
                    progress.update(len(chunk))
                    interruption.check()
            if damage and not target.done:
                raise damage[0]
            with interruption.waiting():  # too late to stop anything
                counts = target.finish()
        except KeyboardInterrupt:
            done = target.done
            print(f"{done} rows are done{advice if done else ''}", file=sys.stderr)
            raise
    if output != "-":
        answered = counts.total() - counts["bad"]
        print(f"{answered} of {counts.total()} rows are answered in {output}")
    _complain(counts, damage, target.bad_rows)


def _progress(input: str, output: str, done: int, reading: dict[str, Any]) -> tqdm.tqdm:
    return tqdm.tqdm(
        total=job.row_count(input, **reading),
        initial=done,
        unit="row",
        delay=0.5,  # seconds, in which most mistakes are found
        disable=output == "-" and sys.stdout.isatty(),  # it would cut the output
    )


def _until_damaged(rows: Iterator[Any], damage: list[UserError]) -> Iterator[Any]:
    """Ends where a file cannot be read any further, so that earlier rows count."""
    try:
        yield from rows
    except UserError as error:
        damage.append(error)


def _chunk_size(done: int, largest: int) -> int:
    # It depends on the row's number only: a resumed job forms the chunks of one that
    # was never stopped, and so gets the same floats.
    return min(max(done, _FIRST_CHUNK), largest)


def _chunks(
    rows: Iterator[Any], done: int, chunk_size: Callable[[int], int]
) -> Iterator[list[Example | BadRow]]:
    """Yields the chunks after the first `done` rows."""
    rows = itertools.islice(rows, done, None)
    while chunk := list(itertools.islice(rows, chunk_size(done))):
        yield chunk
        done += len(chunk)


def _predictions(
    classifier: Classifier, chunk: list[Example | BadRow], with_text: bool
) -> list[Row]:
    """Returns a row of output for each row of a chunk."""
    texts = [row.input for row in chunk if isinstance(row, Example)]
    with warnings.catch_warnings():  # `_complain` says it once
        warnings.filterwarnings("ignore", "the logits of .* not finite")
        results = iter(classifier(texts))
    return [
        _prediction(row, next(results), with_text)
        if isinstance(row, Example)
        else {"line": row.line, "error": row.message}
        for row in chunk
    ]


def _prediction(example: Example, result: Row, with_text: bool) -> Row:
    row: Row = {"id": example.id}
    if with_text:
        row["text"] = example.text
        if example.text_pair is not None:
            row["text_pair"] = example.text_pair
    score = result["score"] if math.isfinite(result["score"]) else None
    return row | result | {"score": score}


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
