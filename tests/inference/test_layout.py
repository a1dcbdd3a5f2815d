"""Which ladder a call's texts get."""

import jax
import numpy as np
import pytest

from elbert_jax.exits import FixedDepth
from elbert_jax.inference import layout
from elbert_jax.inference.buckets import device_mesh
from elbert_jax.inference.capacity import Budget
from elbert_jax.inference.layout import Layout
from elbert_jax.model import albert
from elbert_jax.model.albert import AlbertConfig

CONFIG = AlbertConfig(
    vocab_size=20,
    embedding_size=4,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=1,
    intermediate_size=8,
    max_position_embeddings=64,
)
PARAMS = albert.init(CONFIG, jax.random.key(0))
BUDGET = Budget.usual(1024)


def made(devices=1):
    return Layout(BUDGET, device_mesh(jax.devices()[:devices]), 64)


def ladder(made, buckets, texts, params=PARAMS):
    return made.ladder(params, CONFIG, FixedDepth(1), buckets, texts)


@pytest.mark.parametrize("endless", [False, True])
def test_a_padded_length_is_there_for_enough_texts(endless):
    lengths = np.repeat([5, 12, 60], [4000, 400, 4])
    buckets = made().buckets_for(lengths, endless=endless)
    assert buckets == tuple(sorted(set(buckets))) and buckets[-1] == 64
    served, _ = np.histogram(lengths, [0, *(length + 1 for length in buckets)])
    texts = None if endless else len(lengths)
    for length, count in zip(buckets, served):  # the last serves what is left
        assert count in (0, 4) or count >= 2 * BUDGET.slots(length, texts)
    assert {6, 12} <= set(buckets)  # where padding would cost much


def test_lengths_laid_down_are_those_of_all_calls():
    here = made()
    here.buckets = (16, 64)
    assert here.buckets_for(np.full(5000, 3)) == (16, 64)


@pytest.mark.parametrize("texts", [1, 7, 200, 5000, None])
def test_devices_share_the_texts(texts):
    each = texts and -(-texts // 2)
    alone, shared = ladder(made(), (16, 64), each), ladder(made(2), (16, 64), texts)
    assert shared.slots == alone.slots and shared.mesh.size == 2
    assert shared.rows_per_slot == alone.rows_per_slot
    assert shared.slots == tuple(BUDGET.slots(length, each) for length in (16, 64))


def test_a_queue_of_few_texts_is_short():
    few, many = (ladder(made(), (16,), texts) for texts in (20, None))
    assert few.slots < many.slots and few.rows_per_slot < many.rows_per_slot


def test_parameters_go_to_the_devices_once(monkeypatch):
    copied, on_each = [], layout.on_each
    monkeypatch.setattr(
        layout, "on_each", lambda *given: copied.append(given) or on_each(*given)
    )
    here, others = made(2), jax.tree.map(lambda x: x + 1, PARAMS)
    for params, copies in [(PARAMS, 1), (dict(PARAMS), 1), (others, 2), (others, 2)]:
        ours = ladder(here, (16,), None, params).params
        jax.tree.map(np.testing.assert_array_equal, ours, params)
        assert len(copied) == copies
