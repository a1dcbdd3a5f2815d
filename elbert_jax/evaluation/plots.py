"""Pictures of what early exit gives."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")  # files only, on machines without a screen

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from elbert_jax.errors import UserError  # noqa: E402

# Okabe and Ito's, without yellow: told apart by colour-blind eyes too.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#7f4f24")
BLACK = "#000000"  # of what all are compared with
MARKERS = "osD^vPX"
_FORMATS = (".png", ".svg", ".pdf", ".jpg", ".webp")
_WIDTH, _HEIGHT = 3.8, 3.1  # of a panel, in inches
_CHARACTER = 0.085  # of a legend, in inches
plt.rcParams["savefig.dpi"] = 200


def check(path: pathlib.Path | None) -> None:
    """Raises a UserError where a picture's name ends with no known format."""
    if path and path.suffix.lower() not in _FORMATS:
        raise UserError(f"{path} should end with {', '.join(_FORMATS)}")


def panels(count: int, columns: int = 3, *, sharey: Any = "row") -> tuple[Figure, Any]:
    """Returns a figure and its panels, row by row; `sharey` is that of subplots."""
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
    """Names the vertical axis, of panels that share it only on the left."""
    if axes.get_subplotspec().is_first_col():
        axes.set_ylabel(name)


def finish(figure: Figure, path: pathlib.Path) -> None:
    """Puts one legend of all panels below them, and writes the picture."""
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


def exit_curve(
    path: pathlib.Path,
    curve: Sequence[Mapping[str, Any]],
    layer_scores: Sequence[float],
    *,
    metric: str,
    title: str,
) -> None:
    """Draws the score against the FLOPs ratio, with fixed depths beside it.

    Args:
      path: the picture to write (.png, .svg, .pdf).
      curve: rows of `evaluation.curve`; one line a window criterion.
      layer_scores: [D], the score of leaving at each layer for all texts.
      metric: which score the rows are read for.
      title: above the picture.
    """
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    depth = len(layer_scores)
    ratios = [layer / depth for layer in range(1, depth + 1)]
    axes.plot(
        ratios, layer_scores, "*", color="0.6", markersize=9, label="fixed depth k"
    )
    axes.axhline(layer_scores[-1], color="0.8", linewidth=1, zorder=0)
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for row in curve:
        lines.setdefault(row["criterion"], []).append(row)
    for (name, rows), marker, colour in zip(lines.items(), MARKERS, COLOURS):
        rows = sorted(rows, key=lambda row: row["flops_ratio"])
        axes.plot(
            [row["flops_ratio"] for row in rows],
            [row[metric] for row in rows],
            f"{marker}-",
            color=colour,
            markersize=4,
            linewidth=1.2,
            label="stage 1 alone" if name == "none" else f"with window, {name}",
        )
    axes.set(
        xlabel="compute, as a share of full depth (FLOPs)", ylabel=metric, title=title
    )
    axes.set_xlim(0, 1.03)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)
    plt.close(figure)
