"""Passages: nothing lost, what is held out never seen, resumable."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbert_jax.data import passages, pretraining_text
from elbert_jax.data.documents import TokenStore
from elbert_jax.data.passages import Passages, Plan, Vocabulary
from elbert_jax.errors import UserError
from tests.properties import examples

# Tokens 2 to 4 are special; words have one token, one, and three.
T = np.arange(3000)
VOCABULARY = Vocabulary(2, 3, 4, T % 5 < 3, T[5:])


def pack(sizes, length, rows=None):
    """Passages of documents in which token t of the store is t + 5."""
    offsets = np.cumsum([0, *sizes], dtype=np.int64)
    store = TokenStore(np.arange(5, offsets[-1] + 5, dtype=np.uint16), offsets, "")
    rows = np.arange(len(sizes)) if rows is None else rows
    return Passages(store, rows, VOCABULARY, length, 0.15, 3)


def texts(batch):
    """Every row's text and cut before swap and mask; checks all else on the way."""
    tokens, place = batch.tokens.copy(), np.arange(batch.tokens.shape[1])
    row, asked = np.nonzero(batch.weight)
    tokens[row, batch.positions[row, asked]] = batch.targets[row, asked]
    changed = batch.tokens != tokens
    assert (batch.tokens[changed] >= 4).all() and (tokens[changed] >= 5).all()
    assert (np.diff(batch.positions)[batch.weight[:, 1:] > 0] > 0).all()
    for row, mask, types, swap in zip(tokens, batch.mask, batch.types, batch.swapped):
        first, second = np.nonzero(row == 3)[0]
        assert row[0] == 2 and row[1:second].min() > 2 and not row[second + 1 :].any()
        want = place <= second, (place <= second) & (place > first)
        np.testing.assert_array_equal([mask, types], want)
        parts = [row[1:first], row[first + 1 : second]]
        a, b = parts[::-1] if swap else parts
        yield np.concatenate([a, b]), len(a)


def first_tokens(batches):
    return [int(text[0]) for batch in batches for text, _ in texts(batch)]


def good_cuts(text):
    """The places to cut at: before the words in the middle half."""
    middle = range(len(text) // 4, len(text) - len(text) // 4)
    return [c for c in middle if text[c] % 5 < 3] or middle


some_sizes = st.lists(st.integers(0, 90), max_size=7).map(lambda sizes: [*sizes, 8])


@given(some_sizes, st.integers(16, 40), st.integers(0, 99))
def test_passages_cover_the_documents(sizes, length, seed):
    packed, room = pack(sizes, length), length - 3
    every = packed.batch(np.arange(len(packed)), np.random.default_rng(seed))
    got, ends = list(texts(every)), packed.store.offsets + 5
    for text, cut in got:
        assert len(text) <= room and cut in good_cuts(text)
    for m in range(len(sizes)):  # end to end, whole words, full but for the last
        document = np.arange(ends[m], ends[m + 1])
        parts = [text for text, _ in got if text[0] in document]
        covered = np.concatenate([[], *parts])
        np.testing.assert_array_equal(covered, document[: len(covered)])
        assert len(document) - len(covered) < 8
        for text in parts[1:]:
            assert text[0] % 5 < 3
        assert all(len(text) > room - 3 for text in parts[:-1])


@pytest.mark.parametrize("size, length", [(300, 23), (12, 64)])
def test_half_are_swapped_and_every_good_cut_is_taken(size, length):
    packed = pack([size], length)
    batch = packed.batch(np.arange(2000) % len(packed), np.random.default_rng(0))
    assert [x.dtype.char for x in batch] == list("ii?iifi")
    assert abs(batch.swapped.mean() - 0.5) < 0.05
    cuts = {cut for text, cut in texts(batch) if text[0] == 5}
    text = next(text for text, _ in texts(batch) if text[0] == 5)
    assert cuts == set(good_cuts(text))
    assert batch.positions.shape[1] == round(0.15 * (length - 3))
    assert batch.weight.sum(1).max() == round(0.15 * packed.sizes.max())


@examples(20)
@given(some_sizes, st.integers(1, 7), st.integers(0, 99))
def test_every_passage_once_an_epoch(sizes, batch_size, seed):
    packed, others = pack(sizes, 16), pack(sizes, 24)
    halves = len(packed) // 2, len(packed) - len(packed) // 2
    plans = [
        plan
        for steps in halves * 2
        for plan in (Plan(packed, batch_size, steps), Plan(others, 1, 1))
    ]
    batches = list(passages.train_iterator(plans, seed))
    got = first_tokens(b for b in batches if b.tokens.shape[1] == 16)
    for epoch in np.reshape(got, (2 * batch_size, len(packed))):
        np.testing.assert_array_equal(np.sort(epoch), packed.begins + 5)


@pytest.mark.parametrize("stop", [0, 1, 9, 10, 11, 19])
def test_a_restored_iterator_goes_on_with_the_next_batch(stop):
    sizes = [(16, 3, 10), (32, 2, 0), (64, 2, 9)]
    plans = [Plan(pack([200], length), *rest) for length, *rest in sizes]
    first, second = (passages.train_iterator(plans, 7) for _ in range(2))
    shapes = [next(first).tokens.shape for _ in range(stop)]
    assert shapes == ([(3, 16)] * 10 + [(2, 64)] * 9)[:stop]
    second.set_state(json.loads(json.dumps(first.get_state())))
    rest = list(first)
    assert len(rest) == 19 - stop
    np.testing.assert_equal(rest, list(second))


@pytest.mark.parametrize("size", [13, 50 * 13])  # of one passage, only masks differ
def test_epochs_and_seeds_differ(size):
    plans = [Plan(pack([size], 16), 50, 2)]
    (a, b), (c, _) = (list(passages.train_iterator(plans, seed)) for seed in (0, 1))
    for other in b, c:
        assert (first_tokens([a]) != first_tokens([other])) == (size > 13)
        assert (a.positions != other.positions).mean() > 0.5


def test_held_out_documents_never_occur_in_training():
    train, held_out = pretraining_text.held_out(100, 0.1, seed=3)
    assert len(held_out) == 10 and sorted([*train, *held_out]) == list(range(100))
    np.testing.assert_array_equal(held_out, pretraining_text.held_out(100, 0.1, 3)[1])
    assert [len(part) for part in pretraining_text.held_out(2, 0.9, 0)] == [1, 1]
    batches = passages.train_iterator([Plan(pack([20] * 100, 16, train), 8, 50)], 0)
    assert {(token - 5) // 20 for token in first_tokens(batches)} == set(train)


def test_evaluation_is_the_same_at_every_call():
    for packed in pack([40] * 30, 16), pack([9], 16):
        first, second = (list(passages.eval_batches(packed, 4, 5)) for _ in range(2))
        np.testing.assert_equal(first, second)
        assert [batch.tokens.shape for batch in first] == [(4, 16)] * 5
        assert len(set(first_tokens(first))) == min(20, len(packed))  # spread evenly


@pytest.mark.parametrize("sizes", [[], [7], [7, 0, 3]])
def test_no_document_is_worth_a_row(sizes):
    with pytest.raises(UserError, match=f"none of {len(sizes)} documents has 8 tokens"):
        pack(sizes, 16)
