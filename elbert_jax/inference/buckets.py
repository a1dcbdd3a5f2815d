"""Texts of all lengths through the slots: from short rows to long, with one drain.

Letters: P devices, N slots and Q rows of a queue on each, L tokens, M texts.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from elbert_jax.data import batching
from elbert_jax.data.batching import Encoded
from elbert_jax.exits import Criterion
from elbert_jax.inference import engine
from elbert_jax.inference.engine import Finished, Queue, Slots
from elbert_jax.inference.predictions import Predictions
from elbert_jax.model.albert import AlbertConfig, Params

ROWS_PER_SLOT = 16  # of a queue, which is embedded as a whole
_EVERYWHERE, _BY_DEVICE = PartitionSpec(), PartitionSpec("device")


def device_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Returns a mesh of P devices, all local ones by default."""
    return Mesh(np.array(devices or jax.local_devices()), ("device",))


def on_each(mesh: Mesh, params: Params) -> Params:
    """Returns the parameters on every device of a mesh."""
    return jax.device_put(params, NamedSharding(mesh, _EVERYWHERE))


def _on_each(mesh: Mesh, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `function(shared, own)` of each device's own [P, ...], giving [P, ...].

    The devices know nothing of one another: each turns its loop as often as it must.
    """

    def local(shared: Any, own: Any) -> Any:
        result = function(shared, jax.tree.map(lambda x: x[0], own))
        return jax.tree.map(lambda x: x[None], result)

    return jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(_EVERYWHERE, _BY_DEVICE),
        out_specs=_BY_DEVICE,
        check_vma=False,
    )


@functools.partial(jax.jit, static_argnames=("config", "slots", "length", "mesh"))
def _start(criterion: Criterion, *, config, slots, length, mesh) -> Slots:
    def start(criterion: Criterion, _: None) -> Slots:
        return engine.start(config, criterion, slots, length)

    return _on_each(mesh, start)(criterion, None)


@functools.partial(jax.jit, static_argnames=("slots", "length", "mesh"))
def _pack(parts: Sequence[Slots], *, slots, length, mesh) -> Slots:
    def pack(_: None, parts: Sequence[Slots]) -> Slots:
        return engine.pack(parts, slots=slots, length=length)

    return _on_each(mesh, pack)(None, parts)


@functools.partial(
    jax.jit, static_argnames=("config", "unroll", "mesh"), donate_argnames="slots"
)
def _advance(params, slots, queue, criterion, keep, *, config, unroll, mesh):
    def advance(shared: Any, own: Any) -> tuple[Slots, Finished]:
        params, criterion, keep = shared
        return engine.advance(
            params, *own, criterion, keep, config=config, unroll=unroll
        )

    return _on_each(mesh, advance)((params, criterion, keep), (slots, queue))


class Ladder:
    """Buckets of lengths, climbed once for every chunk of texts.

    A bucket's slots are not emptied when its queue is: texts that are on their way
    move into the next bucket, padded, and after the last one they stay for the next
    chunk. Only the end of the last chunk is a drain. Every device has slots and queues
    of its own.
    """

    def __init__(
        self,
        params: Params,
        config: AlbertConfig,
        criterion: Criterion,
        lengths: Sequence[int],
        slots: Sequence[int],
        *,
        rows_per_slot: int = ROWS_PER_SLOT,
        unroll: int = 1,
        mesh: Mesh | None = None,
    ):
        """Puts a ladder together.

        Args:
          params: the model's parameters.
          config: its shape.
          criterion: when a text leaves.
          lengths: L of the buckets, from short to long.
          slots: N of the buckets, on each device; no more for long rows than for short.
          rows_per_slot: Q / N of the queues.
          unroll: see `engine.advance`.
          mesh: the devices; see `device_mesh`.
        """
        self.config, self.criterion = config, criterion
        self.lengths, self.slots, self.unroll = tuple(lengths), tuple(slots), unroll
        self.mesh = mesh or device_mesh()
        self.rows_per_slot = rows_per_slot
        self.params = on_each(self.mesh, params)
        self._held: tuple[int, Slots] | None = None  # between feeds: bucket, and slots

    def feed(self, encoded: Encoded, ids: np.ndarray, *, last: bool) -> list[Finished]:
        """Starts texts on their way, and returns what will have left, not waiting.

        Args:
          encoded: M texts, none longer than the last bucket.
          ids: int32 [M], their numbers.
          last: no text comes after these: all are answered. Otherwise some stay in
            the slots until the next call.

        Returns:
          Texts that left, in parts with a leading axis [P].

        Raises:
          ValueError: a text is longer than the last bucket.
        """
        batching.check(encoded.lengths, self.lengths)
        bucket = np.searchsorted(self.lengths, encoded.lengths)
        at, held = self._held or (None, None)
        used = {*bucket.tolist(), *([] if at is None else [at])}
        finished, moving = [], None
        for number in range(min(used, default=0), max(used, default=-1) + 1):
            moving = self._enter(number, moving, held if number == at else None)
            if number == max(used):
                keep = 0 if last else self.slots[number] // 2
            else:  # as many as find room there
                room = self.slots[number + 1]
                keep = room - room // 2 if number + 1 == at else room
            rows = np.flatnonzero(bucket == number)
            moving, left = self._climb(number, moving, encoded, rows, ids, keep)
            finished += left
        if used:
            self._held = None if last or moving is None else (max(used), moving)
        return finished

    def answer(self, encoded: Encoded) -> Predictions:
        """Predictions texts, none longer than the last bucket, and waits for them."""
        answers = Predictions.empty(self.config, len(encoded))
        ids = np.arange(len(encoded), dtype=np.int32)
        for finished in self.feed(encoded, ids, last=True):
            answers.take(finished)
            answers.count(finished)
        return answers

    def _enter(self, number: int, moving: Slots | None, held: Slots | None) -> Slots:
        """Returns a bucket's slots, with the texts that come up and those of before."""
        shape = {"slots": self.slots[number], "length": self.lengths[number]}
        if moving is None:
            return held or _start(
                self.criterion, config=self.config, **shape, mesh=self.mesh
            )
        parts = (moving,) if held is None else (moving, held)
        return _pack(parts, **shape, mesh=self.mesh)

    def _climb(
        self,
        number: int,
        slots: Slots,
        encoded: Encoded,
        rows: np.ndarray,
        ids: np.ndarray,
        keep: int,
    ) -> tuple[Slots, list[Finished]]:
        """Sends rows of one bucket through its slots, until `keep` texts are left."""
        devices, most = self.mesh.size, self.slots[number]
        size = most * self.rows_per_slot
        finished = []
        starts = range(0, max(len(rows), 1), size * devices)
        for start in starts:
            part = rows[start : start + size * devices]
            queues = [
                queue(encoded, part[device::devices], ids, self.lengths[number], size)
                for device in range(devices)
            ]
            slots, left = _advance(
                self.params,
                slots,
                jax.tree.map(lambda *x: np.stack(x), *queues),
                self.criterion,
                keep if start == starts[-1] else most,
                config=self.config,
                unroll=self.unroll,
                mesh=self.mesh,
            )
            finished.append(left)
        return slots, finished

    def warmup(self) -> None:
        """Compiles every program that `feed` will ask for, whatever the texts are."""
        nothing, ids, moving = Encoded.empty(), np.zeros(0, np.int32), None
        for number in range(len(self.lengths)):
            held = self._enter(number, None, None)
            if moving is not None:
                self._enter(number, moving, None)
                self._enter(number, moving, held)
            moving, _ = self._climb(number, held, nothing, ids, ids, keep=0)


def queue(
    encoded: Encoded, rows: np.ndarray, ids: np.ndarray, length: int, size: int
) -> Queue:
    """Returns texts as a queue, in the host's memory.

    Args:
      encoded: a corpus.
      rows: which of its texts, [at most `size`].
      ids: int32 [M], the numbers of all its texts.
      length: L, no shorter than any of the texts.
      size: Q.
    """

    def grown(array: np.ndarray) -> Any:
        padded = np.zeros((size, *array.shape[1:]), np.int32)
        padded[: len(array)] = array
        return padded

    if not len(rows):
        tokens = types = np.zeros((0, length), np.int32)
    else:
        tokens, types, *_ = batching.pad(encoded, rows, length)
    count: Any = np.int32(len(rows))
    lengths = grown(encoded.lengths[rows])
    return Queue(grown(tokens), grown(types), lengths, grown(ids[rows]), count)
