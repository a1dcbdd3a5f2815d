"""The slow, obvious reference: each text alone, unpadded, layer after layer."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from elbert_jax.exits import Exits
from elbert_jax.model import albert


@functools.partial(jax.jit, static_argnames="config")
def _embed(params, tokens, types, *, config):
    return albert.bind(config, params).embed(tokens, types)


@functools.partial(jax.jit, static_argnames="config")
def _deeper(params, x, depth, *, config):
    model, mask = albert.bind(config, params), jnp.ones(x.shape[:2], bool)
    x = model.layer(x, mask)
    return x, model.classify(x, mask, depth)


def run_one_by_one(params, queue, criterion, *, config) -> Exits:
    """Returns where each row of a queue exits, and its logits there."""
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
    return Exits(layer, rule, logits)  # type: ignore
