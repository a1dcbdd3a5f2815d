"""Batches without slot refill give the same predictions, and count their steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbert_jax.benchmarking import baselines
from elbert_jax.data import batching
from elbert_jax.data.encoded import Encoded

BUCKETS = (8, 16, 40)


@pytest.fixture(scope="module")
def encoded(classifier):
    words = np.array(["profit", "sales", "rose", "fell", "in", "the", "bank"])
    draw = np.random.default_rng(0)
    counts = draw.choice([1, 4], 22)
    texts = [" ".join(draw.choice(words, count)) for count in counts]
    return Encoded.build(classifier.tokenizer, texts)


@pytest.fixture(scope="module")
def refill(classifier, encoded):
    return classifier.run(encoded)


@given(
    lengths=st.lists(st.integers(1, 40), max_size=90), texts=st.sampled_from([1, 5, 60])
)
def test_batches_hold_every_text_once_and_no_more_than_they_may(lengths, texts):
    lengths, room = np.array(lengths, int), batching.max_batch_size(texts)
    batches = list(batching.cut(lengths, BUCKETS, room))
    order = [row for rows, _ in batches for row in rows]
    np.testing.assert_array_equal(order, np.argsort(lengths, kind="stable"))
    for number, (rows, length) in enumerate(batches):
        assert length == min(b for b in BUCKETS if b >= lengths[rows].max())
        assert len(rows) <= room(np.array(length))
        if number + 1 < len(batches):  # one more would have been too many
            following = lengths[batches[number + 1][0][0]]
            longer = min(b for b in BUCKETS if b >= following)
            assert len(rows) + 1 > room(np.array(longer))


def test_long_texts_come_in_smaller_batches():
    lengths = np.array([8, 16, 24, 32, 512])
    assert batching.max_batch_size(64)(lengths).tolist() == [64, 64, 42, 32, 2]
    assert batching.max_batch_size(64, 40)(lengths).tolist() == [64, 64, 42, 40, 40]
    assert batching.max_batch_size(20, 40)(lengths).tolist() == [20] * 5


@pytest.mark.parametrize("system", ["static_batches", "shrinking_batches"])
def test_early_exits_are_those_of_the_engine(classifier, encoded, refill, system):
    predictions = getattr(baselines, system)(classifier, encoded)
    np.testing.assert_array_equal(predictions.layers, refill.layers)
    np.testing.assert_array_equal(predictions.rules, refill.rules)
    np.testing.assert_allclose(predictions.logits, refill.logits, atol=1e-5)
    assert len(set(refill.layers)) > 2
    assert predictions.busy_steps == refill.busy_steps == refill.layers.sum()
    real = (refill.layers * encoded.lengths).sum()
    for each in (predictions, refill):
        assert real <= each.busy_tokens <= each.slot_tokens
    if system == "static_batches":
        assert refill.slot_steps < predictions.slot_steps
    else:  # every text is computed as often as it must be, and no more
        assert predictions.slot_steps == predictions.busy_steps
