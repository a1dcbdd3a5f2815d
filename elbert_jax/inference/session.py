"""A session with the engine: texts are submitted, and polled for as they exit.

The buckets of padded lengths are climbed from short to long, again and again. When a
bucket's queue has entered, the texts still on their way are not waited for: padded,
they move to the next bucket with texts, and fill its slots together with those. From
the longest bucket the climb starts again at the shortest; texts then still on their
way stay parked in their slots until the climb comes by. Slots only drain when there is
no other text.

Letters: P devices, N slots and Q rows of a queue on each, M texts, L tokens.
"""

import collections
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from elbert_jax.data import batching
from elbert_jax.data.encoded import Encoded
from elbert_jax.inference import devices, engine
from elbert_jax.inference.buckets import Buckets
from elbert_jax.inference.engine import NO_LIMIT, Finished
from elbert_jax.inference.padded_texts import PaddedTexts
from elbert_jax.inference.slots import Slots
from elbert_jax.inference.tasks import Task
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig

_AHEAD = 2  # engine calls under way at once, so that the device need not wait


class _Parked(NamedTuple):
    bucket: int
    slots: Slots
    held: int  # see `Session._held`


class Session:
    """Runs a task on texts, from any number of submissions.

    Every submitted text exits after enough calls of `poll`, whatever else is submitted.
    What the session computes depends only on the order of the calls, not on time.
    """

    def __init__(
        self,
        task: Task,
        params: Params,
        config: AlbertConfig,
        buckets: Buckets,
        mesh: Mesh,
        *,
        unroll: int = 1,
        max_steps: int | None = None,
    ):
        """Starts a session without texts.

        Args:
          task: what is computed and collected.
          params: the model's parameters, best on all devices (`devices.replicate`).
          config: its shape.
          buckets: padded lengths and their slots.
          mesh: the devices that share the texts; see `devices.mesh`.
          unroll: see `engine.advance`.
          max_steps: layer-steps at most that one `poll` waits for; at least `unroll`.
        """
        self.task, self.config, self.buckets = task, config, buckets
        self._params, self._mesh, self._unroll = params, mesh, unroll
        if max_steps is not None and max_steps < unroll:
            raise ValueError(f"max_steps {max_steps} is below unroll {unroll}")
        self._max_steps = max_steps
        self._waiting = [PaddedTexts.none(length) for length in buckets.lengths]
        self._current = -1  # the bucket whose slots are advanced; -1: none yet
        self._slots: Slots | None = None
        self._held = 0  # texts in a device's slots at most, after the calls under way
        self._to_enter = 0  # texts of the current bucket that this climb takes
        self._parked: _Parked | None = None
        self._under_way = collections.deque[tuple[Finished, PaddedTexts]]()

    def submit(self, encoded: Encoded, ids: Int[np.ndarray, " M"]) -> None:
        """Adds texts. If the device is idle, it starts on them.

        Args:
          encoded: M texts, none longer than the last bucket.
          ids: int32, 0 or more; different from those of other texts not yet finished.

        Raises:
          ValueError: a text is longer than the last bucket.
        """
        batching.check(encoded.lengths, self.buckets.lengths)
        bucket = np.searchsorted(self.buckets.lengths, encoded.lengths)
        for number in np.unique(bucket):
            rows = np.flatnonzero(bucket == number)
            length = self.buckets.lengths[number]
            texts = PaddedTexts.pad(encoded, ids, rows, length)
            self._waiting[number] = self._waiting[number].followed_by(texts)
        if not self._under_way:
            self._advance()

    def poll(self) -> Finished | None:
        """Waits for the engine's next results.

        Returns:
          The texts that exited, in host memory; perhaps none. None if every text that
          was submitted has been returned.
        """
        while self._advance():
            pass
        if not self._under_way:
            return None
        result, texts = self._under_way.popleft()
        finished = jax.device_get(result)
        if self._max_steps is not None:
            self._put_back(texts, finished)
        return engine.compact(finished)

    def drain(self) -> Iterator[Finished]:
        """Yields what `poll` returns, until every submitted text has exited."""
        while (finished := self.poll()) is not None:
            yield finished

    def has_results(self) -> bool:
        """Returns whether `poll` would return results without waiting."""
        count: Any = self._under_way[0][0].count if self._under_way else None
        return count is not None and count.is_ready()

    def warmup(self) -> None:
        """Compiles every program that the session may need, whatever the texts are."""
        moving = None
        for bucket in range(len(self.buckets.lengths)):
            empty = self._start(bucket)
            if moving is not None:
                self._pack(bucket, moving)
                self._pack(bucket, moving, empty)
            nothing = PaddedTexts.none(self.buckets.lengths[bucket])
            moving, _ = self._call(bucket, empty, nothing, keep=0)

    # Where the climb goes.

    def _next(self) -> int | None:
        """Returns the next longer bucket with texts, else the shortest; None: none."""
        busy = [number for number, each in enumerate(self._waiting) if len(each)]
        if self._parked:
            busy.append(self._parked.bucket)
        longer = (number for number in busy if number > self._current)
        return min(longer, default=min(busy, default=None))

    def _room(self, target: int | None) -> int:
        """Returns how many texts a device's slots may hold when the climb moves on."""
        if target is None:  # no other text is left: drain
            return 0
        if target < self._current:  # park; the other half is for texts that join them
            return self.buckets.slots[self._current] // 2
        parked = self._parked_at(target)
        return self.buckets.slots[target] - (parked.held if parked else 0)

    def _parked_at(self, bucket: int) -> _Parked | None:
        return self._parked if self._parked and self._parked.bucket == bucket else None

    def _move(self, target: int) -> None:
        """Makes `target` the current bucket."""
        self._to_enter = len(self._waiting[target])
        if target == self._current:
            return
        slots = self._slots if self._held else None
        if slots is not None and target < self._current:
            self._parked = _Parked(self._current, slots, self._held)
            slots, self._held = None, 0
        parked = self._parked_at(target)
        if slots is not None:
            for bucket in range(self._current + 1, target):
                slots = self._pack(bucket, slots)
            joined = (parked.slots,) if parked else ()
            slots = self._pack(target, slots, *joined)
        elif parked:
            slots = parked.slots
        if parked:
            self._held, self._parked = self._held + parked.held, None
        self._current, self._slots = target, slots or self._start(target)

    # What is asked of the engine.

    def _advance(self) -> bool:
        """Starts an engine call, if there is work for one more; returns whether."""
        if len(self._under_way) >= (_AHEAD if self._max_steps is None else 1):
            return False
        if not self._to_enter:
            target = self._next()
            if target is None and not self._held:
                return False
            if target is not None and self._held <= self._room(target):
                self._move(target)
        bucket, waiting = self._current, self._waiting[self._current]
        size = self.buckets.queue_rows(bucket) * self._mesh.size
        count = min(self._to_enter, size)
        texts = waiting.select(slice(count))
        self._waiting[bucket] = waiting.select(slice(count, None))
        self._to_enter -= count
        next = bucket if self._to_enter else self._next()
        keep = self._room(next)
        self._slots, finished = self._call(bucket, self._slots, texts, keep)
        self._held = keep
        self._under_way.append((finished, texts))
        return True

    def _put_back(self, texts: PaddedTexts, finished: Finished) -> None:
        """Lets the texts that `max_steps` kept from entering wait again."""
        left = texts.not_entered(finished.entered)
        waiting = self._waiting[self._current]
        self._waiting[self._current] = left.followed_by(waiting)
        self._to_enter += len(left)
        self._held = int(finished.held.max())

    def _call(
        self, bucket: int, slots: Slots | None, texts: PaddedTexts, keep: int
    ) -> tuple[Slots, Finished]:
        return devices.advance(
            self._params,
            slots,
            texts.deal(self._mesh.size, self.buckets.queue_rows(bucket)),
            self.task,
            np.int32(keep),
            np.int32(NO_LIMIT if self._max_steps is None else self._max_steps),
            config=self.config,
            unroll=self._unroll,
            mesh=self._mesh,
        )

    def _start(self, bucket: int) -> Slots:
        return devices.start(
            self.task, config=self.config, **self._shape(bucket), mesh=self._mesh
        )

    def _pack(self, bucket: int, *parts: Slots) -> Slots:
        return devices.pack(self.task, parts, **self._shape(bucket), mesh=self._mesh)

    def _shape(self, bucket: int) -> dict[str, int]:
        length, slots = self.buckets.lengths[bucket], self.buckets.slots[bucket]
        return {"slots": slots, "length": length}
