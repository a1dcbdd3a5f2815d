"""Slot refill: early exit at full batches, as one XLA program.

All depths share one layer, so texts at different depths share one batch of N slots.
A text that exits leaves its slot, and the next of the queue takes it in the same
step. Every text gets the exit layer, the label and (within float noise) the logits
that it gets alone.

`run` answers one queue. Queues without end, or of rows of different lengths, go
through `advance`, one after the other and without emptying the slots in between:
`pack` moves those that hold a text to longer rows.

Letters: Q rows of the queue, N slots, L tokens, H hidden size, C classes, D layers.

References:
    Xie et al., the ELBERT financial sentiment system, Algorithm 1.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from elbert_jax.exits import Criterion
from elbert_jax.model import albert
from elbert_jax.model.albert import Albert, AlbertConfig, Params

EMPTY = -1  # in place of a text's number


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Queue:
    """Texts to answer. Rows from `count` on are padding, so that Q may be fixed."""

    tokens: Int[Array, "Q L"]
    types: Int[Array, "Q L"]
    lengths: Int[Array, " Q"]  # real tokens, which stand on the left
    ids: Int[Array, " Q"]  # the texts' numbers, from 0 on
    count: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Slots:
    """N places in the batch, each with a text on its way or empty."""

    hidden: Float[Array, "N L H"]
    lengths: Int[Array, " N"]  # real tokens of the slot's text
    ids: Int[Array, " N"]  # the text's number, or EMPTY
    depth: Int[Array, " N"]  # layers its text has been through
    criterion: Any  # the criterion's state, slots first


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Finished:
    """Answers in the order in which texts left; rows from `count` on are empty."""

    ids: Int[Array, " Q+N"]
    logits: Float[Array, "Q+N C"]  # of the exit layer
    layer: Int[Array, " Q+N"]  # where the text left, 1-based
    rule: Int[Array, " Q+N"]  # see `exits.rule_names`
    count: Int[Array, ""]
    slot_steps: Int[Array, ""]  # layer-steps taken, times N
    busy_steps: Int[Array, ""]  # of these, the ones that a text was in
    length: int = dataclasses.field(metadata={"static": True})  # L


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Results:
    """Answers by row of the queue."""

    logits: Float[Array, "Q C"]  # of the exit layer
    layer: Int[Array, " Q"]  # where the text left, 1-based; 0: not answered
    rule: Int[Array, " Q"]  # see `exits.rule_names`


def _where(chosen: Bool[Array, " N"], new: Array, old: Array) -> Array:
    return jnp.where(chosen.reshape(-1, *[1] * (old.ndim - 1)), new, old)


@functools.partial(jax.jit, static_argnums=(0, 2, 3))  # to donate, each leaf a buffer
def start(config: AlbertConfig, criterion: Criterion, slots: int, length: int) -> Slots:
    """Returns N empty slots for rows of L tokens."""
    zeros, ids = jnp.zeros(slots, jnp.int32), jnp.full(slots, EMPTY, jnp.int32)
    return Slots(
        hidden=jnp.zeros((slots, length, config.hidden_size)),
        lengths=zeros,
        ids=ids,
        depth=zeros,
        criterion=criterion.init(ids, config.num_labels),
    )


@functools.partial(jax.jit, static_argnames=("slots", "length"))
def pack(parts: Sequence[Slots], *, slots: int, length: int) -> Slots:
    """Moves the texts of some slots into N others, for rows of L tokens.

    What is beyond N is lost: `advance` until few enough hold a text.

    Args:
      parts: slots for rows of at most `length` tokens.
      slots: N.
      length: L.
    """

    def longer(part: Slots) -> Slots:
        room = length - part.hidden.shape[1]
        hidden = jnp.pad(part.hidden, ((0, 0), (0, room), (0, 0)))
        return dataclasses.replace(part, hidden=hidden)

    together = jax.tree.map(lambda *x: jnp.concatenate(x), *map(longer, parts))
    texts_first = jnp.argsort(together.ids == EMPTY, stable=True)[:slots]
    extra = max(0, slots - len(together.ids))

    def take(x: Array) -> Array:
        return jnp.pad(x[texts_first], [(0, extra), *[(0, 0)] * (x.ndim - 1)])

    packed = jax.tree.map(take, together)
    there = jnp.arange(slots) < len(together.ids)
    return dataclasses.replace(packed, ids=jnp.where(there, packed.ids, EMPTY))


def enter(model: Albert, queue: Queue, criterion: Criterion) -> Slots:
    """Returns the queue's texts as they enter a slot, [Q]: embedded, at depth 0."""
    return Slots(
        hidden=model.embed(queue.tokens, queue.types),
        lengths=queue.lengths,
        ids=queue.ids,
        depth=jnp.zeros_like(queue.ids),
        criterion=criterion.init(queue.ids, model.config.num_labels),
    )


