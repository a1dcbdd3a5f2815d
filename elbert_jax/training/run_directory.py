"""A run's folder belongs to one configuration, one data set and one process."""

import contextlib
import errno
import json
import pathlib
from collections.abc import Iterator, Sequence

from flax import traverse_util

from elbert_jax import filesystem
from elbert_jax.errors import UserError
from elbert_jax.settings import Config

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO}


@contextlib.contextmanager
def claimed(workdir: pathlib.Path) -> Iterator[None]:
    """Makes the folder, and locks it against other processes.

    Errors of the disk in the block are converted to UserError.
    """
    with filesystem.writing(workdir):
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
        except OSError as error:
            if error.errno not in _DISK:
                raise
            name = error.filename or workdir
            raise UserError(f"{name} cannot be written: {error.strerror}") from error


def record(
    workdir: pathlib.Path, config: Config, fingerprint: str, *, resumed: bool
) -> None:
    """Writes the configuration and the hash of the data that the folder belongs to.

    A run that is resumed must have begun with the same data.
    """
    path = workdir / "texts"
    if resumed and path.exists() and path.read_text() != fingerprint:
        raise UserError(
            f"the texts of the run in {workdir} have changed since it began: name "
            "another --workdir"
        )
    contents = {path: fingerprint, workdir / "config.json": config.to_json(indent=2)}
    for name, content in contents.items():
        with filesystem.replacing(name) as file:
            file.write(content.encode())


def check_config(
    workdir: pathlib.Path, config: Config, changeable: Sequence[str] = ()
) -> None:
    """Raises a UserError if the folder holds a run with another configuration.

    The values of the keys `changeable` may differ.
    """
    path = workdir / "config.json"
    if not path.exists():
        return
    stored, mine = (  # not by orjson, which refuses infinite values
        traverse_util.flatten_dict(json.loads(text), sep=".")
        for text in (path.read_bytes(), config.to_json())
    )
    differ = {key for key in stored | mine if stored.get(key) != mine.get(key)}
    if names := sorted(f"config.{key}" for key in differ - {*changeable}):
        raise UserError(
            f"{workdir} holds a run with another configuration ({', '.join(names)} "
            "differs): name another --workdir, or give the configuration it was "
            "started with"
        )
