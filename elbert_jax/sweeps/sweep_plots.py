"""Plots of a sweep: score against compute, and where texts exit.

Each function writes a picture to `path`. Over several seeds a line is the median, and
the band around it the range; a panel clips bands that would flatten its lines.
"""

import itertools
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from elbert_jax import exits
from elbert_jax.evaluation import plots
from elbert_jax.evaluation.plots import BLACK, COLOURS, MARKERS
from elbert_jax.exits import ConfidenceWindow, Criterion, registry
from elbert_jax.sweeps import lineage, trade_off
from elbert_jax.sweeps.replay import Run
from elbert_jax.sweeps.trade_off import Row, groups, select

_AXIS_SPEED_UPS = (1, 1.5, 2, 3, 4, 10)
_EXIT_SPEED_UPS = (1.5, 2.0, 4.0)


class Line(NamedTuple):
    """Points of one criterion, method and set."""

    name: str  # in the legend
    rows: Sequence[Row]
    look: dict[str, Any]  # colour, marker and the like
    joined: bool = True  # by a line, which ends at full depth; else stars


class Panel(NamedTuple):
    """Lines on common axes."""

    title: str
    score: str
    lines: list[Line]


def tasks(path: pathlib.Path, own: Sequence[Row], rows: Sequence[Row]) -> None:
    """Draws a panel per method with a line per task (ELBERT, Fig. 6).

    Args:
      path: the picture.
      own: rows of each method's own criterion.
      rows: all rows.
    """
    panels = []
    for (method, criterion), ours in groups(lineage.early(own), "method", "criterion"):
        by_set = zip(groups(ours, "set", "metric"), _looks())
        lines = [
            Line(f"{_short(name)} ({metric})", points, look)
            for ((name, metric), points), look in by_set
        ]
        panels.append(Panel(_title(method, criterion), "score", lines))
    _draw(path, panels, rows)


def methods(path: pathlib.Path, own: Sequence[Row], rows: Sequence[Row]) -> None:
    """Draws a panel per set with a line per method (ELBERT, Fig. 7).

    Stars are plain compression: plain models, each at its last layer, or, without any,
    each model with one exit layer for all texts. For the arguments see `tasks`.
    """
    panels = []
    for (name, metric), here in groups(rows, "set", "metric"):
        plain, lines = [row for row in here if lineage.is_plain(row["method"])], []
        early = groups(lineage.early(select(own, set=name)), "method", "criterion")
        for ((method, criterion), ours), look in zip(early, _looks()):
            lines.append(Line(_title(method, criterion), ours, look))
            if not plain:
                fixed = select(here, method=method, criterion="fixed_depth")
                called = f"{method}, all texts at layer k"
                lines.append(_stars(called, fixed, look["color"]))
        if plain:
            lines.append(_stars("plain compression", plain, BLACK))
        panels.append(Panel(_short(name), metric, lines))
    _draw(path, panels, rows, sharey="none")


def criteria(path: pathlib.Path, rows: Sequence[Row], window: int) -> None:
    """Draws a row of panels per method with a line per criterion, from one set's rows.

    ELBERT's variants have a panel, the others the next. Those criteria that have a
    window are shown with this length.
    """
    elbert = [each.variant[0] for each in ConfidenceWindow.variants(window)]
    rows = [row for row in rows if row["window"] in (None, window)]
    early = [row for row in rows if row["criterion"] != "fixed_depth"]
    panels = []
    for (method, metric), ours in groups(early, "method", "metric"):
        fixed = select(rows, method=method, criterion="fixed_depth")
        alone, others = [_stars("all texts at layer k", fixed, "0.6")], []
        for ((name,), points), look in zip(groups(ours, "criterion"), _looks()):
            called = name.replace("_", " ")
            if name in elbert:
                alone.append(Line(called, points, look))
            else:
                others.append(Line(called, points, look | {"linestyle": "--"}))
        title = f"{method}, W = {window}"
        panels.append(Panel(title, metric, alone))
        panels.append(Panel(title, metric, [alone[0], *others]))
    _draw(path, panels, rows, columns=2)


