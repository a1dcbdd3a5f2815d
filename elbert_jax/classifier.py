"""Text in, labels out: a model directory, its tokenizer and the slot engine."""

import dataclasses
import itertools
import os
import pathlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float, Int

from elbert_jax import engine, exits, hf, operating_point
from elbert_jax.albert import AlbertConfig, Params
from elbert_jax.data import batching
from elbert_jax.data.batching import Encoded
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.errors import UserError
from elbert_jax.exits import Criterion

Text = str | tuple[str, str]  # a text, or a pair of texts
Result = dict[str, Any]

_CHUNK = 16384  # texts of a stream that are tokenised, sorted and answered together
_TEXTS_PER_SLOT, _FEWEST_SLOTS = 16, 8  # see Classifier._slots_for
_ROWS_PER_SLOT = 256  # of a queue: its length follows from its slots, as shapes compile


@dataclasses.dataclass
class Answers:
    """What the engine gave, by text, and how full its slots were."""

    logits: Float[np.ndarray, "M C"]  # of the exit layer
    layers: Int[np.ndarray, " M"]  # where the text left, 1-based
    rules: Int[np.ndarray, " M"]  # see `exits.rule_names`
    slot_steps: int = 0  # layer-steps, times the slots they were taken with
    busy_steps: int = 0  # of these, the ones that a text was in

    @classmethod
    def empty(cls, config: AlbertConfig, texts: int) -> "Answers":
        return cls(
            np.zeros((texts, config.num_labels), np.float32),
            np.zeros(texts, np.int32),
            np.zeros(texts, np.int32),
        )


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
            dataclasses.replace(loaded.config, dtype=dtype),
            loaded.params,
            loaded.labels,
            Tokenizer.load(loaded.directory),
            exit or operating_point.load(loaded.directory),
            slots=slots,
            max_length=max_length,
        )

    def set_delta(self, delta: float) -> None:
        """Moves stage 1's threshold.

        Raises:
          UserError: the criterion has none, or it is below 0.
        """
        moved = exits.to_dict(self.exit) | {"delta": delta}
        try:
            self.exit = exits.from_dict(moved)
        except ValueError as error:
            raise UserError(f"delta: {error}") from error

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
        if isinstance(texts, str) or isinstance(texts, tuple):
            return self._answer([cast(Text, texts)])[0]
        return list(self.stream(texts))

    def stream(self, texts: Iterable[Text]) -> Iterator[Result]:
        """Yields a result a text, in order, from any iterable in constant memory."""
        texts = iter(texts)
        while chunk := list(itertools.islice(texts, _CHUNK)):
            yield from self._answer(chunk)

    def _answer(self, texts: Sequence[Text]) -> list[Result]:
        answers = self.run(self._encode(texts))
        finite = np.isfinite(answers.logits).all(-1)
        if bad := int((~finite).sum()):
            warnings.warn(
                f"the logits of {bad} of {len(texts)} texts are not finite: their "
                "labels mean nothing, so check the model's weights",
                stacklevel=3,
            )
        p = scipy.special.softmax(answers.logits, axis=-1)
        p[~finite] = np.nan
        names = exits.rule_names(self.exit)
        return [
            {
                "label": self.labels[label],
                "score": float(score),
                "exit_layer": int(layer),
                "rule": names[rule],
            }
            for label, score, layer, rule in zip(
                p.argmax(-1), p.max(-1), answers.layers, answers.rules
            )
        ]

    def _encode(self, texts: Sequence[Text]) -> Encoded:
        pairs = [text if isinstance(text, tuple) else (text, None) for text in texts]
        if any(len(pair) != 2 for pair in pairs):
            raise UserError("a tuple is a pair of texts, so it holds two")
        firsts, seconds = zip(*pairs)
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

    def run(
        self,
        encoded: Encoded,
        *,
        order: Int[np.ndarray, " M"] | None = None,
        refill: bool = True,
    ) -> Answers:
        """Answers pre-tokenised texts, one queue a bucket of lengths.

        Args:
          encoded: M texts.
          order: in which they enter the queues; by default as they come.
          refill: False answers static batches instead, each of `slots` texts that
            wait for the slowest of them.
        """
        answers = Answers.empty(self.config, len(encoded))
        order = np.arange(len(encoded)) if order is None else order
        bucket = np.searchsorted(self._buckets, encoded.lengths[order])
        for index, length in enumerate(self._buckets):
            rows = order[bucket == index]
            slots = self._slots_for(len(rows)) if refill else self.slots
            capacity = slots * (_ROWS_PER_SLOT if refill else 1)
            for start in range(0, len(rows), capacity):
                part = rows[start : start + capacity]
                results, steps, busy = engine.run(
                    self.params,
                    _queue(encoded, part, length, capacity),
                    self.exit,
                    config=self.config,
                    slots=slots,
                )
                answers.logits[part] = results.logits[: len(part)]
                answers.layers[part] = results.layer[: len(part)]
                answers.rules[part] = results.rule[: len(part)]
                answers.slot_steps += slots * int(steps)
                answers.busy_steps += int(busy)
        return answers

    def _slots_for(self, texts: int) -> int:
        """Returns a power of two below `slots`, or `slots`: few shapes compile.

        At the end of a queue slots stand empty, for longer the more there are: the
        fewer texts, the fewer slots, while the layer still has enough to do.
        """
        if texts >= _TEXTS_PER_SLOT * self.slots:
            return self.slots
        wanted = max(texts // _TEXTS_PER_SLOT, min(texts, _FEWEST_SLOTS), 1)
        return min(1 << (wanted.bit_length() - 1), self.slots)


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


def _grown(array: np.ndarray, rows: int) -> Array:
    grown = np.zeros((rows, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return jnp.asarray(grown)
