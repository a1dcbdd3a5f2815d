"""Properties of the model itself; tests/test_hf.py compares it with PyTorch's."""

import dataclasses

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbert_jax.model import albert
from elbert_jax.model.config import AlbertConfig
from tests.properties import examples

CONFIG = AlbertConfig(
    vocab_size=40,
    embedding_size=8,
    hidden_size=16,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=32,
    max_position_embeddings=24,
    num_labels=3,
    hidden_dropout_prob=0.1,
    attention_probs_dropout_prob=0.1,
    initializer_range=0.3,  # so that texts get different logits
)
PARAMS = albert.init(CONFIG, jax.random.key(0))
LENGTHS = (9, 5, 2)
LONGEST = 16
ATOL = 3e-6  # another shape is another program, which rounds otherwise


def model(config, params, tokens, mask, types, key=None):
    return albert.bind(config, params)(tokens, mask, types, key=key)


jitted = jax.jit(model, static_argnums=0)


def batch(pad_id=0, length=LONGEST):
    """Three texts, of LENGTHS tokens, padded on the right."""
    rng = np.random.default_rng(0)
    tokens = np.full((len(LENGTHS), length), pad_id, np.int32)
    types = np.zeros_like(tokens)
    mask = np.arange(length) < np.array(LENGTHS)[:, None]
    for row, n in enumerate(LENGTHS):
        tokens[row, :n] = rng.integers(0, CONFIG.vocab_size, n)
        types[row, n // 2 : n] = 1
    return tokens, mask, types


@pytest.fixture(scope="module")
def logits():
    return jitted(CONFIG, PARAMS, *batch())


def test_logits_are_float32_of_every_layer(logits):
    assert logits.shape == (3, len(LENGTHS), 3) and logits.dtype == jnp.float32
    assert np.ptp(logits, axis=(0, 1)).min() > 0.1  # neither depths nor texts agree


def test_call_is_embed_then_layers_then_classify(logits):
    bound = albert.bind(CONFIG, PARAMS)
    tokens, mask, types = map(jnp.asarray, batch())
    x = bound.embed(tokens, types)
    for want in logits:
        x = bound.layer(x, mask)
        np.testing.assert_allclose(bound.classify(x), want, atol=ATOL)


@examples(20)
@given(st.integers(0, 2**32 - 1))
def test_padding_may_hold_any_ids(logits, seed):
    rng = np.random.default_rng(seed)
    tokens, mask, types = batch()
    junk = rng.integers(0, CONFIG.vocab_size, tokens.shape, np.int32)
    junk_types = rng.integers(0, 2, types.shape, np.int32)
    tokens, types = np.where(mask, tokens, junk), np.where(mask, types, junk_types)
    got = jitted(CONFIG, PARAMS, tokens, mask, types)
    np.testing.assert_array_equal(got, logits)  # a masked weight is 0, exactly


@pytest.mark.parametrize("length", [max(LENGTHS), 12, 24])
def test_padding_may_have_any_length(logits, length):
    got = jitted(CONFIG, PARAMS, *batch(length=length))
    np.testing.assert_allclose(got, logits, atol=ATOL)


@pytest.mark.exactness
@pytest.mark.parametrize("row", range(len(LENGTHS)))
def test_text_gives_alone_what_it_gives_in_a_batch(logits, row):
    tokens, mask, types = batch()
    n = LENGTHS[row]
    alone = [x[row : row + 1, :n] for x in (tokens, mask, types)]
    got = jitted(CONFIG, PARAMS, *alone)
    np.testing.assert_allclose(got[:, 0], logits[:, row], atol=ATOL)


@pytest.mark.parametrize("changed", ["tokens", "order", "types"])
def test_every_input_matters(logits, changed):
    tokens, mask, types = batch()
    if changed == "tokens":
        tokens = (tokens + mask) % CONFIG.vocab_size
    elif changed == "order":
        tokens[:, :2] = tokens[:, 1::-1]
    else:
        types = np.where(mask, 1 - types, types)
    got = jitted(CONFIG, PARAMS, tokens.astype(np.int32), mask, types)
    assert np.abs(got - logits).max(axis=(0, 2)).min() > 1e-3


def test_two_inner_layers_make_one_depth():
    """Two copies of a layer are that layer, applied at twice as many depths."""
    layer = PARAMS["albert_layers"][0]
    double = dataclasses.replace(CONFIG, inner_group_num=2)
    deep = dataclasses.replace(CONFIG, num_hidden_layers=6)
    got = jitted(double, PARAMS | {"albert_layers": {0: layer, 1: layer}}, *batch())
    want = jitted(deep, PARAMS, *batch())[1::2]
    np.testing.assert_allclose(got, want, atol=ATOL)


RATES = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout_prob",
)


