"""Wall-clock times of calls, taken in turn, and the speed of a classifier."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tqdm

from elbert_jax.exits import Criterion
from elbert_jax.inference.classifier import Classifier
from elbert_jax.inference.text_chunks import Text

Speed = dict[str, float]

_TEXTS = 2000  # timed at most, drawn at random
_REPEATS = 3  # of the throughput; the median counts


@dataclasses.dataclass(frozen=True)
class Timed:
    """The result of a call, and the seconds of each of its runs."""

    result: Any
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))


def measure(calls: Mapping[Any, Callable[[], Any]], repeats: int) -> dict[Any, Timed]:
    """Times calls interleaved, A B A B ..., after a warm-up of each.

    Args:
      calls: by name; each returns when its work is done.
      repeats: timed runs of each.
    """
    for call in calls.values():
        call()
    results, seconds = {}, {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            results[name], elapsed = _timed(call)
            seconds[name].append(elapsed)
    return {name: Timed(results[name], tuple(seconds[name])) for name in calls}


def latency_and_throughput(
    classifier: Classifier, texts: Sequence[Text], criterion: Criterion
) -> Speed:
    """Times a classifier from raw text to prediction, after a warm-up.

    Args:
      classifier: the model; its exit is set to the criterion.
      texts: at most 2,000 of them are timed; a 99th percentile needs hundreds.
      criterion: when a text exits.

    Returns:
      `p99_ms`, the 99th percentile of the latency of one text at a time;
      `texts_per_second` of all texts in one call.
    """
    classifier.exit = criterion
    drawn = np.random.default_rng(0).permutation(len(texts))[:_TEXTS]
    sample = [texts[int(row)] for row in drawn]
    classifier.warmup(sample, calls=(1, len(sample)))
    progress = tqdm.tqdm(sample, unit="text", leave=False, disable=None)
    alone = [_timed(functools.partial(classifier, text))[1] for text in progress]
    together = measure({"": functools.partial(classifier, sample)}, _REPEATS)[""]
    return {
        "p99_ms": 1000 * float(np.percentile(alone, 99)),
        "texts_per_second": len(sample) / together.median,
    }


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start
