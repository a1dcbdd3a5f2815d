"""Pictures of score against compute, by task and by method.

Of several seeds a line is the median, and the band around it the range, cut where
it goes further than the lines of a panel lie apart.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from elbert_jax.evaluation import plots
from elbert_jax.evaluation.plots import BLACK, COLOURS, MARKERS
from elbert_jax.sweeps import lineage, trade_off
from elbert_jax.sweeps.trade_off import Point, Row

_COMPUTE = "compute, as a share of full depth (FLOPs)"
_SPEED_UPS = (1, 1.5, 2, 3, 4, 10)  # told above a panel


def short(name: str) -> str:
    """Returns the end of a set's path."""
    return "/".join(name.split("/")[-2:])


def tasks(path: pathlib.Path, own: Sequence[Row], rows: Sequence[Row]) -> None:
    """Draws a panel a method, with a line a task (ELBERT's Fig. 6).

    Args:
      path: the picture.
      own: rows of each method's own criterion.
      rows: all rows.
    """
    early = [row for row in own if not lineage.is_plain(row["method"])]
    methods = trade_off.distinct(early, "method", "criterion")
    figure, axes = plots.panels(len(methods))
    for panel, (method, criterion) in zip(axes, methods):
        ours = trade_off.select(early, method=method, criterion=criterion)
        sets = trade_off.distinct(ours, "set", "metric")
        for number, (name, metric) in enumerate(sets):
            points = trade_off.select(ours, set=name)
            look = {"color": COLOURS[number % 7], "marker": MARKERS[number % 7]}
            line(panel, points, rows, f"{short(name)} ({metric})", **look)
        label(panel, f"{method}, {criterion.replace('_', ' ')}", "score")
    finish(figure, axes, path)


def methods(path: pathlib.Path, own: Sequence[Row], rows: Sequence[Row]) -> None:
    """Draws a panel a set, with a line a method (ELBERT's Fig. 7).

    Plain compression stands as stars: plain models, each at its last layer; without
    any, the layers of each model, as the only exit of all texts.

    Args:
      path: the picture.
      own: rows of each method's own criterion.
      rows: all rows.
    """
    sets = trade_off.distinct(rows, "set", "metric")
    figure, axes = plots.panels(len(sets), sharey="none")
    for panel, (name, metric) in zip(axes, sets):
        here = trade_off.select(rows, set=name)
        plain = [row for row in here if lineage.is_plain(row["method"])]
        early = [
            row
            for row in trade_off.select(own, set=name)
            if not lineage.is_plain(row["method"])
        ]
        methods = trade_off.distinct(early, "method", "criterion")
        for number, (method, criterion) in enumerate(methods):
            ours = trade_off.select(early, method=method, criterion=criterion)
            colour, marker = COLOURS[number % 7], MARKERS[number % 7]
            called = f"{method}, {criterion.replace('_', ' ')}"
            line(panel, ours, rows, called, color=colour, marker=marker)
            if not plain:
                fixed = trade_off.select(here, method=method, criterion="fixed_depth")
                stars(panel, fixed, f"{method}, all texts at layer k", colour)
        if plain:
            stars(panel, plain, "plain compression", BLACK)
        label(panel, short(name), metric)
    finish(figure, axes, path)


def line(
    axes: Any, rows: Sequence[Row], every: Sequence[Row], name: str, **look: Any
) -> None:
    """Draws a criterion's points, and full depth at their end.

    Args:
      axes: the panel.
      rows: of one criterion, and of one method on one set.
      every: rows among which those of full depth are.
      name: for the legend.
      **look: colour, marker and the like.
    """
    origin = {key: rows[0][key] for key in ("set", "method")}
    full = trade_off.select(every, criterion="fixed_depth", layer_ratio=1.0, **origin)
    ratios, scores, *band = _columns(trade_off.curve(rows) + trade_off.curve(full))
    axes.plot(ratios, scores, label=name, markersize=4, linewidth=1.2, **look)
    axes.fill_between(ratios, *band, color=look["color"], alpha=0.15, linewidth=0)


def stars(axes: Any, rows: Sequence[Row], name: str, colour: str) -> None:
    """Draws points that are no line, each with its range."""
    ratios, scores, *band = _columns(trade_off.curve(rows))
    axes.vlines(ratios, *band, color=colour, linewidth=0.8, zorder=1)
    axes.plot(ratios, scores, "*", color=colour, markersize=9, label=name, zorder=1)


def finish(figure: Any, panels: Sequence[Any], path: pathlib.Path) -> None:
    """Writes a picture, in which a seed at chance does not flatten the lines.

    Args:
      figure: has nothing else to be drawn.
      panels: its panels, of which some may share their vertical axis.
      path: the picture.
    """
    for panel in panels:
        together = panel.get_shared_y_axes().get_siblings(panel)
        lines = [line for each in together for line in each.lines]
        scores = [score for line in lines for score in line.get_ydata()]
        lowest, highest = min(scores), max(scores)
        bottom, top = panel.get_ylim()
        beyond = max(highest - lowest, 0.02)
        panel.set_ylim(max(bottom, lowest - beyond), min(top, highest + beyond))
    plots.finish(figure, path)


def _columns(points: Sequence[Point]) -> list[tuple[float, ...]]:
    """Returns the FLOPs ratios, the scores, and the lowest and the highest of them."""
    return [*zip(*(point[1:] for point in points))]


def label(axes: Any, title: str, score: str) -> None:
    """Names the axes; that of compute says the share below, the speed-up above."""
    axes.set(xlabel=_COMPUTE, xlim=(0, 1.04))
    plots.name_left(axes, score)
    axes.set_title(title, fontsize="medium")
    above = axes.secondary_xaxis("top")
    above.set_xticks([1 / x for x in _SPEED_UPS], [f"{x:g}x" for x in _SPEED_UPS])
    above.tick_params(labelsize="small", length=2)
    axes.grid(alpha=0.3)
