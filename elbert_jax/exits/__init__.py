"""Exit criteria: when is a text's prediction good enough to stop?"""

from elbert_jax.exits.any_of import AnyOf
from elbert_jax.exits.base import Criterion, Exits, exit_layer, rule_names
from elbert_jax.exits.confidence_window import ConfidenceWindow, Elbert2021
from elbert_jax.exits.entropy import Entropy, normalised_entropy, probabilities
from elbert_jax.exits.fixed_depth import FixedDepth
from elbert_jax.exits.patience import Count, Patience

__all__ = [
    "AnyOf",
    "ConfidenceWindow",
    "Count",
    "Criterion",
    "Elbert2021",
    "Entropy",
    "Exits",
    "FixedDepth",
    "Patience",
    "exit_layer",
    "normalised_entropy",
    "probabilities",
    "rule_names",
]
