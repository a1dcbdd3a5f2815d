"""Files written whole or not at all, locks, and the system's errors in one line."""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator
from typing import IO, Any, BinaryIO

from elbert_jax.errors import UserError


def target(name: str | os.PathLike[str] | None) -> pathlib.Path | None:
    """Returns the path of a file to write, None of none.

    Raises:
      UserError: the folder that it should be in is not there.
    """
    path = pathlib.Path(os.path.expanduser(name)) if name else None
    if path and not path.parent.is_dir():
        raise UserError(f"{path} cannot be written: there is no folder {path.parent}")
    return path


@contextlib.contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """Gives a file that becomes `path` once all is written, else leaves nothing.

    Raises:
      UserError: it cannot be written.
    """
    temporary = f"{path}.tmp"
    try:
        with writing(path):
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        pathlib.Path(temporary).unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Makes the system's errors a UserError, but for the reader's leaving a pipe."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        raise UserError(f"{path} cannot be written: {reason}") from error


def hold(file: IO[Any], told: str) -> None:
    """Keeps other processes out of an open file until it is closed.

    Raises:
      UserError: another process is there; it says `told`.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(told) from error
