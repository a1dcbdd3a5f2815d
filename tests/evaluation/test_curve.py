"""Evaluation: a replay costs one pass, and the engine proves it right."""

import numpy as np
import orjson
import pytest

from elbert_jax import ConfidenceWindow, UserError
from elbert_jax.data import batching, corpus
from elbert_jax.data.example import Example
from elbert_jax.evaluation import curve, report
from elbert_jax.evaluation.curve import LayerOutputs
from elbert_jax.inference import full_depth
from elbert_jax.model import albert, flops


@pytest.fixture(scope="module")
def examples():
    draw = np.random.default_rng(0)
    words = ["profit", "sales", "rose", "fell", "in", "march", "the", "bank"]
    rows = []
    for number in range(60):
        text = " ".join(draw.choice(words, draw.choice([0, 4, 19])))
        label = int(draw.integers(3))
        row = {"text": text, "label": label, "grade": "ab"[number % 2]}
        rows.append(Example(number, text, label=label, row=row))
    return rows


@pytest.fixture(scope="module")
def encoded(classifier, examples):
    return corpus.encode(classifier.tokenizer, examples, classifier.labels, 40)


@pytest.fixture(scope="module")
def logits(classifier, encoded):
    batches = batching.eval_batches(encoded, 7, (8, 24, 40))
    config, params = classifier.config, classifier.params
    return full_depth.every_layer(config, params, batches, len(encoded))


def test_every_layer_is_each_text_alone(classifier, encoded, logits):
    model = albert.bind(classifier.config, classifier.params)
    for row in (0, 17, 59):
        tokens = encoded.tokens[encoded.offsets[row] : encoded.offsets[row + 1]][None]
        alone = model(tokens, tokens >= 0, np.zeros_like(tokens))
        np.testing.assert_allclose(logits[:, row], alone[:, 0], atol=1e-5)


def test_at_exit_by_hand(classifier):
    config = classifier.config
    logits = np.full((5, 2, 3), 0.0, np.float32)
    logits[1:, 0, 2] = 50  # text 0 is sure of class 2 from layer 2 on; text 1 never
    labels, lengths = np.array([2, 1]), np.array([4, 10])
    outputs = LayerOutputs(config, logits, labels, lengths)
    row = curve.at_exit(outputs, ConfidenceWindow(0.1, criterion="none"))
    assert row["accuracy"] == 0.5 and row["mean_exit_layer"] == 3.5
    assert row["layer_ratio"] == 0.7
    assert row["exit_histogram"] == [0, 1, 0, 0, 1]
    assert row["rule_counts"] == {"last_layer": 1, "confidence": 1, "window": 0}
    assert (row["lost"], row["gained"], row["accuracy_drop"]) == (0, 0, 0.0)
    cost = flops.text(config, 4, 2) + flops.text(config, 10, 5)
    full = flops.full_text(config, 4) + flops.full_text(config, 10)
    assert row["flops_ratio"] == pytest.approx(float(cost / full))


def test_texts_that_an_exit_loses_and_gains(classifier):
    logits = np.zeros((5, 4, 3), np.float32)
    logits[0, :, 1], logits[1:, :, 2] = 9, 99  # all leave at layer 1 with class 1
    labels, lengths = np.array([2, 2, 1, 0]), np.full(4, 5)
    outputs = LayerOutputs(classifier.config, logits, labels, lengths)
    row = curve.at_exit(outputs, ConfidenceWindow(0.1, 3))
    assert (row["lost"], row["gained"], row["accuracy_drop"]) == (2, 1, 0.25)


def test_a_curve_ends_at_layer_one_and_starts_near_full_depth(
    classifier, encoded, logits
):
    outputs = LayerOutputs(classifier.config, logits, encoded.labels, encoded.lengths)
    rows = curve.curve(outputs, window=3)
    for criterion in ("monotone", "range", "label", "none"):
        line = [row for row in rows if row["criterion"] == criterion]
        assert [row["delta"] for row in line] == list(curve.DELTAS)
        layers = [row["mean_exit_layer"] for row in line]
        assert layers == sorted(layers, reverse=True) and layers[-1] == 1


def test_a_scorecard_adds_what_only_the_engine_knows(classifier, examples):
    card = report.measure(classifier, examples, 1, by="grade")
    assert card["same_exits"] == card["texts"] == 60
    assert 0 < card["occupancy"] <= 1 and card["wall_clock_ratio"] > 0
    assert sum(card["at_exit"]["exit_histogram"]) == 60
    assert [group["grade"] for group in card["groups"]] == ["a", "b"]
    assert sum(group["texts"] for group in card["groups"]) == 60
    accuracy = np.mean([group["early_exit"] for group in card["groups"]])
    assert accuracy == pytest.approx(card["at_exit"]["accuracy"])
    text = report.render(card)
    for word in ("full depth", "early exit", "wall-clock", "grade"):
        assert word in text
    orjson.dumps(card)
    with pytest.raises(UserError, match="no column 'colour'"):
        report.measure(classifier, examples, 1, by="colour")
