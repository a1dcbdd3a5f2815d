"""The scores of a classification, by the name that tasks and users give them."""

from collections.abc import Mapping

import numpy as np
from sklearn import metrics as sklearn_metrics


def classification(labels: np.ndarray, predicted: np.ndarray) -> Mapping[str, float]:
    """Returns every score of a classification.

    Args:
      labels: [M] int, the true classes.
      predicted: [M] int, the predicted classes.

    Returns:
      `accuracy`; `f1`, of class 1 where no class is above 1 (as GLUE has it), else the
      mean over classes; `matthews`, Matthews' correlation coefficient.
    """
    binary = max(labels.max(), predicted.max()) <= 1
    average = "binary" if binary else "macro"
    return {
        "accuracy": float(sklearn_metrics.accuracy_score(labels, predicted)),
        "f1": float(
            sklearn_metrics.f1_score(
                labels, predicted, average=average, zero_division=0.0
            )
        ),
        "matthews": float(sklearn_metrics.matthews_corrcoef(labels, predicted)),
    }
