"""Slot refill: early exit at full batches, as one XLA program.

All layers share their weights, so texts at different depths share one batch of N slots.
A text that exits frees its slot, and the next of the queue takes it in the same step.
Every text exits at the layer, and with the outputs (within float noise), that it has
alone. What a layer-step computes and what is collected is up to a `Task`.

`run` is for one queue. A longer computation calls `advance` for one queue after the
other, without emptying the slots in between; `slots.pack` moves texts to longer ones.

Letters: Q rows of the queue, N slots, R = Q + N rows of output, L tokens.

References:
    Xie et al., the ELBERT financial sentiment system, Algorithm 1.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from elbert_jax.inference.slots import EMPTY, Queue, Slots, insert, start
from elbert_jax.inference.tasks import Task
from elbert_jax.model import albert
from elbert_jax.model.albert import Albert, Params
from elbert_jax.model.config import AlbertConfig

NO_LIMIT = np.iinfo(np.int32).max  # for `max_steps`


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Finished:
    """Texts in the order of their exits. The rows from `count` on are empty."""

    ids: Int[Array, " R"]
    layer: Int[Array, " R"]  # exit layer, from 1
    outputs: Any  # the task's pytree, rows first
    count: Int[Array, ""]
    steps: Int[Array, ""]  # layer-steps taken, each of all slots
    busy_steps: Int[Array, ""]  # the same by slot, of those that held a text
    entered: Int[Array, ""]  # rows of the queue that have entered a slot
    held: Int[Array, ""]  # slots that still hold a text
    slots: int = dataclasses.field(metadata={"static": True})  # N
    length: int = dataclasses.field(metadata={"static": True})  # L

    @property
    def slot_steps(self) -> Any:
        """Layer-steps by slot, of all slots."""
        return self.steps * self.slots


def step(
    model: Albert, task: Task, slots: Slots, finished: Finished
) -> tuple[Slots, Finished]:
    """Takes every slot one layer deeper; collects and empties those that exit."""
    mask = jnp.arange(slots.hidden.shape[1])[None] < slots.lengths[:, None]
    depth, holds = slots.depth + 1, slots.ids != EMPTY
    hidden, state, exited, outputs = task.step(
        model, slots.hidden, mask, depth, slots.state
    )
    exits = holds & (exited | (depth == model.config.num_hidden_layers))
    place = finished.count + jnp.cumsum(exits, dtype=jnp.int32) - 1
    place = jnp.where(exits, place, len(finished.ids))  # outside: dropped

    def collect(rows: Array, new: Array) -> Array:
        return rows.at[place].set(new, mode="drop")

    finished = dataclasses.replace(
        finished,
        ids=collect(finished.ids, slots.ids),
        layer=collect(finished.layer, depth),
        outputs=jax.tree.map(collect, finished.outputs, outputs),
        count=finished.count + exits.sum(dtype=jnp.int32),
        steps=finished.steps + 1,
        busy_steps=finished.busy_steps + holds.sum(dtype=jnp.int32),
    )
    ids = jnp.where(exits, EMPTY, slots.ids)
    return Slots(hidden, slots.lengths, ids, depth, state), finished


@functools.partial(
    jax.jit, static_argnames=("config", "unroll"), donate_argnames="slots"
)
def advance(
    params: Params,
    slots: Slots,
    queue: Queue,
    task: Task,
    keep: Int[Array, ""] | int = 0,
    max_steps: Int[Array, ""] | int = NO_LIMIT,
    *,
    config: AlbertConfig,
    unroll: int = 1,
) -> tuple[Slots, Finished]:
    """Runs until the queue has entered and few slots hold a text, or `max_steps`.

    Slots that hold a text, or get one, are computed for at least one turn of the loop.
    It compiles once for each shape (N, Q, L), whatever the counts and thresholds.

    Args:
      params: the model's parameters.
      slots: donated.
      queue: the texts that enter. `Finished.entered` tells how many have.
      task: what the slots compute.
      keep: how many slots may still hold a text at the end; 0: every text exits.
      max_steps: layer-steps at most, rounded down to a multiple of `unroll`.
      config: the model's shape.
      unroll: layer-steps for each turn of the loop. On a GPU the host reads the loop's
        predicate at every turn; up to `unroll - 1` steps at the end may be idle.

    Returns:
      The slots, and the texts that exited.
    """
    model = albert.bind(config, params)
    embedded = model.embed(queue.tokens, queue.types)
    size, length = slots.hidden.shape[:2]
    rows, zero = len(queue.ids) + size, jnp.int32(0)
    finished = Finished(
        ids=jnp.full(rows, EMPTY, jnp.int32),
        layer=jnp.zeros(rows, jnp.int32),
        outputs=task.empty_outputs(config, rows, length),
        count=zero,
        steps=zero,
        busy_steps=zero,
        entered=zero,
        held=(slots.ids != EMPTY).sum(dtype=jnp.int32),
        slots=size,
        length=length,
    )

    def unfinished(carry: tuple[Slots, Finished]) -> Array:
        _, finished = carry
        waiting, held = finished.entered < queue.count, finished.held
        more = waiting | (held > keep) | ((held > 0) & (finished.steps == 0))
        return more & (finished.steps <= max_steps - unroll)

    def turn(carry: tuple[Slots, Finished]) -> tuple[Slots, Finished]:
        slots, finished = carry
        for _ in range(unroll):
            entered = finished.entered
            slots, entered = insert(config, task, queue, embedded, slots, entered)
            finished = dataclasses.replace(finished, entered=entered)
            slots, finished = step(model, task, slots, finished)
        held = (slots.ids != EMPTY).sum(dtype=jnp.int32)
        return slots, dataclasses.replace(finished, held=held)

    return jax.lax.while_loop(unfinished, turn, (slots, finished))


@functools.partial(jax.jit, static_argnames=("config", "slots", "unroll"))
def run(
    params: Params,
    queue: Queue,
    task: Task,
    *,
    config: AlbertConfig,
    slots: int,
    unroll: int = 1,
) -> Finished:
    """Runs a whole queue as one XLA program.

    Args:
      params: the model's parameters.
      queue: the texts; their ids are their rows.
      task: what the slots compute.
      config: the model's shape.
      slots: N.
      unroll: see `advance`.

    Returns:
      The texts in the queue's order, [Q]; exit layer 0 marks a row of padding.
    """
    rows, length = queue.tokens.shape
    row = jnp.arange(rows, dtype=jnp.int32)
    queue = dataclasses.replace(queue, ids=row)
    empty = start(config, task, slots, length)
    _, finished = advance(params, empty, queue, task, config=config, unroll=unroll)
    place = jnp.where(finished.ids == EMPTY, rows, finished.ids)

    def by_row(x: Array) -> Array:
        return jnp.zeros((rows, *x.shape[1:]), x.dtype).at[place].set(x, mode="drop")

    return dataclasses.replace(
        finished,
        ids=jnp.where(row < queue.count, row, EMPTY),
        layer=by_row(finished.layer),
        outputs=jax.tree.map(by_row, finished.outputs),
    )


def compact(finished: Finished) -> Finished:
    """Returns finished texts, of one device or all, in host memory without empty rows.

    The counts of all devices are added up.
    """
    finished = jax.device_get(finished)
    done = finished.ids != EMPTY
    rows = finished.ids, finished.layer, finished.outputs
    ids, layer, outputs = jax.tree.map(lambda x: x[done], rows)
    names = "count", "steps", "busy_steps", "entered", "held"
    totals: dict[str, Any] = {name: getattr(finished, name).sum() for name in names}
    return dataclasses.replace(
        finished, ids=ids, layer=layer, outputs=outputs, **totals
    )
