"""How sure a sample of texts makes us that an early exit costs little accuracy.

A text's loss is 1 where full depth is right and the exit wrong (the text is lost), -1
the other way round (gained), else 0. The mean loss of the population that the texts
are drawn from, each by itself, is the accuracy drop.

References:
    Angelopoulos, Bates, Candes, Jordan and Lei, "Learn then Test", 2021: valid
    p-values and a multiple test make a guarantee of a risk.
    Berger and Boos, "P values maximized over a confidence set for the nuisance
    parameter", JASA 1994.
    Clopper and Pearson, "The use of confidence or fiducial limits", Biometrika 1934.
    Darroch, "On the distribution of the number of successes in independent trials",
    Annals of Mathematical Statistics 1964.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import beta, binom

_NUISANCE = 0.1  # share of the level that a bound on the rate of changed texts takes
_LEFT_OUT = 1e-12  # probability of the ends of a sum, which the p-value adds instead
_MOST = 10**7  # texts


def p_value(lost: int, gained: int, texts: int, bound: float, level: float) -> float:
    """Returns a valid p-value for: the accuracy drop is above `bound`.

    It is exact in finite samples: under every such population, and for every u, it
    comes out at u or below with probability u at most. The statistic is `lost -
    gained`. Its distribution also depends on how many texts change sides at all, a
    rate q that nobody knows; so the p-value is the largest one for any q up to its
    upper confidence bound, plus the probability that the bound fails (Berger and Boos).

    The largest one needs no search. Given q it is that of a drop of `bound`. It grows
    with q as long as the next smaller sample's distribution rises at the statistic:
    below its mean it does, where a loss is the sum of two independent coins (less
    one), by Darroch's rule for the mode; that is so for 2 q <= 1 + bound^2. Elsewhere
    the p-value is 1.

    Args:
      lost: texts that only full depth has right.
      gained: texts that only the exit has right.
      texts: how many there are in all.
      bound: the accuracy drop not to exceed, from 0 to below 1.
      level: the error that the test is meant for, in (0, 1); it is no part of the
        p-value's meaning, and sets how it divides its doubt.
    """
    statistic, changed, doubt = lost - gained, lost + gained, _NUISANCE * level
    if statistic + 1 > math.floor((texts - 1) * bound) or changed >= texts:
        return 1.0
    q = max(float(beta.ppf(1 - doubt, changed + 1, texts - changed)), bound)
    if 2 * q > 1 + bound**2:
        return 1.0
    worse, better = (q + bound) / 2, (q - bound) / 2  # chances to be lost, or gained
    first, last = binom.interval(1 - _LEFT_OUT, texts, worse)
    losses = np.arange(int(first), int(last) + 1)
    enough = binom.sf(losses - statistic - 1, texts - losses, better / (1 - worse))
    tail = (binom.pmf(losses, texts, worse) * enough).sum()
    return min(1.0, float(tail) + _LEFT_OUT + doubt)


def fixed_sequence(p_values: Sequence[float], level: float) -> int:
    """Returns how many hypotheses are rejected, in an order laid down beforehand.

    The first that is not rejected ends the sequence. A false rejection has probability
    `level` at most, however many there are and however they depend on one another, for
    it begins with the first true hypothesis (Learn then Test, fixed sequence testing).
    """
    return sum(1 for _ in itertools.takewhile(lambda p: p <= level, p_values))


def texts_needed(
    lost: int, gained: int, texts: int, bound: float, level: float
) -> int | None:
    """Returns about how many texts would do, were the rates those of this sample.

    None: ten million would not, as where the drop is not below the bound.
    """
    number = texts
    while number <= _MOST:
        by = number / texts
        changes = math.ceil(lost * by), math.floor(gained * by)
        if p_value(*changes, number, bound, level) <= level:
            return number
        number += max(1, number // 20)
    return None
