"""Files and directories that appear whole or not at all, locks, and clear errors."""

import contextlib
import fcntl
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import IO, Any, BinaryIO

from elbert_jax.errors import UserError, reason


def target(name: str | os.PathLike[str] | None) -> pathlib.Path | None:
    """Returns the path of a file to write, whose folder must exist; None for None."""
    path = pathlib.Path(os.path.expanduser(name)) if name else None
    if path and not path.parent.is_dir():
        raise UserError(f"{path} cannot be written: there is no folder {path.parent}")
    return path


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a binary file that replaces `path` in one step when the block succeeds.

    Until then it is `path` with ".tmp" added; where the block fails, it is removed.
    """
    temporary = f"{os.fspath(path)}.tmp"
    with writing(path):
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            pathlib.Path(temporary).unlink(missing_ok=True)


@contextlib.contextmanager
def creating_directory(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Makes a directory that becomes `path` in one step when the block succeeds.

    `path` must not exist, or be an empty directory. Until then it is a hidden
    neighbour; where the block fails, it is removed, and what a killed process left of
    it goes at the next try.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Converts OSError to UserError; re-raises BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be written: {reason(error)}") from error


def hold(file: IO[Any], message: str) -> None:
    """Locks an open file until it is closed; a UserError says that another holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(message) from error
