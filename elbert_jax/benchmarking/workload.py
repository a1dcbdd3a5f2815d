"""What a benchmark runs on: a model, texts, and their exits."""

import abc
import functools
from collections.abc import Sequence

import jax
import numpy as np

from elbert_jax import exits
from elbert_jax.data import batching, corpus
from elbert_jax.data.encoded import Encoded
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.errors import UserError
from elbert_jax.evaluation.curve import LayerOutputs
from elbert_jax.exits import Criterion
from elbert_jax.inference import full_depth
from elbert_jax.inference.classifier import Classifier
from elbert_jax.inference.text_chunks import Text
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig

_GOLDEN = (5**0.5 - 1) / 2
_SAMPLE = 2000  # texts that delta is chosen on


class Workload(abc.ABC):
    """A model and texts: random ones (`drawn.Drawn`), or a user's own (`Labelled`)."""

    config: AlbertConfig
    params: Params
    labels: Sequence[str]
    tokenizer: Tokenizer
    mixes: Sequence[str]  # kinds of texts by length; the first is the usual one

    @abc.abstractmethod
    def texts(self, mix: str, count: int) -> Encoded:
        """Returns `count` texts, or all there are; fewer are the first of more."""

    @abc.abstractmethod
    def strings(self, count: int) -> Sequence[Text]:
        """Returns `count` raw texts of the usual mix, or all there are."""

    @abc.abstractmethod
    def exit_at(self, ratio: float) -> Criterion:
        """Returns a criterion with this compute ratio."""

    def classifier(self, ratio: float, slots: int | str) -> Classifier:
        """Returns the model on one device, with exits at a compute ratio."""
        return Classifier(
            self.config,
            self.params,
            self.labels,
            self.tokenizer,
            self.exit_at(ratio),
            slots=slots,
            devices=jax.local_devices()[:1],
        )


def spread(count: int) -> np.ndarray:
    """Returns numbers in [0, 1), any first of which are evenly spread."""
    return (0.5 + np.arange(count) * _GOLDEN) % 1


def first(encoded: Encoded, count: int) -> Encoded:
    """Returns the first `count` texts, or all."""
    return encoded.take(np.arange(min(count, len(encoded))))


class Labelled(Workload):
    """A trained model and the labelled texts of a file."""

    mixes = ("file",)

    def __init__(
        self, model: str, file: str, dtype: str = "float32", texts: int | None = None
    ):
        """Opens a model and a file.

        Args:
          model: a directory, or a hub id.
          file: see `corpus.read_file`.
          dtype: of matmuls.
          texts: how many are drawn at random; None: all.

        Raises:
          UserError: one of them cannot be used.
        """
        opened = Classifier.from_pretrained(model, dtype=dtype)
        self.config, self.params = opened.config, opened.params
        self.labels, self.tokenizer = opened.labels, opened.tokenizer
        self.exit = opened.exit
        if self.exit.varies != "delta":
            raise UserError(f"{model} exits by {self.exit}, which has no delta to set")
        examples = corpus.read_file(file)
        drawn = np.random.default_rng(0).permutation(len(examples))[:texts]
        examples = [examples[row] for row in drawn]
        encoded = corpus.encode(
            self.tokenizer, examples, self.labels, opened.max_length
        )
        # The first texts are to have the lengths of all.
        by_length = np.argsort(encoded.lengths, kind="stable")
        order = by_length[spread(len(encoded)).argsort().argsort()]
        self.inputs = [examples[row].input for row in order]
        self.encoded = encoded.take(order)

    def texts(self, mix: str, count: int) -> Encoded:
        return first(self.encoded, count)

    def strings(self, count: int) -> Sequence[Text]:
        return self.inputs[:count]

    @functools.cached_property
    def _sample(self) -> LayerOutputs:
        """The logits of every layer for some of the texts."""
        sample = self.texts("file", _SAMPLE)
        batches = batching.eval_batches(sample, 64)
        logits = full_depth.every_layer(self.config, self.params, batches, len(sample))
        return LayerOutputs(self.config, logits, sample.labels, sample.lengths)

    def exit_at(self, ratio: float) -> Criterion:
        return with_flops_ratio(self.exit, self._sample, ratio)


def with_flops_ratio(exit: Criterion, outputs: LayerOutputs, ratio: float) -> Criterion:
    """Returns the exit with the delta, in hundredths, of the nearest FLOPs ratio."""

    def distance(criterion: Criterion) -> float:
        layers = np.asarray(exits.exit_layer(criterion, outputs.logits).layer)
        return abs(outputs.flops_ratio(layers) - ratio)

    deltas = (step / 100 for step in range(101))
    return min((exit.replace(delta=d) for d in deltas), key=distance)
