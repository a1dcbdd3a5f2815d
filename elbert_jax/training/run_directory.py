"""A run's folder belongs to one configuration, in its config.json, and one process."""

import contextlib
import errno
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from elbert_jax import filesystem
from elbert_jax.data.corpus import Config
from elbert_jax.errors import UserError

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO}


@contextlib.contextmanager
def claimed(workdir: pathlib.Path) -> Iterator[None]:
    """Makes the folder, and keeps other processes out of it.

    Raises:
      UserError: another process trains there, or something cannot be written there.
    """
    with filesystem.writing(str(workdir)):
        workdir.mkdir(parents=True, exist_ok=True)
        lock = open(workdir / "lock", "w")
    with lock:
        filesystem.hold(
            lock,
            f"another process trains in {workdir}: wait for it, or name another "
            "--workdir",
        )
        try:
            yield
        except OSError as error:  # a full disk, perhaps
            if error.errno not in _DISK:
                raise
            name = error.filename or workdir
            raise UserError(f"{name} cannot be written: {error.strerror}") from error


def keep(workdir: pathlib.Path, config: Config, texts: str, *, begun: bool) -> None:
    """Writes down whose the folder is from now on.

    Args:
      workdir: the folder.
      config: the run's configuration.
      texts: a hash of its texts.
      begun: whether there are checkpoints.

    Raises:
      UserError: the run has begun with other texts.
    """
    path = workdir / "texts"
    if begun and path.exists() and path.read_text() != texts:
        raise UserError(
            f"the texts of the run in {workdir} have changed since it began: name "
            "another --workdir"
        )
    for name, content in (
        (path, texts),
        (workdir / "config.json", config.to_json(indent=2)),
    ):
        with filesystem.replacing(str(name)) as file:
            file.write(content.encode())


def refuse_other(workdir: pathlib.Path, config: Config) -> None:
    """Raises a UserError where the folder holds a run with another configuration."""
    path = workdir / "config.json"
    if not path.exists():
        return
    # An infinite value is no JSON to orjson.
    stored, mine = json.loads(path.read_bytes()), json.loads(config.to_json())
    differ = ", ".join(sorted(_differences(stored, mine, "config")))
    if differ:
        raise UserError(
            f"{workdir} holds a run with another configuration ({differ} differs): "
            "name another --workdir, or give the configuration it was started with"
        )


def _differences(one: Any, other: Any, name: str) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            yield from _differences(one.get(key), other.get(key), f"{name}.{key}")
    elif one != other:
        yield name
