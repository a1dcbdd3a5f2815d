"""Score against compute: rows of a sweep as curves over seeds, and as tables.

A row is one criterion at one point of its grid, replayed for one model on one set: see
`replay`. Rows that differ only in their seed belong together.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from elbert_jax import tables

Row = Mapping[str, Any]

SPEED_UPS = (1.5, 2.0, 3.0, 4.0, 6.0, 10.0)
_HEADER = [f"{speed_up:g}x" for speed_up in SPEED_UPS]
_RATIOS = ("layer_ratio", "flops_ratio", "wall_clock_ratio")
NOTE = """\
Each cell is the score at 1/x of the FLOPs of full depth, interpolated linearly between
the neighbouring points of the grid (for accuracy: the expected score of choosing
between the two at random). So all are compared at the same cost, and labels have no
part in the choice. Over several seeds it is the median, and the range.
"""
_GAINS = """\
What an exit gains over one layer for all texts, in points, at the same cost in the same
models: the mean over the models that can cost as much, and how many of them gain /
lose.
"""
_CONFIRMED = """\
The engine gives the exits of the replay. FLOPs are a share of full depth in the most
expensive model, layers and wall-clock of full depth in the same model, timed in turn.
Texts near an edge are within 1e-5 of a threshold or a tie, where float noise may
decide; in brackets, how many of them exit otherwise in the engine.
"""


class Point(NamedTuple):
    """A point of a grid over seeds: medians, and the range of the score."""

    flops_ratio: float
    score: float
    lowest: float
    highest: float


def groups(
    rows: Sequence[Row], *keys: str
) -> Iterator[tuple[tuple[Any, ...], list[Row]]]:
    """Yields the values of some keys, and the rows with these, in the rows' order."""
    members = dict[tuple[Any, ...], list[Row]]()
    for row in rows:
        members.setdefault(tuple(row[key] for key in keys), []).append(row)
    yield from members.items()


def select(rows: Sequence[Row], **values: Any) -> list[Row]:
    """Returns the rows with these values."""
    return [row for row in rows if all(row[k] == v for k, v in values.items())]


def curve(rows: Sequence[Row]) -> list[Point]:
    """Returns one criterion's points over its seeds, from cheap to expensive."""
    points = []
    for _, runs in groups(rows, "value"):
        scores = [row["score"] for row in runs]
        ratio = float(np.median([row["flops_ratio"] for row in runs]))
        score = float(np.median(scores))
        points.append(Point(ratio, score, min(scores), max(scores)))
    return sorted(points, key=lambda point: point.flops_ratio)


def score_at(rows: Sequence[Row], ratio: float, beyond: float | None = None) -> float:
    """Returns the score at a FLOPs ratio, interpolated between a model's points.

    It is NaN below the cheapest point; above the most expensive one it is `beyond`, by
    default that point's score. Choosing the best point within the budget instead would
    overfit the texts that it is chosen on, and the more so the longer the grid.
    """
    points = sorted((row["flops_ratio"], row["score"]) for row in rows)
    ratios, scores = zip(*points)
    return float(np.interp(ratio, ratios, scores, left=np.nan, right=beyond))


def nearest(rows: Sequence[Row], ratio: float) -> Row:
    """Returns the row whose FLOPs ratio comes nearest."""
    return min(rows, key=lambda row: abs(row["flops_ratio"] - ratio))


def table(shown: Sequence[Row], rows: Sequence[Row]) -> str:
    """Returns, in Markdown, the scores at some speed-ups of every criterion shown.

    `NOTE` says how to read them. `shown` holds all points of some criteria, `rows` of
    all, which include the fixed depths.
    """
    parts = []
    for (name, metric), here in groups(shown, "set", "metric"):
        lines, keys = [], ("method", "criterion", "window")
        for (method, criterion, window), _ in groups(here, *keys):
            ours = select(rows, set=name, method=method)
            scores = _scores(ours, criterion, window)
            cells = [_median_and_range(each) for each in scores.T]
            lines.append([method, _called(criterion, window), len(scores), *cells])
        header = ["method", "criterion", "seeds", "full depth", *_HEADER]
        parts.append(f"{metric} on {name}\n\n{tables.markdown(header, lines)}\n")
    return "\n".join(parts)


def gains(rows: Sequence[Row]) -> str:
    """Returns, in Markdown, what each criterion gains over one layer for all texts."""
    parts = [_GAINS]
    for (name, metric), here in groups(rows, "set", "metric"):
        lines, methods = [], [ours for _, ours in groups(here, "method")]
        one_layer = [_scores(ours, "fixed_depth", beyond=np.nan) for ours in methods]
        for (criterion, window), _ in groups(here, "criterion", "window"):
            if criterion == "fixed_depth":
                continue
            scores = [_scores(ours, criterion, window, np.nan) for ours in methods]
            gained = (np.concatenate(scores) - np.concatenate(one_layer))[:, 1:]
            gained = gained[np.isfinite(gained).any(1)]
            cells = [_mean_and_signs(each) for each in gained.T]
            lines.append([_called(criterion, window), len(gained), *cells])
        header = ["criterion", "models", *_HEADER]
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
    for _, ours in groups(rows, "seed"):
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
