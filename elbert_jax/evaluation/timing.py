"""Wall-clock of several ways to answer the same texts, and where the time goes."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from elbert_jax.data.batching import Encoded
from elbert_jax.inference.predictions import Predictions
from elbert_jax.model import flops
from elbert_jax.model.albert import AlbertConfig


@dataclasses.dataclass(frozen=True)
class Timed:
    """What a call returned, and how long it took each time."""

    result: Any
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    def speed(self, texts: int) -> dict[str, Any]:
        """Returns texts a second: the median, and its spread."""
        return {
            "texts": texts,
            "texts_per_second": texts / self.median,
            "slowest": texts / max(self.seconds),
            "fastest": texts / min(self.seconds),
            "seconds": list(self.seconds),
        }


def measure(
    calls: Mapping[Any, Callable[[], Any]],
    repeats: int,
    warm: Mapping[Any, Callable[[], Any]] | None = None,
) -> dict[Any, Timed]:
    """Times calls in turn, A B A B ..., after a warm-up of each.

    Args:
      calls: by name, or another key; each returns when its work is done.
      repeats: how often each is timed.
      warm: what warms up in place of the calls of the same names.
    """
    for call in {**calls, **(warm or {})}.values():
        call()
    results, seconds = {}, {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            results[name] = call()
            seconds[name].append(time.perf_counter() - start)
    return {name: Timed(results[name], tuple(seconds[name])) for name in calls}


def row(
    timed: Timed,
    config: AlbertConfig,
    encoded: Encoded,
    peak: float,
    full: Predictions,
    like: Predictions | None = None,
) -> dict[str, Any]:
    """Returns the speed of a system, how right it is, and where its time goes.

    Args:
      timed: `Predictions` to the texts, and its times.
      config: the model's shape.
      encoded: the texts.
      peak: FLOP/s that the machine reaches at most.
      full: the answers at full depth, to these texts and perhaps more after them.
      like: answers that should be the same, if not those; likewise.

    Returns:
      Beside `Timed.speed`: `mean_exit_layer`, and `compute_ratio`, that over D;
      `accuracy`, where texts have labels; `agreement`, the share of labels that are as
      at full depth; `logit_difference`, the largest from `like`, over texts that left
      at the same layer; `useful_mfu`, the FLOPs of the real tokens, layer by layer,
      computed or spared, over time and peak. That is the product of `padding`, real
      tokens in all rows with a text; `slots`, rows with a text in all rows; `kernels`,
      what is left.
    """
    answers: Predictions = timed.result
    like, count = like or full, len(encoded)
    labels, layers = answers.logits.argmax(-1), answers.layers
    known = (encoded.labels >= 0).all()
    same = layers == like.layers[:count]
    difference = np.abs(answers.logits[same] - like.logits[:count][same])
    cost = flops.text(config, encoded.lengths, layers)
    if (layers == config.num_hidden_layers).all():  # it takes the head only once
        cost = flops.full_text(config, encoded.lengths)
    mfu = float(cost.sum() / timed.median / peak)
    padding = float((layers * encoded.lengths).sum() / answers.busy_tokens)
    slots = answers.busy_tokens / answers.slot_tokens
    return timed.speed(count) | {
        "mean_exit_layer": float(layers.mean()),
        "compute_ratio": float(layers.mean() / config.num_hidden_layers),
        "accuracy": float((labels == encoded.labels).mean()) if known else None,
        "agreement": float((labels == full.logits[:count].argmax(-1)).mean()),
        "logit_difference": float(difference.max(initial=0.0)),
        "useful_mfu": mfu,
        "padding": padding,
        "slots": slots,
        "kernels": mfu / padding / slots,
    }
