"""Exit criteria: when is a text's prediction good enough to stop?"""

from elbert_jax.exits.base import (
    LAST_LAYER,
    AnyOf,
    Count,
    Criterion,
    Entropy,
    Exits,
    FixedDepth,
    Patience,
    entropy,
    exit_layer,
    probabilities,
    puzzlement,
    rule_names,
)
from elbert_jax.exits.confidence_window import ConfidenceWindow, Elbert2021

__all__ = [
    "LAST_LAYER",
    "AnyOf",
    "ConfidenceWindow",
    "Count",
    "Criterion",
    "Elbert2021",
    "Entropy",
    "Exits",
    "FixedDepth",
    "Patience",
    "entropy",
    "exit_layer",
    "probabilities",
    "puzzlement",
    "rule_names",
]
