"""Early exit without slot refill: the batches that the engine is compared with.

Each predicts with a `Classifier`, in length-sorted batches of as many tokens as its
slots hold. With one slot, texts are predicted one at a time.
"""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from elbert_jax.data import batching
from elbert_jax.data.batching import Batch
from elbert_jax.data.encoded import Encoded
from elbert_jax.exits import Criterion
from elbert_jax.inference import engine, slots
from elbert_jax.inference.classifier import Classifier
from elbert_jax.inference.padded_texts import PaddedTexts
from elbert_jax.inference.predictions import Predictions
from elbert_jax.inference.tasks import Classification
from elbert_jax.model import albert
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig

_MIN_BATCH = 32  # texts, however long
_SIZES = 8  # of a shrinking batch; each compiles


def _batches(
    classifier: Classifier, encoded: Encoded
) -> Iterator[tuple[np.ndarray, int]]:
    lengths = classifier.finest_lengths(encoded.lengths)
    most = batching.max_batch_size(classifier.slots, _MIN_BATCH)
    return batching.cut(encoded.lengths, lengths, most)


def static_batches(classifier: Classifier, encoded: Encoded) -> Predictions:
    """Predicts in batches that each run until their slowest text has exited.

    It is the engine on queues that are no longer than its slots.
    """
    params, config = classifier.params, classifier.config
    task = Classification(classifier.exit)
    predictions = Predictions.empty(config, len(encoded))
    ids, finished = np.arange(len(encoded), dtype=np.int32), []
    for rows, length in _batches(classifier, encoded):
        texts = PaddedTexts.pad(encoded, ids, rows, length)
        queue = jax.tree.map(lambda x: x[0], texts.deal(1, len(rows)))
        empty = slots.start(config, task, len(rows), length)
        _, exited = engine.advance(params, empty, queue, task, config=config)
        finished.append(exited)
    for exited in finished:  # the first wait for the device
        predictions.add(engine.compact(exited))
    return predictions


@functools.partial(jax.jit, static_argnames="config")
def _enter(
    params: Params, batch: Batch, exit: Criterion, *, config: AlbertConfig
) -> Any:
    tokens, mask, types = batch.inputs
    state = exit.init(jnp.asarray(batch.index), config.num_labels)
    return albert.bind(config, params).embed(tokens, types), jnp.asarray(mask), state


@functools.partial(jax.jit, static_argnames="config")
def _deeper(
    params: Params, texts: Any, exit: Criterion, depth: Any, *, config: AlbertConfig
) -> tuple[Any, Array, Array]:
    model, (hidden, mask, state) = albert.bind(config, params), texts
    hidden = model.layer(hidden, mask)
    logits = model.classify(hidden, mask, depth)
    state, rule = exit(state, logits)
    return (hidden, mask, state), logits, rule


@jax.jit
def _keep(texts: Any, places: Array) -> Any:
    return jax.tree.map(lambda x: x[places], texts)


def shrinking_batches(classifier: Classifier, encoded: Encoded) -> Predictions:
    """Predicts in batches from which the host removes finished texts after each layer.

    FastBERT's code does the same. A batch shrinks in steps of an eighth of the slots,
    as every size compiles.
    """
    config, params = classifier.config, classifier.params
    predictions = Predictions.empty(config, len(encoded))
    step = -(-classifier.slots // _SIZES)
    for rows, length in _batches(classifier, encoded):
        batch, size = batching.pad(encoded, rows, length), len(rows)
        texts = _enter(params, batch, classifier.exit, config=config)
        places = np.arange(len(rows))  # of the unfinished texts, in the batch
        for depth in range(1, config.num_hidden_layers + 1):
            predictions.add_steps(size, len(rows), length)
            texts, logits, rule = _deeper(
                params, texts, classifier.exit, jnp.int32(depth), config=config
            )
            fired = np.asarray(rule)[places]
            exited = (fired > 0) | (depth == config.num_hidden_layers)
            predictions.logits[rows[exited]] = np.asarray(logits)[places[exited]]
            predictions.layers[rows[exited]] = depth
            predictions.rules[rows[exited]] = fired[exited]
            rows, places = rows[~exited], places[~exited]
            if not len(rows):
                break
            if (smaller := -(-len(rows) // step) * step) < size:
                size = smaller
                texts = _keep(texts, jnp.asarray(np.resize(places, size)))
                places = np.arange(len(rows))
    return predictions
