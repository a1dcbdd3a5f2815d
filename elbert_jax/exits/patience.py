"""Exit once the predicted label has repeated.

References:
    Zhou et al., "BERT Loses Patience", NeurIPS 2020.
    Course5's sustainable exits by count, Algorithm 2.
"""

import dataclasses
from collections.abc import Iterable
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from elbert_jax.exits.base import Criterion, Part, first_rule

State = tuple[Int[Array, " B"], Int[Array, " B"]]  # last label, its repetitions


@dataclasses.dataclass(frozen=True)
class _Repetitions(Criterion):
    """Counts the layers whose label is that of the layer before."""

    keeps_count: ClassVar[bool]  # when the label changes

    def thresholds(self, num_layers: int, num_classes: int) -> Iterable[float]:
        return range(num_layers - 2, -1, -1)

    def init(self, ids: Int[Array, " B"], num_classes: int) -> State:
        return jnp.full_like(ids, -1), jnp.zeros_like(ids)

    def __call__(
        self, state: State, logits: Float[Array, "B C"]
    ) -> tuple[State, Int[Array, " B"]]:
        last, count = state
        finite = jnp.isfinite(logits).all(-1)
        label = jnp.where(finite, logits.argmax(-1), -1).astype(jnp.int32)
        repeats = (label == last) & finite
        count = jnp.where(repeats, count + 1, count if self.keeps_count else 0)
        needed = getattr(self, self.varies)
        return (label, count), first_rule((count >= needed) & finite)


@dataclasses.dataclass(frozen=True)
class Patience(_Repetitions):
    """Exit once the label has repeated `patience` times in a row (PABEE)."""

    name = varies = "patience"
    keeps_count = False

    patience: int = 6

    @property
    def parts(self) -> tuple[Part, ...]:
        return (Part(self.name, self, self.patience + 1),)


@dataclasses.dataclass(frozen=True)
class Count(_Repetitions):
    """Exit once the label has repeated `count` times, in a row or not.

    This is the sustainable count as printed, where a change of label keeps the count.
    The variant that starts again is `Patience`.
    """

    name = varies = "count"
    keeps_count = True

    count: int = 6
