"""What the texts of a call get: padded lengths, slots for each, and the devices."""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from elbert_jax.data import batching
from elbert_jax.exits import Criterion
from elbert_jax.inference.buckets import ROWS_PER_SLOT, Ladder, on_each
from elbert_jax.inference.capacity import Budget
from elbert_jax.model.albert import AlbertConfig, Params

_FEW_ROWS_PER_SLOT = 4  # of queues, where texts are few
_TEXTS_PER_BUCKET = 2  # times its slots: of fewer a padded length is not worth it


class Layout:
    """Chooses a ladder for texts by their lengths and their number.

    Attributes:
      budget: how much a device takes at once.
      mesh: the devices, which share the texts.
      buckets: padded lengths of all texts to come; None: those that suit each call's.
    """

    def __init__(self, budget: Budget, mesh: Mesh, longest: int):
        """Puts a layout together.

        Args:
          budget: see the class.
          mesh: see the class.
          longest: tokens of any text to come.
        """
        self.budget, self.mesh, self.longest = budget, mesh, longest
        self.buckets: tuple[int, ...] | None = None
        self._placed: tuple[list[jax.Array], Params] | None = None

    @property
    def slots(self) -> int:
        """Texts of 16 tokens that go through the layer together on a device."""
        return self.budget.slots(batching.USUAL_LENGTH)

    def buckets_for(
        self, lengths: Int[np.ndarray, " M"], *, endless: bool = False
    ) -> tuple[int, ...]:
        """Returns the padded lengths of these texts, or of a stream of such texts."""
        if self.buckets:
            return self.buckets
        each = None if endless else self._on_each_device(len(lengths))

        def at_least(length: int) -> int:
            return _TEXTS_PER_BUCKET * self.budget.slots(length, each)

        return batching.fitting_lengths(lengths, at_least, self.longest)

    def ladder(
        self,
        params: Params,
        config: AlbertConfig,
        exit: Criterion,
        buckets: Sequence[int],
        texts: int | None,
    ) -> Ladder:
        """Returns a ladder for texts of a call.

        Args:
          params: the model's parameters. They are copied to the devices once, until
            others are given.
          config: its shape.
          exit: when a text leaves.
          buckets: the padded lengths; see `buckets_for`.
          texts: how many there are; None: a stream.
        """
        each = None if texts is None else self._on_each_device(texts)
        slots = [self.budget.slots(length, each) for length in buckets]
        few = slots[0] < self.budget.slots(buckets[0])
        return Ladder(
            self._on_devices(params),
            config,
            exit,
            buckets,
            slots,
            rows_per_slot=_FEW_ROWS_PER_SLOT if few else ROWS_PER_SLOT,
            unroll=self.budget.unroll,
            mesh=self.mesh,
        )

    def _on_each_device(self, texts: int) -> int:
        return -(-texts // self.mesh.size)

    def _on_devices(self, params: Params) -> Params:
        leaves = jax.tree.leaves(params)
        if self._placed is None or any(
            a is not b for a, b in zip(leaves, self._placed[0], strict=True)
        ):
            self._placed = leaves, on_each(self.mesh, params)
        return self._placed[1]
