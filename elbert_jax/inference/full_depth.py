"""Batches at full depth, without early exit.

Letters: M texts, B rows of a batch, L tokens, D layers, C classes.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence

import jax
import numpy as np
from jaxtyping import Array, Float

from elbert_jax.data import batching
from elbert_jax.data.batching import Batch, MaxBatchSize
from elbert_jax.data.encoded import Encoded
from elbert_jax.inference.predictions import Predictions
from elbert_jax.model import albert
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig

_CACHE_TOKENS = 1024  # B x L whose activations stay in a CPU's cache


@functools.partial(jax.jit, static_argnames="config")
def _forward(config: AlbertConfig, params: Params, batch: Batch) -> jax.Array:
    return albert.bind(config, params)(*batch.inputs)


def every_layer(
    config: AlbertConfig, params: Params, batches: Iterable[Batch], texts: int
) -> Float[np.ndarray, "D M C"]:
    """Returns the logits of every layer for a corpus of M = `texts` texts, in order."""
    shape = (config.num_hidden_layers, texts, config.num_labels)
    logits = np.zeros(shape, np.float32)
    for batch in batches:
        real = batch.weight > 0
        output = np.asarray(_forward(config, params, batch))
        logits[:, batch.index[real]] = output[:, real]
    return logits


def last_layer(
    config: AlbertConfig,
    params: Params,
    encoded: Encoded,
    lengths: Sequence[int],
    max_batch_size: MaxBatchSize,
) -> Predictions:
    """Returns the last layer's predictions, computed in length-sorted batches.

    In the last layer only the first token is computed, as the head reads no other.

    Args:
      config: the model's shape.
      params: its parameters.
      encoded: M texts.
      lengths: the padded lengths, from short to long.
      max_batch_size: gives the most rows of a batch by its padded length.
    """
    depth = config.num_hidden_layers
    predictions, outputs = Predictions.empty(config, len(encoded)), []
    for rows, batch, parts in _batches(encoded, lengths, max_batch_size):
        outputs.append((rows, _last_layer(config, params, batch, parts)))
        size, length = batch.tokens.shape
        predictions.add_steps(depth * size, depth * len(rows), length)
    for rows, logits in outputs:  # the first wait for the device
        predictions.logits[rows] = np.asarray(logits)[: len(rows)]
        predictions.layers[rows] = depth
    return predictions


def _batches(
    encoded: Encoded, lengths: Sequence[int], max_batch_size: MaxBatchSize
) -> Iterator[tuple[np.ndarray, Batch, int]]:
    """Yields rows, their batch, and in how many parts a CPU computes it."""
    on_cpu = jax.default_backend() == "cpu"
    for rows, length in batching.cut(encoded.lengths, lengths, max_batch_size):
        parts = -(-len(rows) * length // _CACHE_TOKENS) if on_cpu else 1
        size = parts * -(-len(rows) // parts)
        yield rows, batching.pad(encoded, rows, length, size), parts


@functools.partial(jax.jit, static_argnames=("config", "parts"))
def _last_layer(config: AlbertConfig, params: Params, batch: Batch, parts: int):
    model = albert.bind(config, params)

    def logits(inputs: tuple[Array, Array, Array]) -> Float[Array, "B C"]:
        tokens, mask, types = inputs

        def step(x: Array, _: None) -> tuple[Array, None]:
            return model.layer(x, mask), None

        x = model.embed(tokens, types)
        x, _ = jax.lax.scan(step, x, length=config.num_hidden_layers - 1)
        return model.classify(model.layer(x, mask, num_queries=1))

    split = jax.tree.map(lambda x: x.reshape(parts, -1, x.shape[1]), batch.inputs)
    return jax.lax.map(logits, split).reshape(-1, config.num_labels)
