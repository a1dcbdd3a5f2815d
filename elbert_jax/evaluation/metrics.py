"""The scores of a classification, by the name that tasks and users give them."""

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
    """Returns scores of a classification, by name.

    `accuracy`; `f1`, of class 1 where there are but two (as GLUE has it), else the mean
    over the classes that occur; `matthews`, Matthews' correlation coefficient, 0 where
    only one class occurs.

    Args:
      labels: [M] int, the true classes.
      predicted: [M] int, the predicted classes.
      classes: C, how many there are.
      names: of those that are wanted.
    """
    from sklearn import metrics  # a second, which other commands need not wait

    average = "binary" if classes <= 2 else "macro"
    f1: Any = metrics.f1_score
    scores: dict[str, Any] = {
        "accuracy": metrics.accuracy_score,
        "f1": functools.partial(f1, average=average, zero_division=0.0),
        "matthews": _matthews,
    }
    return {name: float(scores[name](labels, predicted)) for name in names}
