"""What is drawn is what the docstrings say."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy.stats import betabinom

from elbert_jax import UserError
from elbert_jax.benchmarking import drawn


@pytest.fixture(scope="module")
def tiny():
    return drawn.Drawn("tiny")


@pytest.mark.parametrize(
    ("mix", "mean"),
    [("sst2", 14.3), ("fpb", 33.6), ("fpb_balanced", 26.6), ("imdb", 276.0)],
)
def test_any_first_texts_are_as_long_as_the_corpus(mix, mean):
    lengths = drawn.lengths(mix, 20000)
    assert lengths.mean() == pytest.approx(mean, rel=0.01)
    assert lengths[:300].mean() == pytest.approx(mean, rel=0.02)
    assert lengths.min() >= drawn.MIXES[mix][0] and lengths.max() <= 512
    np.testing.assert_array_equal(drawn.lengths(mix, 50), lengths[:50])


@pytest.mark.parametrize(("layers", "ratio"), [(12, 1 / 3), (24, 0.4), (12, 0.9)])
def test_exit_layers_have_the_distribution_that_is_stated(layers, ratio):
    exits = drawn.exit_layers(layers, ratio, 200_000, seed=0)
    assert exits.dtype == np.int32
    assert exits.mean() / layers == pytest.approx(ratio, rel=0.01)
    m = (ratio * layers - 1) / (layers - 1)
    want = betabinom.pmf(np.arange(layers), layers - 1, 2 * m, 2 - 2 * m)
    shares = np.bincount(exits, minlength=layers + 1)[1:] / len(exits)
    np.testing.assert_allclose(shares, want, atol=0.004)
    assert (exits == drawn.exit_layers(layers, ratio, 200_000, seed=0)).all()
    assert (exits != drawn.exit_layers(layers, ratio, 200_000, seed=1)).any()


@pytest.mark.parametrize("ratio", [0.0, 1 / 12, 1.0, 2.0])
def test_a_ratio_that_no_draw_has(ratio):
    with pytest.raises(UserError, match="between 0.083 and 1"):
        drawn.exit_layers(12, ratio, 10, seed=0)


def test_texts_have_the_lengths_of_the_mix(tiny):
    texts = tiny.texts("fpb", 70)
    np.testing.assert_array_equal(texts.lengths, drawn.lengths("fpb", 70))
    assert (texts.tokens[texts.offsets[:-1]] == 2).all()
    assert (texts.tokens[texts.offsets[1:] - 1] == 3).all()
    assert texts.tokens.max() < tiny.config.vocab_size and (texts.labels == -1).all()
    with pytest.raises(UserError, match="32,768 at most"):
        tiny.texts("fpb", 40_000)


def test_raw_texts_are_about_as_long(tiny):
    strings = tiny.strings(50)
    tokens = [len(pieces) + 2 for pieces in tiny.tokenizer.token_ids(strings)]
    wanted = drawn.lengths("sst2", 50)
    assert np.mean(tokens) == pytest.approx(wanted.mean(), rel=0.25)


def test_exits_keep_to_the_ratio_and_the_labels_differ(tiny):
    exit: Any = tiny.exit_at(0.5)
    assert np.mean(exit.depth) / 4 == pytest.approx(0.5, rel=0.02)
    texts = tiny.texts("sst2", 90)
    short = texts.take(np.flatnonzero(texts.lengths <= 8))
    full = tiny.classifier(0.5, 16).full_depth(short)
    assert len(set(full.logits.argmax(-1))) > 1
    assert full.logits.std(0) == pytest.approx(1, rel=0.6)


def test_every_shape_has_a_name():
    for name in drawn.SHAPES:
        config = drawn.config_of(name, "bfloat16")
        assert drawn.shape_name(config) == name and config.dtype == "bfloat16"
    other = dataclasses.replace(drawn.config_of("tiny", "float32"), hidden_size=8)
    assert drawn.shape_name(other) == "H 8, D 4, 2 heads"
