"""Exit at a depth that does not depend on the text."""

import dataclasses
from collections.abc import Iterable

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from elbert_jax.exits.base import Criterion, first_rule


@dataclasses.dataclass(frozen=True)
class FixedDepth(Criterion):
    """Exit at a given layer: one for all texts, or one for each.

    `depth` is a 1-based layer, or int32 [M] of them, indexed by the texts' numbers.
    """

    name = "fixed_depth"
    varies = "depth"

    depth: ArrayLike = dataclasses.field(default=12, metadata={"least": 1})

    def thresholds(self, num_layers: int, num_classes: int) -> Iterable[float]:
        return range(num_layers - 1, 0, -1)

    def init(self, ids: Int[Array, " B"], num_classes: int) -> Int[Array, " B"]:
        """Returns the number of layers still to go."""
        depth = jnp.asarray(self.depth, jnp.int32)
        return depth[ids] if depth.ndim else jnp.full_like(ids, depth)

    def __call__(
        self, state: Int[Array, " B"], logits: Float[Array, "B C"]
    ) -> tuple[Int[Array, " B"], Int[Array, " B"]]:
        left = state - 1
        return left, first_rule((left <= 0) & jnp.isfinite(logits).all(-1))
