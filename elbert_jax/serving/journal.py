"""The rows that a long job has done, on disk, so that it resumes after a kill."""

import contextlib
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from elbert_jax import filesystem
from elbert_jax.data import writers
from elbert_jax.data.writers import Row
from elbert_jax.errors import UserError


class Journal:
    """A file of JSON lines: a header that identifies the job, then a line per row.

    Rows are appended in chunks. A chunk that a kill cut short is removed when the
    journal is opened again. A journal without rows is removed when it is closed.
    """

    def __init__(
        self,
        path: str,
        job: Mapping[str, Any],
        chunk_size: Callable[[int], int],
    ):
        """Opens a journal, or starts one.

        Args:
          path: the file.
          job: everything that the rows depend on.
          chunk_size: gives the size of a chunk by the number of rows before it.

        Raises:
          UserError: the file cannot be written, or belongs to another job or process.
        """
        self.path = path
        self.rows = 0  # done so far
        header = orjson.dumps(job, option=orjson.OPT_APPEND_NEWLINE)
        with filesystem.writing(path):
            self._file = open(path, "a+b")
            try:
                filesystem.hold(self._file, f"another process is writing {path}")
                self._file.seek(0)
                self._begin(self._file.readline(), header)
                self._cut(chunk_size)
            except BaseException:
                self._file.close()
                raise

    def _begin(self, found: bytes, header: bytes) -> None:
        if not found:
            self._file.write(header)
        elif found != header:
            old, new = _object(found), orjson.loads(header)
            differ = " and ".join(key for key in new if old.get(key) != new[key])
            raise UserError(
                f"{self.path} is left of a job with another {differ}: remove it, or "
                "name another output"
            )

    def _cut(self, chunk_size: Callable[[int], int]) -> None:
        end = self._file.tell()
        while True:
            size = chunk_size(self.rows)
            lines = list(itertools.islice(self._file, size))
            if len(lines) < size or not lines[-1].endswith(b"\n"):
                break
            self.rows, end = self.rows + size, self._file.tell()
        self._file.seek(end)
        self._file.truncate()

    def append(self, rows: Sequence[Row]) -> None:
        """Appends a chunk; it is on the disk when this returns."""
        with filesystem.writing(self.path):
            self._file.writelines(writers.json_lines(rows))
            self._file.flush()
            os.fsync(self._file.fileno())
        self.rows += len(rows)

    def __iter__(self) -> Iterator[Row]:
        """Yields the rows; several iterators may be open."""
        with open(self.path, "rb") as file:
            next(file, None)  # the header
            for line in file:
                yield orjson.loads(line)

    def remove(self) -> None:
        """Removes the file of a finished job."""
        pathlib.Path(self.path).unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the file; removes it if it holds no rows."""
        if not self.rows:
            self.remove()
        with contextlib.suppress(OSError):  # a full disk, reported by `append`
            self._file.close()


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
