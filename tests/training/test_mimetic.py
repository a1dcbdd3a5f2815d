"""A start for little text: what its attention reads, and what its head reads off."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elbert_jax.model import pretraining_heads
from elbert_jax.model.albert import AlbertConfig
from elbert_jax.training import mimetic

CONFIG = AlbertConfig(
    vocab_size=50,
    embedding_size=64,
    hidden_size=128,
    num_hidden_layers=2,
    num_attention_heads=8,
    intermediate_size=32,
    max_position_embeddings=24,
    initializer_range=0.0,  # what is left is what was begun
)
SIZE = CONFIG.hidden_size // CONFIG.num_attention_heads
VECTORS = np.random.default_rng(0).normal(
    size=(50, mimetic.word_size(CONFIG, "neighbours"))
)
COUNTS = np.full(50, 100)
COUNTS[7] = 0  # unknown, though a factorisation leaves it a speck of a vector


def begun(config=CONFIG, vectors=VECTORS, counts=COUNTS):
    fresh = pretraining_heads.init(config, jax.random.key(0))
    params = mimetic.begin(config, fresh, vectors, counts, jax.random.key(1))
    return pretraining_heads.bind(config, params), fresh


@pytest.fixture(scope="module")
def model():
    return begun()[0]


@pytest.fixture(scope="module")
def embedded(model):
    tokens = jax.random.randint(jax.random.key(2), (1, 24), 8, 50)
    return tokens[0], model.albert.embed(tokens, jnp.zeros_like(tokens))[0]


def test_half_of_the_heads_read_a_neighbour_each_and_the_others_all(model, embedded):
    _, x = embedded
    attention = model.albert.albert_layers[0].attention
    query, key = (
        np.asarray(linear(x)).reshape(24, 8, SIZE)
        for linear in (attention.query, attention.key)
    )
    scores = np.einsum("qnk,snk->nqs", query, key) / np.sqrt(SIZE)
    for head, offset in enumerate((-1, 1, -2, 2)):
        for place in range(2, 22):
            assert scores[head, place].argmax() == place + offset
        assert scores[head, 2:22].max() == pytest.approx(5, rel=0.4)
    assert np.abs(scores[4:]).max() < 1e-5  # all alike


def test_what_attention_reads_is_handed_on(model, embedded):
    _, x = embedded
    attention = model.albert.albert_layers[0].attention
    np.testing.assert_allclose(attention.value(x), x, atol=1e-6)
    np.testing.assert_allclose(attention.dense(x), x, atol=1e-6)
    kernel = model.albert.embedding_hidden_mapping_in.kernel[...]
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(64), atol=1e-5)


def test_without_room_for_positions_all_heads_read_the_mean():
    model, fresh = begun(vectors=np.ones((50, mimetic.word_size(CONFIG, "mean"))))
    drawn = fresh["albert"]["embeddings"]["position_embeddings"]["embedding"]
    positions = model.albert.embeddings.position_embeddings.embedding[...]
    np.testing.assert_array_equal(positions, drawn)
    attention = model.albert.albert_layers[0].attention
    x = jax.random.normal(jax.random.key(3), (2, 7, CONFIG.hidden_size))
    mask = jnp.asarray(np.arange(7) < np.array([[7], [4]]))
    mean = jnp.stack([x[0].mean(0), x[1, :4].mean(0)])
    want = attention.layer_norm(x + mean[:, None])
    np.testing.assert_allclose(attention(x, mask), want, atol=1e-5)


def test_the_head_reads_off_the_word_or_else_the_most_frequent(model, embedded):
    tokens, x = embedded
    table = model.albert.embeddings.word_embeddings.embedding[...]
    assert (model.predictions(x[None], table)[0].argmax(-1) == tokens).all()
    counts = COUNTS + 900 * (np.arange(50) == 33)
    other, _ = begun(counts=counts)
    nothing = other.predictions(jnp.zeros((1, 1, 128)), table)
    np.testing.assert_allclose(
        jax.nn.softmax(nothing[0, 0]), counts / counts.sum(), rtol=1e-2, atol=1e-4
    )


def test_words_are_the_vectors_and_unknown_ones_as_drawn():
    config = dataclasses.replace(CONFIG, initializer_range=0.02)
    model, fresh = begun(config)
    words = mimetic.word_size(config, "neighbours")
    assert words == 48
    drawn = fresh["albert"]["embeddings"]["word_embeddings"]["embedding"]
    table = np.asarray(model.albert.embeddings.word_embeddings.embedding[...])
    lengths, known = np.linalg.norm(VECTORS, axis=1, keepdims=True), COUNTS > 0
    want = VECTORS[known] / lengths[known] / 2
    np.testing.assert_allclose(table[known, :words], want, atol=1e-6)
    np.testing.assert_array_equal(table[7, :words], drawn[7, :words])
    assert not table[:, words:].any()
    positions = np.asarray(model.albert.embeddings.position_embeddings.embedding[...])
    lengths = np.linalg.norm(positions[:, words:], axis=1)
    np.testing.assert_allclose(lengths, 0.5, atol=1e-6)


@pytest.mark.parametrize("size", [4, 16])
def test_any_shape(size):
    config = dataclasses.replace(CONFIG, embedding_size=size, num_attention_heads=1)
    vectors = np.ones((50, mimetic.word_size(config, "neighbours")))
    model, _ = begun(config, vectors)
    tokens = jnp.ones((1, 24), jnp.int32)
    x = model.albert.layer(
        model.albert.embed(tokens, tokens * 0), jnp.ones((1, 24), bool)
    )
    assert jnp.isfinite(x).all()
