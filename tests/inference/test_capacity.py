"""Slots for a number of texts, and the budget that is measured."""

import dataclasses

import jax
import pytest

from elbert_jax.errors import UserError
from elbert_jax.inference import capacity
from elbert_jax.inference.capacity import TokenBudget
from elbert_jax.model import albert
from elbert_jax.model.config import AlbertConfig

CONFIG = AlbertConfig(
    vocab_size=20,
    embedding_size=4,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=1,
    intermediate_size=8,
    max_position_embeddings=32,
)


def test_few_texts_take_few_slots():
    usual = TokenBudget.fixed(64)
    taken = {n: usual.slots(16, n) for n in (0, 1, 3, 5, 100, 300, 1023, 1024)}
    assert taken == {0: 1, 1: 1, 3: 1, 5: 4, 100: 4, 300: 16, 1023: 16, 1024: 64}
    assert usual.slots(16) == 64 and usual.slots(512) == 2 and usual.slots(4096) == 1
    assert TokenBudget(1024, 1024).slots(16, 100) == 64  # no faster with fewer


@pytest.mark.parametrize("texts", [1, 50, 5000, None])
def test_slots_never_grow_with_the_length(texts):
    slots = [TokenBudget(3000, 375).slots(length, texts) for length in range(2, 513)]
    assert slots == sorted(slots, reverse=True) and slots[-1] >= 1


def test_a_budget_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    params, measure, calls = (
        albert.init(CONFIG, jax.random.key(0)),
        capacity._measure,
        [],
    )

    def counted(*arguments):
        calls.append(arguments)
        return measure(*arguments)

    monkeypatch.setattr(capacity, "_measure", counted)
    first = capacity.measured(params, CONFIG)
    assert 32 <= first.tokens <= 4096 and first.min_tokens <= first.tokens
    assert capacity.measured(params, CONFIG) == first and len(calls) == 1
    [kept] = (tmp_path / "elbert_jax").glob("*/budget-*.json")
    kept.write_text("{")  # a file that is damaged is measured anew
    monkeypatch.setattr(capacity, "_measure", lambda *_: calls.append(_) or first)
    assert capacity.measured(params, CONFIG) == first and len(calls) == 2
    assert capacity.measured(params, CONFIG) == first and len(calls) == 2
    deeper = dataclasses.replace(CONFIG, num_hidden_layers=3)
    capacity.measured(params, deeper)  # another shape
    assert len(calls) == 3


@pytest.mark.parametrize("slots", [0, -3, "many", "", "2.5"])
def test_slots_are_a_number_or_auto(slots):
    with pytest.raises(UserError, match="slots: give a number, 1 or more, or auto"):
        capacity.choose(slots, None, CONFIG)
    assert capacity.choose("48", None, CONFIG) == capacity.choose(48, None, CONFIG)


def test_a_gpu_takes_several_steps_between_looks_at_the_predicate(monkeypatch):
    assert TokenBudget.fixed(4).unroll == 1
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert TokenBudget.fixed(4).unroll == 4
