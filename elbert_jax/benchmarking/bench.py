"""Systems, how a benchmark times them, and the rows that it makes of that."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from elbert_jax import machine
from elbert_jax.benchmarking.peers import Peers
from elbert_jax.benchmarking.suite import Suite
from elbert_jax.benchmarking.workload import Workload
from elbert_jax.data.encoded import Encoded
from elbert_jax.evaluation import timing
from elbert_jax.evaluation.timing import Timed
from elbert_jax.inference.classifier import Classifier
from elbert_jax.inference.predictions import Predictions
from elbert_jax.model import flops
from elbert_jax.model.config import AlbertConfig

# Systems, as rows name them.
FULL, REFILL = "full depth", "slot refill"


@dataclasses.dataclass(frozen=True)
class Part:
    """What a part of the benchmark measured."""

    rows: list[dict[str, Any]]  # each has a `system`
    ratios: Mapping[str, float] = dataclasses.field(default_factory=dict)
    workload: str = ""  # that the ratios were measured on
    skipped: Mapping[str, str] = dataclasses.field(default_factory=dict)  # and why


class System(NamedTuple):
    """A way to predict texts, to be timed."""

    name: str
    predict: Callable[[Encoded], Predictions]
    encoded: Encoded
    batch_size: int | None  # texts of 16 tokens that a batch may hold
    like: str = FULL  # the system that should give the same logits


class Bench:
    """Times systems on a workload, as a suite says.

    Attributes:
      peak: matmul FLOP/s of the machine, as last measured.
    """

    def __init__(self, load: Workload, suite: Suite, folder: str | os.PathLike[str]):
        """Measures the peak; `folder` is for the peers' model files."""
        self.load, self.suite = load, suite
        self.peers = Peers(folder, load, suite)
        self.peak = machine.peak_flops(suite.dtype)

    def mix(self, name: str) -> str:
        """Returns the mix of this name if the workload has it, else its usual one."""
        return name if name in self.load.mixes else self.load.mixes[0]

    def texts(self, count: int, mix: str = "") -> Encoded:
        return self.load.texts(self.mix(mix), count)

    def classifier(
        self, *, ratio: float | None = None, slots: int | None = None
    ) -> Classifier:
        """Returns the model, by default with the suite's compute ratio and slots."""
        suite = self.suite
        return self.load.classifier(ratio or suite.compute_ratio, slots or suite.slots)

    def measure(self, calls: Mapping[Any, Callable[[], Any]]) -> dict[Any, Timed]:
        """Times calls in turn, and with them the peak, which becomes the median.

        The speed of a shared machine varies.
        """
        rates: list[float] = []

        def peak() -> None:
            rates.append(machine.peak_flops(self.suite.dtype))

        timed = timing.measure({**calls, peak: peak}, self.suite.repeats)
        self.peak = float(np.median(rates[1:]))  # after the warm-up
        del timed[peak]
        return timed

    def compare(self, systems: Sequence[System], mix: str = "") -> list[dict[str, Any]]:
        """Times systems in turn and returns a row of each; see `row`.

        Args:
          systems: one is `FULL`, on all texts that the others predict.
          mix: of the texts.
        """
        calls = {it: functools.partial(it.predict, it.encoded) for it in systems}
        timed = self.measure(calls)
        results = {system.name: each.result for system, each in timed.items()}
        full, config = results[FULL], self.load.config
        return [
            {"system": it.name, "mix": self.mix(mix), "batch": it.batch_size}
            | row(each, config, it.encoded, self.peak, full, results[it.like])
            for it, each in timed.items()
        ]


def speed(timed: Timed, texts: int) -> dict[str, Any]:
    """Returns the texts per second of the median, slowest and fastest run."""
    return {
        "texts": texts,
        "texts_per_second": texts / timed.median,
        "slowest": texts / max(timed.seconds),
        "fastest": texts / min(timed.seconds),
        "seconds": list(timed.seconds),
    }


def row(
    timed: Timed,
    config: AlbertConfig,
    encoded: Encoded,
    peak: float,
    full: Predictions,
    like: Predictions,
) -> dict[str, Any]:
    """Returns the speed of a system, its agreement with full depth, and its MFU.

    Args:
      timed: its predictions for `encoded`.
      config: of its model.
      encoded: its texts.
      peak: matmul FLOP/s of the machine.
      full: predictions at full depth, of these texts and perhaps of more after them.
      like: likewise, those whose logits should be the same.

    Returns:
      Besides `speed`: `mean_exit_layer`, and `compute_ratio`, the same over D;
      `accuracy`, None without labels; `agreement`, the share of labels as at full
      depth; `logit_difference`, the largest from `like` over texts with the same exit
      layer; `useful_mfu`, the FLOPs of real tokens up to their exits over time and
      peak. It is the product of `padding`, real tokens over tokens of occupied rows;
      `slots`, occupied rows over all rows; `kernels`, the remaining factor.
    """
    predictions: Predictions = timed.result
    count, layers = len(encoded), predictions.layers
    labels = predictions.logits.argmax(-1)
    known = (encoded.labels >= 0).all()
    same = layers == like.layers[:count]
    difference = np.abs(predictions.logits[same] - like.logits[:count][same])
    cost = flops.text(config, encoded.lengths, layers)
    if (layers == config.num_hidden_layers).all():  # the head is applied only once
        cost = flops.full_text(config, encoded.lengths)
    mfu = float(cost.sum() / timed.median / peak)
    padding = float((layers * encoded.lengths).sum() / predictions.busy_tokens)
    slots = predictions.busy_tokens / predictions.slot_tokens
    return speed(timed, count) | {
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
