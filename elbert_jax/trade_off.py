"""Score against compute: the rows of a sweep as curves over seeds, and as a table.

A row is one criterion at one point of its grid, replayed for one model on one set: see
`sweeping.replay`. Rows that differ in their seed only belong together.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from elbert_jax import tables

Row = Mapping[str, Any]

SPEED_UPS = (1.5, 2.0, 3.0, 4.0, 6.0, 10.0)
_RATIOS = ("layer_ratio", "flops_ratio", "wall_clock_ratio")
NOTE = """\
Each cell is the score at the point of the grid that comes nearest to 1/x of the FLOPs
and does not exceed it, whatever its score. Over several seeds it is the median, and
the range.
"""
_CONFIRMED = """\
The engine gives the exits of the replay. FLOPs are a share of full depth in the dearest
model, layers and wall-clock of full depth in the same model, timed in turn. Texts near
an edge stand within 1e-5 of a threshold or a tie, and may leave on either side of it:
how many did stands in brackets.
"""


class Point(NamedTuple):
    """A point of a grid over seeds: medians, and the range of the score."""

    value: float  # of the field that the grid moves along
    flops_ratio: float
    score: float
    lowest: float
    highest: float


def distinct(rows: Sequence[Row], *keys: str) -> list[tuple[Any, ...]]:
    """Returns the values of some keys that occur together, in the rows' order."""
    return list(dict.fromkeys(tuple(row[key] for key in keys) for row in rows))


def select(rows: Sequence[Row], **values: Any) -> list[Row]:
    """Returns the rows with these values."""
    return [row for row in rows if all(row[k] == v for k, v in values.items())]


def curve(rows: Sequence[Row]) -> list[Point]:
    """Returns one criterion's points over its seeds, from cheap to dear."""
    points = []
    for (value,) in distinct(rows, "value"):
        runs = select(rows, value=value)
        scores = [row["score"] for row in runs]
        ratio = float(np.median([row["flops_ratio"] for row in runs]))
        score = float(np.median(scores))
        points.append(Point(value, ratio, score, min(scores), max(scores)))
    return sorted(points, key=lambda point: point.flops_ratio)


def within(rows: Sequence[Row], most: float) -> Row | None:
    """Returns the row that spends most of a budget; None if none is so cheap.

    Its score has no say: the best of many points would be flattered by the texts that
    it was picked on, and a long grid more than a short one.

    Args:
      rows: candidates.
      most: the FLOPs ratio that may not be exceeded.
    """
    cheap = [row for row in rows if row["flops_ratio"] <= most]
    return max(cheap, key=lambda row: row["flops_ratio"], default=None)


def nearest(rows: Sequence[Row], ratio: float) -> Row:
    """Returns the row whose FLOPs ratio comes nearest."""
    return min(rows, key=lambda row: abs(row["flops_ratio"] - ratio))


def table(shown: Sequence[Row], rows: Sequence[Row]) -> str:
    """Returns, in Markdown, the scores at some speed-ups of every criterion shown.

    `NOTE` says how to read them.

    Args:
      shown: rows of some criteria, all that they have.
      rows: those of every criterion, which hold the fixed depths.
    """
    parts = []
    for name, metric in distinct(shown, "set", "metric"):
        header = ["method", "criterion", "seeds", "full depth"]
        header += [f"{speed_up:g}x" for speed_up in SPEED_UPS]
        here, lines = select(rows, set=name), []
        kinds = distinct(select(shown, set=name), "method", "criterion", "window")
        for method, criterion, window in kinds:
            ours = select(here, method=method)
            full = _by_seed(select(ours, criterion="fixed_depth"))
            dearest = [max(each, key=lambda row: row["flops_ratio"]) for each in full]
            grids = _by_seed(select(ours, criterion=criterion, window=window))
            chosen = [[within(each, 1 / x) for each in grids] for x in SPEED_UPS]
            cells = [_median_and_range(each) for each in (dearest, *chosen)]
            lines.append([method, _called(criterion, window), str(len(grids)), *cells])
        parts.append(f"{metric} on {name}\n\n{tables.markdown(header, lines)}\n")
    return "\n".join(parts)


def confirmed(rows: Sequence[Row]) -> str:
    """Returns, in Markdown, the points that the engine has run; "" without any."""
    header = ["set", "method", "criterion", "at", "score", "layers", "FLOPs"]
    header += ["wall-clock", "texts/s", "full depth", "near an edge"]
    lines = [
        [
            row["set"],
            row["method"],
            _called(row["criterion"], row["window"]),
            f"{row['parameter']} {row['value']:.3g}",
            f"{row['score']:.4f}",
            *(f"{row[ratio]:.3f}" for ratio in _RATIOS),
            f"{row['texts_per_second']:.4g}",
            f"{row['full_depth_texts_per_second']:.4g}",
            f"{row['edge_texts']} ({row['moved_texts']})",
        ]
        for row in rows
        if row["texts_per_second"] is not None
    ]
    return f"{_CONFIRMED}\n{tables.markdown(header, lines)}\n" if lines else ""


def _by_seed(rows: Sequence[Row]) -> list[list[Row]]:
    return [select(rows, seed=seed) for (seed,) in distinct(rows, "seed")]


def _called(criterion: str, window: int | None) -> str:
    return criterion if window is None else f"{criterion}, W = {window}"


def _median_and_range(rows: Sequence[Row | None]) -> str:
    scores = [row["score"] for row in rows if row]
    if len(scores) < len(rows):
        return "-"
    middle = f"{np.median(scores):.4f}"
    if len(scores) == 1:
        return middle
    return f"{middle} ({min(scores):.4f}-{max(scores):.4f})"
