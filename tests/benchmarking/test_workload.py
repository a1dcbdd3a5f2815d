"""A user's own model and texts are whole, and any first of them are like all."""

from typing import Any

import numpy as np
import pytest

from elbert_jax import ConfidenceWindow, Patience, UserError
from elbert_jax.benchmarking import workload
from elbert_jax.data.encoded import Encoded
from elbert_jax.evaluation import curve
from elbert_jax.evaluation.curve import LayerOutputs


def test_take_and_first():
    lengths = np.array([3, 1, 4, 2])
    tokens, offsets = np.arange(10, dtype=np.int32), np.cumsum([0, *lengths])
    texts = Encoded(tokens, tokens.astype(np.int8), offsets, np.arange(4), 0)
    some = texts.take(np.array([3, 0]))
    assert some.tokens.tolist() == some.types.tolist() == [8, 9, 0, 1, 2]
    assert some.lengths.tolist() == [2, 3] and some.labels.tolist() == [3, 0]
    assert workload.first(texts, 3).lengths.tolist() == [3, 1, 4]
    assert len(workload.first(texts, 99)) == 4
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


def test_the_delta_of_a_flops_ratio(classifier):
    config, draw = classifier.config, np.random.default_rng(0)
    logits = draw.normal(scale=3, size=(5, 60, 3)).astype(np.float32)
    outputs = LayerOutputs(config, logits, np.zeros(60, int), draw.integers(3, 30, 60))
    exit = ConfidenceWindow(criterion="none")
    got: Any = workload.with_flops_ratio(exit, outputs, 0.6)
    ratios = {}
    for delta in np.arange(101) / 100:
        at = ConfidenceWindow(float(delta), criterion="none")
        ratios[at] = curve.at_exit(outputs, at)["flops_ratio"]
    assert got in ratios
    assert abs(ratios[got] - 0.6) == min(abs(r - 0.6) for r in ratios.values())