def dropping(**rates):
    return dataclasses.replace(CONFIG, **{**dict.fromkeys(RATES, 0.0), **rates})


def dropout_key(seed):
    return jax.random.key(seed, impl="rbg")  # compiles in a third of threefry's time


def test_dropout_needs_a_key_and_follows_it(logits):
    draw = [jitted(CONFIG, PARAMS, *batch(), dropout_key(k)) for k in (1, 1, 2)]
    np.testing.assert_array_equal(draw[0], draw[1])
    for one, other in ((draw[0], draw[2]), (draw[0], logits)):
        assert np.abs(one - other).max(axis=-1).min() > 1e-4  # at every depth and text
    got = jitted(dropping(), PARAMS, *batch(), dropout_key(1))
    np.testing.assert_allclose(got, logits, atol=ATOL)


@pytest.mark.parametrize("rate", RATES)
def test_each_dropout_rate_is_in_use(logits, rate):
    got = jitted(dropping(**{rate: 0.5}), PARAMS, *batch(), dropout_key(0))
    assert np.abs(got - logits).max() > 1e-2


def test_dropout_differs_from_layer_to_layer():
    """Every layer puts out 0, so only the head's dropout tells depths apart."""
    zero = jax.tree.map(jnp.zeros_like, PARAMS["albert_layers"])
    pooler = PARAMS["pooler"] | {"bias": jnp.ones(CONFIG.hidden_size)}
    params = PARAMS | {"albert_layers": zero, "pooler": pooler}
    config = dropping(classifier_dropout_prob=0.5)
    first, *others = jitted(config, params, *batch(), dropout_key(0))
    for other in others:
        assert np.abs(first - other).max() > 1e-3


def test_bfloat16_is_near_float32(logits):
    config = dataclasses.replace(CONFIG, dtype="bfloat16")
    got = jitted(config, PARAMS, *batch())
    assert got.dtype == jnp.float32
    assert 0 < np.abs(got - logits).max() < 0.05 * np.abs(logits).max()
    tokens, _, types = map(jnp.asarray, batch())
    assert albert.bind(config, PARAMS).embed(tokens, types).dtype == jnp.float32


def test_bfloat16_gradient_is_near_float32():
    def slope(dtype):
        config = dataclasses.replace(CONFIG, dtype=dtype)
        arrays = tuple(map(jnp.asarray, batch()))

        def loss(params):
            return (albert.bind(config, params)(*arrays) ** 2).mean()

        return jax.flatten_util.ravel_pytree(jax.jit(jax.grad(loss))(PARAMS))[0]

    half, whole = slope("bfloat16"), slope("float32")
    apart = jnp.linalg.norm(half - whole) / jnp.linalg.norm(whole)
    assert half.dtype == jnp.float32 and 0 < apart < 0.1


def test_parameters_are_one_layer_whatever_the_depth():
    deep = albert.init(
        dataclasses.replace(CONFIG, num_hidden_layers=24), jax.random.key(0)
    )
    jax.tree.map(np.testing.assert_array_equal, deep, PARAMS)
    assert {x.dtype for x in jax.tree.leaves(PARAMS)} == {jnp.dtype("float32")}


def test_init_has_the_wanted_spread_and_follows_its_key():
    again, other = (albert.init(CONFIG, jax.random.key(k)) for k in (0, 1))
    jax.tree.map(np.testing.assert_array_equal, again, PARAMS)
    assert (other["pooler"]["kernel"] != PARAMS["pooler"]["kernel"]).any()
    for path, x in jax.tree_util.tree_leaves_with_path(PARAMS):
        name = str(path[-1])
        if "bias" in name or "scale" in name:
            np.testing.assert_array_equal(x, float("scale" in name), str(path))
        elif x.size > 100:
            assert abs(x.std() / CONFIG.initializer_range - 1) < 0.2, path


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"num_attention_heads": 5}, "not a multiple of num_attention_heads 5"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
    ],
)
def test_bad_config_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **setting)
