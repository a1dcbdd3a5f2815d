"""Tests that an early exit costs little accuracy, from a sample of texts.

A text's loss is 1 where full depth is right and the exit wrong (the text is lost), -1
in the opposite case (gained), else 0. The accuracy drop is the mean loss of the
population from which the texts are drawn independently.

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

_NUISANCE = 0.1  # share of the level for the bound on the rate of changed texts
_LEFT_OUT = 1e-12  # tail probability that sums omit, added to the p-value instead
_MOST = 10**7  # texts


def p_value(lost: int, gained: int, texts: int, bound: float, level: float) -> float:
    """Returns a valid p-value of the hypothesis that the accuracy drop exceeds `bound`.

    It is exact in finite samples: under every such population it is at most u with
    probability at most u. The statistic is `lost - gained`. Its distribution also
    depends on a nuisance parameter, the rate q of texts that are lost or gained; so the
    p-value is the largest one for any q up to its upper confidence bound, plus the
    probability that the bound fails (Berger and Boos).

    That maximum needs no search. Given q it is attained at a drop of `bound`. It grows
    with q while the probability mass function of a sample with one text less increases
    at the statistic. Where a loss is distributed as the sum of two independent
    Bernoulli variables minus one, which is the case for 2 q <= 1 + bound^2, it
    increases below its mean, by Darroch's rule for the mode. Elsewhere the p-value
    is 1.

    Args:
      lost: texts that only full depth has right.
      gained: texts that only the exit has right.
      texts: their total number.
      bound: the accuracy drop not to exceed, in [0, 1).
      level: the intended level of the test, in (0, 1); a share of it bounds q.
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
    """Returns how many hypotheses are rejected, tested in an order fixed beforehand.

    The first that is not rejected ends the sequence. The probability of any false
    rejection is at most `level`, whatever their number and dependence, as it requires
    rejecting the first true hypothesis (Learn then Test, fixed sequence testing).
    """
    return sum(1 for _ in itertools.takewhile(lambda p: p <= level, p_values))


def texts_needed(
    lost: int, gained: int, texts: int, bound: float, level: float
) -> int | None:
    """Returns about how many texts with this sample's rates would reject, if any.

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
