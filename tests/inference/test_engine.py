"""The engine gives every text what that text gives alone."""

import dataclasses
import itertools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbert_jax import exits
from elbert_jax.exits import (
    ConfidenceWindow,
)
from elbert_jax.inference import engine, slots
from elbert_jax.inference.tasks import Classification
from elbert_jax.model import albert
from tests.inference.corpus import (
    CONFIG,
    CORPUS,
    CRITERIA,
    MODELS,
    PARAMS,
    ROWS,
    check_exits,
    corpus,
    every_layer,
    make_queue,
    near_edge,
    reference,
)
from tests.inference.reference import run_one_by_one
from tests.properties import examples

PAIRS = [
    *((name, "shared") for name in CRITERIA),
    ("entropy", "pooler"),  # as the papers pair them
    ("confidence", "attention"),
    ("patience", "linear"),
    ("count", "mlp"),
]


@pytest.mark.parametrize(("name", "heads"), PAIRS)
def test_reference_is_the_full_forward_and_the_replay(name, heads):
    want = exits.exit_layer(CRITERIA[name], every_layer(heads))
    got, sure = reference(name, heads), ~near_edge(name, heads)
    assert len(set(want.layer.tolist())) > 2 or name == "never"
    assert sure.sum() >= CORPUS - 1  # cases left out, counted
    np.testing.assert_array_equal(got.layer[:CORPUS][sure], want.layer[sure])
    np.testing.assert_array_equal(got.rule[:CORPUS][sure], want.rule[sure])
    np.testing.assert_allclose(got.logits[:CORPUS][sure], want.logits[sure], atol=1e-5)


def run(queue, criterion, *, config=CONFIG, params=PARAMS, **options):
    """Returns where and how the rows of a queue exit, and all that was finished."""
    finished = engine.run(
        params, queue, Classification(criterion), config=config, **options
    )
    logits, rule = finished.outputs
    return exits.Exits(finished.layer, rule, logits), finished


def check(name, picked, slots, length, unroll=1, heads="shared"):
    picked, (config, params) = np.asarray(picked), MODELS[heads]
    texts = [corpus()[index] for index in picked]
    results, finished = run(
        make_queue(texts, length),
        CRITERIA[name],
        config=config,
        params=params,
        slots=slots,
        unroll=unroll,
    )
    got = jax.tree.map(lambda x: np.asarray(x)[: len(picked)], results)
    check_exits(got, name, picked, heads)
    assert (np.asarray(results.layer)[len(picked) :] == 0).all()
    busy, steps = finished.busy_steps, finished.slot_steps // slots
    assert busy == got.layer.sum() and finished.count == len(picked)
    assert -(-busy // slots) <= steps <= busy + unroll - 1


picks = st.lists(st.integers(0, CORPUS - 1), min_size=1, max_size=ROWS)


# Those that are tested with LLVM's optimisations too.
EXACT = ("monotone", "shared"), ("any of", "shared"), ("count", "mlp")


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        pytest.param(*pair, marks=[pytest.mark.exactness] if pair in EXACT else [])
        for pair in PAIRS
    ],
)
@examples(25)
@given(picked=picks)
def test_any_queue_in_any_order(name, heads, picked):
    check(name, picked, slots=4, length=8, heads=heads)


# (slots, length, unroll), each a program: any two values of two meet in one of them.
SIZES = [(1, 8, 1), (1, 13, 3), (2, 8, 3), (2, 13, 1)]
SIZES += [(7, 8, 1), (7, 13, 3), (40, 8, 3), (40, 13, 1)]


@examples(25)
@given(picked=picks, size=st.sampled_from(SIZES))
def test_any_number_of_slots_and_any_padding(picked, size):
    check("monotone", picked, *size)


@pytest.mark.exactness
@examples(25)
@given(
    picked=picks,
    limits=st.lists(st.integers(2, 9), min_size=1, max_size=6),
    keep=st.integers(0, 3),
)
def test_an_advance_in_slices_gives_the_same(picked, limits, keep):
    task, picked, size = Classification(CRITERIA["monotone"]), np.asarray(picked), 4
    queue = make_queue([corpus()[index] for index in picked], 8)
    held, entered, parts = slots.start(CONFIG, task, size, 8), 0, []
    limits = itertools.chain(limits, itertools.repeat(engine.NO_LIMIT))
    while entered < len(picked) or parts[-1].held:
        limit = next(limits)
        left = jax.tree.map(lambda x: jnp.roll(x, -entered, 0) if x.ndim else x, queue)
        left = dataclasses.replace(left, count=queue.count - entered)
        last = keep if limit < engine.NO_LIMIT else 0
        held, finished = engine.advance(
            PARAMS, held, left, task, last, limit, config=CONFIG, unroll=2
        )
        parts.append(engine.compact(finished))
        assert finished.steps <= limit and finished.steps % 2 == 0
        if finished.steps < limit - 1:  # it was not the limit that ended it
            assert entered + finished.entered == len(picked)
            assert finished.held <= last
        entered += int(finished.entered)
    ids = np.concatenate([each.ids for each in parts])
    assert sorted(ids) == list(range(len(picked)))
    order = np.argsort(ids)
    layer, rule, logits = (
        np.concatenate(each)[order]
        for each in zip(*((x.layer, x.outputs.rule, x.outputs.logits) for x in parts))
    )
    got: Any = layer, rule, logits
    check_exits(exits.Exits(*got), "monotone", picked)
    assert sum(int(each.busy_steps) for each in parts) == layer.sum()


