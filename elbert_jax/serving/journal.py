"""What a long job has done so far, on disk, so that it can go on after a kill."""

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
    """A file of JSON lines: a header that tells the job, then a row a line.

    Rows are appended in chunks. What a kill left of a chunk is cut off when the journal
    is opened again. A journal without rows is removed when it is closed.
    """

    def __init__(
        self,
        path: str,
        job: Mapping[str, Any],
        chunk_size: Callable[[int], int],
    ):
        """Opens the journal, or begins one.

        Args:
          path: the file.
          job: all that the rows depend on.
          chunk_size: gives the size of the chunk that comes after so many rows.

        Raises:
          UserError: the file cannot be written, is of another job, or in use.
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
        """Writes a chunk down; it is on the disk when this returns."""
        with filesystem.writing(self.path):
            self._file.writelines(writers.json_lines(rows))
            self._file.flush()
            os.fsync(self._file.fileno())
        self.rows += len(rows)

    def __iter__(self) -> Iterator[Row]:
        """Yields the rows; two passes at once do no harm."""
        with open(self.path, "rb") as file:
            next(file, None)  # the header
            for line in file:
                yield orjson.loads(line)

    def remove(self) -> None:
        """Removes the file, as the job is finished."""
        pathlib.Path(self.path).unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the file; removes it if it holds no rows."""
        if not self.rows:
            self.remove()
        with contextlib.suppress(OSError):  # of a full disk, which `append` has told
            self._file.close()


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
