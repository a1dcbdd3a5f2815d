"""Criteria of every kind, and logits to replay them over.

Shapes: B texts, C classes, D layers.
"""

import numpy as np
import pytest
from hypothesis import strategies as st

from elbert_jax import exits
from elbert_jax.exits import (
    AnyOf,
    ConfidenceWindow,
    Count,
    Elbert2021,
    Entropy,
    FixedDepth,
    Patience,
)


def binary(*class_0):
    """Returns the probabilities [D, 2] of one text, by layer."""
    return [(p, 1 - p) for p in class_0]


def replay(criterion, logits):
    """Returns [(exit layer, rule), ...] of the texts of logits [D, B, C]."""
    leaves = exits.exit_layer(criterion, np.asarray(logits, np.float32))
    names = exits.rule_names(criterion)
    return [(int(layer), names[rule]) for layer, rule in zip(*leaves[:2])]


def leaves_at(criterion, probabilities):
    """Returns the exit layer and rule of one text, from its probabilities [D, C]."""
    return replay(criterion, np.log(probabilities)[:, None])[0]


def window(criterion="monotone", **thresholds):
    """A window of three layers with stage 1 off, unless `delta` is given."""
    values = {"delta": 0.0, "window": 3} | thresholds
    return ConfidenceWindow(**values, criterion=criterion)


def elbert2021(criterion, **thresholds):
    return Elbert2021(**{"delta": 0.0, "window": 3} | thresholds, criterion=criterion)


CRITERIA = [
    window(),
    window("range"),
    window("label"),
    window("none", delta=1.0),
    elbert2021("bias_1"),
    elbert2021("bias_2"),
    elbert2021("bias_3"),
    Elbert2021(delta=1.0),
    Patience(2),
    Count(2),
    Entropy(1.0),
    Entropy(0.9, normalised=True),
    AnyOf((Patience(5), window(window=4))),
]
# FixedDepth is apart: it counts layers, whatever their logits.
each_criterion = pytest.mark.parametrize("criterion", [*CRITERIA, FixedDepth(3)])


def random_walk(seed, classes, depth=8, texts=24):
    """Logits [D, B, C] that drift; one text in four has a NaN somewhere."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 0.7, (depth, texts, classes)).cumsum(0)
    for text in range(0, texts, 4):
        logits[draw.integers(depth), text, draw.integers(classes)] = np.nan
    return logits.astype(np.float32)


seeds = st.integers(0, 2**32 - 1)
