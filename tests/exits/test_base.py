"""Exit criteria against probabilities chosen by hand and a slow, obvious replay."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbert_jax import exits
from elbert_jax.exits import (
    AnyOf,
    ConfidenceWindow,
    Count,
    Elbert2021,
    Entropy,
    FixedDepth,
    Patience,
)
from tests.criteria import (
    CRITERIA,
    binary,
    each_criterion,
    elbert2021,
    leaves_at,
    random_walk,
    replay,
    seeds,
    window,
)
from tests.properties import examples


def test_normalised_entropy():
    def u(*probabilities):
        return float(exits.normalised_entropy(jnp.log(jnp.array(probabilities))))

    assert u(0.9, 0.1) == pytest.approx(0.468996)  # 0.9 log2(1 / 0.9) + 0.1 log2(10)
    assert u(0.5, 0.5) == 1.0
    assert exits.normalised_entropy(jnp.array([1e4, -1e4])) == 0.0
    assert u(0.5, 0.25, 0.25) == pytest.approx(0.946395)  # 1.5 bits of log2(3)
    assert np.isnan(u(1.0, 0.0))  # a logit of -inf


def test_every_class_has_a_structure_of_its_own():
    """What is compiled for one would otherwise serve another, when hashes collide."""
    kinds = (ConfidenceWindow, Elbert2021, Entropy, Patience, Count, FixedDepth)
    each = [kind() for kind in kinds] + [AnyOf((kind(),)) for kind in kinds]
    structures = [jax.tree.structure(criterion) for criterion in each]
    for number, structure in enumerate(structures):
        assert [structure == other for other in structures].index(True) == number
        assert (
            jax.tree.unflatten(structure, jax.tree.leaves(each[number])) == each[number]
        )
    assert jax.tree.leaves(ConfidenceWindow(0.3, 5)) == [0.3, 1e-6, 0.01]


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (
            ConfidenceWindow,
            {"delta": np.nan},
            "confidence_window.delta is nan; it must",
        ),
        (ConfidenceWindow, {"delta": -0.1}, "delta is -0.1; it must be a number >= 0"),
        (
            ConfidenceWindow,
            {"epsilon": "1"},
            "epsilon is '1'; it must be a number >= 0",
        ),
        (
            ConfidenceWindow,
            {"window": 0},
            "window is 0; it must be a whole number >= 1",
        ),
        (Elbert2021, {"criterion": "range"}, "criterion is 'range'; it may be bias_1"),
        (Elbert2021, {"margin": np.float32(-0.5)}, "elbert2021.margin is -0.5"),
        (Entropy, {"threshold": None}, "threshold is None; it must be a number >= 0"),
        (Entropy, {"normalised": 1}, "normalised is 1; it must be true or false"),
        (Patience, {"patience": True}, "patience is True; it must be a whole number"),
        (Count, {"count": 2.0}, "count is 2.0; it must be a whole number >= 0"),
        (FixedDepth, {"depth": 0}, "fixed_depth.depth is 0; it must be a whole number"),
        (AnyOf, {"criteria": ()}, "any_of takes a tuple of exits, not ()"),
        (AnyOf, {"criteria": (0.1,)}, "any_of takes a tuple of exits"),
    ],
)
def test_a_value_that_cannot_be_is_refused(kind, fields, message):
    with pytest.raises(ValueError) as error:
        kind(**fields)
    assert message in str(error.value)


def test_thresholds_may_be_traced_or_arrays():
    logits = np.log([binary(0.6, 0.8, 0.9)]).swapaxes(0, 1)
    traced = jax.jit(lambda d: exits.exit_layer(window("none", delta=d), logits).layer)
    assert traced(0.73)[0] == 2 and traced(0.5)[0] == 3
    depths = FixedDepth(np.array([2], np.int32))
    assert exits.exit_layer(depths, logits).layer[0] == 2


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_never_let_a_text_out(criterion, bad):
    logits = np.tile([1.0, 0.0, 0.0], (8, 3, 1))
    [(layer, rule)] = set(replay(criterion, logits))
    assert layer < 5 and rule != "last_layer"
    logits[0, 1, 2] = bad  # the text starts again behind it; the others do not notice
    leave, again = (layer, rule), (layer + 1, rule)
    assert replay(criterion, logits) == [leave, again, leave]
    logits[:, 1, 1] = bad
    assert replay(criterion, logits) == [leave, (8, "last_layer"), leave]


@each_criterion
def test_state_has_the_batch_first_and_keeps_its_type(criterion):
    state = jax.eval_shape(lambda: criterion.init(jnp.arange(5), 3))
    logits = jax.ShapeDtypeStruct((5, 3), np.float32)
    after, rule = jax.eval_shape(criterion, state, logits)
    assert after == state  # weak types too: a loop's carry may not change its type
    assert all(leaf.shape[0] == 5 for leaf in jax.tree.leaves(state))
    assert (rule.shape, rule.dtype) == ((5,), np.int32)


def test_any_of_reports_the_first_named_criterion():
    confident = ConfidenceWindow(0.48, 3)  # u(0.9) = 0.469
    sure_at_3 = binary(0.6, 0.7, 0.9, 0.9, 0.9)  # patience and the window too
    settled_at_3 = binary(0.6, 0.7, 0.8, 0.8, 0.8)
    assert leaves_at(AnyOf((Patience(2), confident)), sure_at_3) == (3, "patience")
    last = AnyOf((confident, Patience(2)))
    assert leaves_at(last, sure_at_3) == (3, "confidence")
    nested = AnyOf((Patience(9), elbert2021("bias_1", window=9), last))
    rules = ("patience", "confidence", "window", "confidence", "window", "patience")
    assert nested.rules == rules
    logits = np.log([sure_at_3, settled_at_3]).swapaxes(0, 1).astype(np.float32)
    leaves = exits.exit_layer(nested, logits)
    np.testing.assert_array_equal(leaves.layer, [3, 3])
    np.testing.assert_array_equal(leaves.rule, [4, 5])


def test_exit_layer_returns_the_logits_of_the_layer():
    logits = np.log([binary(0.6, 0.8, 0.9), binary(0.1, 0.6, 0.7)]).swapaxes(0, 1)
    leaves = exits.exit_layer(window("none", delta=0.73), logits.astype(np.float32))
    np.testing.assert_array_equal(leaves.layer, [2, 1])
    np.testing.assert_allclose(np.exp(leaves.logits), binary(0.8, 0.1), rtol=1e-6)


def test_a_threshold_compiles_nothing_anew():
    compiled: Any = exits.exit_layer  # pyright does not know what jit adds
    compiled.clear_cache()
    logits = np.log([binary(0.6, 0.7, 0.8, 0.9, 0.99)]).swapaxes(0, 1)
    assert replay(AnyOf((window("none", delta=0.9), Patience(9))), logits)[0][0] == 2
    assert replay(AnyOf((window("none", delta=0.5), Patience(9))), logits)[0][0] == 4
    assert replay(AnyOf((window("none", delta=0.1), Patience(2))), logits)[0][0] == 3
    assert compiled._cache_size() == 1


def slow_rule(criterion, seen):
    """Returns the rule that fires after the probabilities `seen`, or None."""
    if isinstance(criterion, FixedDepth):
        at_it = len(seen) >= np.asarray(criterion.depth) and np.isfinite(seen[-1]).all()
        return "fixed_depth" if at_it else None
    if isinstance(criterion, Count):
        labels = [np.argmax(p) if np.isfinite(p).all() else None for p in seen]
        count = sum(a == b is not None for a, b in zip(labels, labels[1:]))
        return "count" if count >= criterion.count and labels[-1] is not None else None
    if isinstance(criterion, Patience):
        last = seen[-criterion.patience - 1 :]
        same = len({int(np.argmax(p)) for p in last}) == 1
        whole = len(last) == criterion.patience + 1 and np.isfinite(last).all()
        return "patience" if same and whole else None
    p = seen[-1]
    entropy = -sum(x * np.log(x) for x in p)
    if isinstance(criterion, Entropy):
        scale = np.log(len(p)) if criterion.normalised else 1
        return "entropy" if entropy / scale < criterion.threshold else None
    if entropy / np.log(len(p)) < criterion.delta:
        return "confidence"
    last = seen[-criterion.window :]
    if len(last) < criterion.window or not np.isfinite(last).all():
        return None
    if isinstance(criterion, ConfidenceWindow):
        c = np.argmax(p)
        top = [max(q) for q in last]
        settled = {
            "monotone": np.argmax(last[0]) == c
            and all(b[c] >= a[c] - criterion.tolerance for a, b in zip(last, last[1:])),
            "range": max(top) - min(top) < criterion.epsilon,
            "label": all(np.argmax(q) == c for q in last),
            "none": False,
        }
    else:
        first, *later = [q[0] for q in last]
        high, low = 0.5 + criterion.margin, 0.5 - criterion.margin
        constant = min(first, *later) > high or max(first, *later) < low
        rises = first > high and [first, *later] == sorted([first, *later])
        falls = first < low and [first, *later] == sorted([first, *later])[::-1]
        spread = max(first, *later) - min(first, *later)
        settled = {
            "bias_1": constant,
            "bias_2": rises or falls,
            "bias_3": constant and spread <= criterion.spread,
        }
    return "window" if settled[criterion.criterion] else None


def slow_replay(criterion, logits):
    """Returns the exit layer and rule of one text's logits [D, C], in float64."""
    seen = []
    for layer, z in enumerate(logits.astype(np.float64), start=1):
        exp = np.exp(z - z.max())
        seen.append(exp / exp.sum())
        if rule := slow_rule(criterion, seen):
            return layer, rule
    return len(logits), "last_layer"


deltas = st.floats(0.05, 0.6)
any_criterion = st.one_of(
    st.builds(
        ConfidenceWindow,
        deltas,
        st.sampled_from([2, 5]),
        st.sampled_from(["monotone", "range", "label", "none"]),
        st.sampled_from([1e-6, 0.05]),
        st.floats(0.05, 0.3),
    ),
    st.builds(
        Elbert2021,
        deltas,
        st.sampled_from([2, 5]),
        st.sampled_from(["bias_1", "bias_2", "bias_3"]),
        st.floats(0.0, 0.2),
        st.floats(0.05, 0.3),
    ),
    st.builds(Patience, st.integers(0, 5)),
    st.builds(Count, st.integers(0, 5)),
    st.builds(Entropy, deltas, st.booleans()),
    st.builds(FixedDepth, st.integers(1, 9)),
)


@examples(30)
@given(criterion=any_criterion, seed=seeds, classes=st.integers(2, 3))
def test_slow_replay_agrees(criterion, seed, classes):
    logits = random_walk(seed, classes)
    want = [slow_replay(criterion, text) for text in logits.swapaxes(0, 1)]
    assert replay(criterion, logits) == want
