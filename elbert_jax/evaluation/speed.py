"""How fast a classifier answers on this machine: one text at a time, and many."""

import time
from collections.abc import Sequence

import numpy as np
import tqdm

from elbert_jax.exits import Criterion
from elbert_jax.inference.classifier import Classifier
from elbert_jax.inference.text_chunks import Text

Speed = dict[str, float]

_TEXTS = 2000  # that are timed, drawn at random where there are more
_REPEATS = 3  # of all of these together; the median counts


def measure(
    classifier: Classifier, texts: Sequence[Text], criterion: Criterion
) -> Speed:
    """Times a classifier from text to answer, tokenisation and all, after a warm-up.

    Args:
      classifier: the model; its exit becomes the criterion.
      texts: of which 2,000 are timed at most; a 99th percentile wants hundreds.
      criterion: when they leave.

    Returns:
      `p99_ms`, the 99th percentile of the milliseconds that a text takes alone;
      `texts_per_second` of many texts in one call, by slot refill.
    """
    classifier.exit = criterion
    drawn = np.random.default_rng(0).permutation(len(texts))[:_TEXTS]
    some = [texts[int(row)] for row in drawn]
    classifier.warmup(some, calls=(1, len(some)))
    progress = tqdm.tqdm(some, unit="text", leave=False, disable=None)
    alone = [_seconds(classifier, text) for text in progress]
    together = [_seconds(classifier, some) for _ in range(_REPEATS)]
    return {
        "p99_ms": 1000 * float(np.percentile(alone, 99)),
        "texts_per_second": len(some) / float(np.median(together)),
    }


def _seconds(classifier: Classifier, texts: Text | Sequence[Text]) -> float:
    start = time.perf_counter()
    classifier(texts)
    return time.perf_counter() - start
