"""Calibration: the fastest operating point that keeps its accuracy, or fast enough.

The points lie on a path from full depth to the first layer: the model's criterion with
its threshold moved (`exit_grid`). The path is laid down before a label is seen, so that
fixed sequence testing walks it at the whole level (`significance`): with the confidence
asked for, none of the points that it accepts loses more accuracy than allowed, and
which of them is chosen may depend on anything.

The guarantee is one of accuracy, a mean over texts, and for texts drawn as those of the
calibration, which training has not seen. To calibrate several times on the same texts
and keep the best is no longer one test.
"""

import bisect
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from elbert_jax.data.batching import Encoded
from elbert_jax.errors import UserError
from elbert_jax.evaluation import curve, significance
from elbert_jax.evaluation.curve import LayerOutputs
from elbert_jax.evaluation.timing import Speed
from elbert_jax.exits import Criterion, FixedDepth
from elbert_jax.inference.classifier import Classifier
from elbert_jax.model.albert import AlbertConfig


@dataclasses.dataclass(frozen=True)
class Goal:
    """What an operating point has to hold; None is not asked for."""

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
        """How likely the guarantee may be to fail."""
        return 1 - self.confidence

    @property
    def asks_for_speed(self) -> bool:
        return (self.target_p99_ms, self.min_texts_per_second) != (None, None)

    def is_met_by(self, speed: Speed) -> bool:
        slowest = math.inf if self.target_p99_ms is None else self.target_p99_ms
        rate = self.min_texts_per_second or 0.0
        return speed["p99_ms"] <= slowest and speed["texts_per_second"] >= rate


class Point(NamedTuple):
    """An operating point, and what it gave on the texts."""

    name: str
    criterion: Criterion
    measured: dict[str, Any]  # see `evaluation.at_exit`
    p_value: float  # for: it loses more accuracy than allowed; 0 where it cannot


def measure(classifier: Classifier, encoded: Encoded, goal: Goal) -> list[Point]:
    """Returns the path of the classifier's exit, from one pass over labelled texts.

    Raises:
      UserError: the exit has no path, or the model gives no numbers.
    """
    config = classifier.config
    classifier.exit.grid(config.num_hidden_layers, config.num_labels)  # may refuse
    logits = classifier.every_layer(encoded)
    labels, lengths = encoded.labels, encoded.lengths
    return path(config, logits, labels, lengths, classifier.exit, goal)


def path(
    config: AlbertConfig,
    logits: Float[np.ndarray, "D M C"],
    labels: Int[np.ndarray, " M"],
    lengths: Int[np.ndarray, " M"],
    criterion: Criterion,
    goal: Goal,
) -> list[Point]:
    """Returns full depth, then the criterion's points from careful to fast, tested.

    Raises:
      UserError: the criterion has none.
    """

    outputs = LayerOutputs(config, logits, labels, lengths)

    def point(name: str, criterion: Criterion, bound: float | None) -> Point:
        row = curve.at_exit(outputs, criterion)
        changes, p_value = (row["lost"], row["gained"], len(labels)), 0.0
        if bound is not None:
            p_value = significance.p_value(*changes, bound, goal.level)
        return Point(name, criterion, row, p_value)

    moved = criterion.grid(config.num_hidden_layers, config.num_labels)
    return [
        point("full depth", FixedDepth(config.num_hidden_layers), None),
        *(point(*named, goal.max_accuracy_drop) for named in moved.items()),
    ]


def accepted(points: Sequence[Point], goal: Goal) -> Sequence[Point]:
    """Returns the points that may be chosen; full depth always is one."""
    p_values = [point.p_value for point in points]
    return points[: significance.fixed_sequence(p_values, goal.level)]


def choose(
    points: Sequence[Point], goal: Goal, time: Callable[[Criterion], Speed]
) -> tuple[Point, Speed | None]:
    """Returns the point that meets the goal, and its speed if that was asked for.

    Of the accepted points that is the cheapest; where a speed is asked for, the most
    careful one that is fast enough, found by bisection.

    Args:
      points: see `path`.
      goal: what the point has to hold.
      time: measures the speed of a criterion.

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
    texts = sum(row["exit_histogram"])
    changes = row["lost"], row["gained"], texts
    needed = significance.texts_needed(*changes, bound, goal.level)
    advice = f"about {needed:,} such texts would do" if needed else "allow a larger one"
    return (
        f"no early exit keeps within a drop of {bound:g} with confidence "
        f"{goal.confidence:g}: {point.name} lost {row['lost']} and gained "
        f"{row['gained']} of {texts:,} texts; {advice}; nothing is written"
    )
