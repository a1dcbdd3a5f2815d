"""Plots of a benchmark's rows, one for each curve that was measured."""

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib import ticker

from elbert_jax.benchmarking.bench import REFILL, REFILL_04
from elbert_jax.evaluation import plots

Rows = Sequence[Mapping[str, Any]]


def draw(folder: str | os.PathLike[str], rows: Rows, title: str) -> list[pathlib.Path]:
    """Draws every plot that there are rows for.

    Args:
      folder: of the plots; is made if need be.
      rows: of a benchmark's record.
      title: above the plots.

    Returns:
      The files.
    """
    folder, paths = pathlib.Path(folder), []
    folder.mkdir(parents=True, exist_ok=True)
    systems = [row for row in rows if row["part"] == "systems"]
    for name, (part, plot) in _PLOTS.items():
        if of_part := [row for row in rows if row["part"] == part]:
            figure, axes = plots.plt.subplots(figsize=(7, 4.5), layout="constrained")
            plot(axes, of_part, systems)
            axes.set_title(title, fontsize="small")
            axes.grid(alpha=0.3)
            paths.append(folder / f"{name}.png")
            plots.finish(figure, paths[-1])
    return paths


def _lines(axes: Any, rows: Rows, x: str, y: str, spread: bool = False) -> None:
    """Draws a line for each system, if asked with bars from its slowest to fastest."""
    names = dict.fromkeys(row["system"] for row in rows)
    for name, marker in zip(names, plots.MARKERS):
        own = sorted((r for r in rows if r["system"] == name), key=lambda r: r[x])
        xs, ys, bars = [row[x] for row in own], [row[y] for row in own], None
        if spread:
            down = [row[y] - row["slowest"] for row in own]
            bars = down, [row["fastest"] - row[y] for row in own]
        style = {"markersize": 4, "linewidth": 1.2, "label": name}
        axes.errorbar(xs, ys, bars, fmt=f"{marker}-", **style)


def _by_slots(axes: Any, rows: Rows, _: Rows) -> None:
    _lines(axes, rows, "batch", "texts_per_second", spread=True)
    axes.set(xlabel="slots, or batch size", ylabel="texts/s", xscale="log")
    _batch_ticks(axes, rows)
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.set_ylim(bottom=0)


def _by_score(axes: Any, rows: Rows, systems: Rows) -> None:
    score = "agreement" if rows[0]["accuracy"] is None else "accuracy"
    _lines(axes, rows, "texts_per_second", score)
    drawn = {row["system"] for row in rows} | {REFILL_04}
    others = [row for row in systems if row["system"] not in drawn]
    for row, marker in zip(others, "*xP+dhX1234"):
        point = row["texts_per_second"], row[score]
        axes.plot(*point, marker, color="0.4", markersize=8, label=row["system"])
    noun = "agreement with full depth" if score == "agreement" else score
    axes.set(xlabel="texts/s", ylabel=noun, xscale="log")
    _plain_numbers(axes.xaxis)


def _by_queue(axes: Any, rows: Rows, _: Rows) -> None:
    refill = [row for row in rows if row["system"] == REFILL]
    refill.sort(key=lambda row: row["texts"])
    for column, name in (
        ("padding", "real tokens / tokens of occupied slots"),
        ("slots", "occupied slots / slots"),
        ("refill_over_ideal", "speed-up over full depth / (D / mean exit layer)"),
        ("useful_mfu", "useful MFU"),
    ):
        xs, ys = ([row[key] for row in refill] for key in ("texts", column))
        axes.plot(xs, ys, "o-", markersize=4, linewidth=1.2, label=name)
    axes.set(xlabel="texts in the queue", ylabel="efficiency", xscale="log")
    labels = [f"{row['texts']:,}\n" + row["mix"].replace("_", "\n") for row in refill]
    _ticks(axes, {row["texts"]: label for row, label in zip(refill, labels)})
    axes.set_ylim(0, max(1.05, axes.dataLim.y1 * 1.05))


def _by_latency(axes: Any, rows: Rows, _: Rows) -> None:
    _lines(axes, rows, "batch", "latency_ms")
    axes.set(xlabel="batch size", ylabel="ms", xscale="log", yscale="log")
    _plain_numbers(axes.yaxis)
    _batch_ticks(axes, rows)


def _batch_ticks(axes: Any, rows: Rows) -> None:
    _ticks(axes, {row["batch"]: f"{row['batch']:,}" for row in rows})


def _ticks(axes: Any, labels: Mapping[float, str]) -> None:
    axes.set_xticks(list(labels), list(labels.values()))
    axes.xaxis.minorticks_off()


def _plain_numbers(axis: Any) -> None:
    axis.set_minor_locator(ticker.LogLocator(subs=(2, 5)))
    axis.set_major_formatter("{x:,g}")
    axis.set_minor_formatter("{x:,g}")


_PLOTS: Mapping[str, tuple[str, Callable[[Any, Rows, Rows], None]]] = {
    "speed_by_slots": ("slots", _by_slots),
    "score_by_speed": ("exits", _by_score),
    "efficiency_by_queue": ("queue", _by_queue),
    "latency_by_batch": ("latency", _by_latency),
}
