"""Pictures of where texts leave and why, and of how sure the model is then.

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
_BINS, _FEWEST = 10, 10  # bins of puzzlement, and texts in one that is drawn


def exit_layers(path: pathlib.Path, runs: Sequence[Run], own: Sequence[Row]) -> None:
    """Draws how many texts leave at each layer, by the rule that let them out.

    A row of panels a method, a panel a speed-up: the point of the method's own
    criterion that comes nearest to it. Texts of all seeds are taken together.

    Args:
      path: the picture.
      runs: of one set.
      own: rows of each method's own criterion on the set.
    """
    methods = trade_off.distinct(own, "method")
    figure, axes = plots.panels(len(methods) * len(_SPEED_UPS), len(_SPEED_UPS))
    colours = {exits.LAST_LAYER: "0.7"}
    pairs = itertools.product(methods, _SPEED_UPS)
    for panel, ((method,), speed_up) in zip(axes, pairs):
        ours = trade_off.select(own, method=method)
        points = trade_off.curve(ours)
        point = min(points, key=lambda p: abs(p.flops_ratio - 1 / speed_up))
        row = trade_off.select(ours, value=point.value)[0]
        members = [run for run in runs if run.method == method]
        names, shares = _by_rule_and_layer(members, row)
        layers, below = np.arange(shares.shape[1]) + 1, np.cumsum(shares, 0) - shares
        for name, share, bottom in zip(names, shares, below):
            colour = colours.setdefault(name, COLOURS[len(colours) - 1])
            if (there := share > 0).any():  # an empty bar would cut off the margin
                look = {"color": colour, "label": name.replace("_", " ")}
                panel.bar(layers[there], share[there], bottom=bottom[there], **look)
        plots.name_left(panel, "share of texts")
        setting = f"{row['parameter']} = {row['value']:.3g}"
        panel.set_title(f"{method}, near {speed_up:g}x: {setting}", fontsize="medium")
        panel.set(xlabel="exit layer", xlim=(0.4, len(layers) + 0.6))
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(axis="y", alpha=0.3)
        panel.set_axisbelow(True)
    plots.finish(figure, path)


def _by_rule_and_layer(
    runs: Sequence[Run], row: Row
) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns the names of the rules, and the share of texts by [rule, layer]."""
    criterion = registry.from_dict(row["exit"])
    names = exits.rule_names(criterion)
    counts = np.zeros((len(names), runs[0].config.num_hidden_layers))
    for run in runs:
        leaves = exits.exit_layer(criterion, run.logits)
        np.add.at(counts, (np.asarray(leaves.rule), np.asarray(leaves.layer) - 1), 1)
    return names, counts / counts.sum()


def puzzlement(path: pathlib.Path, runs: Sequence[Run]) -> None:
    """Draws how often a layer is right, by how puzzled it is.

    A panel a method, a line a layer. Texts of all seeds are taken together, in tenths
    of puzzlement; a point's area is the number of its texts.

    Args:
      path: the picture.
      runs: of one set.
    """
    methods = list(dict.fromkeys(run.method for run in runs))
    figure, axes = plots.panels(len(methods))
    for panel, method in zip(axes, methods):
        members = [run for run in runs if run.method == method]
        depth = members[0].config.num_hidden_layers
        layers = sorted({1, -(-depth // 4), -(-depth // 2), depth})
        for layer, colour, marker in zip(layers, COLOURS, MARKERS):
            bins = _accuracy_by_puzzlement(members, layer)
            middles, accuracies, counts = zip(*bins) if bins else ((), (), ())
            look = {"color": colour, "marker": marker}
            label = f"layer {layer}"
            panel.plot(middles, accuracies, markersize=4, label=label, **look)
            total = sum(len(run.labels) for run in members)
            areas = [300 * count / total for count in counts]
            panel.scatter(middles, accuracies, areas, **look)
        panel.set_title(method, fontsize="medium")
        panel.set(xlabel="puzzlement of the layer (area: texts)", xlim=(-0.03, 1.03))
        plots.name_left(panel, "accuracy of the layer")
        panel.grid(alpha=0.3)
    plots.finish(figure, path)


def _accuracy_by_puzzlement(
    runs: Sequence[Run], layer: int
) -> list[tuple[float, float, int]]:
    """Returns (mean puzzlement, accuracy, texts) of the bins that hold enough texts."""
    logits = np.concatenate([run.logits[layer - 1] for run in runs])
    labels = np.concatenate([run.labels for run in runs])
    right = logits.argmax(-1) == labels
    puzzled = np.asarray(exits.normalised_entropy(jnp.asarray(logits)))
    bins = np.digitize(puzzled, np.arange(1, _BINS) / _BINS)
    members = [(bins == number) & np.isfinite(puzzled) for number in range(_BINS)]
    return [
        (float(puzzled[of].mean()), float(right[of].mean()), int(of.sum()))
        for of in members
        if of.sum() >= _FEWEST
    ]
