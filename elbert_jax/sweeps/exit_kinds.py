"""The kinds of criteria that a sweep replays, and what to call them.

A criterion moves along one of its fields: delta, a threshold, a patience, a count, a
depth. The other fields stay.
"""

import operator

from elbert_jax.exits import (
    ConfidenceWindow,
    Count,
    Criterion,
    Elbert2021,
    Entropy,
    FixedDepth,
    Patience,
    grid,
    registry,
)
from elbert_jax.model.albert import AlbertConfig

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


def points(criterion: Criterion, config: AlbertConfig) -> list[Criterion]:
    """Returns the criterion all along its grid, its field rising; see `exit_grid`."""
    moved = [*grid.grid(criterion, config).values()]
    if isinstance(criterion, FixedDepth):
        moved.append(FixedDepth(config.num_hidden_layers))
    return sorted(moved, key=operator.attrgetter(moves(criterion)))


def moves(criterion: Criterion) -> str:
    """Returns the name of the field that the grid moves along."""
    fields = vars(criterion)
    known = ("delta", "threshold", "patience", "count", "depth")
    return next(name for name in known if name in fields)


def name(criterion: Criterion) -> str:
    """Returns what tells kinds of criteria apart, the window's length aside."""
    settings = registry.to_dict(criterion)
    kind = settings.get("criterion", settings["name"])
    return STAGE_1 if kind == "none" else kind


def window(criterion: Criterion) -> int | None:
    """Returns W; None where the criterion looks at no window."""
    return None if name(criterion) == STAGE_1 else getattr(criterion, "window", None)
