"""Texts of all lengths, in any chunks: each gets what it gets alone."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbert_jax.data.batching import Encoded
from elbert_jax.exits import FixedDepth
from elbert_jax.inference import engine
from elbert_jax.inference.buckets import Ladder, device_mesh, queue
from elbert_jax.inference.predictions import Predictions
from tests.inference.test_engine import (
    CONFIG,
    CORPUS,
    CRITERIA,
    PARAMS,
    corpus,
    every_layer,
    near_edge,
)
from tests.properties import examples

pytestmark = pytest.mark.exactness

LENGTHS = (2, 4, 8)
SLOTS = (6, 3, 2)


def encode(picked):
    texts = [corpus()[index] for index in picked]
    return Encoded(
        np.concatenate([np.zeros(0, np.int32), *(tokens for tokens, _ in texts)]),
        np.concatenate([np.zeros(0, np.int8), *(types for _, types in texts)]),
        np.cumsum([0, *(len(tokens) for tokens, _ in texts)]),
        np.full(len(texts), -1, np.int32),
        0,
    )


@functools.cache
def reference(name):
    everything = encode(range(CORPUS))
    rows = np.arange(CORPUS, dtype=np.int32)
    one_queue = queue(everything, rows, rows, 8, CORPUS)
    return engine.run_one_by_one(PARAMS, one_queue, CRITERIA[name], config=CONFIG)


chunks = st.lists(st.lists(st.integers(0, CORPUS - 1), max_size=20), max_size=4)


@pytest.mark.parametrize("name", ["monotone", "any of"])
@examples(10)
@given(chunks=chunks)
def test_any_chunks(name, chunks):
    mesh = device_mesh(jax.devices()[:2])
    ladder = Ladder(PARAMS, CONFIG, CRITERIA[name], LENGTHS, SLOTS, mesh=mesh)
    picked = np.concatenate([np.zeros(0, int), *chunks]).astype(int)
    answers, first = Predictions.empty(CONFIG, len(picked)), 0
    for chunk in [*chunks, []]:
        ids = np.arange(first, first + len(chunk), dtype=np.int32)
        first += len(chunk)
        for finished in ladder.feed(encode(chunk), ids, last=first == len(picked)):
            answers.take(finished)
            answers.count(finished)
    assert answers.complete
    want, sure = reference(name), ~near_edge(name)[picked]
    for got, right in (
        (answers.layers, want.layer),
        (answers.rules, want.rule),
        (answers.logits.argmax(-1), want.logits.argmax(-1)),
    ):
        np.testing.assert_array_equal(got[sure], np.asarray(right)[picked][sure])
    logits = np.asarray(want.logits)[picked]
    np.testing.assert_allclose(answers.logits[sure], logits[sure], atol=1e-5)
    assert answers.busy_steps == answers.layers.sum() <= answers.slot_steps


@pytest.mark.parametrize("devices", [1, 8])
def test_a_depth_laid_down_for_each_text(devices):
    depth = np.random.default_rng(0).integers(1, CONFIG.num_hidden_layers + 1, CORPUS)
    exit = FixedDepth(depth.astype(np.int32))
    mesh = device_mesh(jax.devices()[:devices])
    ladder = Ladder(PARAMS, CONFIG, exit, LENGTHS, SLOTS, mesh=mesh)
    answers, ids = Predictions.empty(CONFIG, CORPUS), np.arange(CORPUS, dtype=np.int32)
    for finished in ladder.feed(encode(range(CORPUS)), ids, last=True):
        answers.take(finished)
    np.testing.assert_array_equal(answers.layers, depth)
    want = np.asarray(every_layer())[depth - 1, ids]
    np.testing.assert_allclose(answers.logits, want, atol=1e-5)


def test_only_the_last_chunk_drains():
    exit, slots = CRITERIA["monotone"], (6, 5, 5)
    mesh = device_mesh(jax.devices()[:1])
    ladder = Ladder(PARAMS, CONFIG, exit, LENGTHS, slots, mesh=mesh)
    counts = []
    for last in (False, False, True):
        left = ladder.feed(
            encode(range(CORPUS)), np.arange(CORPUS, dtype=np.int32), last=last
        )
        counts.append(sum(int(finished.count.sum()) for finished in left))
    assert counts[0] < CORPUS and sum(counts) == 3 * CORPUS
