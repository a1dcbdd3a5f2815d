"""operating_point.json: the exit criterion that a model directory recommends."""

import pathlib
from collections.abc import Mapping
from typing import Any

import orjson

from elbert_jax import filesystem
from elbert_jax.errors import UserError
from elbert_jax.exits import ConfidenceWindow, Criterion, registry

_FILE = "operating_point.json"


def save(
    directory: pathlib.Path,
    criterion: Criterion,
    measured: Mapping[str, Any],
    **grounds: Mapping[str, Any],
) -> pathlib.Path:
    """Writes the criterion and its measured scores, and returns the file's path.

    `grounds` are what else the choice rests on: guarantee, speed, data.

    Raises:
      UserError: The file cannot be written.
    """
    path = directory / _FILE
    point = {"exit": criterion.to_dict(), "measured": measured, **grounds}
    with filesystem.replacing(path) as file:
        file.write(orjson.dumps(point, option=orjson.OPT_INDENT_2))
    return path


def load(directory: pathlib.Path) -> Criterion:
    """Returns the directory's criterion; the default one if there is no file.

    Raises:
      UserError: The file exists and cannot be used.
    """
    path = directory / _FILE
    if not path.exists():
        return ConfidenceWindow()
    try:
        return registry.from_dict(orjson.loads(path.read_bytes())["exit"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no operating point: {error}") from error
