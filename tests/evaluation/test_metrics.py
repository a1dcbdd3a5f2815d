"""Scores against counts made by hand."""

import numpy as np
import pytest

from elbert_jax.evaluation import metrics


def scores(confusion):
    """Scores of the answers whose confusion matrix [true, predicted] is given."""
    confusion = np.array(confusion)
    labels, predicted = np.indices(confusion.shape).reshape(2, -1)
    counts, classes = confusion.ravel(), len(confusion)
    answers = labels.repeat(counts), predicted.repeat(counts)
    return metrics.classification(*answers, classes)


def test_two_classes():
    # TN 4, FP 1, FN 2, TP 3: F1 is of class 1, 2 TP / (2 TP + FP + FN); Matthews'
    # is (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN)).
    assert scores([[4, 1], [2, 3]]) == pytest.approx(
        {"accuracy": 0.7, "f1": 6 / 9, "matthews": 10 / (4 * 5 * 5 * 6) ** 0.5}
    )


def test_three_classes():
    # F1 by class: 4 / 5, 4 / 6, 6 / 7. Matthews', with 9 answers of which 7 are
    # right, 3 3 3 true and 2 3 4 predicted: (7 * 9 - 27) / sqrt((81 - 29) (81 - 27)).
    assert scores([[2, 1, 0], [0, 2, 1], [0, 0, 3]]) == pytest.approx(
        {
            "accuracy": 7 / 9,
            "f1": (4 / 5 + 4 / 6 + 6 / 7) / 3,
            "matthews": 36 / (52 * 54) ** 0.5,
        }
    )


def test_a_single_class():
    assert scores([[5]]) == {"accuracy": 1.0, "f1": 0.0, "matthews": 0.0}
    assert scores([[0, 0], [0, 5]]) == {"accuracy": 1.0, "f1": 1.0, "matthews": 0.0}
    assert scores([[0, 5], [0, 0]]) == {"accuracy": 0.0, "f1": 0.0, "matthews": 0.0}


def test_f1_means_the_same_where_a_class_does_not_occur():
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    two, three = (metrics.classification(labels, predicted, c)["f1"] for c in (2, 3))
    assert two == pytest.approx(4 / 5) and three == pytest.approx((2 / 3 + 4 / 5) / 2)
