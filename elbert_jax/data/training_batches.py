"""The batches of an epoch: every text once, shuffled, resumable at any of them."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import grain
import numpy as np

from elbert_jax.data import batching
from elbert_jax.data.batching import Batch, Encoded


def steps_per_epoch(encoded: Encoded, batch_size: int) -> int:
    """Returns the number of batches that hold every text once."""
    return -(-len(encoded) // batch_size)


class Epoch(NamedTuple):
    """So many batches of a corpus, of those that hold every text of it once."""

    texts: Encoded
    steps: int


def epochs(texts: Encoded, batch_size: int, steps: int) -> list[Epoch]:
    """Returns epochs that have so many batches together; the last may be cut."""
    whole = steps_per_epoch(texts, batch_size)
    return [Epoch(texts, min(whole, steps - k)) for k in range(0, steps, whole)]


class _Epochs:
    """The batches of all epochs by their number; each is a function of the seed."""

    def __init__(
        self,
        epochs: Sequence[Epoch],
        batch_size: int,
        seed: int,
        buckets: Sequence[int],
    ):
        self.epochs, self.batch_size, self.buckets = epochs, batch_size, buckets
        self.seed = seed
        self.ends = np.cumsum([epoch.steps for epoch in epochs])
        self._plan = functools.lru_cache(maxsize=1)(self._make_plan)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> Batch:
        epoch = int(np.searchsorted(self.ends, index, side="right"))
        plan = self._plan(epoch)
        texts, steps = self.epochs[epoch]
        rows, length = plan[index - self.ends[epoch] + steps]
        return batching.pad(texts, rows, length, self.batch_size)

    def _make_plan(self, epoch: int) -> list[tuple[np.ndarray, int]]:
        encoded = self.epochs[epoch].texts
        random = np.random.Generator(np.random.Philox([self.seed, epoch]))
        order = random.permutation(len(encoded))
        bucket = np.searchsorted(self.buckets, encoded.lengths[order])
        order = order[np.argsort(bucket, kind="stable")]
        batches = batching.cut_in_order(encoded, order, self.batch_size, self.buckets)
        return [batches[i] for i in random.permutation(len(batches))]


def train_iterator(
    epochs: Sequence[Epoch],
    batch_size: int,
    seed: int,
    buckets: Sequence[int] = batching.BUCKETS,
) -> grain.DatasetIterator[Batch]:
    """Returns an iterator over the batches of all epochs.

    Every text comes once in a whole epoch, in a batch of texts of about its length;
    texts and batches are shuffled anew each epoch, by `(seed, epoch)`. Its
    `get_state()` and `set_state(state)` resume at the very next batch.
    """
    source = _Epochs(epochs, batch_size, seed, buckets)
    options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    return iter(grain.MapDataset.source(source).to_iter_dataset(options))
