"""What `evaluate` measures of a classifier on labelled texts, and prints."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from elbert_jax import exits, tables
from elbert_jax.data import corpus
from elbert_jax.data.example import Example
from elbert_jax.errors import UserError
from elbert_jax.evaluation import curve, timing
from elbert_jax.inference.classifier import Classifier


def measure(
    classifier: Classifier,
    examples: Sequence[Example],
    repeats: int,
    *,
    by: str | None = None,
) -> dict[str, Any]:
    """Returns the numbers of `evaluation.report`, and what the engine adds to them.

    Args:
      classifier: the model, and when its texts leave.
      examples: labelled texts.
      repeats: runs timed of full depth and of slot refill, in turn.
      by: a column; its values tell groups apart.

    Returns:
      Beside the report: `same_exits`, texts that leave in the engine where the replay
      of the full-depth pass says; `occupancy` of the slots; `seconds` by system;
      `wall_clock_ratio`, of the medians; `groups`.
    """
    groups = _grouped(examples, by) if by else {}
    encoded = corpus.encode(
        classifier.tokenizer, examples, classifier.labels, classifier.max_length
    )
    logits, config = classifier.every_layer(encoded), classifier.config
    report = curve.report(
        config, logits, encoded.labels, encoded.lengths, classifier.exit
    )
    replayed = np.asarray(exits.exit_layer(classifier.exit, logits).layer)
    calls = {
        "full depth": functools.partial(classifier.full_depth, encoded),
        "slot refill": functools.partial(classifier.run, encoded),
    }
    timed = timing.measure(calls, repeats)
    answers = timed["slot refill"].result
    right = {
        "full_depth": logits[-1].argmax(-1) == encoded.labels,
        "early_exit": answers.logits.argmax(-1) == encoded.labels,
    }
    return report | {
        "same_exits": int((answers.layers == replayed).sum()),
        "occupancy": answers.busy_steps / answers.slot_steps,
        "seconds": {name: each.seconds for name, each in timed.items()},
        "wall_clock_ratio": timed["slot refill"].median / timed["full depth"].median,
        "groups": [
            {by: value, "texts": len(rows)}
            | {name: float(each[rows].mean()) for name, each in right.items()}
            | {"mean_exit_layer": float(answers.layers[rows].mean())}
            for value, rows in groups.items()
        ],
    }


def _grouped(examples: Sequence[Example], by: str) -> dict[str, list[int]]:
    """Returns the rows of every group, by the value that they have in a column."""
    if any(by not in example.row for example in examples):
        known = ", ".join(examples[0].row)
        raise UserError(f"no column {by!r} to group by; there are {known}")
    groups: dict[str, list[int]] = {}
    for number, example in enumerate(examples):
        groups.setdefault(str(example.row[by]), []).append(number)
    return groups


def render(card: dict[str, Any]) -> str:
    """Returns the card as text for a terminal."""
    full, point = card["full_depth"], card["at_exit"]
    texts, depth = card["texts"], len(card["layer_accuracy"])
    speed = {name: texts / np.median(each) for name, each in card["seconds"].items()}
    scores = [
        ("full depth", *full.values(), float(depth), speed["full depth"]),
        (
            "early exit",
            *(point[name] for name in full),
            point["mean_exit_layer"],
            speed["slot refill"],
        ),
    ]
    own = [
        (row["delta"], row["accuracy"], row["mean_exit_layer"], row["flops_ratio"])
        for row in card["curve"]
        if row["criterion"] == "monotone"
    ]
    parts = [
        tables.table(["", *full, "mean exit layer", "texts/s"], scores),
        f"compute over full depth: layers {point['layer_ratio']:.3f}, FLOPs "
        f"{point['flops_ratio']:.3f}, wall-clock {card['wall_clock_ratio']:.3f}\n"
        f"slots in use {card['occupancy']:.3f}; the engine leaves where the replay "
        f"does for {card['same_exits']} of {texts} texts",
        "texts by exit layer\n" + tables.histogram(point["exit_histogram"]),
        "texts by rule: "
        + ", ".join(f"{name} {count}" for name, count in point["rule_counts"].items()),
        "stage 1 at delta, stage 2 monotone\n"
        + tables.table(["delta", "accuracy", "mean exit layer", "FLOPs"], own),
    ]
    if groups := card["groups"]:
        parts.append(
            tables.table(list(groups[0]), [list(row.values()) for row in groups])
        )
    return "\n\n".join(parts)
