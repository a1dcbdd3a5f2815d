"""The scores of a classification, by the name that tasks and users give them."""

from collections.abc import Sequence

import numpy as np
from sklearn import metrics as sklearn_metrics


def _accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    return float(sklearn_metrics.accuracy_score(labels, predicted))


def _f1(labels: np.ndarray, predicted: np.ndarray) -> float:
    classes = max(labels.max(), predicted.max()) + 1
    return float(
        sklearn_metrics.f1_score(
            labels,
            predicted,
            average="binary" if classes <= 2 else "macro",
            zero_division=0.0,  # pyright: ignore[reportArgumentType]
        )
    )


def _matthews(labels: np.ndarray, predicted: np.ndarray) -> float:
    if len(np.union1d(labels, predicted)) == 1:
        return 0.0  # scikit-learn warns of it
    return float(sklearn_metrics.matthews_corrcoef(labels, predicted))


_SCORES = {"accuracy": _accuracy, "f1": _f1, "matthews": _matthews}
NAMES = tuple(_SCORES)


def classification(
    labels: np.ndarray, predicted: np.ndarray, names: Sequence[str] = NAMES
) -> dict[str, float]:
    """Returns scores of a classification, by name.

    `accuracy`; `f1`, of class 1 where no class is above 1 (as GLUE has it), else the
    mean over the classes that occur; `matthews`, Matthews' correlation coefficient, 0
    where only one class occurs.

    Args:
      labels: [M] int, the true classes.
      predicted: [M] int, the predicted classes.
      names: of those that are wanted.
    """
    return {name: _SCORES[name](labels, predicted) for name in names}
