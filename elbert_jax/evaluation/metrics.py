"""Scores of a classification, by the names that tasks and users give them."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

NAMES = ("accuracy", "f1", "matthews")


def _matthews(labels: np.ndarray, predicted: np.ndarray) -> float:
    from sklearn import metrics

    if len(np.union1d(labels, predicted)) == 1:
        return 0.0  # scikit-learn warns of it
    return metrics.matthews_corrcoef(labels, predicted)


def classification(
    labels: np.ndarray,
    predicted: np.ndarray,
    classes: int,
    names: Sequence[str] = NAMES,
) -> dict[str, float]:
    """Returns scores by name.

    `accuracy`; `f1`, of class 1 if there are two classes (as in GLUE), else the mean
    over the classes that occur; `matthews`, Matthews' correlation coefficient, 0 if
    only one class occurs.

    Args:
      labels: [M] int, the true classes.
      predicted: [M] int, the predicted classes.
      classes: C, their number.
      names: which scores.
    """
    from sklearn import metrics  # takes a second: only where it is needed

    average = "binary" if classes <= 2 else "macro"
    f1: Any = metrics.f1_score
    scores: dict[str, Any] = {
        "accuracy": metrics.accuracy_score,
        "f1": functools.partial(f1, average=average, zero_division=0.0),
        "matthews": _matthews,
    }
    return {name: float(scores[name](labels, predicted)) for name in names}
