"""The record of a benchmark: rows and ratios, on file after each part, and as text."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import orjson

from elbert_jax import filesystem, tables
from elbert_jax.benchmarking.bench import Part
from elbert_jax.benchmarking.suite import TARGETS, WANTED, Suite
from elbert_jax.errors import UserError

_COLUMNS = {  # of the table, in this order, where a part has them
    "system": "",
    "mix": "texts of",
    "texts": "texts",
    "batch": "batch",
    "texts_per_second": "texts/s",
    "slowest": "slowest",
    "fastest": "fastest",
    "latency_ms": "ms",
    "accuracy": "accuracy",
    "agreement": "agreement",
    "logit_difference": "logits off",
    "compute_ratio": "compute",
    "useful_mfu": "useful MFU",
    "padding": "= padding",
    "slots": "x slots",
    "kernels": "x kernels",
    "refill_over_ideal": "over ideal",
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
        """Opens a record, or goes on with the one in the file.

        Args:
          path: of the file; None keeps the record in memory.
          workload: what tells one workload from another.
          suite: how much is measured; its parts may come in several calls.
          machine: see `machine.describe`.

        Raises:
          UserError: the file holds another benchmark, or none, or cannot be written.
        """
        self.path = target = filesystem.target(path)
        settings = {**workload, **dataclasses.asdict(suite)}
        del settings["parts"], settings["minutes"]
        fresh = {"settings": settings, "machine": dict(machine)}
        fresh = orjson.loads(orjson.dumps(fresh))  # tuples become lists, as on file
        self.data = fresh | {"parts": {}, "rows": [], "ratios": dict.fromkeys(TARGETS)}
        self.data["notes"] = {
            name: f"part {target.part} was not run" for name, target in TARGETS.items()
        }
        if target and target.exists():
            found = _read(target)
            for what, value in fresh.items():
                if found.get(what) != value:
                    raise UserError(
                        f"{path} holds a benchmark of another {_change(found, fresh)}: "
                        "name another file"
                    )
            self.data = found
        self._save()

    def __contains__(self, part: str) -> bool:
        return "failed" not in self.data["parts"].get(part, {"failed": ""})

    @property
    def title(self) -> str:
        """What was measured, and on what, in a line."""
        settings, on = self.data["settings"], self.data["machine"]
        device = on["processor"] if on["backend"] == "cpu" else on["device"]
        cores = f", {on['cores']} cores" * (on["backend"] == "cpu")
        return f"{settings['shape']}, {settings['dtype']} on {device}{cores}"

    def add(self, name: str, part: Part, **more: float) -> None:
        """Writes down what a part measured, and `more` about it; saves the file."""
        data = self.data
        data["rows"] += [{"part": name} | row for row in part.rows]
        data["parts"][name] = {"skipped": dict(part.skipped)} | more
        for ratio, target in TARGETS.items():
            if target.part == name:
                value = part.ratios.get(ratio)
                absent = [f"no {s}: {r}" for s, r in part.skipped.items()]
                why = "; ".join(absent) or "what it compares with was not asked for"
                data["ratios"][ratio] = value
                data["notes"][ratio] = part.on if value is not None else why
        self._save()

    def fail(self, name: str, reason: str) -> None:
        """Writes down that a part could not be measured."""
        self.data["parts"][name] = {"failed": reason}
        for ratio, target in TARGETS.items():
            if target.part == name:
                self.data["notes"][ratio] = f"part {name} failed: {reason}"
        self._save()

    def _save(self) -> None:
        if self.path:
            option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
            with filesystem.replacing(str(self.path)) as file:
                file.write(orjson.dumps(self.data, option=option))

    def part(self, name: str) -> str:
        """Returns a part's rows as text, and what was left out."""
        rows = [row for row in self.data["rows"] if row["part"] == name]
        columns = [c for c in _COLUMNS if any(r.get(c) is not None for r in rows)]
        header = [_COLUMNS[column] for column in columns]
        cells = [[_blank(row.get(column)) for column in columns] for row in rows]
        lines = [tables.table(header, cells)] if rows else []
        skipped = self.data["parts"][name].get("skipped", {})
        lines += [f"left out: {system}: {why}" for system, why in skipped.items()]
        return "\n".join(lines)

    def ratios(self) -> str:
        """Returns the ratios as text, beside what they should be on such a machine."""
        settings, backend = self.data["settings"], self.data["machine"]["backend"]
        column = WANTED.get((backend, settings["shape"], settings["dtype"]))
        rows = []
        for name, target in TARGETS.items():
            value, note = self.data["ratios"][name], self.data["notes"][name]
            wanted = getattr(target, column) if column else None
            verdict = ""
            if value is not None and wanted is not None:
                verdict = "holds" if value >= wanted else "falls short"
            goal = "" if wanted is None else f">= {wanted}"
            rows.append([name, _blank(value), goal, verdict, note])
        return tables.table(["ratio", "", "wanted", "", "measured on"], rows)


def _blank(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"
    return str(value)


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        found = orjson.loads(path.read_bytes())
        return found if {"settings", "machine", "parts"} <= found.keys() else {}
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (orjson.JSONDecodeError, AttributeError):
        return {}


def _change(found: Mapping[str, Any], fresh: Mapping[str, Any]) -> str:
    """Returns the first setting, or part of the machine, that is not the same."""
    for what in ("settings", "machine"):
        before, now = found.get(what, {}), fresh[what]
        for key in now:
            if before.get(key) != now[key]:
                return f"{key} ({before.get(key)}; now {now[key]})"
    return "kind"
