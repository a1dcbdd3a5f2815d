"""Plots: what all of them share, and the exit curve of one model."""

import pathlib
from collections.abc import Mapping
from typing import Any

import matplotlib

matplotlib.use("Agg")  # draws to files, without a display

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from elbert_jax.errors import UserError  # noqa: E402

# Okabe and Ito's palette for colour-blind readers, without yellow.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#7f4f24")
BLACK = "#000000"  # of the baseline
MARKERS = "osD^vPX"
_FORMATS = (".png", ".svg", ".pdf", ".jpg", ".webp")
_WIDTH, _HEIGHT = 3.8, 3.1  # of a panel, in inches
_CHARACTER = 0.085  # width in a legend, in inches
plt.rcParams["savefig.dpi"] = 200


def check(path: pathlib.Path | None) -> None:
    """Raises a UserError if a plot's name does not end with a known format."""
    if path and path.suffix.lower() not in _FORMATS:
        raise UserError(f"{path} should end with {', '.join(_FORMATS)}")


def panels(count: int, columns: int = 3, *, sharey: Any = "row") -> tuple[Figure, Any]:
    """Returns a figure and its panels, row by row; `sharey` as in `plt.subplots`."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(_WIDTH * columns, _HEIGHT * rows + 0.5),
        sharey=sharey,
        squeeze=False,
        layout="constrained",
    )
    for spare in grid.flat[count:]:
        spare.remove()
    return figure, list(grid.flat[:count])


def name_left(axes: Any, name: str) -> None:
    """Labels the vertical axis, only in the left column."""
    if axes.get_subplotspec().is_first_col():
        axes.set_ylabel(name)


def finish(figure: Figure, path: pathlib.Path) -> None:
    """Puts one legend for all panels below them, and saves the plot."""
    entries = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            entries.setdefault(label, handle)
    wide = 0.5 + _CHARACTER * max(map(len, entries))
    figure.legend(
        entries.values(),
        entries.keys(),
        loc="outside lower center",
        ncols=max(1, min(int(figure.get_figwidth() / wide), len(entries))),
        frameon=False,
        fontsize="small",
    )
    figure.savefig(path)
    plt.close(figure)


def exit_curve(path: pathlib.Path, report: Mapping[str, Any]) -> None:
    """Plots accuracy against the FLOPs ratio, one line for each window criterion.

    Fixed depths are drawn beside the curve of the report, which is `curve.report`'s.
    """
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    layers = report["layer_accuracy"]
    depths = [layer / len(layers) for layer in range(1, len(layers) + 1)]
    axes.plot(depths, layers, "*", color="0.6", markersize=9, label="fixed depth k")
    axes.axhline(layers[-1], color="0.8", linewidth=1, zorder=0)
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(report["curve"], key=lambda row: row["flops_ratio"]):
        lines.setdefault(row["criterion"], []).append(row)
    for (name, rows), marker, colour in zip(lines.items(), MARKERS, COLOURS):
        label = "stage 1 alone" if name == "none" else f"with window, {name}"
        points = [(row["flops_ratio"], row["accuracy"]) for row in rows]
        style = {"color": colour, "markersize": 4, "linewidth": 1.2, "label": label}
        axes.plot(*zip(*points), f"{marker}-", **style)
    axes.set_title(f"{report['texts']:,} texts, {len(layers)} layers")
    axes.set(
        xlabel="FLOPs, as a share of full depth", ylabel="accuracy", xlim=(0, 1.03)
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)
    plt.close(figure)
