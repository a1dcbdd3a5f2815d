"""Plots of a benchmark's rows: the parts exits and queue."""

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib import ticker

from elbert_jax.benchmarking.bench import REFILL
from elbert_jax.benchmarking.parts import REFILL_04
from elbert_jax.evaluation import plots

Rows = Sequence[Mapping[str, Any]]
_LINE = {"markersize": 4, "linewidth": 1.2}


def draw(folder: str | os.PathLike[str], rows: Rows, title: str) -> list[pathlib.Path]:
    """Draws every plot that a record's rows allow, and returns the files."""
    paths = []
    for name, (part, plot) in PLOTS.items():
        if any(row["part"] == part for row in rows):
            figure, axes = plots.plt.subplots(figsize=(7, 4.5), layout="constrained")
            plot(axes, rows)
            axes.set_title(title, fontsize="small")
            axes.grid(alpha=0.3)
            paths.append(pathlib.Path(folder, f"{name}.png"))
            plots.finish(figure, paths[-1])
    return paths


def _score_by_speed(axes: Any, rows: Rows) -> None:
    """Draws a line for each system of the part exits, a mark for each other one."""
    curves: dict[str, list[tuple[float, float]]] = {}
    own = [row for row in rows if row["part"] == "exits"]
    score = "agreement" if own[0]["accuracy"] is None else "accuracy"
    for row in own:
        point = row["texts_per_second"], row[score]
        curves.setdefault(row["system"], []).append(point)
    for (name, points), marker in zip(curves.items(), plots.MARKERS):
        axes.plot(*zip(*sorted(points)), f"{marker}-", label=name, **_LINE)
    others = [
        row
        for row in rows
        if row["part"] == "systems" and row["system"] not in {*curves, REFILL_04}
    ]
    for row, marker in zip(others, "*xP+dhX1234"):
        style = {"color": "0.4", "markersize": 8, "label": row["system"]}
        axes.plot(row["texts_per_second"], row[score], marker, **style)
    noun = "agreement with full depth" if score == "agreement" else score
    axes.set(xlabel="texts/s", ylabel=noun, xscale="log")
    axes.xaxis.set_minor_locator(ticker.LogLocator(subs=(2, 5)))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.xaxis.set_minor_formatter("{x:,g}")


def _efficiency_by_queue(axes: Any, rows: Rows) -> None:
    refill = [r for r in rows if r["part"] == "queue" and r["system"] == REFILL]
    refill.sort(key=lambda row: row["texts"])
    texts = [row["texts"] for row in refill]
    for column, name in (
        ("padding", "real tokens / tokens of occupied slots"),
        ("slots", "occupied slots / slots"),
        ("refill_over_ideal", "speed-up over full depth / (D / mean exit layer)"),
        ("useful_mfu", "useful MFU"),
    ):
        axes.plot(texts, [row[column] for row in refill], "o-", label=name, **_LINE)
    axes.set(xlabel="texts in the queue", ylabel="efficiency", xscale="log")
    labels = [f"{row['texts']:,}\n" + row["mix"].replace("_", "\n") for row in refill]
    axes.set_xticks(texts, labels)
    axes.xaxis.minorticks_off()
    axes.set_ylim(0, max(1.05, axes.dataLim.y1 * 1.05))


PLOTS: Mapping[str, tuple[str, Callable[[Any, Rows], None]]] = {
    "score_by_speed": ("exits", _score_by_speed),
    "efficiency_by_queue": ("queue", _efficiency_by_queue),
}
