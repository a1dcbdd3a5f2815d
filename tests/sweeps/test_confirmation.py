"""The engine proves a replay right, or the proof fails."""

import dataclasses

import numpy as np
import pytest

from elbert_jax import Classifier, ConfidenceWindow, Elbert2021, Patience
from elbert_jax.data import batching
from elbert_jax.data.encoded import Encoded
from elbert_jax.inference import full_depth
from elbert_jax.sweeps import confirmation
from elbert_jax.sweeps.confirmation import Disagreement, confirm, near_edge

CRITERIA = [ConfidenceWindow(0.06, 3), Patience(2)]


@pytest.fixture(scope="module")
def encoded(classifier):
    draw = np.random.default_rng(0)
    words = ["profit", "sales", "rose", "fell", "bank"]
    texts = [" ".join(draw.choice(words, draw.integers(0, 7))) for _ in range(20)]
    return Encoded.build(classifier.tokenizer, texts, max_length=8)


@pytest.fixture(scope="module")
def logits(classifier, encoded):
    batches = batching.eval_batches(encoded, 10, (8,))
    config, params = classifier.config, classifier.params
    return full_depth.every_layer(config, params, batches, len(encoded))


def binary(*class_0):
    """Logits [D, 1, 2] of these probabilities."""
    p = np.array(class_0)
    return np.log(np.stack([p, 1 - p], -1))[:, None].astype(np.float32)


@pytest.mark.parametrize(
    ("criterion", "class_0", "near"),
    [
        (ConfidenceWindow(0.5, criterion="none"), (0.7, 0.890_000, 0.9), False),
        # The puzzlement of 0.8899728 is 0.5; a hundred thousandth is 3e-6 of p.
        (ConfidenceWindow(0.5, criterion="none"), (0.7, 0.889_971, 0.9), True),
        (ConfidenceWindow(0.5, criterion="none"), (0.7, 0.889_975, 0.9), True),
        # The window lets the text out at the same layer: only the rule may change.
        (ConfidenceWindow(0.5, 2, "label"), (0.7, 0.889_971, 0.9), True),
        (ConfidenceWindow(0.0, 2, "range"), (0.7, 0.71 + 5e-6, 0.8), True),
        (ConfidenceWindow(0.0, 2, "range"), (0.7, 0.71 + 5e-5, 0.8), False),
        (ConfidenceWindow(0.0, 2), (0.7, 0.7 - 5e-6, 0.6), True),
        (ConfidenceWindow(0.0, 2), (0.7, 0.7 + 5e-5, 0.6), False),
        (Elbert2021(0.0, 2), (0.6, 0.5 + 5e-6, 0.6), True),
        (Elbert2021(0.0, 2, "bias_2"), (0.7, 0.7 + 5e-6, 0.6), True),
        (Elbert2021(0.0, 2, "bias_2"), (0.7, 0.7 + 5e-5, 0.6), False),
        (Patience(1), (0.6, 0.5 + 2e-6, 0.6), True),
        (Patience(1), (0.6, 0.5 + 2e-5, 0.6), False),
    ],
)
def test_near_edge(criterion, class_0, near):
    assert near_edge(criterion, binary(*class_0)).tolist() == [near]


def test_delta_0_is_no_edge():
    saturated = np.tile([60.0, -60.0], (4, 1, 1))
    assert not near_edge(ConfidenceWindow(0.0, criterion="none"), saturated).any()


def test_the_engine_agrees_and_is_timed(classifier, encoded, logits):
    rows = confirm(classifier, encoded, logits, CRITERIA, 2)
    assert len(rows) == 2
    for row in rows:
        assert tuple(row) == confirmation.FACTS
        assert row["texts_per_second"] > 0 and row["moved_texts"] <= row["edge_texts"]
        ratio = row["full_depth_texts_per_second"] / row["texts_per_second"]
        assert row["wall_clock_ratio"] == pytest.approx(ratio)


@pytest.mark.parametrize("what", ["layers", "rules", "logits"])
def test_the_engine_disagrees(what, classifier, encoded, logits, monkeypatch):
    run = Classifier.run

    def wrong(classifier, encoded):
        answers = run(classifier, encoded)
        changed = getattr(answers, what).copy()
        changed[4] = -changed[4] if what == "logits" else changed[4] + 1
        return dataclasses.replace(answers, **{what: changed})

    monkeypatch.setattr(Classifier, "run", wrong)
    with pytest.raises(Disagreement, match="1 of 20 texts under .*: text 4 exits at"):
        confirm(classifier, encoded, logits, CRITERIA[:1], 1)
    everywhere = np.ones(20, bool)
    monkeypatch.setattr(confirmation, "near_edge", lambda *_: everywhere)
    [row] = confirm(classifier, encoded, logits, CRITERIA[:1], 1)
    assert (row["edge_texts"], row["moved_texts"]) == (20, 1)
