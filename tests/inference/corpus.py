"""Tiny models, texts and criteria, and the exits that each text has alone."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from elbert_jax import exits
from elbert_jax.exits import (
    AnyOf,
    ConfidenceWindow,
    Count,
    Elbert2021,
    Entropy,
    Patience,
)
from elbert_jax.inference.slots import Queue
from elbert_jax.model import albert
from elbert_jax.model.config import AlbertConfig
from tests.inference.reference import run_one_by_one

CONFIG = AlbertConfig(
    vocab_size=50,
    embedding_size=8,
    hidden_size=16,
    intermediate_size=32,
    num_attention_heads=2,
    num_hidden_layers=6,
    num_labels=3,
    max_position_embeddings=16,
    initializer_range=0.4,  # wide, so that texts leave at many different layers
)
PARAMS = albert.init(CONFIG, jax.random.key(1))
PARAMS["classifier"]["kernel"] *= 3
MODELS = {"shared": (CONFIG, PARAMS)}
for shape in ("pooler", "linear", "mlp", "attention"):
    config = dataclasses.replace(CONFIG, exit_heads=shape)
    heads = albert.init(config, jax.random.key(4))["exit_heads"]
    if shape in ("mlp", "attention"):  # 0.4 is wide for 128 inputs
        heads = jax.tree.map(lambda x: 0.4 * x, heads)
    heads["classifier"]["kernel"] *= 2
    MODELS[shape] = config, PARAMS | {"exit_heads": heads}
CORPUS = 24  # texts, of 1 or 8 tokens
ROWS = 32  # of a queue
EDGE = 1e-5  # a reference this near to its rule's edge may fall to either side

CRITERIA = {
    "monotone": ConfidenceWindow(0.06, 4, "monotone"),
    "range": ConfidenceWindow(0.03, 3, "range", epsilon=0.1),
    "label": ConfidenceWindow(0.03, 4, "label"),
    "confidence": ConfidenceWindow(0.15, 3, "none"),
    "never": ConfidenceWindow(0.0, 3, "none"),
    "bias_1": Elbert2021(0.05, 4, "bias_1"),
    "bias_2": Elbert2021(0.05, 4, "bias_2", margin=0.1),
    "bias_3": Elbert2021(0.05, 3, "bias_3", spread=0.1),
    "entropy": Entropy(0.3),
    "patience": Patience(2),
    "count": Count(2),
    "any of": AnyOf((Patience(3), ConfidenceWindow(0.03, 2, "monotone"))),
}


def make_queue(texts, length, rows=ROWS):
    """Packs (tokens, types) pairs, with garbage in the padding."""
    tokens = np.full((rows, length), 49, np.int32)
    types = np.ones((rows, length), np.int32)
    lengths = np.zeros(rows, np.int32)
    for row, (text, kinds) in enumerate(texts):
        tokens[row, : len(text)], types[row, : len(text)] = text, kinds
        lengths[row] = len(text)
    ids = np.arange(rows, dtype=np.int32)
    arrays = map(jnp.asarray, (tokens, types, lengths, ids, np.int32(len(texts))))
    return Queue(*arrays)


@functools.cache
def corpus():
    draw = np.random.default_rng(0)
    lengths = draw.choice([1, 8], CORPUS)  # the reference compiles for each
    return [
        (draw.integers(0, 48, n).astype(np.int32), draw.integers(0, 2, n))
        for n in lengths
    ]


@functools.cache
def every_layer(heads="shared"):
    """The logits of each text alone, unpadded, at full depth: [D, M, C]."""
    model = albert.bind(*MODELS[heads])
    forward = jax.jit(lambda tokens, types: model(tokens, tokens >= 0, types))
    alone = [forward(t[None], k[None].astype(np.int32)) for t, k in corpus()]
    return np.concatenate(alone, axis=1)


@functools.cache
def reference(name, heads="shared"):
    queue, (config, params) = make_queue(corpus(), 8), MODELS[heads]
    results = run_one_by_one(params, queue, CRITERIA[name], config=config)
    return jax.tree.map(np.asarray, results)


@functools.cache
def near_edge(name, heads="shared"):
    """Which texts would leave elsewhere if a threshold or a tie moved by EDGE."""
    logits = every_layer(heads)
    p = np.sort(np.asarray(jax.nn.softmax(logits)), axis=-1)
    tied = (p[..., -1] - p[..., -2] < EDGE).any(0)

    def leaves(by):
        def move(leaf):  # a threshold; 0 switches a rule off and stays
            return leaf + by if isinstance(leaf, float) and leaf else leaf

        return exits.exit_layer(jax.tree.map(move, CRITERIA[name]), logits).layer

    return tied | (leaves(-EDGE) != leaves(0.0)) | (leaves(EDGE) != leaves(0.0))


def check_exits(got, name, picked, heads="shared"):
    """Compares the exits of picked texts with the reference."""
    want, sure = reference(name, heads), ~near_edge(name, heads)[picked]
    np.testing.assert_array_equal(got.layer[sure], want.layer[picked][sure])
    np.testing.assert_array_equal(got.rule[sure], want.rule[picked][sure])
    np.testing.assert_array_equal(
        got.logits.argmax(-1)[sure], want.logits[picked].argmax(-1)[sure]
    )
    np.testing.assert_allclose(got.logits[sure], want.logits[picked][sure], atol=1e-5)
