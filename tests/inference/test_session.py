"""Texts of all lengths, submitted and polled for in any order, exit as if alone."""

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbert_jax import exits
from elbert_jax.data.encoded import Encoded
from elbert_jax.exits import FixedDepth
from elbert_jax.inference import devices
from elbert_jax.inference.buckets import Buckets
from elbert_jax.inference.predictions import predict
from elbert_jax.inference.session import Session
from elbert_jax.inference.tasks import Classification
from tests.inference.corpus import (
    CONFIG,
    CORPUS,
    CRITERIA,
    PARAMS,
    check_exits,
    corpus,
    every_layer,
)
from tests.properties import examples

BUCKETS = Buckets(lengths=(2, 4, 8), slots=(6, 3, 2))


def encode(picked):
    texts = [corpus()[index] for index in picked]
    return Encoded(
        np.concatenate([np.zeros(0, np.int32), *(tokens for tokens, _ in texts)]),
        np.concatenate([np.zeros(0, np.int8), *(types for _, types in texts)]),
        np.cumsum([0, *(len(tokens) for tokens, _ in texts)]),
        np.full(len(texts), -1, np.int32),
        0,
    )


def session(exit, count=2, buckets=BUCKETS, **options):
    mesh = devices.mesh(jax.devices()[:count])
    task = Classification(exit)
    return Session(task, PARAMS, CONFIG, buckets, mesh, **options)


class Seen:
    """Collects what a session finishes, each id once."""

    def __init__(self):
        self.picked, self.exits = [], {}
        self.busy_steps = self.slot_steps = 0

    def submit(self, to, picked):
        first = len(self.picked)
        self.picked += picked
        ids = np.arange(first, len(self.picked), dtype=np.int32)
        to.submit(encode(picked), ids)

    def take(self, finished):
        logits, rule = finished.outputs
        rows = zip(finished.layer, rule, logits, strict=True)
        for id, row in zip(finished.ids.tolist(), rows, strict=True):
            assert id not in self.exits
            self.exits[id] = row
        self.busy_steps += finished.busy_steps
        self.slot_steps += finished.slot_steps

    def check(self, name):
        assert sorted(self.exits) == list(range(len(self.picked)))
        if self.picked:
            rows = (self.exits[id] for id in range(len(self.picked)))
            got: Any = map(np.array, zip(*rows))
            got = exits.Exits(*got)
            check_exits(got, name, np.array(self.picked))
            assert self.busy_steps == np.sum(got.layer) <= self.slot_steps


some = st.lists(st.integers(0, CORPUS - 1), max_size=20)


@pytest.mark.parametrize(
    "name", [pytest.param("monotone", marks=pytest.mark.exactness), "any of"]
)
@pytest.mark.parametrize("max_steps", [None, 2, 5])
@examples(10)
@given(calls=st.lists(st.one_of(some, st.none()), max_size=8))
def test_any_order_of_submissions_and_polls(name, max_steps, calls):
    here, seen = session(CRITERIA[name], max_steps=max_steps), Seen()
    for call in calls:
        if call is not None:
            seen.submit(here, call)
        elif (finished := here.poll()) is not None:
            seen.take(finished)
    for finished in here.drain():
        seen.take(finished)
    seen.check(name)
    assert here.poll() is None and not here.has_results()


@pytest.mark.parametrize("count", [1, 8])
def test_a_given_exit_layer_for_each_text(count):
    depth = np.random.default_rng(0).integers(1, CONFIG.num_hidden_layers + 1, CORPUS)
    here = session(FixedDepth(depth.astype(np.int32)), count)
    got = predict(here, encode(range(CORPUS)))
    np.testing.assert_array_equal(got.layers, depth)
    want = np.asarray(every_layer())[depth - 1, np.arange(CORPUS)]
    np.testing.assert_allclose(got.logits, want, atol=1e-5)


@pytest.mark.parametrize("max_steps", [None, 4])
def test_a_text_exits_whatever_else_is_submitted(max_steps):
    long, short = (
        next(i for i, (tokens, _) in enumerate(corpus()) if len(tokens) == length)
        for length in (8, 1)
    )
    more = [short] * (40 if max_steps is None else 2)  # about what a poll can answer
    here, seen, polls = session(CRITERIA["never"], 1, max_steps=max_steps), Seen(), 0
    seen.submit(here, [long])
    while 0 not in seen.exits:
        seen.submit(here, more)
        seen.take(here.poll())
        polls += 1
        assert polls < 60


def test_slots_are_not_drained_while_texts_wait():
    def steps(chunks):
        here, seen = session(CRITERIA["monotone"], 1, Buckets((8,), (6,))), Seen()
        for chunk in chunks:
            seen.submit(here, chunk)
            if chunk is chunks[-1] or len(chunks) == 4:
                for finished in here.drain():
                    seen.take(finished)
        seen.check("monotone")
        return seen.slot_steps

    everything = list(range(CORPUS))
    assert steps([everything * 4]) < steps([everything] * 4)


def test_a_limit_below_one_turn_is_refused():
    with pytest.raises(ValueError, match="max_steps 1 is below unroll 2"):
        session(CRITERIA["never"], max_steps=1, unroll=2)
