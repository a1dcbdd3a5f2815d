"""Masking: whole words, within the budget, and every share as published."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbert_jax.data import masking


def slow_choice(random, starts, maskable, rate, max_ngram):
    """What `masking.choose` makes of the same draws, word by word."""
    turn = random.random(starts.shape)
    odds = 1 / np.arange(1, max_ngram + 1)
    ngram = random.choice(max_ngram, starts.shape, p=odds / odds.sum()) + 1
    chosen = np.zeros(starts.shape, bool)
    for row, columns in enumerate(turn.argsort(axis=1)):
        begins, word = words(starts[row], maskable[row])
        budget = max(round(rate * int(maskable[row].sum())), 1)
        visits = [*columns[begins[columns]], *columns[~begins[columns]]]
        for column, n in zip(visits, ngram[row]):
            span = (word >= word[column]) & (word < word[column] + n)
            free = maskable[row, span].all() and not chosen[row, span].any()
            if free and chosen[row].sum() + span.sum() <= budget:
                chosen[row, span] = True
    return chosen


def words(starts, maskable):
    """Which pieces of a row begin a word, and the number of every piece's word."""
    begins, before = starts.copy(), False
    for column, may in enumerate(maskable):
        begins[column] |= may != before
        before = may
    return begins, np.cumsum(begins)


@st.composite
def rows(draw):
    """A seed, and where words start and what is maskable in some rows."""
    seed = draw(st.integers(0, 1000))
    random = np.random.default_rng(seed)
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 40))
    starts = random.random(shape) < draw(st.sampled_from([0.2, 0.6, 1]))
    maskable = random.random(shape) < draw(st.sampled_from([0, 0.7, 0.95, 1]))
    return seed, starts, maskable


@given(rows(), st.sampled_from([0.01, 0.15, 0.5]), st.integers(1, 4))
def test_the_choice_is_that_of_a_slow_one(rows, rate, max_ngram):
    seed, starts, maskable = rows
    options = starts, maskable, rate, max_ngram
    got = masking.choose(np.random.default_rng(seed), *options)
    want = slow_choice(np.random.default_rng(seed), *options)
    np.testing.assert_array_equal(got, want)


@given(rows(), st.sampled_from([0.01, 0.15, 0.5]), st.integers(1, 4))
def test_whole_words_within_the_budget(rows, rate, max_ngram):
    seed, starts, maskable = rows
    got = masking.choose(np.random.default_rng(seed), starts, maskable, rate, max_ngram)
    assert not (got & ~maskable).any()
    assert (got.sum(1) <= np.maximum(np.rint(rate * maskable.sum(1)), 1)).all()
    for row in range(len(starts)):
        _, word = words(starts[row], maskable[row])
        for number in np.unique(word):
            assert len(set(got[row, word == number])) == 1


@pytest.mark.parametrize("longest, least", [(1, 9), (2, 8), (3, 7)])
def test_short_words_nearly_fill_the_budget(longest, least):
    random = np.random.default_rng(0)
    starts = np.zeros((100, 60), bool)
    starts[:, ::longest] = True
    got = masking.choose(random, starts, np.ones_like(starts)).sum(1)
    assert least <= got.min() and got.max() <= 9


def test_ngrams_are_as_frequent_as_their_length_is_short():
    everywhere = np.ones((40, 20_000), bool)
    got = masking.choose(np.random.default_rng(0), everywhere, everywhere, 0.005)
    edges = np.diff(np.pad(got, ((0, 0), (1, 1))).astype(int))
    lengths = np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]
    # So few are chosen that hardly two n-grams are neighbours.
    share = np.bincount(lengths, minlength=4)[1:4] / len(lengths)
    np.testing.assert_allclose(share, [6 / 11, 3 / 11, 2 / 11], atol=0.03)
    assert (lengths <= 3).mean() > 0.98


def test_no_place_is_favoured():
    starts = np.zeros((8000, 62), bool)
    starts[:, ::3] = True
    got = masking.choose(np.random.default_rng(0), starts, np.ones_like(starts))
    left, right = got[:, 6:30].mean(), got[:, 30:54].mean()
    assert abs(left - right) < 0.005


@pytest.fixture(scope="module")
def corrupted():
    """Tokens, which are chosen, and what stands there: [MASK] is 4, of 1,000 pieces."""
    random = np.random.default_rng(0)
    tokens = random.integers(5, 1000, (200, 500))
    chosen = random.random(tokens.shape) < 0.5
    return (
        tokens,
        chosen,
        masking.corrupt(random, tokens, chosen, 4, np.arange(5, 1000)),
    )


def test_only_the_chosen_change(corrupted):
    tokens, chosen, hidden = corrupted
    np.testing.assert_array_equal(hidden[~chosen], tokens[~chosen])
    assert hidden.min() == 4 and hidden.max() < 1000


def test_of_ten_chosen_eight_are_masked_and_one_is_replaced(corrupted):
    tokens, chosen, hidden = corrupted
    before, after = tokens[chosen], hidden[chosen]
    replaced = (after != before) & (after != 4)
    assert abs((after == 4).mean() - 0.8) < 0.01
    assert abs(replaced.mean() - 0.1) < 0.01
    np.testing.assert_allclose(np.mean(after[replaced]), 502, atol=20)


def test_the_generator_is_the_only_source_of_chance():
    starts = np.random.default_rng(1).random((4, 60)) < 0.6

    def run(seed):
        random = np.random.default_rng(seed)
        chosen = masking.choose(random, starts, np.ones_like(starts))
        tokens = np.arange(240).reshape(4, 60)
        return masking.corrupt(random, tokens, chosen, 999, np.arange(240))

    np.testing.assert_array_equal(run(3), run(3))
    assert (run(3) != run(4)).any()
