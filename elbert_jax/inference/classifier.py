"""Text in, labels out: a model directory, its tokenizer and the slot engine."""

import dataclasses
import os
import pathlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from elbert_jax import exits
from elbert_jax.data import batching
from elbert_jax.data.encoded import Encoded
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.errors import UserError
from elbert_jax.exits import Criterion
from elbert_jax.hub import operating_point, pretrained
from elbert_jax.inference import predictions, text_chunks
from elbert_jax.inference.predictions import Result
from elbert_jax.inference.predictor import Predictor
from elbert_jax.inference.text_chunks import Text, TextChunks
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig

_CHUNK = 16384  # texts of a stream that are tokenised together
_IDS = 1 << 31  # ids are int32: in a long stream they start again at 0
_PROBLEM = "single_label_classification"  # in config.json


class Classifier(Predictor):
    """Classifies texts with early exit and slot refill.

    A result holds `label`, `score` (the label's probability), `exit_layer` (from 1) and
    `rule` (the criterion's rule that fired; "last_layer" if none).
    """

    def __init__(
        self,
        config: AlbertConfig,
        params: Params,
        labels: Sequence[str],
        tokenizer: Tokenizer,
        exit: Criterion,
        *,
        slots: int | str | None = None,
        max_length: int | None = None,
        devices: Sequence[Any] | None = None,
        training: Mapping[str, Any] | None = None,
    ):
        """Puts a classifier together.

        Args:
          config: the model's shape.
          params: its parameters.
          labels: [C] names of the classes.
          tokenizer: the model's own.
          exit: when a text exits.
          slots: see `Predictor`.
          max_length: maximum sequence length; longer inputs are truncated. By default
            that of the tokenizer; at most the model's number of positions.
          devices: see `Predictor`.
          training: how the parameters came to be, for `save_pretrained`.
        """
        length = min(max_length or tokenizer.max_length, config.max_position_embeddings)
        super().__init__(config, params, exit, length, slots=slots, devices=devices)
        self.labels, self.tokenizer, self.training = tuple(labels), tokenizer, training
        self._warned_of_truncation = False

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        exit: Criterion | None = None,
        slots: int | str | None = None,
        max_length: int | None = None,
        devices: Sequence[Any] | None = None,
        dtype: str = "float32",
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> "Classifier":
        """Opens a model directory, or a model of the Hugging Face hub.

        Args:
          name: the directory, or the hub id.
          exit: when a text exits; by default what the directory recommends.
          slots: see the constructor.
          max_length: see the constructor.
          devices: see the constructor.
          dtype: of the computation, "float32" or "bfloat16".
          revision: a branch, tag or commit of the hub.
          local_files_only: do not connect to the hub.

        Raises:
          UserError: there is no such model, or it is no ALBERT classifier.
        """
        loaded = pretrained.load(
            name, revision=revision, local_files_only=local_files_only
        )
        if loaded.initialised:
            warnings.warn(
                f"{name} has no {', '.join(loaded.initialised)}: they are random, so "
                "train the model before you trust a prediction",
                stacklevel=2,
            )
        if loaded.problem_type not in (None, _PROBLEM):
            raise UserError(f"{name} is for {loaded.problem_type}, not for {_PROBLEM}")
        if len(loaded.labels) < 2:
            raise UserError(f"{name} has one class only: it is no classifier")
        tokenizer = Tokenizer.load(loaded.directory)
        tokenizer.check_fits(name, loaded.config.vocab_size)
        return cls(
            dataclasses.replace(loaded.config, dtype=dtype),
            loaded.params,
            loaded.labels,
            tokenizer,
            exit or operating_point.load(loaded.directory),
            slots=slots,
            max_length=max_length,
            devices=devices,
            training=loaded.training,
        )

    def set_delta(self, delta: float) -> None:
        """Sets stage 1's threshold.

        Raises:
          UserError: the criterion has none, or it is below 0.
        """
        try:
            self.exit = self.exit.replace(delta=float(delta))
        except ValueError as error:
            raise UserError(f"delta: {error}") from error

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Writes a directory that `from_pretrained` and `transformers` open."""
        directory = pathlib.Path(directory)
        pretrained.save(
            *(directory, self.config, self.params, self.labels),
            training=self.training,
            special_ids=self.tokenizer.special_ids,
        )
        self.tokenizer.save(directory)
        operating_point.save(directory, self.exit, {})

    def __call__(self, texts: Text | Sequence[Text]) -> Any:
        """Classifies one text or many.

        Args:
          texts: a string, or a tuple of two strings (a pair); or a list of these.

        Returns:
          A result for one text, a list of results in the input's order for a list.

        Raises:
          UserError: a text is not a string of valid Unicode.
        """
        if isinstance(texts, str | tuple):
            return next(self.stream([cast(Text, texts)]))
        return list(self.stream(texts))

    def stream(self, texts: Iterable[Text]) -> Iterator[Result]:
        """Yields a result for each text, in order, and in constant memory.

        While the device computes, the next texts are read and tokenised: a sequence in
        chunks of fixed size, so that its results are the same to the last bit at any
        time; another iterable no further as soon as there are results to yield.
        """
        chunks = TextChunks(texts, _CHUNK)
        encoded = self._encode(chunks.read())
        session = self.session(encoded.lengths, endless=not chunks.ended)
        session.submit(encoded, _ids(0, len(encoded)))
        stop = None if isinstance(texts, Sequence) else session.has_results
        rules = exits.rule_names(self.exit)  # `exit` may be set while this goes on
        results: dict[int, Result] = {}
        submitted, yielded = len(encoded), 0
        while True:
            if not chunks.ended and submitted - yielded < 2 * _CHUNK:
                encoded = self._encode(chunks.read(stop))
                session.submit(encoded, _ids(submitted, len(encoded)))
                submitted += len(encoded)
            finished = session.poll()
            if finished is not None:
                made = predictions.results(finished, self.labels, rules)
                results |= zip(finished.ids.tolist(), made)
            elif chunks.ended:
                break
            while (id := yielded % _IDS) in results:
                yield results.pop(id)
                yielded += 1
        if chunks.error:
            raise chunks.error

    def _encode(self, texts: Sequence[Text]) -> Encoded:
        pairs = [text if isinstance(text, tuple) else (text, None) for text in texts]
        encoded = Encoded.build(
            self.tokenizer,
            [first for first, _ in pairs],
            [second for _, second in pairs],
            max_length=self.max_length,
        )
        if encoded.truncated and not self._warned_of_truncation:
            self._warned_of_truncation = True
            warnings.warn(
                f"texts are cut to {self.max_length} tokens: {encoded.truncated} of "
                f"these {len(encoded)}",
                stacklevel=3,
            )
        return encoded

    def warmup(
        self, texts: Sequence[Text] = (), calls: Sequence[int | None] = (1, None)
    ) -> None:
        """Compiles all that later calls need, and fixes the padded lengths.

        Args:
          texts: a sample, from which the lengths are chosen; by default usual lengths.
          calls: how many texts calls will have; None: a stream, or very many.

        Raises:
          UserError: a text of the sample is not one; see `__call__`.
        """
        for number, text in enumerate(texts):
            text_chunks.check(text, number)
        lengths = batching.bucket_lengths(self.max_length)
        if texts:
            sample = self._encode(texts).lengths
            lengths = self.fitting_lengths(sample, len(texts))
        self.compile(lengths, calls)


def _ids(first: int, count: int) -> np.ndarray:
    return (np.arange(first, first + count) % _IDS).astype(np.int32)
