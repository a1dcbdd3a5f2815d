"""Calibration: the fastest exit with a bounded accuracy drop, or one fast enough.

The candidates are full depth and the grid of the model's criterion, from careful to
fast. Their order is fixed before a label is seen, so that fixed sequence testing
(`significance`) tests each at the full level: with the given confidence no accepted
point loses more accuracy than allowed, whichever of them is then chosen.

The guarantee is about accuracy, a mean over texts, for texts drawn as the calibration
texts were; training must not have seen these. It does not hold for the best of several
calibrations on the same texts.
"""

import bisect
import dataclasses
import functools
import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from elbert_jax import machine, tables
from elbert_jax.data.encoded import Encoded
from elbert_jax.data.example import Example
from elbert_jax.errors import UserError
from elbert_jax.evaluation import curve, significance
from elbert_jax.evaluation.curve import LayerOutputs
from elbert_jax.evaluation.timing import Speed
from elbert_jax.exits import Criterion, FixedDepth
from elbert_jax.inference.classifier import Classifier

_METHOD = (
    "fixed sequence testing (Learn then Test), exact p-values of the paired accuracy "
    "drop (Berger and Boos)"
)


@dataclasses.dataclass(frozen=True)
class Goal:
    """The requirements on an operating point; None is no requirement."""

    max_accuracy_drop: float | None = None  # from full depth
    confidence: float = 0.9  # that the drop is no larger
    target_p99_ms: float | None = None
    min_texts_per_second: float | None = None

    def __post_init__(self):
        bound = self.max_accuracy_drop
        if bound is None and not self.asks_for_speed:
            raise UserError(
                "give --max_accuracy_drop, --target_p99_ms or --min_texts_per_second"
            )
        if bound is not None and not 0 <= bound < 1:
            raise UserError(f"--max_accuracy_drop={bound:g} is not from 0 to below 1")
        if not 0 < self.confidence < 1:
            raise UserError(f"--confidence={self.confidence:g} is not between 0 and 1")

    @property
    def level(self) -> float:
        """The probability with which the guarantee may fail."""
        return 1 - self.confidence

    @property
    def asks_for_speed(self) -> bool:
        return (self.target_p99_ms, self.min_texts_per_second) != (None, None)

    def is_met_by(self, speed: Speed) -> bool:
        slowest = math.inf if self.target_p99_ms is None else self.target_p99_ms
        rate = self.min_texts_per_second or 0.0
        return speed["p99_ms"] <= slowest and speed["texts_per_second"] >= rate


class Point(NamedTuple):
    """A candidate, and its scores and compute on the calibration texts."""

    name: str
    criterion: Criterion
    measured: dict[str, Any]  # see `curve.at_exit`
    p_value: float  # of losing more accuracy than allowed; 0 where it cannot


def measure(classifier: Classifier, encoded: Encoded, goal: Goal) -> list[Point]:
    """Returns full depth, then the points of the classifier's exit, careful to fast.

    Raises:
      UserError: the exit has no threshold to vary, or the logits are not finite.
    """
    config = classifier.config
    depth, classes = config.num_hidden_layers, config.num_labels
    points = classifier.exit.grid(depth, classes)  # may refuse: before the pass
    logits = classifier.every_layer(encoded)
    outputs = LayerOutputs(config, logits, encoded.labels, encoded.lengths)

    def point(name: str, criterion: Criterion, bound: float | None) -> Point:
        row, p_value = curve.at_exit(outputs, criterion), 0.0
        if bound is not None:
            changes = row["lost"], row["gained"], len(outputs)
            p_value = significance.p_value(*changes, bound, goal.level)
        return Point(name, criterion, row, p_value)

    full = point("full depth", FixedDepth(depth), None)
    return [full, *(point(*each, goal.max_accuracy_drop) for each in points.items())]


def accepted(points: Sequence[Point], goal: Goal) -> Sequence[Point]:
    """Returns the points that may be chosen; full depth always is one."""
    p_values = [point.p_value for point in points]
    return points[: significance.fixed_sequence(p_values, goal.level)]


def choose(
    points: Sequence[Point], goal: Goal, time: Callable[[Criterion], Speed]
) -> tuple[Point, Speed | None]:
    """Returns the point that meets the goal, and its speed if the goal asks for one.

    Of the accepted points it is the cheapest; where a speed is asked for, the most
    careful one that is fast enough, found by bisection with measurements by `time`.

    Raises:
      UserError: no early exit is accepted, or no accepted point is fast enough.
    """
    usable = accepted(points, goal)
    if not goal.asks_for_speed:
        cheapest = min(usable, key=lambda point: point.measured["flops_ratio"])
        if cheapest is points[0]:
            refused = points[min(len(usable), len(points) - 1)]
            raise UserError(_refusal(refused, goal))
        return cheapest, None
    timed = functools.cache(lambda number: time(usable[number].criterion))
    number = bisect.bisect_left(
        range(len(usable)), True, key=lambda number: goal.is_met_by(timed(number))
    )
    if number == len(usable):
        speed = ", ".join(f"{name} {it:.4g}" for name, it in timed(number - 1).items())
        raise UserError(
            f"no point is fast enough: {usable[-1].name}, the fastest that may be "
            f"chosen, has {speed}; nothing is written"
        )
    return usable[number], timed(number)


def _refusal(point: Point, goal: Goal) -> str:
    bound, row = goal.max_accuracy_drop or 0.0, point.measured
    lost, gained, texts = row["lost"], row["gained"], sum(row["exit_histogram"])
    needed = significance.texts_needed(lost, gained, texts, bound, goal.level)
    advice = "allow a larger one"
    if needed:
        advice = f"about {needed:,} such texts would suffice"
    return (
        f"no early exit keeps within a drop of {bound:g} with confidence "
        f"{goal.confidence:g}: {point.name} lost {lost} and gained {gained} of "
        f"{texts:,} texts; {advice}; nothing is written"
    )


def render(points: Sequence[Point], goal: Goal) -> str:
    """Returns the candidates as a table."""
    tested = goal.max_accuracy_drop is not None
    usable = len(accepted(points, goal))
    header = ["exit", "accuracy", "drop", "mean exit layer", "FLOPs"]
    names = ("accuracy", "accuracy_drop", "mean_exit_layer", "flops_ratio")
    rows = []
    for number, point in enumerate(points):
        test = [point.p_value, "yes" if number < usable else "no"] * tested
        rows.append([point.name, *(point.measured[name] for name in names), *test])
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


def describe(examples: Sequence[Example], source: str) -> dict[str, Any]:
    """Returns the name, number and hash of texts; the hash includes the labels."""
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
