"""Exit criteria against probabilities chosen by hand and a slow, obvious replay."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elbert_jax import exit_settings, exits
from elbert_jax.confidence_window import ConfidenceWindow, Elbert2021
from elbert_jax.exits import AnyOf, Count, Entropy, FixedDepth, Patience

PROPERTY = settings(deadline=None, max_examples=20, derandomize=True)


def binary(*class_0):
    """Returns the probabilities [D, 2] of one text, by layer."""
    return [(p, 1 - p) for p in class_0]


def replay(criterion, logits):
    """Returns [(exit layer, rule), ...] of the texts of logits [D, B, C]."""
    leaves = exits.exit_layer(criterion, np.asarray(logits, np.float32))
    names = exits.rule_names(criterion)
    return [(int(layer), names[rule]) for layer, rule in zip(*leaves[:2])]


def leaves_at(criterion, probabilities):
    """Returns the exit layer and rule of one text, from its probabilities [D, C]."""
    return replay(criterion, np.log(probabilities)[:, None])[0]


def test_puzzlement():
    def u(*probabilities):
        return float(exits.puzzlement(jnp.log(jnp.array(probabilities))))

    assert u(0.9, 0.1) == pytest.approx(0.468996)  # 0.9 log2(1 / 0.9) + 0.1 log2(10)
    assert u(0.5, 0.5) == 1.0
    assert exits.puzzlement(jnp.array([1e4, -1e4])) == 0.0
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


def window(criterion="monotone", **thresholds):
    """A window of three layers with stage 1 off, unless `delta` is given."""
    values = {"delta": 0.0, "window": 3} | thresholds
    return ConfidenceWindow(**values, criterion=criterion)


# Five layers and one text throughout: each kind of criterion is compiled once.
@pytest.mark.parametrize(
    ("criterion", "class_0", "want"),
    [
        # Stage 1: u(0.6) = 0.971, u(0.7) = 0.881, u(0.8) = 0.722, u(0.9) = 0.469.
        (window("none", delta=0.73), [0.6, 0.7, 0.8, 0.9, 0.9], (3, "confidence")),
        (window("none", delta=0.72), [0.6, 0.3, 0.2, 0.1, 0.1], (4, "confidence")),
        (window("none", delta=0.4), [0.6, 0.7, 0.8, 0.9, 0.9], (5, "last_layer")),
        (window("none", delta=0.0), [0.9, 0.9, 0.9, 0.9, 0.9], (5, "last_layer")),
        (window(delta=0.9), [0.6, 0.7, 0.8, 0.8, 0.8], (2, "confidence")),
        (window(delta=0.73), [0.6, 0.7, 0.8, 0.8, 0.8], (3, "confidence")),  # stage 1
        # Monotone: looked at from layer W on, and never where W > D.
        (window(), [0.6, 0.7, 0.8, 0.9, 0.9], (3, "window")),
        (window(), [0.4, 0.3, 0.2, 0.1, 0.1], (3, "window")),  # class 1 rises
        (window(), [0.7, 0.7, 0.7, 0.7, 0.7], (3, "window")),  # level is no fall
        (window(window=1), [0.6, 0.7, 0.8, 0.9, 0.9], (1, "window")),
        (window(window=6), [0.6, 0.7, 0.8, 0.9, 0.9], (5, "last_layer")),
        # 0.7 to 0.65 is a fall until it has left the window.
        (window(), [0.6, 0.7, 0.65, 0.7, 0.8], (5, "window")),
        (window(tolerance=0.06), [0.6, 0.7, 0.65, 0.7, 0.8], (3, "window")),
        (window(tolerance=0.04), [0.6, 0.7, 0.65, 0.7, 0.8], (5, "window")),
        (window(), [0.4, 0.6, 0.7, 0.8, 0.9], (4, "window")),  # label 1 at the oldest
        # Range: 0.15 over layers 1 to 3, 0.07 over 2 to 4; the label may change.
        (window("range", epsilon=0.1), [0.6, 0.75, 0.7, 0.68, 0.7], (4, "window")),
        (window("range", epsilon=0.1), [0.55, 0.45, 0.52, 0.9, 0.9], (3, "window")),
        (window("range", epsilon=0.0), [0.7, 0.7, 0.7, 0.7, 0.7], (5, "last_layer")),
        # Label: 0 1 1 1 1, then 0 0 1 0 0; argmax takes the first of a tie.
        (window("label"), [0.6, 0.4, 0.1, 0.4, 0.4], (4, "window")),
        (window("label"), [0.6, 0.6, 0.4, 0.6, 0.6], (5, "last_layer")),
        (window("label"), [0.5, 0.6, 0.5, 0.6, 0.6], (3, "window")),
        (window("label"), [0.5, 0.4, 0.5, 0.5, 0.5], (5, "window")),
        (Patience(2), [0.6, 0.4, 0.1, 0.4, 0.4], (4, "patience")),
        (Patience(2), [0.5, 0.6, 0.5, 0.6, 0.6], (3, "patience")),
        (Patience(0), [0.6, 0.4, 0.6, 0.4, 0.6], (1, "patience")),
        (Patience(5), [0.6, 0.6, 0.6, 0.6, 0.6], (5, "last_layer")),
    ],
)
def test_two_classes(criterion, class_0, want):
    assert leaves_at(criterion, binary(*class_0)) == want


def elbert2021(criterion, **thresholds):
    return Elbert2021(**{"delta": 0.0, "window": 3} | thresholds, criterion=criterion)


@pytest.mark.parametrize(
    ("criterion", "class_0", "want"),
    [
        (
            elbert2021("bias_1", delta=0.73),
            [0.6, 0.8, 0.9, 0.9, 0.9],
            (2, "confidence"),
        ),
        (elbert2021("bias_1"), [0.6, 0.9, 0.7, 0.8, 0.8], (3, "window")),
        (elbert2021("bias_1"), [0.4, 0.1, 0.3, 0.2, 0.2], (3, "window")),
        (elbert2021("bias_1"), [0.6, 0.5, 0.6, 0.6, 0.6], (5, "window")),
        (elbert2021("bias_1", margin=0.1), [0.7, 0.55, 0.7, 0.7, 0.7], (5, "window")),
        (elbert2021("bias_1"), [0.6, 0.4, 0.6, 0.4, 0.4], (5, "last_layer")),
        (elbert2021("bias_2"), [0.6, 0.7, 0.7, 0.9, 0.9], (3, "window")),
        (elbert2021("bias_2"), [0.6, 0.7, 0.65, 0.7, 0.8], (5, "window")),
        (elbert2021("bias_2"), [0.4, 0.3, 0.3, 0.2, 0.2], (3, "window")),
        (elbert2021("bias_2"), [0.4, 0.42, 0.45, 0.48, 0.49], (5, "last_layer")),
        # The margin is asked of the window's oldest output only: 0.45 is within it.
        (elbert2021("bias_2", margin=0.1), [0.45, 0.3, 0.2, 0.1, 0.1], (4, "window")),
        (elbert2021("bias_3", spread=0.1), [0.6, 0.75, 0.7, 0.68, 0.7], (4, "window")),
        (
            elbert2021("bias_3", spread=0.1),
            [0.55, 0.45, 0.52, 0.53, 0.54],
            (5, "window"),
        ),
        (elbert2021("bias_3", spread=0.0), [0.7, 0.7, 0.7, 0.7, 0.7], (3, "window")),
    ],
)
def test_elbert2021(criterion, class_0, want):
    assert leaves_at(criterion, binary(*class_0)) == want


# Argmax 0 1 0 0 0; class 0 never falls; the top is 0.4, 0.5, 0.5, 0.5, 0.55.
SWAYS = [(0.4, 0.3, 0.3), (0.4, 0.5, 0.1), (0.5, 0.3, 0.2), (0.5, 0.25, 0.25)]
SWAYS.append((0.55, 0.25, 0.2))
# Argmax 1 1 1 2 2, by the first of a tie; classes 1 and 2 both fall once.
TIED = [(0.2, 0.4, 0.4), (0.1, 0.5, 0.4), (0.2, 0.4, 0.4), (0.3, 0.3, 0.4)]
TIED.append((0.35, 0.3, 0.35 + 1e-3))


@pytest.mark.parametrize(
    ("criterion", "probabilities", "want"),
    [
        (window(), SWAYS, (3, "window")),  # the label between the ends is free
        (window("range", epsilon=0.05), SWAYS, (4, "window")),
        (window("label"), SWAYS, (5, "window")),
        (Patience(2), SWAYS, (5, "patience")),
        (window("none", delta=0.94), SWAYS, (2, "confidence")),  # 1.361 of 1.585 bits
        (elbert2021("bias_1", margin=0.05), SWAYS, (5, "last_layer")),
        (window(), TIED, (5, "last_layer")),
        (window("label"), TIED, (3, "window")),
        (Patience(2), TIED, (3, "patience")),
        (elbert2021("bias_1"), TIED, (3, "window")),  # class 0 stays below a half
    ],
)
def test_three_classes(criterion, probabilities, want):
    assert leaves_at(criterion, probabilities) == want


def test_stage_1_is_strict():
    half = np.tile([0.0, 0.0, -1e4, -1e4], (5, 1, 1))  # log 2 / log 4: exactly 0.5
    assert replay(window("none", delta=0.5), half) == [(5, "last_layer")]
    above = float(np.nextafter(np.float32(0.5), np.float32(1)))
    assert replay(window("none", delta=above), half) == [(1, "confidence")]


@pytest.mark.parametrize("logits", [(1e4, -1e4), (-1e4, 1e4), (-1e4, 1e4, -1e4)])
def test_delta_0_leaves_stage_1_off_even_at_saturation(logits):
    saturated = np.tile(logits, (5, 1, 1))
    assert replay(window("none"), saturated) == [(5, "last_layer")]
    assert replay(window("none", delta=1e-6), saturated) == [(1, "confidence")]


def test_noise_at_saturation_is_no_fall():
    noisy = np.array([[[z, 0.0]] for z in (15.0, 14.5, 15.0, 14.5, 15.0)])
    assert replay(window(), noisy) == [(3, "window")]  # 1 - p is 3e-7 or 5e-7
    assert replay(window(tolerance=0.0), noisy) == [(5, "last_layer")]


CRITERIA = [
    window(),
    window("range"),
    window("label"),
    window("none", delta=1.0),
    elbert2021("bias_1"),
    elbert2021("bias_2"),
    elbert2021("bias_3"),
    Elbert2021(delta=1.0),
    Patience(2),
    Count(2),
    Entropy(1.0),
    Entropy(0.9, normalised=True),
    AnyOf((Patience(5), window(window=4))),
]
each_criterion = pytest.mark.parametrize("criterion", [*CRITERIA, FixedDepth(3)])


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


def test_a_threshold_compiles_nothing_anew(monkeypatch):
    first_rule, traces = exits.first_rule, []

    def counted(*fired):
        traces.append(fired)
        return first_rule(*fired)

    monkeypatch.setattr(exits, "first_rule", counted)
    logits = np.log([binary(0.6, 0.7, 0.8, 0.9, 0.99)]).swapaxes(0, 1)
    assert replay(AnyOf((window("none", delta=0.9), Patience(9))), logits)[0][0] == 2
    traced = len(traces)
    assert replay(AnyOf((window("none", delta=0.5), Patience(9))), logits)[0][0] == 4
    assert replay(AnyOf((window("none", delta=0.1), Patience(2))), logits)[0][0] == 3
    assert len(traces) == traced > 0


def random_walk(seed, classes, depth=8, texts=24):
    """Logits [D, B, C] that drift; one text in four has a NaN somewhere."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 0.7, (depth, texts, classes)).cumsum(0)
    for text in range(0, texts, 4):
        logits[draw.integers(depth), text, draw.integers(classes)] = np.nan
    return logits.astype(np.float32)


