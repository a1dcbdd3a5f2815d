"""A workload under a suite: what all parts of a benchmark share."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from elbert_jax import machine
from elbert_jax.benchmarking.peers import Peer, Peers, Unavailable
from elbert_jax.benchmarking.suite import Suite
from elbert_jax.benchmarking.workload import Workload
from elbert_jax.data.batching import Encoded
from elbert_jax.evaluation import timing
from elbert_jax.evaluation.timing import Timed
from elbert_jax.hub import pretrained
from elbert_jax.inference.classifier import Classifier
from elbert_jax.inference.predictions import Predictions
from elbert_jax.model import flops
from elbert_jax.model.albert import AlbertConfig

# The systems, as rows name them.
FULL, REFILL = "full depth", "slot refill"
STATIC, SHRINKING = "early exit, static batches", "early exit, shrinking batches"
ALONE_FULL, ALONE_EXIT = "full depth, one at a time", "early exit, one at a time"
REFILL_04 = "slot refill, 0.4 of the compute"
PEERS = {
    "eager": "transformers, eager",
    "sdpa": "transformers, sdpa",
    "compile": "transformers, sdpa, torch.compile",
    "onnx_fp32": "ONNX Runtime, float32",
    "onnx_int8": "ONNX Runtime, int8",
}


@dataclasses.dataclass(frozen=True)
class Part:
    """What a part has measured. A row has a `system`; see `throughput.row`."""

    rows: list[dict[str, Any]]
    ratios: Mapping[str, float] = dataclasses.field(default_factory=dict)
    on: str = ""  # what the ratios were measured on
    skipped: Mapping[str, str] = dataclasses.field(default_factory=dict)  # and why


def speed(timed: Timed, texts: int) -> dict[str, Any]:
    """Returns texts a second: the median, and its spread."""
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
      Beside `speed`: `mean_exit_layer`, and `compute_ratio`, that over D;
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


class Bench:
    """Times systems on a workload as a suite says."""

    def __init__(
        self,
        load: Workload,
        suite: Suite,
        folder: str | os.PathLike[str],
    ):
        """Puts a bench together.

        Args:
          load: the model and its texts.
          suite: how much is measured.
          folder: gets the model's files for the peers.
        """
        self.load, self.suite = load, suite
        self.folder = pathlib.Path(folder)
        self.peak = machine.peak_flops(suite.dtype)  # FLOP/s, when last measured

    def mix(self, name: str) -> str:
        """Returns the name where the workload has such a mix, else its usual one."""
        return name if name in self.load.mixes else self.load.mixes[0]

    def texts(self, count: int, mix: str = "") -> Encoded:
        """Returns so many texts of a mix."""
        return self.load.texts(self.mix(mix), count)

    def classifier(
        self, *, ratio: float | None = None, slots: int | str | None = None
    ) -> Classifier:
        """Returns the model, by default at the suite's compute ratio and slots."""
        suite = self.suite
        return self.load.classifier(ratio or suite.compute_ratio, slots or suite.slots)

    def measure(
        self, calls: Mapping[Any, Callable[[], Any]], **options: Any
    ) -> dict[Any, Timed]:
        """Times calls as often as the suite says; see `throughput.measure`.

        The peak takes its turn with them: a machine that is shared is not always as
        fast. It is the median of as many.
        """
        rates: list[float] = []

        def peak() -> None:
            rates.append(machine.peak_flops(self.suite.dtype))

        timed = timing.measure({**calls, peak: peak}, self.suite.repeats, **options)
        self.peak = float(np.median(rates[1:]))  # after the warm-up
        del timed[peak]
        return timed

    def row(
        self,
        system: str,
        timed: Timed,
        encoded: Encoded,
        full: Predictions,
        *,
        like: Predictions | None = None,
        mix: str = "",
        **more: Any,
    ) -> dict[str, Any]:
        """Returns a row of the benchmark, with `more` columns in front.

        Of them `batch` is the texts of 16 tokens that a batch may hold: of longer ones
        it holds fewer (but in the parts `slots` and `latency`), and slot refill has
        fewer slots where texts are few (but in `slots`).
        """
        config = self.load.config
        measured = row(timed, config, encoded, self.peak, full, like)
        return {"system": system, "mix": self.mix(mix)} | more | measured

    @functools.cached_property
    def _peers(self) -> Peers:
        load, suite = self.load, self.suite
        pretrained.save(self.folder, load.config, load.params, load.labels)
        gpu, texts = jax.default_backend() == "gpu", self.texts(suite.texts)
        sizes, few = suite.peer_sizes, suite.few
        return Peers(self.folder, load.config, gpu, sizes, texts, few)

    def peers(self, names: Sequence[str]) -> tuple[dict[str, Peer], dict[str, str]]:
        """Returns those of some peers that run here, and why others do not.

        Args:
          names: keys of `PEERS`.

        Returns:
          Two mappings from the systems' names.
        """
        opened, unavailable = {}, {}
        for name in names:
            try:
                opened[PEERS[name]] = self._peers.open(name)
            except Unavailable as error:
                unavailable[PEERS[name]] = str(error)
        return opened, unavailable