def test_the_limit_compiles_nothing_anew():
    program: Any = engine.advance
    task, queue = Classification(CRITERIA["monotone"]), make_queue(corpus(), 8)
    program.clear_cache()
    for limit in (1, 3, engine.NO_LIMIT):
        empty = slots.start(CONFIG, task, 4, 8)
        engine.advance(PARAMS, empty, queue, task, 0, limit, config=CONFIG)
    assert program._cache_size() == 1


def test_texts_leave_at_many_layers_by_both_rules():
    leaves = reference("range")
    assert len(set(leaves.layer[:CORPUS])) >= 4
    assert set(leaves.rule[:CORPUS]) == {0, 1, 2}


def test_a_criterion_that_never_fires_is_plain_albert():
    queue = make_queue(corpus(), 8, rows=CORPUS)
    results, finished = run(queue, CRITERIA["never"], slots=CORPUS)
    mask = np.arange(8)[None] < np.asarray(queue.lengths)[:, None]
    forward = jax.jit(albert.bind(CONFIG, PARAMS))
    layers = forward(queue.tokens, mask, queue.types)
    # Two programs round as XLA fuses them; the replay of one program's is exact.
    np.testing.assert_allclose(results.logits, layers[-1], atol=1e-5)
    replayed = exits.exit_layer(CRITERIA["never"], layers)
    np.testing.assert_array_equal(replayed.logits, layers[-1])
    assert (results.layer == replayed.layer).all()
    assert finished.slot_steps == CORPUS * CONFIG.num_hidden_layers


def test_an_empty_queue_takes_no_step():
    results, finished = run(make_queue([], 8), CRITERIA["monotone"], slots=4)
    assert finished.slot_steps == finished.count == 0 and not np.any(results.layer)


def test_one_compile_a_shape():
    program: Any = engine.run  # pyright does not know what jit adds
    program.clear_cache()
    for delta, count in ((0.1, 3), (0.5, 9), (1.0, 30)):
        queue = make_queue((corpus() * 2)[:count], 8)
        run(queue, ConfidenceWindow(delta, 3), slots=4)
    assert program._cache_size() == 1


def test_nan_stays_in_its_own_slot_and_never_leaves_early():
    params = jax.tree.map(lambda x: x, PARAMS)
    table = params["embeddings"]["word_embeddings"]["embedding"]
    params["embeddings"]["word_embeddings"]["embedding"] = table.at[48].set(jnp.nan)
    poisoned = (np.array([1, 48, 2], np.int32), np.zeros(3, np.int32))
    texts = [*corpus()[:5], poisoned, *corpus()[5:]]
    for name in ("monotone", "any of"):
        results, _ = run(make_queue(texts, 8), CRITERIA[name], params=params, slots=4)
        layer = np.asarray(results.layer)[: len(texts)]
        assert layer[5] == CONFIG.num_hidden_layers and results.rule[5] == 0
        assert np.isnan(results.logits[5]).all()
        sure = ~near_edge(name)
        got = np.delete(layer, 5)
        np.testing.assert_array_equal(got[sure], reference(name).layer[:CORPUS][sure])


@pytest.mark.parametrize("name", ["monotone", "never"])
def test_bfloat16_leaves_where_it_leaves_alone(name):
    config, criterion = dataclasses.replace(CONFIG, dtype="bfloat16"), CRITERIA[name]
    queue = make_queue(corpus(), 8)
    alone = run_one_by_one(PARAMS, queue, criterion, config=config)
    results, _ = run(queue, criterion, config=config, slots=4)
    np.testing.assert_array_equal(results.layer, alone.layer)
    np.testing.assert_array_equal(results.rule, alone.rule)
    np.testing.assert_allclose(results.logits, alone.logits, atol=1e-2)
    if name == "never":
        np.testing.assert_allclose(results.logits[:CORPUS], every_layer()[-1], atol=0.3)


def test_the_program_never_copies_the_slots_hidden_states():
    size, length = 5, 9  # a shape that nothing else in the program has
    program = engine.run.lower(
        PARAMS,
        make_queue(corpus(), length),
        Classification(CRITERIA["monotone"]),
        config=CONFIG,
        slots=size,
    )
    hidden = rf"f32\[{size},{length},{CONFIG.hidden_size}\]"
    optimised = program.compile().as_text() or ""
    assert re.search(hidden, optimised)  # the carry is there under this shape
    assert not re.findall(rf"= {hidden}\S* copy\(", optimised)


@pytest.mark.gpu
def test_a_gpu_exits_where_the_cpu_does():
    queue, got = make_queue(corpus(), 8), []
    for kind in ("cpu", "gpu"):
        device = jax.devices(kind)[0]
        # A GPU's default, TF32, would move the exits near a threshold.
        with jax.default_device(device), jax.default_matmul_precision("highest"):
            params, here = jax.device_put((PARAMS, queue), device)
            exits_here, _ = run(here, CRITERIA["monotone"], params=params, slots=4)
        got.append(jax.tree.map(lambda x: np.asarray(x)[:CORPUS], exits_here))
    on_cpu, on_gpu = got
    sure = ~near_edge("monotone")
    np.testing.assert_array_equal(on_gpu.layer[sure], on_cpu.layer[sure])
    np.testing.assert_allclose(on_gpu.logits[sure], on_cpu.logits[sure], atol=1e-4)
