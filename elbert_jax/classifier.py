"""Text in, labels out: a model directory, its tokenizer and the slot engine."""

import itertools
import os
import pathlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from elbert_jax import engine, exits, hf, operating_point
from elbert_jax.albert import AlbertConfig, Params
from elbert_jax.data import batching
from elbert_jax.data.batching import Encoded
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.exits import Criterion

Text = str | tuple[str, str]  # a text, or a pair of texts
Result = dict[str, Any]

_CHUNK = 16384  # texts of a stream that are tokenised, sorted and answered together
_ROWS_PER_SLOT = 256  # of a queue: its length follows from its slots, as shapes compile


class Classifier:
    """Classifies texts with early exit and slot refill.

    A result holds `label`, `score` (the label's probability), `exit_layer` (1-based)
    and `rule` (which rule of the criterion fired; "last_layer" if none).
    """

    def __init__(
        self,
        config: AlbertConfig,
        params: Params,
        labels: Sequence[str],
        tokenizer: Tokenizer,
        exit: Criterion,
        *,
        slots: int = 64,
        max_length: int | None = None,
    ):
        """Puts a classifier together.

        Args:
          config: the model's shape.
          params: its parameters.
          labels: [C] names of the classes.
          tokenizer: the model's own.
          exit: when a text leaves.
          slots: texts that go through the layer together.
          max_length: tokens beyond it are cut; by default, and at most, the model's
            number of positions.
        """
        self.config, self.params, self.labels = config, params, tuple(labels)
        self.tokenizer, self.exit, self.slots = tokenizer, exit, slots
        positions = config.max_position_embeddings
        self.max_length = min(max_length or positions, positions)
        self._buckets = batching.bucket_lengths(self.max_length)
        self._warned_of_truncation = False

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        exit: Criterion | None = None,
        slots: int = 64,
        max_length: int | None = None,
        dtype: str = "float32",
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> "Classifier":
        """Opens a model directory, or a model of the Hugging Face hub.

        Args:
          name: the directory, or the hub id.
          exit: when a text leaves; by default what the directory recommends.
          slots: see the constructor.
          max_length: see the constructor.
          dtype: of the computation, "float32" or "bfloat16".
          revision: a branch, tag or commit of the hub.
          local_files_only: never asks the hub.

        Raises:
          UserError: it is not there, or no ALBERT.
        """
        loaded = hf.load(name, revision=revision, local_files_only=local_files_only)
        if loaded.initialised:
            warnings.warn(
                f"{name} has no {', '.join(loaded.initialised)}: they are random, so "
                "train the model before you trust an answer",
                stacklevel=2,
            )
        return cls(
            replace(loaded.config, dtype=dtype),
            loaded.params,
            loaded.labels,
            Tokenizer.load(loaded.directory),
            exit or operating_point.load(loaded.directory),
            slots=slots,
            max_length=max_length,
        )

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Writes a directory that `from_pretrained` and `transformers` open."""
        directory = pathlib.Path(directory)
        hf.save(directory, self.config, self.params, self.labels)
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
            return self._answer([texts])[0]
        return list(self.stream(texts))

    def stream(self, texts: Iterable[Text]) -> Iterator[Result]:
        """Yields a result a text, in order, from any iterable in constant memory."""
        texts = iter(texts)
        while chunk := list(itertools.islice(texts, _CHUNK)):
            yield from self._answer(chunk)

    def _answer(self, texts: Sequence[Text]) -> list[Result]:
        logits, layers, rules = self.run(self._encode(texts))
        if bad := int((~np.isfinite(logits).all(-1)).sum()):
            warnings.warn(
                f"the logits of {bad} of {len(texts)} texts are not finite: their "
                "labels mean nothing, so check the model's weights",
                stacklevel=3,
            )
        p = np.asarray(jax.nn.softmax(logits))
        names = exits.rule_names(self.exit)
        best = p.argmax(-1)
        return [
            {
                "label": self.labels[label],
                "score": float(score),
                "exit_layer": int(layer),
                "rule": names[rule],
            }
            for label, score, layer, rule in zip(best, p.max(-1), layers, rules)
        ]

    def _encode(self, texts: Sequence[Text]) -> Encoded:
        singles = [(text, None) if isinstance(text, str) else text for text in texts]
        firsts, seconds = zip(*singles)
        encoded = Encoded.build(
            self.tokenizer, firsts, seconds, max_length=self.max_length
        )
        if encoded.truncated and not self._warned_of_truncation:
            self._warned_of_truncation = True
            warnings.warn(
                f"texts are cut to {self.max_length} tokens: {encoded.truncated} of "
                f"these {len(encoded)}",
                stacklevel=4,
            )
        return encoded

    def run(self, encoded: Encoded) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Answers pre-tokenised texts, one queue a bucket of lengths.

        Returns:
          By text: float32 logits [M, C], exit layer [M] and rule [M].
        """
        count = len(encoded)
        logits = np.zeros((count, self.config.num_labels), np.float32)
        layers, rules = np.zeros(count, np.int32), np.zeros(count, np.int32)
        bucket = np.searchsorted(self._buckets, encoded.lengths)
        for index, length in enumerate(self._buckets):
            rows = np.flatnonzero(bucket == index)
            slots = next(
                n for n in (1, 8, self.slots) if n >= min(len(rows), self.slots)
            )
            capacity = slots * _ROWS_PER_SLOT
            for start in range(0, len(rows), capacity):
                part = rows[start : start + capacity]
                results, *_ = engine.run(
                    self.params,
                    _queue(encoded, part, length, capacity),
                    self.exit,
                    config=self.config,
                    slots=slots,
                )
                answered = slice(len(part))
                logits[part] = results.logits[answered]
                layers[part] = results.layer[answered]
                rules[part] = results.rule[answered]
        return logits, layers, rules


def _queue(
    encoded: Encoded, rows: np.ndarray, length: int, capacity: int
) -> engine.Queue:
    batch = batching.pad(encoded, rows, length)
    return engine.Queue(
        tokens=_grown(batch.tokens, capacity),
        types=_grown(batch.types, capacity),
        lengths=_grown(encoded.lengths[rows].astype(np.int32), capacity),
        count=jnp.int32(len(rows)),
    )


def _grown(array: np.ndarray, rows: int) -> np.ndarray:
    grown = np.zeros((rows, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
