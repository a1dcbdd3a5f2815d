"""The scores of a classification, by the name that tasks and users give them."""

from collections.abc import Mapping

import numpy as np
from sklearn import metrics as sklearn_metrics

NAMES = ("accuracy", "f1", "matthews")


def classification(labels: np.ndarray, predicted: np.ndarray) -> Mapping[str, float]:
    """Returns every score of a classification.

    Args:
      labels: [M] int, the true classes.
      predicted: [M] int, the predicted classes.

    Returns:
      `accuracy`; `f1`, of class 1 where no class is above 1 (as GLUE has it), else the
      mean over the classes that occur; `matthews`, Matthews' correlation coefficient,
      0 where only one class occurs.
    """
    classes = np.union1d(labels, predicted)
    f1 = sklearn_metrics.f1_score(
        labels,
        predicted,
        average="binary" if classes.max() <= 1 else "macro",
        zero_division=0.0,  # pyright: ignore[reportArgumentType]
    )
    matthews = 0.0  # scikit-learn warns of a single class
    if len(classes) > 1:
        matthews = sklearn_metrics.matthews_corrcoef(labels, predicted)
    return {
        "accuracy": float(sklearn_metrics.accuracy_score(labels, predicted)),
        "f1": float(f1),
        "matthews": float(matthews),
    }
