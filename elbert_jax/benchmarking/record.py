"""The record of a benchmark: rows and ratios, saved as JSON after each part."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from elbert_jax import filesystem, tables
from elbert_jax.benchmarking.bench import Part
from elbert_jax.benchmarking.suite import Suite
from elbert_jax.errors import UserError


class Target(NamedTuple):
    """The part that measures a ratio, and the least it should be; None: any value."""

    part: str
    cpu: float | None
    gpu: float | None


# Backend, shape and dtype that targets are for, and their field.
_TARGETED = {("cpu", "base", "float32"): "cpu", ("gpu", "large", "bfloat16"): "gpu"}
TARGETS: Mapping[str, Target] = {
    "refill_over_ideal": Target("queue", 0.92, 0.90),
    "refill_over_static": Target("systems", 2.0, 2.0),
    "refill_over_shrinking": Target("systems", 1.3, 1.9),
    "refill_over_batch1_exit": Target("systems", None, 12),
    "refill_over_batch1_full": Target("systems", None, 40),
    "full_over_torch": Target("systems", 2.0, 1.2),
    "full_over_onnx_fp32": Target("systems", 1.1, None),
    "refill_over_onnx_best": Target("systems", 2.4, None),
    "raw_over_tokenized": Target("raw", 0.9, 0.9),
    "mfu_full": Target("large", 0.75, 0.50),
    "mfu_refill_over_full": Target("queue", 0.90, 0.85),
}
# useful MFU = padding x slots x kernels; see `bench.row`
_COLUMNS = {  # of the tables, in this order, where a part has them
    "system": "system",
    "mix": "lengths of",
    "texts": "texts",
    "batch": "batch",
    "texts_per_second": "texts/s",
    "slowest": "slowest",
    "fastest": "fastest",
    "accuracy": "accuracy",
    "agreement": "agreement",
    "logit_difference": "logit diff.",
    "compute_ratio": "compute ratio",
    "useful_mfu": "useful MFU",
    "padding": "= padding",
    "slots": "x slots",
    "kernels": "x kernels",
    "refill_over_ideal": "refill/ideal",
}


class Record:
    """What has been measured so far; `data` is JSON."""

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        workload: Mapping[str, Any],
        suite: Suite,
        machine: Mapping[str, Any],
    ):
        """Starts a record, or resumes the one in the file.

        Args:
          path: of the file; None: the record is not saved.
          workload: values that identify the model and its texts.
          suite: how much is measured.
          machine: see `machine.describe`.

        Raises:
          UserError: the file holds another benchmark, or none, or cannot be written.
        """
        self.path = filesystem.target(path)
        settings = {**workload, **dataclasses.asdict(suite)}
        del settings["minutes"]
        notes = {name: f"part {it.part} was not run" for name, it in TARGETS.items()}
        fresh = {"settings": settings, "machine": machine, "parts": {}, "rows": []}
        fresh |= {"ratios": dict.fromkeys(TARGETS), "notes": notes}
        self.data = orjson.loads(orjson.dumps(fresh))  # tuples become lists
        if self.path and self.path.exists():
            self.data = _read(self.path, self.data)
        self._save()

    def __contains__(self, part: str) -> bool:
        return "failed" not in self.data["parts"].get(part, {"failed": ""})

    @property
    def title(self) -> str:
        """The model's shape and dtype, and the machine, in one line."""
        settings, machine = self.data["settings"], self.data["machine"]
        device = machine["device"]
        if machine["backend"] == "cpu":
            flags = " ".join(machine["cpu_flags"]) or "no AVX2"
            device = f"{machine['processor']}, {machine['cores']} cores, {flags}"
        return f"{settings['shape']}, {settings['dtype']} on {device}"

    def add(self, name: str, part: Part, **more: float) -> None:
        """Adds what a part measured, and `more` about it, and saves the file."""
        absent = [f"no {system}: {why}" for system, why in part.skipped.items()]
        why = "; ".join(absent) or "what it compares with was not asked for"
        self.data["rows"] += [{"part": name} | row for row in part.rows]
        self.data["parts"][name] = {"skipped": dict(part.skipped)} | more
        for ratio in _ratios_of(name):
            self.data["ratios"][ratio] = part.ratios.get(ratio)
            self.data["notes"][ratio] = part.workload if ratio in part.ratios else why
        self._save()

    def fail(self, name: str, reason: str) -> None:
        """Adds that a part could not be measured, and saves the file."""
        self.data["parts"][name] = {"failed": reason}
        for ratio in _ratios_of(name):
            self.data["notes"][ratio] = f"part {name} failed: {reason}"
        self._save()

    def _save(self) -> None:
        if self.path:
            option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
            with filesystem.replacing(self.path) as file:
                file.write(orjson.dumps(self.data, option=option))

    def table(self, name: str) -> str:
        """Returns a part's rows as text, and what was left out."""
        rows = [row for row in self.data["rows"] if row["part"] == name]
        columns = [c for c in _COLUMNS if any(r.get(c) is not None for r in rows)]
        header = [_COLUMNS[column] for column in columns]
        cells = [[row.get(column) for column in columns] for row in rows]
        lines = [tables.table(header, cells)] if rows else []
        skipped = self.data["parts"][name].get("skipped", {})
        lines += [f"left out: {system}: {why}" for system, why in skipped.items()]
        return "\n".join(lines)

    def ratios(self) -> str:
        """Returns the ratios as text, beside their targets on such a machine."""
        settings, backend = self.data["settings"], self.data["machine"]["backend"]
        field = _TARGETED.get((backend, settings["shape"], settings["dtype"]), "")
        rows = []
        for name, target in TARGETS.items():
            value, note = self.data["ratios"][name], self.data["notes"][name]
            least, verdict = getattr(target, field, None), ""
            if value is not None and least is not None:
                verdict = "holds" if value >= least else "falls short"
            goal = "" if least is None else f">= {least}"
            rows.append([name, value, goal, verdict, note])
        return tables.table(["ratio", "value", "target", "", "measured on"], rows)


def _ratios_of(part: str) -> list[str]:
    return [name for name, target in TARGETS.items() if target.part == part]


def _read(path: pathlib.Path, fresh: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the record in a file, which has the settings and machine of `fresh`."""
    try:
        found = orjson.loads(path.read_bytes())
        before = found["settings"] | found["machine"]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} holds no benchmark: name another file") from error
    for key, now in (fresh["settings"] | fresh["machine"]).items():
        if before.get(key) != now:
            raise UserError(
                f"{path} holds a benchmark of another {key} ({before.get(key)}; now "
                f"{now}): name another file"
            )
    return found
