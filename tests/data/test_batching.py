"""Batches: every text once, fixed shapes, resumable."""

import functools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbert_jax.data import batching, training_batches
from elbert_jax.data.encoded import Encoded
from elbert_jax.data.training_batches import StageTexts, TrainingBatches
from elbert_jax.data.vocabulary import train_tokenizer

BUCKETS = (4, 8, 16)


def corpus(lengths):
    """A corpus in which token t of text m is 100 m + t + 1."""
    lengths = np.asarray(lengths)
    tokens = [100 * m + np.arange(n) + 1 for m, n in enumerate(lengths)]
    return Encoded(
        np.concatenate([np.zeros(0, int), *tokens]).astype(np.int32),
        np.concatenate([np.zeros(0, int), *(t % 2 for t in tokens)]).astype(np.int8),
        np.cumsum([0, *lengths], dtype=np.int64),
        np.arange(len(lengths), dtype=np.int32) % 3,
        0,
    )


def check(batch, encoded):
    """Every row holds its text, and filler carries no weight."""
    assert batch.tokens.dtype == batch.types.dtype == np.int32
    assert batch.labels.dtype == batch.index.dtype == np.int32
    assert batch.mask.dtype == bool and batch.weight.dtype == np.float32
    for row, m in enumerate(batch.index):
        assert batch.mask[row].any()
        assert batch.weight[row] == float(m < len(encoded))
        if m < len(encoded):
            n = encoded.lengths[m]
            np.testing.assert_array_equal(
                batch.mask[row], np.arange(len(batch.mask[row])) < n
            )
            np.testing.assert_array_equal(
                batch.tokens[row, :n], 100 * m + np.arange(n) + 1
            )
            np.testing.assert_array_equal(batch.types[row, :n], (np.arange(n) + 1) % 2)
            assert batch.labels[row] == m % 3
        assert not batch.tokens[row, ~batch.mask[row]].any()
        assert not batch.types[row, ~batch.mask[row]].any()


def taken(batches):
    return np.concatenate([b.index[b.weight > 0] for b in batches]).tolist()


def train(stages, batch_size, seed):
    batches = TrainingBatches(stages, batch_size, seed, BUCKETS)
    return training_batches.resumable(batches)


many_lengths = st.lists(st.integers(1, 16), min_size=1, max_size=40)


@given(many_lengths, st.integers(1, 7), st.integers(0, 5))
def test_an_epoch_holds_every_text_once(lengths, batch_size, seed):
    encoded = corpus(lengths)
    steps = training_batches.steps_per_epoch(encoded, batch_size)
    batches = list(train([StageTexts(encoded, 3 * steps)], batch_size, seed))
    assert len(batches) == 3 * steps
    for epoch in range(3):
        part = batches[epoch * steps : (epoch + 1) * steps]
        assert sorted(taken(part)) == list(range(len(lengths)))
        for batch in part:
            check(batch, encoded)
            assert len(batch.tokens) == batch_size
            assert batch.tokens.shape[1] in BUCKETS
        # One batch at most is short, and one at most a bucket holds shorter texts.
        assert sum(batch.weight.min() == 0 for batch in part) <= 1
        bucket = np.searchsorted(BUCKETS, encoded.lengths)
        mixed = [len(set(bucket[b.index[b.weight > 0]])) > 1 for b in part]
        assert sum(mixed) < len(BUCKETS)


@given(many_lengths, st.integers(1, 7), st.integers(0, 60))
def test_a_restored_iterator_goes_on_with_the_next_batch(lengths, batch_size, stop):
    encoded = corpus(lengths)
    steps = 2 * training_batches.steps_per_epoch(encoded, batch_size)

    def start():
        return train([StageTexts(encoded, steps)], batch_size, 7)

    first = start()
    stop = min(stop, len(list(start())))
    for _ in range(stop):
        next(first)
    state = json.loads(json.dumps(first.get_state()))
    second = start()
    second.set_state(state)
    rest, again = list(first), list(second)
    assert len(rest) == len(again)
    for a, b in zip(rest, again):
        for x, y in zip(a, b):
            np.testing.assert_array_equal(x, y)


def test_epochs_and_seeds_differ_and_repeat():
    def order(seed):
        return taken(train([StageTexts(corpus([5] * 50), 14)], 8, seed))

    assert order(0) == order(0)
    assert order(0) != order(1)
    assert order(0)[:50] != order(0)[50:]


def test_a_stage_may_have_texts_of_its_own():
    one, other = corpus([5] * 7), corpus([3, 12] * 5)
    both = one.joined(other)
    assert len(both) == 17 and both.lengths.tolist() == [5] * 7 + [3, 12] * 5
    np.testing.assert_array_equal(both.tokens[both.offsets[7] :], other.tokens)
    batches = list(train([StageTexts(one, 4), StageTexts(both, 5)], 4, 0))
    assert len(batches) == 2 + 2 + 5
    for first, last, texts in ((0, 2, 7), (2, 4, 7), (4, 9, 17)):
        assert sorted(taken(batches[first:last])) == list(range(texts))


