"""Training batches: every text once an epoch, shuffled, resumable at any batch."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import grain
import numpy as np

from elbert_jax.data import batching
from elbert_jax.data.batching import Batch
from elbert_jax.data.encoded import Encoded


def steps_per_epoch(encoded: Encoded, batch_size: int) -> int:
    """Returns the number of batches that hold every text once."""
    return -(-len(encoded) // batch_size)


class StageTexts(NamedTuple):
    """The texts of a training stage."""

    texts: Encoded
    steps: int  # number of batches; the last epoch may be incomplete


class TrainingBatches:
    """The batches of all stages by their index; each is a function of the seed.

    An epoch holds every text once, in batches of texts of similar length; texts and
    batches are shuffled anew each epoch, by `(seed, epoch)`.
    """

    def __init__(
        self,
        stages: Sequence[StageTexts],
        batch_size: int,
        seed: int,
        buckets: Sequence[int] = batching.BUCKETS,
    ):
        self.stages, self.batch_size = stages, batch_size
        self.seed, self.buckets = seed, buckets
        self.lengths = [steps_per_epoch(texts, batch_size) for texts, _ in stages]
        epochs = [-(-s.steps // length) for s, length in zip(stages, self.lengths)]
        # Of every stage: the batches and the epochs before it.
        self.begins = [0, *itertools.accumulate(stage.steps for stage in stages)]
        self.epochs = [0, *itertools.accumulate(epochs)]
        self._plan = functools.lru_cache(maxsize=1)(self._make_plan)

    def __len__(self) -> int:
        return self.begins[-1]

    def __getitem__(self, index: int) -> Batch:
        stage = self.stage_of(index)
        epoch, place = divmod(index - self.begins[stage], self.lengths[stage])
        rows, length = self._plan(stage, self.epochs[stage] + epoch)[place]
        return batching.pad(self.stages[stage].texts, rows, length, self.batch_size)

    def stage_of(self, index: int) -> int:
        """Returns the stage that the batch of an index belongs to."""
        return int(np.searchsorted(self.begins, index, side="right")) - 1

    def epochs_after(self, step: int) -> float:
        """Returns the number of epochs that `step` >= 1 batches make."""
        stage = self.stage_of(step - 1)
        return self.epochs[stage] + (step - self.begins[stage]) / self.lengths[stage]

    def _make_plan(self, stage: int, epoch: int) -> list[tuple[np.ndarray, int]]:
        encoded = self.stages[stage].texts
        random = np.random.Generator(np.random.Philox([self.seed, epoch]))
        order = random.permutation(len(encoded))
        bucket = np.searchsorted(self.buckets, encoded.lengths[order])
        order = order[np.argsort(bucket, kind="stable")]
        batches = batching.cut_in_order(encoded, order, self.batch_size, self.buckets)
        return [batches[i] for i in random.permutation(len(batches))]


def resumable(
    batches: Any, transform: Callable[[Any], Any] | None = None
) -> grain.DatasetIterator[Any]:
    """Returns an iterator over indexed batches, each transformed when it is due.

    Its `get_state()` and `set_state(state)` resume at the very next batch.
    """
    dataset = grain.MapDataset.source(batches)
    if transform:
        dataset = dataset.map(transform)
    options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    return iter(dataset.to_iter_dataset(options))
