"""Exit criteria as dictionaries: there and back, chosen, and refused in one line."""

import dataclasses
import json

import numpy as np
import pytest

from elbert_jax.exits import AnyOf, ConfidenceWindow, Entropy, FixedDepth, registry
from tests.criteria import each_criterion


@each_criterion
def test_a_dictionary_and_back(criterion):
    as_json = json.dumps(criterion.to_dict())
    assert registry.from_dict(json.loads(as_json)) == criterion


def test_numbers_of_numpy_are_kept():
    got = ConfidenceWindow(np.float64(0.5)).to_dict()
    assert type(got["delta"]) is float
    assert registry.from_dict({"delta": np.float64(0.5)}) == ConfidenceWindow(0.5)


def test_a_dictionary_without_a_name_is_elberts():
    assert registry.from_dict({}) == ConfidenceWindow()
    want = dataclasses.replace(ConfidenceWindow(), delta=0.3, window=6)
    assert registry.from_dict({"delta": 0.3, "window": 6}) == want


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
        ({"window": 2.5}, "window is 2.5; it must be a whole number >= 1"),
        ({"window": True}, "window is True; it must be a whole number >= 1"),
        ({"window": 0}, "window is 0; it must be a whole number >= 1"),
        (
            {"name": "elbert2021", "window": 0},
            "window is 0; it must be a whole number >= 1",
        ),
        ({"name": "patience", "patience": 1.5}, "it must be a whole number >= 0"),
        ({"name": "entropy", "normalised": 1}, "it must be true or false"),
        ({"name": "fixed_depth", "depth": [3]}, "it must be a whole number >= 1"),
        ({"name": "fixed_depth", "depth": 0}, "it must be a whole number >= 1"),
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
        ({"name": "any_of", "criteria": []}, "any_of has one field, criteria"),
        ({"name": "any_of", "criteria": [], "delta": 0}, "any_of has one field"),
        ({"name": "any_of", "criteria": ["patience"]}, "an exit is a mapping, not "),
    ],
)
def test_one_line_says_what_to_mend(values, message):
    with pytest.raises(ValueError) as error:
        registry.from_dict(values)
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
    assert registry.chosen(UNSET | values, default) == want


def test_a_configurations_faults_are_told():
    for values, message in (
        ({"name": "pabee"}, "exit name is 'pabee'"),
        ({"dleta": 0.3}, "entropy has no 'dleta'"),
        ({"threshold": -1.0}, "entropy.threshold is -1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            registry.chosen(UNSET | values, Entropy())
