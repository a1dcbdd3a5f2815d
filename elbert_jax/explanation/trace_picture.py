"""Traces as one picture: where [CLS] looked, and what it answered."""

import warnings
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

from elbert_jax.evaluation.plots import plt
from elbert_jax.explanation import trace_text
from elbert_jax.explanation.inspection import Trace

_TOKENS = 60  # that a picture of a long text names, the most attended ones


def draw(file: BinaryIO, traces: Sequence[Trace]) -> None:
    """Draws a row a text: its cumulative attention, and its curves, by layer.

    Args:
      file: gets the picture, a PNG.
      traces: what to draw.
    """
    longest = max(len(trace.tokens) for trace in traces)
    wide = min(max(0.22 * longest, 5), 16)
    with (
        plt.rc_context({"text.parse_math": False}),  # a text may hold dollars
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing")  # it draws a box
        figure, rows = plt.subplots(
            len(traces),
            2,
            figsize=(wide + 5, 3.4 * len(traces)),
            width_ratios=[wide, 5],
            squeeze=False,
            layout="constrained",
        )
        for (left, right), trace in zip(rows, traces):
            _attention(left, trace)
            _outputs(right, trace)
        figure.savefig(file, dpi=120, format="png")
        plt.close(figure)


def _attention(axes: Any, trace: Trace) -> None:
    amounts = trace.cumulative
    axes.imshow(
        amounts,
        aspect="auto",
        cmap="Blues",
        vmin=0,
        vmax=trace.largest(amounts),
        extent=(-0.5, len(trace.tokens) - 0.5, trace.depth + 0.5, 0.5),
    )
    for edge in (trace.exit_layer - 0.5, trace.exit_layer + 0.5):
        axes.axhline(edge, color="k", linewidth=1)
    named = np.sort(np.argsort(-amounts[-1], kind="stable")[:_TOKENS])
    names = [trace.tokens[token].surface for token in named]
    axes.set_xticks(named, names, rotation=90, fontsize=8)
    axes.set_ylabel("layer")
    axes.set_title("attention of [CLS], added up over the layers", fontsize=9)


def _outputs(axes: Any, trace: Trace) -> None:
    layers = np.arange(1, trace.depth + 1)
    for c in trace_text.leading(trace):
        axes.plot(layers, trace.probabilities[:, c], "o-", ms=3, label=trace.labels[c])
    axes.plot(layers, trace.puzzlement, "--", color="0.5", label="puzzlement")
    axes.axvline(trace.exit_layer, color="k", label=f"exit ({trace.rule})")
    axes.set(xlabel="layer", ylim=(-0.03, 1.03), xlim=(0.5, trace.depth + 0.5))
    axes.set_title(trace_text.verdict(trace).replace("; ", "\n", 1), fontsize=9)
    axes.grid(alpha=0.3)
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "ncols": 3}
    axes.legend(fontsize=7, frameon=False, **below)
