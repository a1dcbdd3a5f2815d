"""Fast, exact text classification with ALBERT: early exits and slot refill in JAX."""

import importlib.metadata
import os

# transformers, of which only the tokenizer is used, advises to install PyTorch.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")

# ruff: noqa: E402, I001
from elbert_jax.inference.classifier import Classifier
from elbert_jax.errors import UserError
from elbert_jax.exits import ConfidenceWindow, Elbert2021
from elbert_jax.exits import AnyOf, Count, Entropy, FixedDepth, Patience

try:
    __version__ = importlib.metadata.version("elbert_jax")
except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0.0.0"

__all__ = [
    "AnyOf",
    "Classifier",
    "ConfidenceWindow",
    "Count",
    "Elbert2021",
    "Entropy",
    "FixedDepth",
    "Patience",
    "UserError",
]
