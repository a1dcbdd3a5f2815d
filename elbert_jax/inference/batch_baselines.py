"""What slot refill replaces: full-depth, static and shrinking batches.

Each answers texts with a `Classifier`, whose slots are the texts of its batches, and
sorts them by length first. With one slot, texts are answered one at a time.

Letters: M texts, B of them in a batch, L tokens.
"""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from elbert_jax.data import batching
from elbert_jax.data.batching import Batch, Encoded, Room, room
from elbert_jax.exits import Criterion
from elbert_jax.inference import buckets, engine
from elbert_jax.inference.buckets import Answers
from elbert_jax.inference.classifier import Classifier
from elbert_jax.model import albert
from elbert_jax.model.albert import AlbertConfig, Params

_LEAST = 32  # texts of a batch with early exit
_SIZES = 8  # that a shrinking batch may have: each compiles
_IN_CACHE = 1024  # tokens that a CPU takes at once


def _batches(
    classifier: Classifier, encoded: Encoded, most: Room
) -> Iterator[tuple[np.ndarray, int]]:
    lengths = classifier.layout.buckets or batching.fitting_lengths(
        encoded.lengths, lambda _: 1, classifier.max_length
    )
    return batching.cut(encoded.lengths, lengths, most)


@functools.partial(jax.jit, static_argnames=("config", "pieces"))
def _last_layer(
    params: Params, batch: Batch, *, config: AlbertConfig, pieces: int
) -> Array:
    model = albert.bind(config, params)

    def answer(inputs: tuple[Array, Array, Array]) -> Array:
        tokens, mask, types = inputs

        def step(x: Array, _: None) -> tuple[Array, None]:
            return model.layer(x, mask), None

        x = model.embed(tokens, types)
        x, _ = jax.lax.scan(step, x, length=config.num_hidden_layers - 1)
        return model.classify(model.layer(x, mask, num_queries=1))

    each = jax.tree.map(lambda x: x.reshape(pieces, -1, x.shape[1]), batch.inputs)
    return jax.lax.map(answer, each).reshape(-1, config.num_labels)


def _full_batches(
    classifier: Classifier, encoded: Encoded, most: Room | None
) -> Iterator[tuple[np.ndarray, Batch, int]]:
    """Yields rows, their batch, and how many pieces of it fit into a CPU's cache."""
    on_cpu = jax.default_backend() == "cpu"
    for rows, length in _batches(classifier, encoded, most or room(classifier.slots)):
        pieces = -(-len(rows) * length // _IN_CACHE) if on_cpu else 1
        size = pieces * -(-len(rows) // pieces)
        yield rows, batching.pad(encoded, rows, length, size), pieces


def full_depth(
    classifier: Classifier, encoded: Encoded, most: Room | None = None
) -> Answers:
    """Answers at the last layer, in length-sorted batches of `room(slots)`, or most.

    Of that layer only the first token is computed, which the head reads.
    """
    params, config = classifier.params, classifier.config
    depth, answers = config.num_hidden_layers, Answers.empty(config, len(encoded))
    outputs = []
    for rows, batch, pieces in _full_batches(classifier, encoded, most):
        output = _last_layer(params, batch, config=config, pieces=pieces)
        outputs.append((rows, output))
        count, length = batch.tokens.shape
        answers.add_steps(depth * count, depth * len(rows), length)
    for rows, logits in outputs:  # the host has not waited so far
        answers.logits[rows] = np.asarray(logits)[: len(rows)]
    answers.layers[:] = depth
    return answers


def warm_full_depth(
    classifier: Classifier, encoded: Encoded, most: Room | None = None
) -> None:
    """Runs one batch of each shape that `full_depth` would run."""
    shapes = {}
    for _, batch, pieces in _full_batches(classifier, encoded, most):
        shapes[batch.tokens.shape] = batch, pieces
    params, config = classifier.params, classifier.config
    for batch, pieces in shapes.values():
        np.asarray(_last_layer(params, batch, config=config, pieces=pieces))


def static_batches(
    classifier: Classifier, encoded: Encoded, most: Room | None = None
) -> Answers:
    """Answers length-sorted batches with early exit; each waits for its slowest text.

    They are of `room(slots, 32)`, or most. It is the engine on queues no longer than
    its slots, so that nothing refills.
    """
    config, answers = classifier.config, Answers.empty(classifier.config, len(encoded))
    ids, finished = np.arange(len(encoded), dtype=np.int32), []
    most = most or room(classifier.slots, _LEAST)
    for rows, length in _batches(classifier, encoded, most):
        _, left = engine.advance(
            classifier.params,
            engine.start(config, classifier.exit, len(rows), length),
            buckets.queue(encoded, rows, ids, length, len(rows)),
            classifier.exit,
            0,
            config=config,
        )
        finished.append(left)
    for left in finished:
        answers.take(left)
        answers.count(left)
    return answers


@functools.partial(jax.jit, static_argnames="config")
def _enter(
    params: Params, batch: Batch, exit: Criterion, *, config: AlbertConfig
) -> tuple[Array, Array, Any]:
    tokens, mask, types = batch.inputs
    state = exit.init(jnp.asarray(batch.index), config.num_labels)
    return albert.bind(config, params).embed(tokens, types), jnp.asarray(mask), state


@functools.partial(jax.jit, static_argnames="config")
def _deeper(
    params: Params, texts: Any, exit: Criterion, depth: Array, *, config: AlbertConfig
) -> tuple[Any, Array, Array]:
    model, (hidden, mask, state) = albert.bind(config, params), texts
    hidden = model.layer(hidden, mask)
    logits = model.classify(hidden, mask, depth)
    state, rule = exit(state, logits)
    return (hidden, mask, state), logits, rule


@jax.jit
def _keep(texts: Any, places: Array) -> Any:
    return jax.tree.map(lambda x: x[places], texts)


def shrinking_batches(classifier: Classifier, encoded: Encoded) -> Answers:
    """Answers length-sorted batches from which the host removes the finished texts.

    That is how FastBERT's code does it. B shrinks in eighths of the slots, as every
    size compiles.
    """
    config, answers = classifier.config, Answers.empty(classifier.config, len(encoded))
    params, step = classifier.params, -(-classifier.slots // _SIZES)
    for rows, length in _batches(classifier, encoded, room(classifier.slots, _LEAST)):
        batch, size = batching.pad(encoded, rows, length), len(rows)
        texts = _enter(params, batch, classifier.exit, config=config)
        places = np.arange(len(rows))  # of the texts on their way, in the batch
        for depth in range(1, config.num_hidden_layers + 1):
            answers.add_steps(size, len(rows), length)
            texts, logits, rule = _deeper(
                params, texts, classifier.exit, jnp.int32(depth), config=config
            )
            fired = np.asarray(rule)[places]
            leaves = (fired > 0) | (depth == config.num_hidden_layers)
            answers.logits[rows[leaves]] = np.asarray(logits)[places[leaves]]
            answers.layers[rows[leaves]] = depth
            answers.rules[rows[leaves]] = fired[leaves]
            rows, places = rows[~leaves], places[~leaves]
            if not len(rows):
                break
            if (smaller := -(-len(rows) // step) * step) < size:
                size = smaller
                filled = np.resize(places, size)
                texts = _keep(texts, jnp.asarray(filled))
                places = np.arange(len(rows))
    return answers
