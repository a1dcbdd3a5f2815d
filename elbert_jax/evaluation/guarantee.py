"""The result of a calibration, for the terminal and for `operating_point.json`."""

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson

from elbert_jax import machine, tables
from elbert_jax.data.example import Example
from elbert_jax.evaluation import calibration
from elbert_jax.evaluation.calibration import Goal, Point
from elbert_jax.evaluation.timing import Speed

_METHOD = (
    "fixed sequence testing (Learn then Test), exact p-values of the paired accuracy "
    "drop (Berger and Boos)"
)


def render(points: Sequence[Point], goal: Goal) -> str:
    """Returns the candidates as a table."""
    tested = goal.max_accuracy_drop is not None
    usable = len(calibration.accepted(points, goal))
    header = ["exit", "accuracy", "drop", "mean exit layer", "FLOPs"]
    names = ("accuracy", "accuracy_drop", "mean_exit_layer", "flops_ratio")
    rows = [
        [point.name, *(point.measured[name] for name in names)]
        + [point.p_value, "yes" if number < usable else "no"] * tested
        for number, point in enumerate(points)
    ]
    return tables.table(header + ["p-value", "accepted"] * tested, rows)


def sentence(point: Point, goal: Goal, timed: Speed | None) -> str:
    """Returns the choice and its guarantees."""
    parts = [f"{point.name} takes {point.measured['flops_ratio']:.3f} of the FLOPs"]
    if goal.max_accuracy_drop is not None:
        parts.append(
            f"with confidence {goal.confidence:g} its accuracy is at most "
            f"{goal.max_accuracy_drop:g} below full depth, on texts drawn as these"
        )
    if timed:
        parts.append(
            f"here a single text takes {timed['p99_ms']:.3g} ms (p99), and many run at "
            f"{timed['texts_per_second']:.4g} texts/s"
        )
    return "; ".join(parts)


def data(examples: Sequence[Example], source: str) -> dict[str, Any]:
    """Returns the name, number and hash of the texts; the hash includes the labels."""
    digest = hashlib.blake2b(digest_size=16)
    for example in examples:
        row = [example.text, example.text_pair, example.label]
        digest.update(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    return {"name": source, "texts": len(examples), "blake2b": digest.hexdigest()}


def grounds(
    point: Point, goal: Goal, timed: Speed | None, data: dict[str, Any], slots: int
) -> dict[str, dict[str, Any]]:
    """Returns what `operating_point.save` writes beside the criterion."""
    given: dict[str, dict[str, Any]] = {"data": data}
    if goal.max_accuracy_drop is not None:
        given["guarantee"] = {
            "max_accuracy_drop": goal.max_accuracy_drop,
            "confidence": goal.confidence,
            "p_value": point.p_value,
            "texts": data["texts"],
            "method": _METHOD,
        }
    if timed:
        asked = {
            "target_p99_ms": goal.target_p99_ms,
            "min_texts_per_second": goal.min_texts_per_second,
        }
        given["speed"] = timed | asked | {"slots": slots} | machine.describe()
    return given
