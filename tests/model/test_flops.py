"""Costs against their formulae and against XLA's own count."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elbert_jax.model import albert, flops, pretraining_heads
from elbert_jax.model.config import EXIT_HEADS, AlbertConfig

E, H, C, D = 16, 128, 3, 6
CONFIG = AlbertConfig(
    vocab_size=20,
    embedding_size=E,
    hidden_size=H,
    num_hidden_layers=D,
    num_attention_heads=2,
    intermediate_size=4 * H,
    max_position_embeddings=64,
    num_labels=C,
)
HEAD = 2 * H**2 + 2 * H * C


def layer(length):
    return 24 * H**2 + 4 * length * H


def test_layer_per_token():
    np.testing.assert_array_equal(
        flops.layer_per_token(CONFIG, np.array([1, 64])), [layer(1), layer(64)]
    )
    narrow = dataclasses.replace(CONFIG, intermediate_size=H)
    assert flops.layer_per_token(narrow, np.array(64)) == 12 * H**2 + 4 * 64 * H
    double = dataclasses.replace(CONFIG, inner_group_num=2)
    assert flops.layer_per_token(double, np.array(64)) == 2 * layer(64)


def test_text_pays_the_head_at_every_layer_and_full_depth_pays_it_once():
    assert flops.head(CONFIG) == HEAD
    length, depth = np.array([5, 64]), np.array([1, 4])
    want = [
        5 * (2 * E * H + layer(5)) + HEAD,
        64 * (2 * E * H + 4 * layer(64)) + 4 * HEAD,
    ]
    np.testing.assert_array_equal(flops.text(CONFIG, length, depth), want)
    np.testing.assert_array_equal(
        flops.full_text(CONFIG, length),
        flops.text(CONFIG, length, np.full(2, D)) - (D - 1) * HEAD,
    )


@pytest.mark.parametrize("shape", EXIT_HEADS)
def test_text_pays_the_heads_of_the_layers_that_it_goes_through(shape):
    config = dataclasses.replace(CONFIG, exit_heads=shape)
    length, depth = np.array([5, 5, 64]), np.array([1, D, D - 1])
    heads = flops.text(config, length, depth) - flops.text(CONFIG, length, depth)
    early = flops.exit_head(config, length) - HEAD
    np.testing.assert_array_equal(heads, early * [1, D - 1, D - 1])
    np.testing.assert_array_equal(
        flops.full_text(config, length), flops.full_text(CONFIG, length)
    )


@pytest.mark.parametrize("shape", ["pooler", "linear", "mlp", "attention"])
def test_xla_counts_the_same_for_an_exit_head(shape):
    config = dataclasses.replace(CONFIG, exit_heads=shape)
    counted = xla(
        lambda model, x, mask: model.classify(x, mask, jnp.int32(1)),
        ((1, 40, H), np.float32),
        ((1, 40), bool),
        config=config,
    )
    assert flops.exit_head(config, 40) == pytest.approx(counted, rel=0.02)


def test_long_corpora_do_not_overflow():
    large = AlbertConfig(hidden_size=4092, intermediate_size=16368)
    length = np.full(1000, 512, np.int32)
    assert flops.full_text(large, length).sum() > 1000 * 512 * 12 * 24 * 4092.0**2


def xla(function, *shapes, module: Any = albert, config=CONFIG):
    model = jax.eval_shape(lambda: module.init(config, jax.random.key(0)))
    args = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes]
    compiled = jax.jit(
        lambda params, *args: function(module.bind(config, params), *args)
    )
    analysis = compiled.lower(model, *args).compile().cost_analysis()
    assert analysis is not None
    return analysis["flops"]


@pytest.mark.parametrize(("batch", "length"), [(1, 64), (3, 16)])
def test_xla_counts_the_same_for_a_layer(batch, length):
    x, mask = ((batch, length, H), np.float32), ((batch, length), bool)
    counted = xla(lambda model, x, mask: model.layer(x, mask), x, mask)
    assert batch * length * layer(length) == pytest.approx(counted, rel=0.03)


def test_xla_counts_the_same_for_the_head_and_the_projection():
    counted = xla(lambda model, x: model.classify(x), ((1, 8, H), np.float32))
    assert HEAD == pytest.approx(counted, rel=0.01)


def test_xla_counts_the_same_for_the_masked_language_model():
    config = dataclasses.replace(CONFIG, vocab_size=1000, embedding_size=64)
    want = 7 * flops.masked_token(config)
    shapes = ((1, 7, H), np.float32), ((1000, 64), np.float32)
    predict = lambda model, x, table: model.predictions(x, table)  # noqa: E731
    counted = xla(predict, *shapes, module=pretraining_heads, config=config)
    assert want == 7 * (2 * H * 64 + 2 * 64 * 1000)
    assert want == pytest.approx(counted, rel=0.02)
