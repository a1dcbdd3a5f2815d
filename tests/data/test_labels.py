"""Class names and class indices."""

import numpy as np
import pytest

from elbert_jax.data.example import Example
from elbert_jax.data.labels import label_ids, label_names
from elbert_jax.errors import UserError


def rows(*labels):
    return [Example(f"r{i}", "a", label=label) for i, label in enumerate(labels)]


@pytest.mark.parametrize(
    "labels, names",
    [
        (["pos", "neg", None, "pos"], ("neg", "pos")),
        ([1, 0, 2, None], ("0", "1", "2")),
        ([3, 1, 2, 4, 10], ("1", "2", "3", "4", "10")),
        ([-1, 1], ("-1", "1")),
    ],
)
def test_names_come_sorted_from_the_data(labels, names):
    assert label_names(rows(*labels)) == names
    ids = label_ids(rows(*labels), names)
    assert ids.dtype == np.int32
    want = [-1 if label is None else names.index(str(label)) for label in labels]
    np.testing.assert_array_equal(ids, want)


def test_given_names_win_and_integers_index_them():
    names = label_names(rows(0, 1), ("negative", "positive"))
    assert names == ("negative", "positive")
    ids = label_ids(rows(1, "negative", 0, "positive"), names)
    np.testing.assert_array_equal(ids, [1, 0, 0, 1])


def test_indices_may_count_from_one():
    ids = label_ids(rows(3, 1, None, 2), ("a", "b", "c"))
    np.testing.assert_array_equal(ids, [2, 0, -1, 1])
    ids = label_ids(rows(1, 2), ("a", "b", "c"))  # for all that they tell
    np.testing.assert_array_equal(ids, [1, 2])
    with pytest.raises(UserError, match="row 'r2' has the label 3"):
        label_ids(rows(0, 1, 3), ("a", "b", "c"))


@pytest.mark.parametrize(
    "labels, message", [(["a", 1], "both names"), ([None, None], "no row has a label")]
)
def test_labels_that_name_no_classes(labels, message):
    with pytest.raises(UserError, match=message):
        label_names(rows(*labels))


@pytest.mark.parametrize("label", ["meh", 2, -1])
def test_an_unknown_label_is_named_with_its_row(label):
    message = f"row 'r1' has the label {label!r}; the classes are bad, good"
    with pytest.raises(UserError, match=message):
        label_ids(rows("good", label), ("bad", "good"))