seeds = st.integers(0, 2**32 - 1)
class_numbers = st.integers(2, 4)
windows = st.integers(2, 6)


@PROPERTY
@given(seed=seeds, classes=class_numbers, size=windows)
def test_label_is_patience_of_one_less(seed, classes, size):
    logits = np.round(random_walk(seed, classes))  # whole, so that ties are many
    label = replay(window("label", window=size), logits)
    patience = replay(Patience(size - 1), logits)
    assert [layer for layer, _ in label] == [layer for layer, _ in patience]


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


@settings(PROPERTY, max_examples=30)
@given(criterion=any_criterion, seed=seeds, classes=st.integers(2, 3))
def test_slow_replay_agrees(criterion, seed, classes):
    logits = random_walk(seed, classes)
    want = [slow_replay(criterion, text) for text in logits.swapaxes(0, 1)]
    assert replay(criterion, logits) == want


@each_criterion
def test_a_dictionary_and_back(criterion):
    as_json = json.dumps(exit_settings.to_dict(criterion))
    assert exit_settings.from_dict(json.loads(as_json)) == criterion


def test_a_dictionary_without_a_name_is_elberts():
    assert exit_settings.from_dict({}) == ConfidenceWindow()
    want = dataclasses.replace(ConfidenceWindow(), delta=0.3, window=6)
    assert exit_settings.from_dict({"delta": 0.3, "window": 6}) == want


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.1], "an exit is a mapping, not [0.1]"),
        (
            {"name": "pabee"},
            "exit name is 'pabee'; it may be confidence_window, elbert2021, entropy, "
            "patience, count, fixed_depth, any_of",
        ),
        ({"name": ["patience"]}, "exit name is ['patience']; it may be "),
        (
            {"name": "patience", "delta": 0.1},
            "patience has no 'delta'; it has ",
        ),
        ({"delta": -0.1}, "confidence_window.delta is -0.1; it must be a number >= 0"),
        ({"delta": "0.1"}, "confidence_window.delta is '0.1'; it must be a number"),
        ({"delta": np.nan}, "confidence_window.delta is nan; it must be a number"),
        ({"window": 2.5}, "window is 2.5; it must be a whole number >= 0"),
        ({"window": True}, "window is True; it must be a whole number >= 0"),
        ({"window": 0}, "window is 0; it must be at least 1"),
        ({"name": "elbert2021", "window": 0}, "window is 0; it must be at least 1"),
        ({"name": "patience", "patience": 1.5}, "it must be a whole number >= 0"),
        ({"name": "entropy", "normalised": 1}, "it must be true or false"),
        ({"name": "fixed_depth", "depth": [3]}, "it must be a whole number >= 0"),
        (
            {"criterion": "bias_1"},
            "criterion is 'bias_1'; it may be monotone, range, label, none",
        ),
        (
            {"name": "elbert2021", "criterion": "label"},
            "criterion is 'label'; it may be bias_1, bias_2, bias_3",
        ),
        ({"name": "any_of"}, "any_of has one field, criteria: a list of exits"),
        ({"name": "any_of", "criteria": {}}, "any_of has one field, criteria"),
        ({"name": "any_of", "criteria": [], "delta": 0}, "any_of has one field"),
        ({"name": "any_of", "criteria": ["patience"]}, "an exit is a mapping, not "),
    ],
)
def test_one_line_says_what_to_mend(values, message):
    with pytest.raises(ValueError) as error:
        exit_settings.from_dict(values)
    assert message in str(error.value)


