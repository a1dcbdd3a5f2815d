"""The stage 2 of ELBERT's published code.

Letters: B texts, W window, C classes.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from elbert_jax.exits.base import static
from elbert_jax.exits.confidence_window import TwoStage


@dataclasses.dataclass(frozen=True)
class Elbert2021(TwoStage):
    """The rules of ELBERT's published code, kept for reproduction.

    Stage 1 is that of `ConfidenceWindow`. Stage 2 compares the probability of class 0
    with 0.5, whatever the number of classes: over the window it stays on one side of
    0.5 +- `margin` (`bias_1`, the published default), or starts there and moves
    monotonically away (`bias_2`), or stays there and varies by at most `spread`
    (`bias_3`). A step back of up to `tolerance` is ignored; in the published code that
    is 0, where float noise decides at saturation.
    """

    name = "elbert2021"
    choices = ("bias_1", "bias_2", "bias_3")

    criterion: str = static("bias_1")
    margin: float = 0.0
    spread: float = 0.01
    tolerance: float = 0.0

    def _settled(self, p: Float[Array, "B W C"]) -> Bool[Array, " B"]:
        p = p[..., 0]
        above, below = p > 0.5 + self.margin, p < 0.5 - self.margin
        if self.criterion == "bias_2":
            step = jnp.diff(p, axis=1)
            rises = (step >= -self.tolerance).all(1)
            falls = (step <= self.tolerance).all(1)
            return (above[:, 0] & rises) | (below[:, 0] & falls)
        one_side = above.all(1) | below.all(1)
        if self.criterion == "bias_3":
            return one_side & (p.max(1) - p.min(1) <= self.spread)
        return one_side
