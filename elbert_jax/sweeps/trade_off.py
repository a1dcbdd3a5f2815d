"""Score against compute: the rows of a sweep as curves over seeds, and as a table.

A row is one criterion at one point of its grid, replayed for one model on one set: see
`sweeping.replay`. Rows that differ in their seed only belong together.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from elbert_jax import tables

Row = Mapping[str, Any]

SPEED_UPS = (1.5, 2.0, 3.0, 4.0, 6.0, 10.0)
_SPEED_UPS = tuple(f"{speed_up:g}x" for speed_up in SPEED_UPS)
_RATIOS = ("layer_ratio", "flops_ratio", "wall_clock_ratio")
NOTE = """\
Each cell is the score at 1/x of the FLOPs of full depth, on the straight line between
the points of the grid that cost a little more and a little less (of accuracy: what
drawing lots between the two has on average). So all are compared at the same cost, and
labels have no part in the choice. Over several seeds it is the median, and the range.
"""
_GAINS = """\
What an exit gains over leaving at one layer for all texts, in points, at the same cost
in the same models: the mean over those that can cost as much, and how many of them
gain / lose.
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


def score_at(rows: Sequence[Row], ratio: float, beyond: float | None = None) -> float:
    """Returns the score at a FLOPs ratio, on the line through a model's points.

    It is NaN where no point is so cheap, and where none is so dear `beyond`, or the
    dearest one's. To pick the best of all that are so cheap would flatter it by the
    texts that it is picked on, and a long grid more than a short one.
    """
    points = sorted((row["flops_ratio"], row["score"]) for row in rows)
    ratios, scores = zip(*points)
    return float(np.interp(ratio, ratios, scores, left=np.nan, right=beyond))


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
        header = ["method", "criterion", "seeds", "full depth", *_SPEED_UPS]
        here, lines = select(rows, set=name), []
        kinds = distinct(select(shown, set=name), "method", "criterion", "window")
        for method, criterion, window in kinds:
            scores = _scores(select(here, method=method), criterion, window)
            cells = [_median_and_range(each) for each in scores.T]
            called = _called(criterion, window)
            lines.append([method, called, str(len(scores)), *cells])
        parts.append(f"{metric} on {name}\n\n{tables.markdown(header, lines)}\n")
    return "\n".join(parts)


def gains(rows: Sequence[Row]) -> str:
    """Returns, in Markdown, what each criterion gains over one layer for all texts.

    Args:
      rows: of models that have every criterion.
    """
    parts = []
    for name, metric in distinct(rows, "set", "metric"):
        header = ["criterion", "models", *_SPEED_UPS]
        here, lines = select(rows, set=name), []
        methods = [select(here, method=each) for (each,) in distinct(here, "method")]
        one_layer = [_scores(ours, "fixed_depth", beyond=np.nan) for ours in methods]
        for criterion, window in distinct(here, "criterion", "window"):
            if criterion == "fixed_depth":
                continue
            scores = [_scores(ours, criterion, window, np.nan) for ours in methods]
            gained = (np.concatenate(scores) - np.concatenate(one_layer))[:, 1:]
            gained = gained[np.isfinite(gained).any(1)]
            cells = [_mean_and_signs(each) for each in gained.T]
            lines.append([_called(criterion, window), str(len(gained)), *cells])
        parts.append(f"{metric} on {name}\n\n{tables.markdown(header, lines)}\n")
    return "\n".join([_GAINS, *parts])


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


def _scores(
    rows: Sequence[Row],
    criterion: str,
    window: int | None = None,
    beyond: float | None = None,
) -> Float[np.ndarray, "S X"]:
    """Returns the scores of S seeds of a method: at full depth, then `SPEED_UPS`.

    They are NaN where a seed has no such criterion; for `beyond` see `score_at`.
    """
    scores = []
    for (seed,) in distinct(rows, "seed"):
        ours = select(rows, seed=seed)
        depths = select(ours, criterion="fixed_depth")
        full = max(depths, key=lambda row: row["flops_ratio"])
        points = select(ours, criterion=criterion, window=window)
        at = [
            score_at([*points, full], 1 / each, beyond) if points else np.nan
            for each in SPEED_UPS
        ]
        scores.append([full["score"], *at])
    return np.array(scores)


def _called(criterion: str, window: int | None) -> str:
    return criterion if window is None else f"{criterion}, W = {window}"


def _median_and_range(scores: Float[np.ndarray, " S"]) -> str:
    if np.isnan(scores).any():
        return "-"
    middle = f"{np.median(scores):.4f}"
    if len(scores) == 1:
        return middle
    return f"{middle} ({min(scores):.4f}-{max(scores):.4f})"


def _mean_and_signs(gained: Float[np.ndarray, " S"]) -> str:
    gained = gained[np.isfinite(gained)]
    if not gained.size:
        return "-"
    up, down = (gained > 0).sum(), (gained < 0).sum()
    return f"{100 * gained.mean():+.2f} ({up} / {down})"
