"""Writes predictions: to a file, by way of a journal, or to standard output.

Rows are in the input's order. A row that could not be read has a `line` and an `error`
instead of a prediction.
"""

import contextlib
import os
import pathlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import tqdm

from elbert_jax import filesystem
from elbert_jax.data import writers
from elbert_jax.data.writers import Row
from elbert_jax.errors import UserError
from elbert_jax.serving.journal import Journal

_COLUMNS = ("id", "label", "score", "exit_layer", "rule")


def count(rows: Iterable[Row]) -> Counter[str]:
    """Returns how many rows are "bad", "unscored" (not finite) and "scored"."""
    return Counter(
        "bad" if "error" in row else "unscored" if row["score"] is None else "scored"
        for row in rows
    )


def _good(rows: Iterable[Row]) -> Iterator[Row]:
    return (row for row in rows if "error" not in row)


def _bad(rows: Iterable[Row]) -> Iterator[Row]:
    return (row for row in rows if "error" in row)


class StandardOutput(contextlib.nullcontext):
    """Writes JSON lines; bad rows are reported on standard error."""

    bad_rows = "above"

    def __init__(self):
        super().__init__()
        self.done = 0
        self._counts: Counter[str] = Counter()

    def append(self, chunk: Sequence[Row]) -> None:
        """Writes rows at once."""
        with filesystem.writing("standard output"):
            sys.stdout.buffer.writelines(writers.json_lines(_good(chunk)))
            sys.stdout.buffer.flush()
        for row in _bad(chunk):
            tqdm.tqdm.write(f"line {row['line']}: {row['error']}", file=sys.stderr)
        self._counts += count(chunk)
        self.done += len(chunk)

    def finish(self) -> Counter[str]:
        """Returns what `count` says of all rows."""
        return self._counts


class PredictionFile(contextlib.AbstractContextManager):
    """Writes a .jsonl, .csv, .tsv or .parquet file, and bad rows to PATH.errors.jsonl.

    Both appear when all rows are done. Until then the rows are in a journal,
    PATH.partial, from which the same job resumes.
    """

    def __init__(
        self, path: str, job: Mapping[str, Any], chunk_size: Callable[[int], int]
    ):
        """Opens the journal; see `Journal`."""
        self.path, self.bad_rows = path, f"{path}.errors.jsonl"
        self.journal = Journal(f"{path}.partial", job, chunk_size)
        self.append = self.journal.append

    @staticmethod
    def check(path: str, source: str) -> None:
        """Raises a UserError if `path` cannot be written for an input `source`."""
        if pathlib.Path(path).suffix not in writers.SUFFIXES:
            known = ", ".join(writers.SUFFIXES)
            raise UserError(f"--output={path} should end with {known}, or be -")
        for own in (path, f"{path}.partial", f"{path}.errors.jsonl", f"{path}.tmp"):
            if os.path.exists(source) and os.path.exists(own):
                if os.path.samefile(source, own):
                    raise UserError(f"--output={path} would overwrite the input")
        if os.path.lexists(path):
            raise UserError(f"{path} is there already: remove it, or name another")
        folder = os.path.dirname(path) or "."
        if not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
            raise UserError(f"--output={path}: there is no folder {folder} to write to")

    @property
    def done(self) -> int:
        """How many rows are in the journal, including those of earlier starts."""
        return self.journal.rows

    def finish(self) -> Counter[str]:
        """Writes the file from the journal; returns what `count` says of all rows."""
        counts = count(self.journal)
        if counts["bad"]:
            writers.write(self.bad_rows, lambda: _bad(self.journal), ())
        else:  # there may be one of an earlier job
            pathlib.Path(self.bad_rows).unlink(missing_ok=True)
        writers.write(self.path, lambda: _good(self.journal), _COLUMNS)
        self.journal.remove()
        return counts

    def __exit__(self, *_: object) -> None:
        self.journal.close()
