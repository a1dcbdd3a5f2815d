"""Which padded lengths and slots texts get."""

import numpy as np
import pytest

from elbert_jax.inference import buckets
from elbert_jax.inference.buckets import Buckets
from elbert_jax.inference.capacity import TokenBudget

BUDGET = TokenBudget(1024, 128)


@pytest.mark.parametrize("endless", [False, True])
def test_a_padded_length_is_there_for_enough_texts(endless):
    lengths = np.repeat([5, 12, 60], [4000, 400, 4])
    texts = None if endless else len(lengths)
    chosen = buckets.fitting_lengths(BUDGET, lengths, 64, texts)
    assert chosen == tuple(sorted(set(chosen))) and chosen[-1] == 64
    served, _ = np.histogram(lengths, [0, *(length + 1 for length in chosen)])
    for length, count in zip(chosen, served):  # the last serves what is left
        assert count in (0, 4) or count >= 2 * BUDGET.slots(length, texts)
    assert {6, 12} <= set(chosen)  # where padding would cost much


def test_few_texts_get_few_slots_and_short_queues():
    few, many = (Buckets.build(BUDGET, (16, 64), texts) for texts in (20, None))
    assert few.slots == (4, 4) or few.slots < many.slots == (64, 16)
    assert few.queue_rows(0) < many.queue_rows(0)
