"""Plots of score against compute: by task, method, criterion and window.

Each function writes a picture to `path`. Over several seeds a line is the median, and
the band around it the range; a panel clips bands that would flatten its lines.
"""

import itertools
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib

from elbert_jax.evaluation import plots
from elbert_jax.evaluation.plots import BLACK, COLOURS, MARKERS
from elbert_jax.sweeps import lineage, trade_off
from elbert_jax.sweeps.trade_off import Row, groups, select

_COMPUTE = "compute, as a share of full depth (FLOPs)"
_SPEED_UPS = (1, 1.5, 2, 3, 4, 10)  # on the axis above a panel
_GREY = "0.45"

# How the variants of criteria look, and on which panel they are.
_VARIANTS = (
    {
        "monotone": ("window, monotone", COLOURS[0], "o-"),
        "range": ("window, range", COLOURS[1], "s-"),
        "label": ("window, label", COLOURS[2], "D-"),
        "stage_1": ("stage 1 alone", BLACK, "^-"),
    },
    {
        "entropy": ("entropy (DeeBERT)", COLOURS[5], "v-"),
        "patience": ("patience (PABEE)", COLOURS[3], "P-"),
        "count": ("count", COLOURS[4], "X-"),
        "bias_1": ("2021 code, bias_1", _GREY, "o--"),
        "bias_2": ("2021 code, bias_2", _GREY, "s--"),
        "bias_3": ("2021 code, bias_3", _GREY, "D--"),
    },
)


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
        lines = [
            Line(f"{_short(name)} ({metric})", points, look)
            for ((name, metric), points), look in zip(
                groups(ours, "set", "metric"), _looks()
            )
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

    Those criteria that have a window are shown with the length W.
    """
    panels, rows = [], [row for row in rows if row["window"] in (None, window)]
    known = {"fixed_depth", *itertools.chain(*_VARIANTS)}
    new = sorted({row["criterion"] for row in rows} - known)
    first, second = _VARIANTS
    second = second | {name: (name, _GREY, "x:") for name in new}
    for (method, metric), ours in groups(rows, "method", "metric"):
        fixed = select(ours, criterion="fixed_depth")
        for variants in (first, second):
            lines = [_stars("all texts at layer k", fixed, "0.6")]
            for criterion, (name, colour, style) in variants.items():
                look = {"color": colour, "marker": style[0], "linestyle": style[1:]}
                if points := select(ours, criterion=criterion):
                    lines.append(Line(name, points, look))
            panels.append(Panel(f"{method}, W = {window}", metric, lines))
    _draw(path, panels, rows, columns=2)


def windows(path: pathlib.Path, rows: Sequence[Row]) -> None:
    """Draws a panel per method with a line per window length, from one set's rows."""
    panels, own = [], select(rows, criterion="monotone")
    lengths = sorted({row["window"] for row in own})
    shades = matplotlib.colormaps["viridis"]
    for (method, metric), ours in groups(rows, "method", "metric"):
        lines = []
        for number, window in enumerate(lengths):
            look = {"color": shades(number / len(lengths)), "marker": "o"}
            # A window longer than the model is deep is not swept.
            if points := select(ours, criterion="monotone", window=window):
                lines.append(Line(f"W = {window}", points, look))
        alone = select(ours, criterion="stage_1")
        look = {"color": BLACK, "linestyle": "--"}
        lines.append(Line("stage 1 alone", alone, look))
        panels.append(Panel(f"{method}, monotone", metric, lines))
    _draw(path, panels, rows)


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
    """Writes a picture; `rows` hold those of full depth, where lines end."""
    figure, grid = plots.panels(len(panels), columns, sharey=sharey)
    for axes, panel in zip(grid, panels):
        for line in panel.lines:
            _draw_line(axes, line, rows)
        axes.set(xlabel=_COMPUTE, xlim=(0, 1.04))
        plots.name_left(axes, panel.score)
        axes.set_title(panel.title, fontsize="medium")
        above = axes.secondary_xaxis("top")
        above.set_xticks([1 / x for x in _SPEED_UPS], [f"{x:g}x" for x in _SPEED_UPS])
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
    ratios, scores, lowest, highest = zip(*(point[1:] for point in points))
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
