"""Padded lengths, each with its number of slots.

Letters: M texts, N slots, Q rows of a queue, L tokens.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from elbert_jax.data import batching
from elbert_jax.inference.capacity import TokenBudget

_QUEUE_ROWS_PER_SLOT = 4  # Q / N; the queue is embedded as a whole
_MIN_TEXTS_PER_SLOT = 2  # of a bucket; smaller buckets merge upward


class Buckets(NamedTuple):
    """Buckets of texts by length, from short to long, on each device."""

    lengths: tuple[int, ...]  # L, to which the texts are padded
    slots: tuple[int, ...]  # N; no more in a longer bucket

    @classmethod
    def build(
        cls, budget: TokenBudget, lengths: Sequence[int], texts: int | None
    ) -> "Buckets":
        """Returns buckets of these padded lengths.

        Args:
          budget: how many tokens a device takes at once.
          lengths: from short to long.
          texts: how many each device gets; None: a stream without end.
        """
        slots = [budget.slots(length, texts) for length in lengths]
        return cls(tuple(lengths), tuple(slots))

    def queue_rows(self, bucket: int) -> int:
        """Returns Q: how many texts of a bucket a device is given at a time."""
        return _QUEUE_ROWS_PER_SLOT * self.slots[bucket]


def fitting_lengths(
    budget: TokenBudget,
    lengths: Int[np.ndarray, " M"],
    longest: int,
    texts: int | None,
) -> tuple[int, ...]:
    """Returns padded lengths for texts like these, as many as are worth a bucket.

    Args:
      budget: how many tokens a device takes at once.
      lengths: tokens of the texts.
      longest: tokens of any text to come.
      texts: how many each device gets; None: a stream without end.
    """

    def min_texts(length: int) -> int:
        return _MIN_TEXTS_PER_SLOT * budget.slots(length, texts)

    return batching.fitting_lengths(lengths, min_texts, longest)