def insert(
    waiting: Slots, count: Int[Array, ""], slots: Slots, next: Int[Array, ""]
) -> tuple[Slots, Int[Array, ""]]:
    """Gives each empty slot the next text that waits, while there is one.

    Args:
      waiting: texts as they enter, [Q].
      count: those of them that are texts; the others are padding.
      slots: [N], some of them empty.
      next: the row of `waiting` that enters next.

    Returns:
      The slots, and the row that enters next.
    """
    empty = slots.ids == EMPTY
    row = next + jnp.cumsum(empty, dtype=jnp.int32) - 1
    fill = empty & (row < count)
    source = jnp.where(fill, row, 0)
    filled = jax.tree.map(
        lambda new, old: _where(fill, new[source], old), waiting, slots
    )
    return filled, next + fill.sum(dtype=jnp.int32)


def step(
    model: Albert, criterion: Criterion, slots: Slots, finished: Finished
) -> tuple[Slots, Finished]:
    """Takes every slot one layer deeper; answers and empties those that exit."""
    mask = jnp.arange(slots.hidden.shape[1])[None] < slots.lengths[:, None]
    hidden = model.layer(slots.hidden, mask)
    depth = slots.depth + 1
    logits = model.classify(hidden, mask, depth)
    state, rule = criterion(slots.criterion, logits)
    held = slots.ids != EMPTY
    leaves = held & ((rule > 0) | (depth == model.config.num_hidden_layers))
    place = finished.count + jnp.cumsum(leaves, dtype=jnp.int32) - 1
    place = jnp.where(leaves, place, len(finished.ids))  # outside: dropped
    finished = Finished(
        ids=finished.ids.at[place].set(slots.ids, mode="drop"),
        logits=finished.logits.at[place].set(logits, mode="drop"),
        layer=finished.layer.at[place].set(depth, mode="drop"),
        rule=finished.rule.at[place].set(rule, mode="drop"),
        count=finished.count + leaves.sum(dtype=jnp.int32),
        slot_steps=finished.slot_steps + len(held),
        busy_steps=finished.busy_steps + held.sum(dtype=jnp.int32),
        length=finished.length,
    )
    ids = jnp.where(leaves, EMPTY, slots.ids)
    return Slots(hidden, slots.lengths, ids, depth, state), finished


