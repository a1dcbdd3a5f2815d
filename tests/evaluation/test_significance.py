"""The p-value of an accuracy drop: valid to the last digit, and none too large."""

import functools
import itertools

import numpy as np
import pytest
from scipy.stats import beta, binom

from elbert_jax.evaluation import significance

p_value = functools.cache(significance.p_value)
NUISANCE = 0.1  # share of the level spent on the bound of q


def samples(texts):
    """Yields every (lost, gained) that there can be."""
    for lost in range(texts + 1):
        for gained in range(texts + 1 - lost):
            yield lost, gained


def probabilities(texts, lost_rate, gained_rate):
    """Returns the probability of each of `samples`."""
    lost, gained = np.array(list(samples(texts))).T
    given = gained_rate / (1 - lost_rate)
    return binom.pmf(lost, texts, lost_rate) * binom.pmf(gained, texts - lost, given)


@pytest.mark.parametrize(
    ("texts", "bound", "level"), [(60, 0.1, 0.1), (60, 0.15, 0.2), (45, 0.05, 0.3)]
)
def test_it_is_valid_under_every_population_with_a_larger_drop(texts, bound, level):
    p = np.array([p_value(*each, texts, bound, level) for each in samples(texts)])
    order = np.argsort(p)
    attained = np.unique(p)
    last = np.searchsorted(p[order], attained, side="right") - 1
    assert attained[0] < level, "it can reject"
    for drop, gained in itertools.product(
        (bound, bound + 0.01, 2 * bound), (0, 0.01, 0.05, 0.2, 0.35)
    ):
        chance = np.cumsum(probabilities(texts, drop + gained, gained)[order])
        assert (chance[last] <= attained + 1e-9).all(), (drop, gained)


@pytest.mark.parametrize("gained", [0, 1, 3, 6])
@pytest.mark.parametrize("lost", [0, 1, 3])
def test_it_is_the_largest_over_all_rates_within_their_bound(lost, gained):
    texts, bound, level = 50, 0.07, 0.2
    doubt = NUISANCE * level
    most = beta.ppf(1 - doubt, lost + gained + 1, texts - lost - gained)
    low = np.array([a - b <= lost - gained for a, b in samples(texts)])
    largest = max(
        probabilities(texts, (q + drop) / 2, (q - drop) / 2)[low].sum()
        for drop in (bound, bound + 0.02, bound + 0.1)
        if drop <= most
        for q in np.linspace(drop, most, 15)
    )
    got = p_value(lost, gained, texts, bound, level)
    if lost - gained + 1 > (texts - 1) * bound:
        assert got == 1
    else:
        assert got == pytest.approx(largest + doubt, abs=1e-9)


def test_more_loss_fewer_texts_and_a_smaller_bound_make_it_larger():
    for lost, gained in itertools.product(range(8), range(8)):
        p = p_value(lost, gained, 200, 0.04, 0.1)
        assert 0 < p <= 1
        assert p <= p_value(lost + 1, gained, 200, 0.04, 0.1)
        assert p <= p_value(lost, gained, 190, 0.04, 0.1)
        assert p <= p_value(lost, gained, 200, 0.039, 0.1)


def test_gains_count_against_losses():
    binomial = binom.cdf(12, 1000, 0.01)  # of the lost texts alone: it proves nothing
    assert p_value(12, 12, 1000, 0.01, 0.1) < 0.1 < binomial


def test_samples_that_show_nothing():
    assert p_value(0, 0, 1, 0.01, 0.1) == 1
    assert p_value(10, 0, 1000, 0.01, 0.1) == 1  # just what is allowed
    assert p_value(0, 5, 5, 0.5, 0.1) == 1  # every text changes
    assert p_value(0, 400, 500, 0.01, 0.1) == 1  # nearly every
    assert p_value(0, 0, 10**6, 0.01, 0.1) == pytest.approx(0.01)
    assert p_value(0, 30, 1000, 0.0, 0.1) < 0.02  # a gain can be shown, too


def test_a_sequence_ends_at_the_first_that_is_not_rejected():
    assert significance.fixed_sequence([0.0, 0.1, 0.11, 0.01], 0.1) == 2
    assert significance.fixed_sequence([0.2, 0.01], 0.1) == 0
    assert significance.fixed_sequence([0.02, 0.01], 0.1) == 2


def test_texts_needed():
    needed = functools.partial(significance.texts_needed, bound=0.01, level=0.1)
    number = needed(0, 0, 100) or 0
    assert p_value(0, 0, number, 0.01, 0.1) <= 0.1
    assert p_value(0, 0, number * 9 // 10, 0.01, 0.1) > 0.1
    assert needed(0, 0, 500) == 500
    assert 2000 < (needed(4, 1, 500) or 0) < 10_000
    assert needed(9, 4, 500) is None  # as much as is allowed
    assert needed(1, 2, 3) is None  # every text changes


def test_a_sample_in_which_every_text_changes_sides():
    for half in (1, 25, 50):
        assert significance.texts_needed(half, half, 2 * half, 0.05, 0.1) is None
