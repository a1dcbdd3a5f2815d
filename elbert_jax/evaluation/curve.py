"""One full-depth pass, then every exit criterion replayed over it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from elbert_jax import exits
from elbert_jax.evaluation import metrics
from elbert_jax.exits import ConfidenceWindow, Criterion, registry
from elbert_jax.model import flops
from elbert_jax.model.albert import AlbertConfig

# The papers' curves run from 0.1 to 1.0; a model that is surer of itself needs less.
DELTAS = (0.001, 0.003, 0.01, 0.03, *(round(0.1 * step, 1) for step in range(1, 11)))


def layer_accuracy(
    logits: Float[np.ndarray, "D M C"], labels: Int[np.ndarray, " M"]
) -> Float[np.ndarray, " D"]:
    """Returns the accuracy of leaving at each layer for all texts."""
    return (logits.argmax(-1) == labels).mean(-1)


def at_exit(
    config: AlbertConfig,
    logits: Float[np.ndarray, "D M C"],
    labels: Int[np.ndarray, " M"],
    lengths: Int[np.ndarray, " M"],
    criterion: Criterion,
    scores: Sequence[str] = metrics.NAMES,
) -> dict[str, Any]:
    """Returns scores and costs where each text leaves as `criterion` says.

    Returns:
      These scores of `metrics.classification`; `mean_exit_layer`; `layer_ratio`, that
      over D; `flops_ratio`, by text, of real tokens; `exit_histogram` [D] and
      `rule_counts`, in texts; `lost`, the texts that only full depth has right,
      `gained`, those that only the exit has, and `accuracy_drop`, the difference by
      text.
    """
    leaves = jax.tree.map(np.asarray, exits.exit_layer(criterion, logits))
    depth = config.num_hidden_layers
    names = exits.rule_names(criterion)
    counts = np.bincount(leaves.rule, minlength=len(names))
    full, early = logits[-1].argmax(-1) == labels, leaves.logits.argmax(-1) == labels
    lost, gained = int((full & ~early).sum()), int((early & ~full).sum())
    return {
        **metrics.classification(
            labels, leaves.logits.argmax(-1), config.num_labels, scores
        ),
        "mean_exit_layer": float(leaves.layer.mean()),
        "layer_ratio": float(leaves.layer.mean() / depth),
        "flops_ratio": float(
            flops.text(config, lengths, leaves.layer).sum()
            / flops.full_text(config, lengths).sum()
        ),
        "exit_histogram": np.bincount(leaves.layer, minlength=depth + 1)[1:].tolist(),
        "rule_counts": dict(zip(names, counts.tolist())),
        "lost": lost,
        "gained": gained,
        "accuracy_drop": (lost - gained) / len(labels),
    }


def by_part(
    config: AlbertConfig,
    logits: Float[np.ndarray, "D M C"],
    labels: Int[np.ndarray, " M"],
    lengths: Int[np.ndarray, " M"],
    criterion: Criterion,
    parts: Mapping[str, slice],
) -> dict[str, dict[str, Any]]:
    """Returns `full_depth` and `at_exit`, as `report` has them, of parts of a corpus.

    Args:
      config: the model's shape.
      logits: of every layer.
      labels: the true classes.
      lengths: tokens of every text.
      criterion: when a text leaves.
      parts: texts by name, such as the matched and the mismatched half of MNLI.
    """
    return {
        name: {
            "full_depth": metrics.classification(
                labels[texts], logits[-1, texts].argmax(-1), config.num_labels
            ),
            "at_exit": at_exit(
                config, logits[:, texts], labels[texts], lengths[texts], criterion
            ),
        }
        for name, texts in parts.items()
    }


def curve(
    config: AlbertConfig,
    logits: Float[np.ndarray, "D M C"],
    labels: Int[np.ndarray, " M"],
    lengths: Int[np.ndarray, " M"],
    window: int,
) -> list[dict[str, Any]]:
    """Returns the papers' curves: delta from 0.1 to 1.0 with each stage 2, and none.

    A row holds the criterion's parameters beside the numbers of `at_exit`.
    """
    criteria = [
        ConfidenceWindow(delta=delta, window=window, criterion=criterion)
        for criterion in ("monotone", "range", "label", "none")
        for delta in DELTAS
    ]
    return [
        registry.to_dict(criterion)
        | at_exit(config, logits, labels, lengths, criterion)
        for criterion in criteria
    ]


def delta_for(
    config: AlbertConfig,
    logits: Float[np.ndarray, "D M C"],
    lengths: Int[np.ndarray, " M"],
    criterion: Criterion,
    flops_ratio: float,
) -> float:
    """Returns the delta, in hundredths, whose FLOPs ratio comes nearest."""
    full = flops.full_text(config, lengths).sum()

    def distance(delta: float) -> float:
        moved = dataclasses.replace(criterion, delta=delta)  # pyright: ignore
        layers = np.asarray(exits.exit_layer(moved, logits).layer)
        return abs(flops.text(config, lengths, layers).sum() / full - flops_ratio)

    return min((round(0.01 * step, 2) for step in range(101)), key=distance)


def report(
    config: AlbertConfig,
    logits: Float[np.ndarray, "D M C"],
    labels: Int[np.ndarray, " M"],
    lengths: Int[np.ndarray, " M"],
    criterion: Criterion,
) -> dict[str, Any]:
    """Returns everything that one full-depth pass over labelled texts tells.

    Returns:
      `texts`; `full_depth`, the scores of the last layer; `at_exit`, see there;
      `layer_accuracy` [D]; `curve`, see there.
    """
    window = getattr(criterion, "window", ConfidenceWindow().window)
    whole = {"whole": slice(None)}
    return {
        "texts": len(labels),
        **by_part(config, logits, labels, lengths, criterion, whole)["whole"],
        "layer_accuracy": layer_accuracy(logits, labels).tolist(),
        "curve": curve(config, logits, labels, lengths, window),
    }
