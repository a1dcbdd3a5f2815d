"""The rows of the batch: N slots, each empty or with a text at some depth.

Letters: Q rows of the queue, N slots, L tokens, H hidden size.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from elbert_jax.inference.tasks import Task
from elbert_jax.model.config import AlbertConfig

EMPTY = -1  # the id of an empty slot or output row


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Queue:
    """Texts that wait for a slot. Rows from `count` on are padding: Q is fixed."""

    tokens: Int[Array, "Q L"]
    types: Int[Array, "Q L"]
    lengths: Int[Array, " Q"]  # tokens without padding, which is on the right
    ids: Int[Array, " Q"]  # from 0 on
    count: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Slots:
    """N rows of the batch, each empty or with a text on its way through the layers."""

    hidden: Float[Array, "N L H"]
    lengths: Int[Array, " N"]  # tokens without padding
    ids: Int[Array, " N"]  # of the texts, or EMPTY
    depth: Int[Array, " N"]  # layers computed
    state: Any  # the task's pytree, slots first


@functools.partial(jax.jit, static_argnums=(0, 2, 3))  # each leaf a buffer to donate
def start(config: AlbertConfig, task: Task, slots: int, length: int) -> Slots:
    """Returns N empty slots of L tokens."""
    zeros, ids = jnp.zeros(slots, jnp.int32), jnp.full(slots, EMPTY, jnp.int32)
    return Slots(
        hidden=jnp.zeros((slots, length, config.hidden_size)),
        lengths=zeros,
        ids=ids,
        depth=zeros,
        state=task.init(config, ids, length),
    )


@functools.partial(jax.jit, static_argnames=("slots", "length"))
def pack(task: Task, parts: Sequence[Slots], *, slots: int, length: int) -> Slots:
    """Moves the texts of some slots into N others of L tokens.

    Args:
      task: what the slots compute.
      parts: slots of at most L tokens. Texts beyond the first N are lost.
      slots: N.
      length: L.
    """

    def longer(part: Slots) -> Slots:
        more = length - part.hidden.shape[1]
        return dataclasses.replace(
            part,
            hidden=jnp.pad(part.hidden, ((0, 0), (0, more), (0, 0))),
            state=task.pad(part.state, length),
        )

    together = jax.tree.map(lambda *x: jnp.concatenate(x), *map(longer, parts))
    texts_first = jnp.argsort(together.ids == EMPTY, stable=True)[:slots]
    extra = max(0, slots - len(together.ids))

    def take(x: Array) -> Array:
        return jnp.pad(x[texts_first], [(0, extra), *[(0, 0)] * (x.ndim - 1)])

    packed = jax.tree.map(take, together)
    there = jnp.arange(slots) < len(together.ids)
    return dataclasses.replace(packed, ids=jnp.where(there, packed.ids, EMPTY))


def insert(
    config: AlbertConfig,
    task: Task,
    queue: Queue,
    embedded: Float[Array, "Q L H"],
    slots: Slots,
    entered: Int[Array, ""],
) -> tuple[Slots, Int[Array, ""]]:
    """Gives each empty slot the next text of the queue, while there is one.

    Args:
      config: the model's shape.
      task: what the slots compute.
      queue: texts.
      embedded: the hidden states that they enter with.
      slots: [N], some of them empty.
      entered: how many rows of the queue have entered before.

    Returns:
      The slots, and how many rows have entered now.
    """
    empty = slots.ids == EMPTY
    row = entered + jnp.cumsum(empty, dtype=jnp.int32) - 1
    fill = empty & (row < queue.count)
    source = jnp.where(fill, row, 0)
    ids = queue.ids[source]
    fresh = Slots(
        hidden=embedded[source],
        lengths=queue.lengths[source],
        ids=ids,
        depth=jnp.zeros_like(ids),
        state=task.init(config, ids, embedded.shape[1]),
    )
    filled = jax.tree.map(functools.partial(_where, fill), fresh, slots)
    return filled, entered + fill.sum(dtype=jnp.int32)


def _where(chosen: Bool[Array, " N"], new: Array, old: Array) -> Array:
    return jnp.where(chosen.reshape(-1, *[1] * (old.ndim - 1)), new, old)
