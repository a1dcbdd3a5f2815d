"""Where answers go: to a file, by way of a journal, or to standard output.

A chunk of rows holds the answers and, as `line` and `error`, the bad rows, in the order
of the input.
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


def _answered(rows: Iterable[Row]) -> Iterator[Row]:
    return (row for row in rows if "error" not in row)


def _bad(rows: Iterable[Row]) -> Iterator[Row]:
    return (row for row in rows if "error" in row)


class StandardOutput(contextlib.nullcontext):
    """Answers as JSON lines, each chunk at once; bad rows go to standard error."""

    bad_rows = "above"

    def __init__(self):
        super().__init__()
        self.done = 0
        self._counts: Counter[str] = Counter()

    def append(self, chunk: Sequence[Row]) -> None:
        """Writes a chunk."""
        with filesystem.writing("standard output"):
            sys.stdout.buffer.writelines(writers.json_lines(_answered(chunk)))
            sys.stdout.buffer.flush()
        for row in _bad(chunk):
            tqdm.tqdm.write(f"line {row['line']}: {row['error']}", file=sys.stderr)
        self._counts += count(chunk)
        self.done += len(chunk)

    def finish(self) -> Counter[str]:
        """Returns what `count` says of all rows."""
        return self._counts


class AnswerFile(contextlib.AbstractContextManager):
    """A .jsonl, .csv, .tsv or .parquet file; bad rows go to PATH.errors.jsonl.

    Both appear when all is done. Until then the rows are in a journal, PATH.partial,
    from which the same job goes on.
    """

    def __init__(
        self, path: str, job: Mapping[str, Any], chunk_size: Callable[[int], int]
    ):
        """Opens the journal; see there."""
        self.path, self.bad_rows = path, f"{path}.errors.jsonl"
        self.journal = Journal(f"{path}.partial", job, chunk_size)
        self.append = self.journal.append

    @staticmethod
    def check(path: str, source: str) -> None:
        """Raises a UserError where an AnswerFile cannot come from a file `source`."""
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
        """Rows in the journal, those of an earlier start included."""
        return self.journal.rows

    def finish(self) -> Counter[str]:
        """Makes the journal's rows the file; returns what `count` says of them."""
        counts = count(self.journal)
        if counts["bad"]:
            writers.write(self.bad_rows, lambda: _bad(self.journal), ())
        else:  # of an earlier job
            pathlib.Path(self.bad_rows).unlink(missing_ok=True)
        writers.write(self.path, lambda: _answered(self.journal), _COLUMNS)
        self.journal.remove()
        return counts

    def __exit__(self, *_: object) -> None:
        self.journal.close()
