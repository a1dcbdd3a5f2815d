"""The criteria that a sweep replays, and the grid that each moves along.

A criterion moves along one of its fields: delta, a threshold, a patience, a count, a
depth. The other fields stay.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from elbert_jax import exit_settings
from elbert_jax.albert import AlbertConfig
from elbert_jax.confidence_window import ConfidenceWindow, Elbert2021
from elbert_jax.evaluation import DELTAS
from elbert_jax.exits import Count, Criterion, Entropy, FixedDepth, Patience

STAGE_1 = "stage_1"  # the name of ELBERT's confidence without a window
_WINDOWS = (2, 3, 4, 6, 8, 10, 12, 16, 20, 24)


def criteria(window: int) -> list[Criterion]:
    """Returns one of every kind, those of a window with the window W.

    FastBERT's puzzlement is ELBERT's stage 1.
    """
    return [
        *(
            ConfidenceWindow(window=window, criterion=name)
            for name in ("monotone", "range", "label")
        ),
        ConfidenceWindow(window=1, criterion="none"),
        *(
            Elbert2021(window=window, criterion=name)
            for name in ("bias_1", "bias_2", "bias_3")
        ),
        Entropy(),
        Patience(),
        Count(),
        FixedDepth(),
    ]


def other_windows(window: int, depth: int) -> list[Criterion]:
    """Returns ELBERT's own criterion with windows other than W, up to the depth."""
    return [
        ConfidenceWindow(window=each)
        for each in _WINDOWS
        if each <= depth and each != window
    ]


def grid(criterion: Criterion, config: AlbertConfig) -> list[Criterion]:
    """Returns the criterion all along its grid.

    Thresholds on uncertainty are shares of the largest there is; a window is tried
    without stage 1 too. A count or a depth takes every value that the layers allow.
    """
    depth = config.num_hidden_layers
    values: Sequence[float]
    match criterion:
        case ConfidenceWindow(criterion="none"):
            values = DELTAS
        case ConfidenceWindow() | Elbert2021():
            values = (0.0, *DELTAS)
        case Entropy(normalised=False):
            values = [share * math.log(config.num_labels) for share in DELTAS]
        case Entropy():
            values = DELTAS
        case FixedDepth():
            values = range(1, depth + 1)
        case _:  # at patience D - 1 every text goes to the last layer
            values = range(1, depth)
    kind: Any = criterion
    return [dataclasses.replace(kind, **{moves(criterion): value}) for value in values]


def moves(criterion: Criterion) -> str:
    """Returns the name of the field that the grid moves along."""
    fields = vars(criterion)
    known = ("delta", "threshold", "patience", "count", "depth")
    return next(name for name in known if name in fields)


def name(criterion: Criterion) -> str:
    """Returns what tells kinds of criteria apart, the window's length aside."""
    settings = exit_settings.to_dict(criterion)
    kind = settings.get("criterion", settings["name"])
    return STAGE_1 if kind == "none" else kind


def window(criterion: Criterion) -> int | None:
    """Returns W; None where the criterion looks at no window."""
    return None if name(criterion) == STAGE_1 else getattr(criterion, "window", None)
