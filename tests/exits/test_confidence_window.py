"""ELBERT's two stages and its published rules, layer by layer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbert_jax.exits import Patience
from tests.criteria import (
    binary,
    elbert2021,
    leaves_at,
    random_walk,
    replay,
    seeds,
    window,
)
from tests.properties import examples


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


@examples(20)
@given(seed=seeds, classes=st.integers(2, 4), size=st.integers(2, 6))
def test_label_is_patience_of_one_less(seed, classes, size):
    logits = np.round(random_walk(seed, classes))  # whole, so that ties are many
    label = replay(window("label", window=size), logits)
    patience = replay(Patience(size - 1), logits)
    assert [layer for layer, _ in label] == [layer for layer, _ in patience]
