"""Fast, exact text classification with ALBERT: early exits and slot refill in JAX."""

from elbert_jax.classifier import Classifier
from elbert_jax.errors import UserError
from elbert_jax.exits import AnyOf, ConfidenceWindow, Elbert2021, Patience

__all__ = [
    "AnyOf",
    "Classifier",
    "ConfidenceWindow",
    "Elbert2021",
    "Patience",
    "UserError",
]
