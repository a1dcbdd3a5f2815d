"""Texts of one bucket, padded to its length, that wait in host memory.

Letters: M texts, L tokens, P devices, Q rows of a queue on each.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int

from elbert_jax.data import batching
from elbert_jax.data.encoded import Encoded
from elbert_jax.inference.slots import Queue


@dataclasses.dataclass(frozen=True, eq=False)
class PaddedTexts:
    """M texts of L tokens."""

    tokens: Int[np.ndarray, "M L"]
    types: Int[np.ndarray, "M L"]
    lengths: Int[np.ndarray, " M"]  # tokens without padding
    ids: Int[np.ndarray, " M"]

    @classmethod
    def none(cls, length: int) -> "PaddedTexts":
        """Returns no texts, of L tokens."""
        rows, values = np.zeros((0, length), np.int32), np.zeros(0, np.int32)
        return cls(rows, rows, values, values)

    @classmethod
    def pad(
        cls, encoded: Encoded, ids: np.ndarray, rows: np.ndarray, length: int
    ) -> "PaddedTexts":
        """Returns some rows of a corpus, whose texts have these ids."""
        batch = batching.pad(encoded, rows, length)
        return cls(batch.tokens, batch.types, encoded.lengths[rows], ids[rows])

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: Any) -> "PaddedTexts":
        """Returns the texts that an index, a slice or a mask selects."""
        return self._map(lambda x: x[rows])

    def followed_by(self, others: "PaddedTexts") -> "PaddedTexts":
        """Returns these texts and then the others."""
        return self._map(lambda *x: np.concatenate(x), others)

    def deal(self, devices: int, size: int) -> Queue:
        """Returns queues [P, Q]: text m is row m // P of device m % P."""

        def dealt(x: np.ndarray) -> Any:
            rows = np.zeros((size * devices, *x.shape[1:]), np.int32)
            rows[: len(x)] = x
            return rows.reshape(size, devices, *x.shape[1:]).swapaxes(0, 1)

        counts: Any = (len(self) + devices - 1 - np.arange(devices)) // devices
        queue = {name: dealt(x) for name, x in vars(self).items()}
        return Queue(**queue, count=counts.astype(np.int32))

    def not_entered(self, entered: Any) -> "PaddedTexts":
        """Returns the texts beyond the first `entered` [P] rows of the queues."""
        row, device = np.divmod(np.arange(len(self)), len(entered))
        return self.select(row >= entered[device])

    def _map(self, function: Callable, *others: "PaddedTexts") -> "PaddedTexts":
        return PaddedTexts(*map(function, *(vars(x).values() for x in (self, *others))))
