"""What `evaluate` reports: scores, exits and speed of a classifier on texts."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from elbert_jax import exits, tables
from elbert_jax.data import corpus
from elbert_jax.data.example import Example
from elbert_jax.errors import UserError
from elbert_jax.evaluation import curve, timing
from elbert_jax.evaluation.curve import LayerOutputs
from elbert_jax.inference.classifier import Classifier


def measure(
    classifier: Classifier,
    examples: Sequence[Example],
    repeats: int,
    *,
    by: str | None = None,
) -> dict[str, Any]:
    """Returns `curve.report`, and what only running the engine can tell.

    Args:
      classifier: the model and its exit criterion.
      examples: labelled.
      repeats: timed runs of full depth and of early exit, interleaved.
      by: a column; scores are also given for each of its values.

    Returns:
      Besides the report: `same_exits`, texts whose exit layer in the engine is that of
      the replay; `occupancy`, the share of slots in use; `seconds` of each run by
      system; `wall_clock_ratio` of the medians; `groups`.

    Raises:
      UserError: there is no such column.
    """
    groups = _grouped(examples, by) if by else {}
    encoded = corpus.encode(
        classifier.tokenizer, examples, classifier.labels, classifier.max_length
    )
    logits, labels = classifier.every_layer(encoded), encoded.labels
    outputs = LayerOutputs(classifier.config, logits, labels, encoded.lengths)
    replayed = np.asarray(exits.exit_layer(classifier.exit, logits).layer)
    timed = timing.measure(
        {
            "full depth": functools.partial(classifier.full_depth, encoded),
            "slot refill": functools.partial(classifier.run, encoded),
        },
        repeats,
    )
    answers = timed["slot refill"].result
    correct = {
        "full_depth": logits[-1].argmax(-1) == labels,
        "early_exit": answers.logits.argmax(-1) == labels,
    }
    return curve.report(outputs, classifier.exit) | {
        "same_exits": int((answers.layers == replayed).sum()),
        "occupancy": answers.busy_steps / answers.slot_steps,
        "seconds": {name: each.seconds for name, each in timed.items()},
        "wall_clock_ratio": timed["slot refill"].median / timed["full depth"].median,
        "groups": [
            {by: value, "texts": len(rows)}
            | {name: float(each[rows].mean()) for name, each in correct.items()}
            | {"mean_exit_layer": float(answers.layers[rows].mean())}
            for value, rows in groups.items()
        ],
    }


def _grouped(examples: Sequence[Example], by: str) -> dict[str, list[int]]:
    """Returns the positions of the examples by their value in a column."""
    if any(by not in example.row for example in examples):
        known = ", ".join(examples[0].row)
        raise UserError(f"no column {by!r} to group by; there are {known}")
    groups: dict[str, list[int]] = {}
    for number, example in enumerate(examples):
        groups.setdefault(str(example.row[by]), []).append(number)
    return groups


def render(report: dict[str, Any]) -> str:
    """Returns the report as text for a terminal."""
    full, early = report["full_depth"], report["at_exit"]
    texts, depth = report["texts"], len(report["layer_accuracy"])
    speed = {name: texts / np.median(each) for name, each in report["seconds"].items()}
    layers = float(depth), early["mean_exit_layer"]
    systems = [
        ("full depth", *full.values(), layers[0], speed["full depth"]),
        ("early exit", *(early[s] for s in full), layers[1], speed["slot refill"]),
    ]
    columns = ("delta", "accuracy", "mean_exit_layer", "flops_ratio")
    curve_rows = [
        [row[column] for column in columns]
        for row in report["curve"]
        if row["criterion"] == "monotone"
    ]
    rules = (f"{name} {count}" for name, count in early["rule_counts"].items())
    blocks = [
        tables.table(["", *full, "mean exit layer", "texts/s"], systems),
        f"early exit / full depth: layers {early['layer_ratio']:.3f}, FLOPs "
        f"{early['flops_ratio']:.3f}, wall-clock {report['wall_clock_ratio']:.3f}\n"
        f"slots in use: {report['occupancy']:.3f}\n"
        f"exit layers of the engine as in the full-depth replay: "
        f"{report['same_exits']} of {texts} texts",
        "texts by exit layer\n" + tables.histogram(early["exit_histogram"]),
        "texts by the rule that fired: " + ", ".join(rules),
        "exit curve: stage 1 at threshold delta, stage 2 monotone\n"
        + tables.table(
            ["delta", "accuracy", "mean exit layer", "FLOPs ratio"], curve_rows
        ),
    ]
    if groups := report["groups"]:
        rows = [list(group.values()) for group in groups]
        blocks.append(tables.table(list(groups[0]), rows))
    return "\n\n".join(blocks)