def test_the_last_epoch_of_a_stage_may_be_cut():
    texts, other = corpus([5] * 7), corpus([5] * 9)
    cut = TrainingBatches([StageTexts(texts, 3), StageTexts(other, 3)], 4, 0, BUCKETS)
    assert len(cut) == 6
    whole = list(train([StageTexts(texts, 4), StageTexts(other, 3)], 4, 0))
    for index, same in enumerate([*whole[:3], *whole[4:]]):  # epochs are numbered alike
        np.testing.assert_array_equal(cut[index].index, same.index)
    epochs = [cut.epochs_after(step) for step in range(1, 7)]
    np.testing.assert_allclose(epochs, [0.5, 1, 1.5, 2 + 1 / 3, 2 + 2 / 3, 3])
    assert [cut.stage_of(index) for index in range(6)] == [0, 0, 0, 1, 1, 1]


def test_batches_of_all_lengths_are_mixed():
    stage = StageTexts(corpus([3] * 400 + [12] * 400), 100)
    lengths = [batch.tokens.shape[1] for batch in train([stage], 8, 0)]
    assert 20 < sum(lengths[:50]) / 4 - 50 < 130  # of 0 (all short) to 150


@given(many_lengths, st.integers(1, 7))
def test_evaluation_holds_every_text_once(lengths, batch_size):
    encoded = corpus(lengths)
    batches = list(batching.eval_batches(encoded, batch_size, BUCKETS))
    assert sorted(taken(batches)) == list(range(len(lengths)))
    assert (np.diff(encoded.lengths[taken(batches)]) >= 0).all()
    for batch in batches:
        check(batch, encoded)
        assert len(batch.tokens) == batch_size


def test_no_texts():
    assert list(batching.eval_batches(corpus([]), 4)) == []


def test_padding_by_hand():
    got = batching.pad(corpus([2, 1, 3]), np.array([2, 0]), 4, 3)
    np.testing.assert_array_equal(
        got.tokens, [[201, 202, 203, 0], [1, 2, 0, 0], [1, 2, 0, 0]]
    )
    np.testing.assert_array_equal(got.mask.sum(1), [3, 2, 2])
    np.testing.assert_array_equal(got.weight, [1, 1, 0])
    np.testing.assert_array_equal(got.index, [2, 0, 3])


def test_a_text_is_never_cut_silently():
    with pytest.raises(ValueError, match="5 tokens"):
        batching.pad(corpus([5]), np.array([0]), 4)
    with pytest.raises(ValueError, match="17 tokens exceeds the last bucket, 16"):
        list(batching.eval_batches(corpus([17]), 2, BUCKETS))
    with pytest.raises(ValueError, match="17 tokens exceeds the last bucket, 16"):
        next(train([StageTexts(corpus([17]), 1)], 2, 0))


def test_buckets_end_at_the_longest_length():
    assert batching.bucket_lengths(64) == (8, 16, 24, 32, 48, 64)
    assert batching.bucket_lengths(50) == (8, 16, 24, 32, 48, 50)
    assert batching.bucket_lengths(512) == batching.BUCKETS
    assert batching.bucket_lengths(1000)[-2:] == (512, 1000)


def test_build(tmp_path):
    texts = ["a film", "", "a very long film about films " * 9]
    tokenizer = train_tokenizer(texts, 60, tmp_path)
    got = Encoded.build(tokenizer, texts, max_length=20)
    assert len(got) == 3 and got.truncated == 1
    assert got.lengths[1:].tolist() == [2, 20]
    np.testing.assert_array_equal(got.labels, [-1, -1, -1])
    for m, encoding in enumerate(tokenizer.encode(texts, max_length=20)):
        part = slice(got.offsets[m], got.offsets[m + 1])
        np.testing.assert_array_equal(got.tokens[part], encoding.tokens)
    pairs = Encoded.build(tokenizer, texts, texts, np.array([1, 0, 1], np.int32))
    batch = batching.pad(pairs, np.arange(3), int(pairs.lengths.max()))
    assert batch.types.dtype == np.int32
    np.testing.assert_array_equal(batch.labels, [1, 0, 1])
    np.testing.assert_array_equal(batch.types[1][:4], [0, 0, 1, 0])
    assert len(Encoded.build(tokenizer, [])) == 0


def test_padded_lengths_are_as_fine_as_the_texts_are_many():
    lengths = np.repeat([5, 7, 12, 40], [10, 1, 10, 2])
    fit = functools.partial(batching.fitting_lengths, lengths)
    assert fit(lambda _: 10, 64) == (6, 12, 40, 48, 64)
    assert fit(lambda _: 1, 50) == (6, 8, 12, 40, 48, 50)
    assert fit(lambda _: 100, 40) == (40,)
    assert fit(lambda length: 8 // length, 41)[:3] == (6, 8, 12)
    none = batching.fitting_lengths(lengths[:0], lambda _: 1, 24)
    assert none == batching.bucket_lengths(24)


def test_some_batches_are_cut_as_they_are_among_all():
    encoded = corpus([5, 7, 8, 12, 14, 15, 16, 3, 9, 2, 6])
    room = batching.max_batch_size(2)
    cut = [rows for rows, _ in batching.cut(encoded.lengths, BUCKETS, room)]
    some = batching.some_batches(encoded, cut, 3)
    again = [rows for rows, _ in batching.cut(some.lengths, BUCKETS, room)]
    shapes = {tuple(encoded.lengths[rows].tolist()) for rows in cut}
    assert len(again) == 3
    assert {tuple(some.lengths[rows].tolist()) for rows in again} <= shapes
    assert len(batching.some_batches(encoded, cut, 99)) == len(encoded)
