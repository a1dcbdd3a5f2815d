"""Pictures of score against compute, by criterion and by window."""

import itertools
import pathlib
from collections.abc import Sequence

import matplotlib

from elbert_jax.evaluation import plots
from elbert_jax.evaluation.plots import BLACK, COLOURS
from elbert_jax.sweeps import trade_off, trade_off_plots
from elbert_jax.sweeps.trade_off import Row

# How the kinds of criteria look, and on which panel they stand.
_KINDS = (
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
        "bias_1": ("2021 code, bias_1", "0.45", "o--"),
        "bias_2": ("2021 code, bias_2", "0.45", "s--"),
        "bias_3": ("2021 code, bias_3", "0.45", "D--"),
    },
)


def criteria(path: pathlib.Path, rows: Sequence[Row], window: int) -> None:
    """Draws a row of panels a method, with a line a criterion.

    Args:
      path: the picture.
      rows: of one set.
      window: W of those criteria that have one.
    """
    methods = trade_off.distinct(rows, "method", "metric")
    figure, axes = plots.panels(len(methods) * len(_KINDS), len(_KINDS))
    pairs = itertools.product(methods, _KINDS)
    for panel, ((method, metric), kinds) in zip(axes, pairs):
        ours = [
            row
            for row in trade_off.select(rows, method=method)
            if row["window"] in (None, window)
        ]
        fixed = trade_off.select(ours, criterion="fixed_depth")
        trade_off_plots.stars(panel, fixed, "all texts at layer k", "0.6")
        for criterion, (name, colour, style) in kinds.items():
            look = {"color": colour, "marker": style[0], "linestyle": style[1:]}
            if points := trade_off.select(ours, criterion=criterion):
                trade_off_plots.line(panel, points, ours, name, **look)
        trade_off_plots.label(panel, f"{method}, W = {window}", metric)
    trade_off_plots.finish(figure, axes, path)


def windows(path: pathlib.Path, rows: Sequence[Row]) -> None:
    """Draws a panel a method, with a line for each W of ELBERT's own criterion.

    Args:
      path: the picture.
      rows: of one set.
    """
    methods = trade_off.distinct(rows, "method", "metric")
    own = trade_off.select(rows, criterion="monotone")
    windows = sorted(window for (window,) in trade_off.distinct(own, "window"))
    shades = matplotlib.colormaps["viridis"]
    figure, axes = plots.panels(len(methods))
    for panel, (method, metric) in zip(axes, methods):
        for number, window in enumerate(windows):
            look = {"color": shades(number / len(windows)), "marker": "o"}
            # A window longer than the model is deep is not swept.
            if points := trade_off.select(own, method=method, window=window):
                trade_off_plots.line(panel, points, rows, f"W = {window}", **look)
        alone = trade_off.select(rows, method=method, criterion="stage_1")
        look = {"color": "black", "linestyle": "--"}
        trade_off_plots.line(panel, alone, rows, "stage 1 alone", **look)
        trade_off_plots.label(panel, f"{method}, monotone", metric)
    trade_off_plots.finish(figure, axes, path)