@functools.partial(
    jax.jit, static_argnames=("config", "unroll"), donate_argnames="slots"
)
def advance(
    params: Params,
    slots: Slots,
    queue: Queue,
    criterion: Criterion,
    keep: Int[Array, ""] | int,
    *,
    config: AlbertConfig,
    unroll: int = 1,
) -> tuple[Slots, Finished]:
    """Runs until the whole queue has entered, and few enough slots hold a text.

    It compiles once a shape (N, Q, L), whatever the count and the thresholds.

    Args:
      params: the model's parameters.
      slots: donated.
      queue: the texts that enter.
      criterion: when a text leaves.
      keep: slots that may still hold a text at the end; 0 answers all.
      config: the model's shape.
      unroll: layer-steps to one turn of the loop. Its predicate is read once a turn,
        by the host where there is a GPU; the last turn may take steps for nothing.

    Returns:
      The slots, and the texts that left.
    """
    model = albert.bind(config, params)
    waiting = enter(model, queue, criterion)
    rows, zero = len(queue.lengths) + len(slots.ids), jnp.int32(0)
    finished = Finished(
        ids=jnp.full(rows, EMPTY, jnp.int32),
        logits=jnp.zeros((rows, config.num_labels)),
        layer=jnp.zeros(rows, jnp.int32),
        rule=jnp.zeros(rows, jnp.int32),
        count=zero,
        slot_steps=zero,
        busy_steps=zero,
        length=slots.hidden.shape[1],
    )

    def unfinished(carry: tuple[Slots, Finished, Array]) -> Array:
        slots, _, next = carry
        held = (slots.ids != EMPTY).sum(dtype=jnp.int32)
        return (next < queue.count) | (held > keep)

    def turn(carry: tuple[Slots, Finished, Array]) -> tuple[Slots, Finished, Array]:
        for _ in range(unroll):
            slots, finished, next = carry
            slots, next = insert(waiting, queue.count, slots, next)
            carry = *step(model, criterion, slots, finished), next
        return carry

    slots, finished, _ = jax.lax.while_loop(unfinished, turn, (slots, finished, zero))
    return slots, finished


@functools.partial(jax.jit, static_argnames=("config", "slots", "unroll"))
def run(
    params: Params,
    queue: Queue,
    criterion: Criterion,
    *,
    config: AlbertConfig,
    slots: int,
    unroll: int = 1,
) -> tuple[Results, Finished]:
    """Answers a whole queue in one XLA program.

    Args:
      params: the model's parameters.
      queue: the texts; their ids are not used.
      criterion: when a text leaves.
      config: the model's shape.
      slots: N, how many texts go through the layer together.
      unroll: see `advance`.

    Returns:
      The results by row, and the same in the order in which texts left.
    """
    rows, length = queue.tokens.shape
    queue = dataclasses.replace(queue, ids=jnp.arange(rows, dtype=jnp.int32))
    empty = start(config, criterion, slots, length)
    _, finished = advance(
        params, empty, queue, criterion, 0, config=config, unroll=unroll
    )
    row = jnp.where(finished.ids == EMPTY, rows, finished.ids)

    def by_row(x: Array) -> Array:
        return jnp.zeros((rows, *x.shape[1:]), x.dtype).at[row].set(x, mode="drop")

    answers = finished.logits, finished.layer, finished.rule
    return Results(*map(by_row, answers)), finished


@functools.partial(jax.jit, static_argnames="config")
def _embed(params: Params, tokens: Array, types: Array, *, config: AlbertConfig):
    return albert.bind(config, params).embed(tokens, types)


@functools.partial(jax.jit, static_argnames="config")
def _deeper(params: Params, x: Array, depth: Array, *, config: AlbertConfig):
    model, mask = albert.bind(config, params), jnp.ones(x.shape[:2], bool)
    x = model.layer(x, mask)
    return x, model.classify(x, mask, depth)


def run_one_by_one(
    params: Params, queue: Queue, criterion: Criterion, *, config: AlbertConfig
) -> Results:
    """The slow, obvious reference: each text alone, unpadded, layer after layer."""
    judge = jax.jit(lambda state, output: criterion(state, output))
    rows = len(queue.lengths)
    logits = np.zeros((rows, config.num_labels), np.float32)
    layer, rule = np.zeros(rows, np.int32), np.zeros(rows, np.int32)
    for row in range(int(queue.count)):
        text = slice(row, row + 1), slice(int(queue.lengths[row]))
        x = _embed(params, queue.tokens[text], queue.types[text], config=config)
        state = criterion.init(jnp.array([row], jnp.int32), config.num_labels)
        while rule[row] == 0 and layer[row] < config.num_hidden_layers:
            layer[row] += 1
            x, output = _deeper(params, x, layer[row], config=config)
            state, fired = judge(state, output)
            logits[row], rule[row] = output[0], fired[0]
    return Results(jnp.asarray(logits), jnp.asarray(layer), jnp.asarray(rule))