def exit_layers(path: pathlib.Path, runs: Sequence[Run], own: Sequence[Row]) -> None:
    """Draws the share of texts that exit at each layer, by rule, in one set's runs.

    A row of panels per method, a panel per speed-up: the point of the method's own
    criterion that comes nearest to it. Texts of all seeds are taken together.
    """
    cases = [*itertools.product(groups(own, "method"), _EXIT_SPEED_UPS)]
    figure, axes = plots.panels(len(cases), len(_EXIT_SPEED_UPS))
    colours = {}
    for panel, (((method,), ours), speed_up) in zip(axes, cases):
        row = trade_off.nearest(ours, 1 / speed_up)
        members = [run for run in runs if run.method == method]
        shares = _by_rule_and_layer(members, registry.from_dict(row["exit"]))
        bottom = np.zeros(members[0].config.num_hidden_layers)
        layers = np.arange(1, len(bottom) + 1)
        for name, share in shares.items():
            colour = colours.setdefault(name, ("0.7", *COLOURS)[len(colours)])
            label = name.replace("_", " ")
            panel.bar(layers, share, bottom=bottom, color=colour, label=label)
            bottom += share
        panel.set_ylim(0, max(panel.get_ylim()[1], 1.05 * bottom.max()))
        plots.name_left(panel, "share of texts")
        setting = f"{row['parameter']} = {row['value']:.3g}"
        panel.set_title(f"{method}, near {speed_up:g}x: {setting}", fontsize="medium")
        panel.set(xlabel="exit layer", xlim=(0.4, len(layers) + 0.6))
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(axis="y", alpha=0.3)
        panel.set_axisbelow(True)
    plots.finish(figure, path)


def _by_rule_and_layer(
    runs: Sequence[Run], criterion: Criterion
) -> dict[str, np.ndarray]:
    """Returns the shares [D] of all texts that exit at each of D layers, by rule."""
    names = exits.rule_names(criterion)
    counts = np.zeros((len(names), runs[0].config.num_hidden_layers))
    for run in runs:
        at = exits.exit_layer(criterion, run.outputs.logits)
        np.add.at(counts, (np.asarray(at.rule), np.asarray(at.layer) - 1), 1)
    return dict(zip(names, counts / counts.sum()))


def _looks() -> itertools.cycle:
    pairs = zip(COLOURS, MARKERS)
    return itertools.cycle({"color": c, "marker": m} for c, m in pairs)


def _stars(name: str, rows: Sequence[Row], colour: str) -> Line:
    return Line(name, rows, {"color": colour}, joined=False)


def _short(name: str) -> str:
    """Returns the end of a set's path."""
    return "/".join(name.split("/")[-2:])


def _title(method: str, criterion: str) -> str:
    return f"{method}, {criterion.replace('_', ' ')}"


def _draw(
    path: pathlib.Path,
    panels: Sequence[Panel],
    rows: Sequence[Row],
    columns: int = 3,
    sharey: str = "row",
) -> None:
    """Draws the panels; `rows` hold those of full depth, where lines end."""
    figure, grid = plots.panels(len(panels), columns, sharey=sharey)
    ticks = [1 / x for x in _AXIS_SPEED_UPS], [f"{x:g}x" for x in _AXIS_SPEED_UPS]
    for axes, panel in zip(grid, panels):
        for line in panel.lines:
            _draw_line(axes, line, rows)
        xlabel = "compute, as a share of full depth (FLOPs)"
        axes.set(xlabel=xlabel, xlim=(0, 1.04))
        plots.name_left(axes, panel.score)
        axes.set_title(panel.title, fontsize="medium")
        above = axes.secondary_xaxis("top")
        above.set_xticks(*ticks)
        above.tick_params(labelsize="small", length=2)
        axes.grid(alpha=0.3)
    for axes in grid:
        _clip(axes)
    plots.finish(figure, path)


def _draw_line(axes: Any, line: Line, rows: Sequence[Row]) -> None:
    points, look = trade_off.curve(line.rows), line.look
    if line.joined:
        full = {key: line.rows[0][key] for key in ("set", "method")}
        full |= {"criterion": "fixed_depth", "layer_ratio": 1.0}
        points += trade_off.curve(select(rows, **full))
    ratios, scores, lowest, highest = zip(*points)
    if line.joined:
        axes.plot(ratios, scores, label=line.name, markersize=4, linewidth=1.2, **look)
        band = {"color": look["color"], "alpha": 0.15, "linewidth": 0}
        axes.fill_between(ratios, lowest, highest, **band)
    else:
        axes.vlines(ratios, lowest, highest, linewidth=0.8, zorder=1, **look)
        axes.plot(ratios, scores, "*", markersize=9, label=line.name, zorder=1, **look)


def _clip(axes: Any) -> None:
    """Limits the vertical axis, so that a seed at chance does not flatten the lines."""
    together = axes.get_shared_y_axes().get_siblings(axes)
    scores = [y for each in together for line in each.lines for y in line.get_ydata()]
    lowest, highest = min(scores), max(scores)
    beyond = max(highest - lowest, 0.02)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, lowest - beyond), min(top, highest + beyond))