UNSET = {"name": "", "delta": None, "window": None, "threshold": None, "depth": None}


@pytest.mark.parametrize(
    ("values", "default", "want"),
    [
        ({}, Entropy(0.4), Entropy(0.4)),
        ({"threshold": 0.3}, Entropy(normalised=True), Entropy(0.3, normalised=True)),
        ({"delta": 0.3}, ConfidenceWindow(), ConfidenceWindow(0.3)),
        # What another criterion has is passed over: a file serves every method.
        ({"delta": 0.3, "window": 4}, Entropy(0.4), Entropy(0.4)),
        ({"name": "fixed_depth", "depth": 3}, Entropy(), FixedDepth(3)),
        (
            {"name": "any_of", "criteria": [{"delta": 0.2}], "delta": 0.3},
            Entropy(),
            AnyOf((ConfidenceWindow(0.2),)),
        ),
    ],
)
def test_a_configuration_changes_the_exit_of_a_method(values, default, want):
    assert exit_settings.chosen(UNSET | values, default) == want


def test_a_configurations_faults_are_told():
    for values, message in (
        ({"name": "pabee"}, "exit name is 'pabee'"),
        ({"dleta": 0.3}, "entropy has no 'dleta'"),
        ({"threshold": -1.0}, "entropy.threshold is -1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            exit_settings.chosen(UNSET | values, Entropy())
