"""Texts of all lengths through the slots: from short rows to long, with one drain.

Letters: N slots, L tokens.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from elbert_jax import engine
from elbert_jax.albert import AlbertConfig, Params
from elbert_jax.data import batching
from elbert_jax.data.batching import Encoded
from elbert_jax.engine import Finished, Queue, Slots
from elbert_jax.exits import Criterion

_ROWS_PER_SLOT = 256  # of a queue: its length follows from its slots, as shapes compile


class Rung(NamedTuple):
    """A bucket of lengths: N slots for rows of L tokens, and who waits for them."""

    length: int
    slots: int
    rows: np.ndarray  # of the texts
    held: Slots | None  # what an earlier feed left in the slots


class Ladder:
    """The buckets, climbed once for every chunk of texts.

    A bucket's slots are not emptied when its queue is: texts that are on their way
    move into the next bucket, padded, and after the last one they stay for the next
    chunk. Only the end of the last chunk is a drain.
    """

    def __init__(
        self,
        params: Params,
        config: AlbertConfig,
        criterion: Criterion,
        lengths: Sequence[int],
        slots: Callable[[int], int],
    ):
        """Puts a ladder together.

        Args:
          params: the model's parameters.
          config: its shape.
          criterion: when a text leaves.
          lengths: of the buckets, from short to long.
          slots: gives N for rows of L tokens.
        """
        self.params, self.config, self.criterion = params, config, criterion
        self.lengths, self.slots = np.asarray(lengths), slots
        self._held: tuple[int, Slots] | None = None  # between feeds: L, and the slots

    def feed(self, encoded: Encoded, ids: np.ndarray, *, last: bool) -> list[Finished]:
        """Starts texts on their way, and returns what will have left, not waiting.

        Args:
          encoded: M texts.
          ids: int32 [M], their numbers.
          last: no text comes after these: all are answered. Otherwise some stay in
            the slots until the next call.
        """
        rungs = self._rungs(encoded)
        finished, moving = [], None
        for rung, above in zip(rungs, [*rungs[1:], None]):
            if above is None:
                keep = 0 if last else rung.slots // 2
            else:
                keep = above.slots - (above.slots // 2 if above.held else 0)
            moving = self._enter(rung, moving)
            size = rung.slots * _ROWS_PER_SLOT
            starts = range(0, max(len(rung.rows), 1), size)
            for start in starts:
                part = rung.rows[start : start + size]
                moving, left = engine.advance(
                    self.params,
                    moving,
                    queue(encoded, part, ids, rung.length, size),
                    self.criterion,
                    keep if start == starts[-1] else rung.slots,
                    config=self.config,
                )
                finished.append(left)
        if rungs:
            self._held = None if last or moving is None else (rungs[-1].length, moving)
        return finished

    def _rungs(self, encoded: Encoded) -> list[Rung]:
        """Returns the buckets that have a text to come, or one left from before."""
        bucket = np.searchsorted(self.lengths, encoded.lengths)
        at, held = self._held or (None, None)
        rungs = []
        for number, length in enumerate(self.lengths.tolist()):
            rows = np.flatnonzero(bucket == number)
            if len(rows) or length == at:
                stays = held if length == at else None
                rungs.append(Rung(length, self.slots(length), rows, stays))
        return rungs

    def _enter(self, rung: Rung, moving: Slots | None) -> Slots:
        parts = [part for part in (moving, rung.held) if part is not None]
        if not parts:
            return engine.start(self.config, self.criterion, rung.slots, rung.length)
        return engine.pack(parts, slots=rung.slots, length=rung.length)


def queue(
    encoded: Encoded, rows: np.ndarray, ids: np.ndarray, length: int, size: int
) -> Queue:
    """Returns texts as a queue.

    Args:
      encoded: a corpus.
      rows: which of its texts, [at most `size`].
      ids: int32 [M], the numbers of all its texts.
      length: L, no shorter than any of the texts.
      size: Q.
    """

    def grown(array: np.ndarray) -> Array:
        padded = np.zeros((size, *array.shape[1:]), np.int32)
        padded[: len(array)] = array
        return jnp.asarray(padded)

    if not len(rows):
        tokens = types = np.zeros((0, length), np.int32)
    else:
        tokens, types, *_ = batching.pad(encoded, rows, length)
    return Queue(
        grown(tokens),
        grown(types),
        grown(encoded.lengths[rows]),
        grown(ids[rows]),
        jnp.int32(len(rows)),
    )
