"""Accuracy and compute of exit criteria, replayed over one full-depth pass.

Letters: D layers, M texts, C classes.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from elbert_jax import exits
from elbert_jax.evaluation import metrics
from elbert_jax.exits import ConfidenceWindow, Criterion
from elbert_jax.model import flops
from elbert_jax.model.config import AlbertConfig

# The papers' curves run from 0.1 to 1.0; a confident model needs smaller thresholds.
DELTAS = (0.001, 0.003, 0.01, 0.03, *(round(0.1 * step, 1) for step in range(1, 11)))


@dataclasses.dataclass(frozen=True, eq=False)
class LayerOutputs:
    """The logits of every layer for labelled texts, from one full-depth pass."""

    config: AlbertConfig
    logits: Float[np.ndarray, "D M C"]
    labels: Int[np.ndarray, " M"]
    lengths: Int[np.ndarray, " M"]  # in tokens

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, texts: slice) -> "LayerOutputs":
        """Returns the outputs of some of the texts."""
        labels, lengths = self.labels[texts], self.lengths[texts]
        return LayerOutputs(self.config, self.logits[:, texts], labels, lengths)

    def layer_accuracy(self) -> Float[np.ndarray, " D"]:
        """Returns the accuracy of each layer if all texts exit there."""
        return (self.logits.argmax(-1) == self.labels).mean(-1)

    def flops_ratio(self, layers: Int[np.ndarray, " M"]) -> float:
        """Returns the FLOPs of exits at these layers over those of full depth."""
        full = flops.full_text(self.config, self.lengths).sum()
        return float(flops.text(self.config, self.lengths, layers).sum() / full)


def at_exit(
    outputs: LayerOutputs, criterion: Criterion, scores: Sequence[str] = metrics.NAMES
) -> dict[str, Any]:
    """Returns the scores (see `metrics.classification`) and the compute of an exit.

    Returns:
      The scores; `mean_exit_layer`; `layer_ratio`, the same over D; `flops_ratio`,
      counting real tokens only; `exit_histogram` [D] and `rule_counts`, numbers of
      texts; `lost` and `gained`, texts that only full depth and only early exit
      classify correctly; `accuracy_drop`, their difference over M.
    """
    config, labels = outputs.config, outputs.labels
    left = jax.tree.map(np.asarray, exits.exit_layer(criterion, outputs.logits))
    predicted, depth = left.logits.argmax(-1), config.num_hidden_layers
    names = exits.rule_names(criterion)
    counts = np.bincount(left.rule, minlength=len(names))
    full, early = outputs.logits[-1].argmax(-1) == labels, predicted == labels
    lost, gained = int((full & ~early).sum()), int((early & ~full).sum())
    return {
        **metrics.classification(labels, predicted, config.num_labels, scores),
        "mean_exit_layer": float(left.layer.mean()),
        "layer_ratio": float(left.layer.mean() / depth),
        "flops_ratio": outputs.flops_ratio(left.layer),
        "exit_histogram": np.bincount(left.layer, minlength=depth + 1)[1:].tolist(),
        "rule_counts": dict(zip(names, counts.tolist())),
        "lost": lost,
        "gained": gained,
        "accuracy_drop": (lost - gained) / len(labels),
    }


def scores(outputs: LayerOutputs, criterion: Criterion) -> dict[str, dict[str, Any]]:
    """Returns `full_depth`, the scores of the last layer, beside `at_exit`."""
    last, classes = outputs.logits[-1].argmax(-1), outputs.config.num_labels
    return {
        "full_depth": metrics.classification(outputs.labels, last, classes),
        "at_exit": at_exit(outputs, criterion),
    }


def curve(outputs: LayerOutputs, window: int) -> list[dict[str, Any]]:
    """Returns the papers' curves: `DELTAS` with each window criterion, and with none.

    A row holds the criterion's parameters beside the numbers of `at_exit`.
    """
    criteria = [
        ConfidenceWindow(delta=delta, window=window, criterion=criterion)
        for criterion in ("monotone", "range", "label", "none")
        for delta in DELTAS
    ]
    return [each.to_dict() | at_exit(outputs, each) for each in criteria]


def report(outputs: LayerOutputs, criterion: Criterion) -> dict[str, Any]:
    """Returns everything that one full-depth pass over labelled texts tells.

    Returns:
      `texts`, their number; `full_depth` and `at_exit`, see `scores`;
      `layer_accuracy` [D]; `curve`, see there.
    """
    window = getattr(criterion, "window", ConfidenceWindow().window)
    return {
        "texts": len(outputs),
        **scores(outputs, criterion),
        "layer_accuracy": outputs.layer_accuracy().tolist(),
        "curve": curve(outputs, window),
    }
