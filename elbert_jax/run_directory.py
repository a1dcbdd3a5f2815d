"""A run's folder belongs to one configuration, in its config.json, and one process."""

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from elbert_jax.data import output
from elbert_jax.data.corpus import Config
from elbert_jax.errors import UserError


def make(workdir: pathlib.Path) -> None:
    """Makes the folder; raises a UserError where nothing can be written in it."""
    with output.writing(str(workdir)):
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / "lock").touch()


@contextlib.contextmanager
def claimed(workdir: pathlib.Path, config: Config) -> Iterator[None]:
    """Makes the folder, with the configuration in it, and keeps other processes out.

    Raises:
      UserError: another process trains there, or nothing can be written there.
    """
    make(workdir)
    with open(workdir / "lock", "w") as lock:
        output.hold(
            lock,
            f"another process trains in {workdir}: wait for it, or name another "
            "--workdir",
        )
        with output.replacing(str(workdir / "config.json")) as file:
            file.write(config.to_json(indent=2).encode())
        yield


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
