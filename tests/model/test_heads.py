"""Heads of their own before the last layer: what they compute, and their files."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elbert_jax.errors import UserError
from elbert_jax.hub import pretrained, weight_table
from elbert_jax.model import albert, heads
from elbert_jax.model.config import EXIT_HEADS, AlbertConfig
from tests.hugging_face import (
    TINY,
    batch,
    edit_tensors,
    tensors_of,
    torch_outputs,
    transformers,
)

SHAPES = EXIT_HEADS[1:]
SHARED = AlbertConfig(**TINY)
D = SHARED.num_hidden_layers
LABELS = ("negative", "neutral", "positive")


KERNEL_BIAS = ("kernel", "bias")
TOKENS, MASK, TYPES = map(jnp.asarray, batch())


@functools.cache
def make(shape):
    """A model in which no bias is 0; its body is that of every shape."""
    config = dataclasses.replace(SHARED, exit_heads=shape)
    params = albert.init(config, jax.random.key(1))
    heads = params.pop("exit_heads", {})
    draw = np.random.default_rng(1)
    move = lambda x: jnp.float32(x + draw.normal(0, 0.2, x.shape))  # noqa: E731
    params, heads = jax.tree.map(move, params), jax.tree.map(move, heads)
    return config, params | ({"exit_heads": heads} if heads else {})


@functools.cache
def hidden():
    """h_1 .. h_D: [D, B, L, H]."""

    @jax.jit
    def run(params):
        model = albert.bind(SHARED, params)
        x, every = model.embed(TOKENS, TYPES), []
        for _ in range(D):
            x = model.layer(x, MASK)
            every.append(x)
        return jnp.stack(every)

    return run(make("shared")[1])


@functools.cache
def logits(shape):
    """Of every layer: [D, B, C]."""
    return jax.jit(albert.bind(*make(shape)))(TOKENS, MASK, TYPES)


float64 = functools.partial(np.asarray, dtype=np.float64)


def by_hand(shape, params, index, x, mask, pooled):
    """One head on one text, [L, H], without padding and in float64."""
    heads = params["exit_heads"]

    def linear(name, y):
        kernel, bias = (float64(heads[name][leaf][index]) for leaf in KERNEL_BIAS)
        return y @ kernel + bias

    x = float64(x[mask])
    if shape == "linear":
        return linear("classifier", pooled)
    if shape == "pooler":
        return linear("classifier", np.tanh(linear("pooler", x[0])))
    y = np.tanh(linear("narrow", x))
    if shape == "attention":
        query, key, value = (linear(name, y) for name in ("query", "key", "value"))
        read = []
        for part in (slice(0, 64), slice(64, 128)):  # all tokens read; one is used
            scores = np.exp(query[:, part] @ key[:, part].T / 8)
            read.append(scores / scores.sum(-1, keepdims=True) @ value[:, part])
        y = linear("output", np.concatenate(read, axis=-1))
    return linear("classifier", np.tanh(linear("dense", y[0])))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_layer_has_its_own_head_and_the_last_one_alberts(shape):
    _, params = make(shape)
    pooler = {leaf: float64(params["pooler"][leaf]) for leaf in KERNEL_BIAS}
    got = logits(shape)
    for index in range(D - 1):
        for row, x in enumerate(np.asarray(hidden()[index])):
            pooled = np.tanh(float64(x[0]) @ pooler["kernel"] + pooler["bias"])
            want = by_hand(shape, params, index, x, np.asarray(MASK[row]), pooled)
            np.testing.assert_allclose(got[index, row], want, rtol=0, atol=1e-5)
    shared = logits("shared")
    np.testing.assert_allclose(got[-1], shared[-1], rtol=0, atol=1e-6)
    assert np.abs(got[:-1] - shared[:-1]).max(axis=(1, 2)).min() > 1e-2


@pytest.mark.parametrize("shape", SHAPES)
def test_texts_at_different_depths_get_what_each_gets_alone(shape):
    classify = jax.jit(albert.bind(*make(shape)).classify)
    row = jnp.arange(len(TOKENS))
    for depth in ([1, 2, 3], [3, 1, 1], [2, 9, 1]):
        index = jnp.array(depth) - 1  # an empty slot's may be beyond the last
        got = classify(hidden()[index, row], MASK, index + 1)
        want = logits(shape)[index, row]
        real = index < D
        np.testing.assert_allclose(got[real], want[real], rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_fresh_heads_are_stacked_and_differ(shape):
    config = dataclasses.replace(SHARED, exit_heads=shape)
    params, shared = (albert.init(c, jax.random.key(0)) for c in (config, SHARED))
    heads = params.pop("exit_heads")
    jax.tree.map(np.testing.assert_array_equal, params, shared)
    for path, leaf in jax.tree.leaves_with_path(heads):
        assert len(leaf) == D - 1
        assert (leaf[0] != leaf[1]).any() == (path[-1].key == "kernel")


def test_a_shape_is_one_that_there_is_and_wants_two_layers():
    assert tuple(heads.SHAPES) == SHAPES
    with pytest.raises(ValueError, match="'many'; it may be shared, pooler, linear,"):
        dataclasses.replace(SHARED, exit_heads="many")
    with pytest.raises(ValueError, match="'mlp' needs 2 layers"):
        dataclasses.replace(SHARED, exit_heads="mlp", num_hidden_layers=1)


def test_dropout_reaches_a_head():
    model = jax.jit(albert.bind(*make("mlp")))
    key = jax.random.key(0, impl="rbg")  # compiles in a third of threefry's time
    dropped = model(TOKENS, MASK, TYPES, key=key)
    assert np.abs(dropped - logits("mlp")).max(axis=(1, 2)).min() > 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_a_directory_returns_bit_exact_and_opens_in_transformers(shape, tmp_path):
    config, params = make(shape)
    training = {"method": "pabee", "seed": 0}
    pretrained.save(
        tmp_path, config, params, LABELS, training=training | {"weighting": ""}
    )
    got = pretrained.load(tmp_path)
    assert (got.config, got.labels, got.training) == (config, LABELS, training)
    assert got.initialised == got.ignored == ()
    jax.tree.map(np.testing.assert_array_equal, got.params, params)
    settings = json.loads((tmp_path / "config.json").read_text())
    assert settings["elbert"] == {"exit_heads": shape} | training

    heads = {key for key in tensors_of(tmp_path) if key.startswith("exit_heads.")}
    kernel = params["exit_heads"]["classifier"]["kernel"]
    stored = tensors_of(tmp_path)["exit_heads.classifier.weight"]
    np.testing.assert_array_equal(stored, kernel.swapaxes(1, 2))  # [S, out, in]
    auto = transformers.AutoModelForSequenceClassification
    model, info = auto.from_pretrained(
        tmp_path, attn_implementation="eager", output_loading_info=True
    )
    assert info.pop("unexpected_keys") == heads
    assert not any(info.values())
    want = torch_outputs(model.eval(), *batch()).logits
    np.testing.assert_allclose(logits(shape)[-1], want, rtol=0, atol=1e-5)


def test_heads_of_another_shape_or_number_of_classes_are_initialised(tmp_path):
    config, params = make("pooler")
    pretrained.save(tmp_path, config, params, LABELS)
    stored = {k for k in tensors_of(tmp_path) if k.startswith("exit_heads.")}
    shared = pretrained.load(tmp_path, exit_heads="shared")
    assert {*shared.ignored} == stored and shared.initialised == ()
    assert "exit_heads" not in shared.params
    other = pretrained.load(tmp_path, exit_heads="linear", key=jax.random.key(3))
    assert {*other.ignored} == stored
    wanted = {"exit_heads.classifier.bias", "exit_heads.classifier.weight"}
    assert {*other.initialised} == wanted
    fresh = albert.init(other.config, jax.random.key(3))["exit_heads"]
    same = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-6)
    jax.tree.map(same, other.params["exit_heads"], fresh)
    resized = pretrained.load(tmp_path, num_labels=5)
    assert stored < {*resized.initialised} and stored < {*resized.ignored}
    assert resized.params["exit_heads"]["classifier"]["bias"].shape == (D - 1, 5)
    heads = pretrained.load(tmp_path, model=weight_table.PRETRAINING)
    assert heads.config.exit_heads == "shared" and stored < {*heads.ignored}


def test_a_damaged_head_is_named(tmp_path):
    config, params = make("pooler")
    pretrained.save(tmp_path, config, params, LABELS)
    name = "exit_heads__pooler__weight"
    for value, message in (
        (None, r"missing tensor exit_heads\.pooler\.weight"),
        (np.zeros((3, 16, 16), np.float32), r"weight has the shape \(3,.*\(2, 16, 16"),
    ):
        edit_tensors(tmp_path, **{name: value})
        with pytest.raises(UserError, match=message):
            pretrained.load(tmp_path)
