"""Pictures of what early exit gives."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")  # files only, on machines without a screen

from matplotlib import pyplot as plt  # noqa: E402


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
    for (name, rows), marker in zip(lines.items(), "osD^v"):
        rows = sorted(rows, key=lambda row: row["flops_ratio"])
        axes.plot(
            [row["flops_ratio"] for row in rows],
            [row[metric] for row in rows],
            f"{marker}-",
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
    figure.savefig(path, dpi=150)
    plt.close(figure)
