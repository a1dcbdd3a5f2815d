"""Plots of where texts exit and why, and of accuracy by a layer's uncertainty.

Each function writes a picture to `path`, from the runs of one set.

Letters: D layers, M texts.
"""

import itertools
import pathlib
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from elbert_jax import exits
from elbert_jax.evaluation import plots
from elbert_jax.evaluation.plots import COLOURS, MARKERS
from elbert_jax.exits import registry
from elbert_jax.sweeps import trade_off
from elbert_jax.sweeps.replay import Run
from elbert_jax.sweeps.trade_off import Row

_SPEED_UPS = (1.5, 2.0, 4.0)
_BINS, _FEWEST = 10, 10  # bins of entropy, and texts in one that is drawn


def exit_layers(path: pathlib.Path, runs: Sequence[Run], own: Sequence[Row]) -> None:
    """Draws the share of texts that exit at each layer, by rule.

    A row of panels per method, a panel per speed-up: the point of the method's own
    criterion that comes nearest to it. Texts of all seeds are taken together.
    `own` holds the rows of each method's own criterion on the set.
    """
    methods = [*trade_off.groups(own, "method")]
    figure, axes = plots.panels(len(methods) * len(_SPEED_UPS), len(_SPEED_UPS))
    colours = {exits.LAST_LAYER: "0.7"}
    pairs = itertools.product(methods, _SPEED_UPS)
    for panel, (((method,), ours), speed_up) in zip(axes, pairs):
        points = trade_off.curve(ours)
        point = min(points, key=lambda p: abs(p.flops_ratio - 1 / speed_up))
        row = trade_off.select(ours, value=point.value)[0]
        shares = _by_rule_and_layer([r for r in runs if r.method == method], row)
        bottom, layers = 0, np.arange(1, len(shares[exits.LAST_LAYER]) + 1)
        for name, share in shares.items():
            colour = colours.setdefault(name, COLOURS[len(colours) - 1])
            if (there := share > 0).any():  # an empty bar would cut off the margin
                look = {"color": colour, "label": name.replace("_", " ")}
                base = np.broadcast_to(bottom, share.shape)[there]
                panel.bar(layers[there], share[there], bottom=base, **look)
            bottom = bottom + share
        plots.name_left(panel, "share of texts")
        setting = f"{row['parameter']} = {row['value']:.3g}"
        panel.set_title(f"{method}, near {speed_up:g}x: {setting}", fontsize="medium")
        panel.set(xlabel="exit layer", xlim=(0.4, len(layers) + 0.6))
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(axis="y", alpha=0.3)
        panel.set_axisbelow(True)
    plots.finish(figure, path)


def _by_rule_and_layer(runs: Sequence[Run], row: Row) -> dict[str, np.ndarray]:
    """Returns the shares [D] of all texts that exit at each layer, by rule."""
    criterion = registry.from_dict(row["exit"])
    names = exits.rule_names(criterion)
    counts = np.zeros((len(names), runs[0].config.num_hidden_layers))
    for run in runs:
        at = exits.exit_layer(criterion, run.outputs.logits)
        np.add.at(counts, (np.asarray(at.rule), np.asarray(at.layer) - 1), 1)
    return dict(zip(names, counts / counts.sum()))


def entropy(path: pathlib.Path, runs: Sequence[Run]) -> None:
    """Draws the accuracy of a layer by the normalised entropy of its output.

    A panel per method, a line per layer. Texts of all seeds are taken together, in
    tenths of normalised entropy; a point's area is the number of its texts.
    """
    methods = list(dict.fromkeys(run.method for run in runs))
    figure, axes = plots.panels(len(methods))
    for panel, method in zip(axes, methods):
        members = [run for run in runs if run.method == method]
        depth = members[0].config.num_hidden_layers
        layers = sorted({1, -(-depth // 4), -(-depth // 2), depth})
        total = sum(len(run.outputs.labels) for run in members)
        for layer, colour, marker in zip(layers, COLOURS, MARKERS):
            bins = _accuracy_by_entropy(members, layer)
            middles, accuracies, counts = zip(*bins) if bins else ((), (), ())
            look = {"color": colour, "marker": marker}
            label = f"layer {layer}"
            panel.plot(middles, accuracies, markersize=4, label=label, **look)
            areas = [300 * count / total for count in counts]
            panel.scatter(middles, accuracies, areas, **look)
        panel.set_title(method, fontsize="medium")
        xlabel = "normalised entropy of the layer (area: texts)"
        panel.set(xlabel=xlabel, xlim=(-0.03, 1.03))
        plots.name_left(panel, "accuracy of the layer")
        panel.grid(alpha=0.3)
    plots.finish(figure, path)


def _accuracy_by_entropy(
    runs: Sequence[Run], layer: int
) -> list[tuple[float, float, int]]:
    """Returns (mean entropy, accuracy, texts) of the bins that hold enough texts."""
    logits = np.concatenate([run.outputs.logits[layer - 1] for run in runs])
    labels = np.concatenate([run.outputs.labels for run in runs])
    right = logits.argmax(-1) == labels
    entropies = np.asarray(exits.normalised_entropy(jnp.asarray(logits)))
    bins = np.digitize(entropies, np.arange(1, _BINS) / _BINS)
    members = [(bins == number) & np.isfinite(entropies) for number in range(_BINS)]
    return [
        (float(entropies[of].mean()), float(right[of].mean()), int(of.sum()))
        for of in members
        if of.sum() >= _FEWEST
    ]
