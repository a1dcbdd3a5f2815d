"""Workloads are what the docstrings say, and any first of their texts are like all."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import betabinom

from elbert_jax import ConfidenceWindow, Patience, UserError
from elbert_jax.benchmarking import workload
from elbert_jax.data.encoded import Encoded
from elbert_jax.evaluation import curve
from elbert_jax.evaluation.curve import LayerOutputs


def test_take():
    lengths = np.array([3, 1, 4, 2])
    tokens, offsets = np.arange(10, dtype=np.int32), np.cumsum([0, *lengths])
    texts = Encoded(tokens, tokens.astype(np.int8), offsets, np.arange(4), 0)
    some = texts.take(np.array([3, 0]))
    assert some.tokens.tolist() == some.types.tolist() == [8, 9, 0, 1, 2]
    assert some.lengths.tolist() == [2, 3] and some.labels.tolist() == [3, 0]
    assert len(texts.take(np.zeros(0, int))) == 0


@pytest.mark.parametrize("count", [1, 10, 97])
def test_spread_lies_evenly_at_any_time(count):
    numbers = np.sort(workload.spread(count))
    np.testing.assert_array_equal(workload.spread(200)[:count], workload.spread(count))
    assert 0 <= numbers.min() and numbers.max() < 1
    assert np.diff(numbers, prepend=0, append=1).max() < 3 / count


@pytest.fixture
def model_and_file(classifier, tmp_path):
    model, file = tmp_path / "model", tmp_path / "texts.tsv"
    classifier.save_pretrained(model)
    lines = [f"{'profit ' * (n % 6 + 1)}\t{n % 3}" for n in range(30)]
    file.write_text("text\tlabel\n" + "\n".join(lines) + "\n")
    return str(model), str(file)


def test_a_labelled_file(model_and_file):
    labelled = workload.Labelled(*model_and_file)
    everything = labelled.texts("any name", 99)
    assert len(everything) == 30 and set(everything.labels) == {0, 1, 2}
    strings: Any = labelled.strings(99)
    tokens = [len(pieces) + 2 for pieces in labelled.tokenizer.token_ids(strings)]
    assert everything.lengths.tolist() == tokens
    few = labelled.texts("any name", 6).lengths
    assert few.mean() == pytest.approx(everything.lengths.mean(), rel=0.15)
    assert len(workload.Labelled(*model_and_file, texts=7).encoded) == 7
    early: Any = labelled.exit_at(0.2)
    late: Any = labelled.exit_at(0.9)
    assert early.delta > late.delta


def test_an_exit_without_a_delta(model_and_file, classifier, monkeypatch):
    monkeypatch.setattr(classifier, "exit", Patience(2))
    classifier.save_pretrained(model_and_file[0])
    with pytest.raises(UserError, match="no delta to set"):
        workload.Labelled(*model_and_file)


def test_flops_ratios_by_delta(classifier):
    config, draw = classifier.config, np.random.default_rng(0)
    logits = draw.normal(scale=3, size=(5, 60, 3)).astype(np.float32)
    outputs = LayerOutputs(config, logits, np.zeros(60, int), draw.integers(3, 30, 60))
    ratios: Any = workload.flops_ratios(ConfidenceWindow(criterion="none"), outputs)
    assert [exit.delta for exit in ratios] == [step / 100 for step in range(101)]
    for exit, ratio in ratios.items():
        assert ratio == curve.at_exit(outputs, exit)["flops_ratio"]


@pytest.fixture(scope="module")
def tiny():
    return workload.Drawn("tiny")


@pytest.mark.parametrize(
    ("mix", "mean"),
    [("sst2", 14.3), ("fpb", 33.6), ("fpb_balanced", 26.6), ("imdb", 276.0)],
)
def test_any_first_texts_are_as_long_as_the_corpus(mix, mean):
    lengths = workload.lengths(mix, 20000)
    assert lengths.mean() == pytest.approx(mean, rel=0.01)
    assert lengths[:300].mean() == pytest.approx(mean, rel=0.02)
    assert lengths.min() >= workload.MIXES[mix][0] and lengths.max() <= 512
    np.testing.assert_array_equal(workload.lengths(mix, 50), lengths[:50])


@pytest.mark.parametrize(("layers", "ratio"), [(12, 1 / 3), (24, 0.4), (12, 0.9)])
def test_exit_layers_have_the_distribution_that_is_stated(layers, ratio):
    exits = workload.exit_layers(layers, ratio, 200_000, seed=0)
    assert exits.dtype == np.int32
    assert exits.mean() / layers == pytest.approx(ratio, rel=0.01)
    m = (ratio * layers - 1) / (layers - 1)
    want = betabinom.pmf(np.arange(layers), layers - 1, 2 * m, 2 - 2 * m)
    shares = np.bincount(exits, minlength=layers + 1)[1:] / len(exits)
    np.testing.assert_allclose(shares, want, atol=0.004)
    assert (exits == workload.exit_layers(layers, ratio, 200_000, seed=0)).all()
    assert (exits != workload.exit_layers(layers, ratio, 200_000, seed=1)).any()


@pytest.mark.parametrize("ratio", [0.0, 1 / 12, 1.0, 2.0])
def test_a_ratio_that_no_draw_has(ratio):
    with pytest.raises(UserError, match="between 0.083 and 1"):
        workload.exit_layers(12, ratio, 10, seed=0)


def test_texts_have_the_lengths_of_the_mix(tiny):
    texts = tiny.texts("fpb", 70)
    np.testing.assert_array_equal(texts.lengths, workload.lengths("fpb", 70))
    assert (texts.tokens[texts.offsets[:-1]] == 2).all()
    assert (texts.tokens[texts.offsets[1:] - 1] == 3).all()
    assert texts.tokens.max() < tiny.config.vocab_size and (texts.labels == -1).all()
    with pytest.raises(UserError, match="32,768 at most"):
        tiny.texts("fpb", 40_000)


def test_raw_texts_are_about_as_long(tiny):
    strings = tiny.strings(50)
    tokens = [len(pieces) + 2 for pieces in tiny.tokenizer.token_ids(strings)]
    wanted = workload.lengths("sst2", 50)
    assert np.mean(tokens) == pytest.approx(wanted.mean(), rel=0.25)


def test_exits_keep_to_the_ratio_and_the_labels_differ(tiny):
    exit: Any = tiny.exit_at(0.5)
    assert np.mean(exit.depth) / 4 == pytest.approx(0.5, rel=0.02)
    texts = tiny.texts("sst2", 90)
    short = texts.take(np.flatnonzero(texts.lengths <= 8))
    full = tiny.classifier(0.5, 16).full_depth(short)
    assert len(set(full.logits.argmax(-1))) > 1
    assert full.logits.std(0) == pytest.approx(1, rel=0.6)
