"""Slot refill: early exit at full batches, as one XLA program.

All depths share one layer, so texts at different depths share one batch of N slots.
A text that exits leaves its slot, and the next of the queue takes it in the same
step. Every text gets the exit layer, the label and (within float noise) the logits
that it gets alone.

Letters: Q rows of the queue, N slots, L tokens, H hidden size, C classes, D layers.

References:
    Xie et al., the ELBERT financial sentiment system, Algorithm 1.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from elbert_jax import albert
from elbert_jax.albert import Albert, AlbertConfig, Params
from elbert_jax.exits import Criterion


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Queue:
    """Texts to answer. Rows from `count` on are padding, so that Q may be fixed."""

    tokens: Int[Array, "Q L"]
    types: Int[Array, "Q L"]
    lengths: Int[Array, " Q"]  # real tokens, which stand on the left
    count: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Results:
    """Answers by row of the queue."""

    logits: Float[Array, "Q C"]  # of the exit layer
    layer: Int[Array, " Q"]  # where the text left, 1-based; 0: not answered
    rule: Int[Array, " Q"]  # see `exits.rule_names`


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SlotState:
    """What the loop carries."""

    hidden: Float[Array, "N L H"]
    lengths: Int[Array, " N"]  # real tokens of the slot's text
    row: Int[Array, " N"]  # the queue row that the slot holds; Q where it is empty
    depth: Int[Array, " N"]  # layers its text has been through
    criterion: Any  # the criterion's state, slots first
    next: Int[Array, ""]  # the queue row that enters next
    steps: Int[Array, ""]  # layer-steps so far
    busy: Int[Array, ""]  # sum over steps of the slots that held a text
    results: Results


def _where(chosen: Bool[Array, " N"], new: Array, old: Array) -> Array:
    return jnp.where(chosen.reshape(-1, *[1] * (old.ndim - 1)), new, old)


def start(model: Albert, queue: Queue, criterion: Criterion, slots: int) -> SlotState:
    """Returns `slots` empty slots before `queue`."""
    config, (rows, length) = model.config, queue.tokens.shape
    zero, zeros = jnp.int32(0), jnp.zeros(slots, jnp.int32)
    return SlotState(
        hidden=jnp.zeros((slots, length, config.hidden_size), config.dtype),
        lengths=zeros,
        row=jnp.full(slots, rows, jnp.int32),
        depth=zeros,
        criterion=criterion.init(slots, config.num_labels),
        next=zero,
        steps=zero,
        busy=zero,
        results=Results(
            logits=jnp.zeros((rows, config.num_labels)),
            layer=jnp.zeros(rows, jnp.int32),
            rule=jnp.zeros(rows, jnp.int32),
        ),
    )


def insert(
    model: Albert, queue: Queue, criterion: Criterion, state: SlotState
) -> SlotState:
    """Gives each empty slot the next text of the queue, while there is one."""
    rows, slots = len(queue.lengths), len(state.row)
    empty = state.row == rows
    row = state.next + jnp.cumsum(empty, dtype=jnp.int32) - 1
    fill = empty & (row < queue.count)
    source = jnp.where(fill, row, 0)
    fresh = model.embed(queue.tokens[source], queue.types[source])
    fresh_criterion = criterion.init(slots, model.config.num_labels)
    return dataclasses.replace(
        state,
        hidden=_where(fill, fresh, state.hidden),
        lengths=jnp.where(fill, queue.lengths[source], state.lengths),
        row=jnp.where(fill, row, state.row),
        depth=jnp.where(fill, 0, state.depth),
        criterion=jax.tree.map(
            functools.partial(_where, fill), fresh_criterion, state.criterion
        ),
        next=state.next + fill.sum(dtype=jnp.int32),
    )


def step(model: Albert, criterion: Criterion, state: SlotState) -> SlotState:
    """Takes every slot one layer deeper; answers and empties those that exit."""
    rows = len(state.results.layer)
    mask = jnp.arange(state.hidden.shape[1])[None] < state.lengths[:, None]
    hidden = model.layer(state.hidden, mask)
    logits = model.classify(hidden)
    depth = state.depth + 1
    criterion_state, rule = criterion(state.criterion, logits)
    leaves = (rule > 0) | (depth == model.config.num_hidden_layers)
    # Row Q is outside the results: an empty slot, or one that goes on, is dropped.
    answered = jnp.where(leaves, state.row, rows)
    results = Results(
        logits=state.results.logits.at[answered].set(logits, mode="drop"),
        layer=state.results.layer.at[answered].set(depth, mode="drop"),
        rule=state.results.rule.at[answered].set(rule, mode="drop"),
    )
    return dataclasses.replace(
        state,
        hidden=hidden,
        row=jnp.where(leaves, rows, state.row),
        depth=depth,
        criterion=criterion_state,
        steps=state.steps + 1,
        busy=state.busy + (state.row < rows).sum(dtype=jnp.int32),
        results=results,
    )


@functools.partial(jax.jit, static_argnames=("config", "slots"))
def run(
    params: Params,
    queue: Queue,
    criterion: Criterion,
    *,
    config: AlbertConfig,
    slots: int,
) -> tuple[Results, Int[Array, ""], Int[Array, ""]]:
    """Answers a whole queue in one XLA program.

    It compiles once a shape (slots, Q, L), whatever the count and the thresholds.

    Args:
      params: the model's parameters.
      queue: the texts.
      criterion: when a text leaves.
      config: the model's shape.
      slots: N, how many texts go through the layer together.

    Returns:
      The results; the layer-steps taken; the sum over steps of the slots in use, so
      that `busy / (slots * steps)` is the occupancy.
    """
    model = albert.bind(config, params)
    rows = len(queue.lengths)

    def unfinished(state: SlotState) -> Array:
        """Some text waits in the queue, or some slot holds one."""
        return (state.next < queue.count) | (state.row < rows).any()

    def body(state: SlotState) -> SlotState:
        return step(model, criterion, insert(model, queue, criterion, state))

    state = jax.lax.while_loop(unfinished, body, start(model, queue, criterion, slots))
    return state.results, state.steps, state.busy


@functools.partial(jax.jit, static_argnames="config")
def _embed(params: Params, tokens: Array, types: Array, *, config: AlbertConfig):
    return albert.bind(config, params).embed(tokens, types)


@functools.partial(jax.jit, static_argnames="config")
def _deeper(params: Params, x: Array, *, config: AlbertConfig):
    model = albert.bind(config, params)
    x = model.layer(x, jnp.ones(x.shape[:2], bool))
    return x, model.classify(x)


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
        state = criterion.init(1, config.num_labels)
        while rule[row] == 0 and layer[row] < config.num_hidden_layers:
            x, output = _deeper(params, x, config=config)
            state, fired = judge(state, output)
            logits[row], rule[row] = output[0], fired[0]
            layer[row] += 1
    return Results(jnp.asarray(logits), jnp.asarray(layer), jnp.asarray(rule))
