"""Training metrics in `metrics.jsonl` and TensorBoard event files."""

import pathlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import orjson

from elbert_jax import filesystem

# tensorboardX imports torch if it can, which takes seconds: None makes that fail.
_modules: dict[str, Any] = sys.modules
_torch = _modules.setdefault("torch", None)
import tensorboardX  # noqa: E402

if _torch is None:
    del _modules["torch"]


class MetricWriter:
    """Appends rows; drops those after the step that a run resumes from."""

    def __init__(self, workdir: pathlib.Path, resumed_from: int):
        path = workdir / "metrics.jsonl"
        if path.exists():
            kept = [row for row in _rows(path) if row["step"] <= resumed_from]
            with filesystem.replacing(path) as file:
                file.write(b"".join(map(_line, kept)))
        self._file = path.open("ab", buffering=0)
        self._events = tensorboardX.SummaryWriter(
            str(workdir / "tensorboard"), purge_step=resumed_from + 1
        )

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Writes scalars and per-layer arrays [D] by name."""
        plain = {name: np.asarray(value).tolist() for name, value in values.items()}
        self._file.write(_line({"step": step} | plain))
        for name, value in plain.items():
            if isinstance(value, list):
                for layer, one in enumerate(value, start=1):
                    self._events.add_scalar(f"{name}/{layer:02}", one, step)
            else:
                self._events.add_scalar(name, value, step)

    def close(self) -> None:
        self._events.close()
        self._file.close()


def _rows(path: pathlib.Path) -> Iterable[dict[str, Any]]:
    for line in path.read_bytes().splitlines():
        try:
            yield orjson.loads(line)
        except orjson.JSONDecodeError:
            return  # a kill truncated the last line


def _line(row: Mapping[str, Any]) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
