"""`operating_point.json`: the exit criterion that a model directory recommends."""

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
    """Writes the criterion and what it was measured to give, whole or not at all.

    Args:
      directory: the model's.
      criterion: when its texts leave.
      measured: scores and costs.
      **grounds: what else the choice rests on: guarantee, speed, data.

    Returns:
      The file.

    Raises:
      UserError: it cannot be written.
    """
    path = directory / _FILE
    point = {"exit": registry.to_dict(criterion), "measured": measured, **grounds}
    with filesystem.replacing(str(path)) as file:
        file.write(orjson.dumps(point, option=orjson.OPT_INDENT_2))
    return path


def load(directory: pathlib.Path) -> Criterion:
    """Returns the directory's criterion; without the file, ELBERT's default.

    Raises:
      UserError: the file is there and cannot be used.
    """
    path = directory / _FILE
    if not path.exists():
        return ConfidenceWindow()
    try:
        return registry.from_dict(orjson.loads(path.read_bytes())["exit"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no operating point: {error}") from error
