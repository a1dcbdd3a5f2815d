"""The entropy of a layer's output, and exit by it.

Letters: B texts, C classes.

References:
    Xie et al., "ELBERT: Fast ALBERT with Confidence-Window Based Early Exit",
    ICASSP 2021.
    Xin et al., "DeeBERT: Dynamic Early Exiting for Accelerating BERT Inference",
    ACL 2020.
    Liu et al., "FastBERT: a Self-distilling BERT with Adaptive Inference Time",
    ACL 2020.
"""

import dataclasses
import math
from collections.abc import Iterable

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy
from jaxtyping import Array, Float, Int

from elbert_jax.exits.base import Criterion, first_rule, static

# Thresholds on normalised entropy from careful to fast: 1, 2, 5 per decade where a
# model is confident, then twentieths.
UNCERTAINTIES = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05)
UNCERTAINTIES += tuple(step / 20 for step in range(2, 21))


def probabilities(logits: Float[Array, "... C"]) -> Float[Array, "... C"]:
    """Returns the float32 softmax; NaN where a logit of the text is not finite."""
    finite = jnp.isfinite(logits).all(-1, keepdims=True)  # the softmax of -inf is 0
    return jnp.where(finite, jax.nn.softmax(logits.astype(jnp.float32)), jnp.nan)


def entropy(logits: Float[Array, "... C"]) -> Float[Array, "..."]:
    """Returns the entropy of the softmax, in nats; NaN where a logit is not finite."""
    p = probabilities(logits)
    # Rounding may leave a saturated text at -1e-8, which must not pass 0.
    return jnp.maximum(-xlogy(p, p).sum(-1), 0.0)


def normalised_entropy(logits: Float[Array, "... C"]) -> Float[Array, "..."]:
    """Returns the entropy of the softmax over log C, in [0, 1].

    ELBERT calls it puzzlement (Eq. 5). It is NaN where a logit is not finite.
    """
    return entropy(logits) / jnp.log(float(logits.shape[-1]))


@dataclasses.dataclass(frozen=True)
class Entropy(Criterion):
    """Exit where the entropy is below a threshold, which 0 switches off.

    In nats this is DeeBERT's rule; `normalised` to [0, 1] it is FastBERT's, and that of
    sustainable exits trained by KL (Course5, Algorithm 1).
    """

    name = "entropy"
    varies = "threshold"
    off_at_0 = ("threshold",)

    threshold: float = 0.1
    normalised: bool = static(False)

    def thresholds(self, num_layers: int, num_classes: int) -> Iterable[float]:
        if self.normalised:
            return UNCERTAINTIES
        most = math.log(num_classes)
        return [float(f"{share * most:.3g}") for share in UNCERTAINTIES]

    def init(self, ids: Int[Array, " B"], num_classes: int) -> tuple[()]:
        return ()

    def __call__(
        self, state: tuple[()], logits: Float[Array, "B C"]
    ) -> tuple[tuple[()], Int[Array, " B"]]:
        uncertainty = normalised_entropy if self.normalised else entropy
        return state, first_rule(uncertainty(logits) < self.threshold)
