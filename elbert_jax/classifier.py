"""Text in, labels out: a model directory, its tokenizer and the slot engine."""

import collections
import dataclasses
import itertools
import os
import pathlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import scipy.special
from jaxtyping import Float, Int

from elbert_jax import exit_settings, exits, hf, operating_point
from elbert_jax.albert import AlbertConfig, Params
from elbert_jax.data import batching
from elbert_jax.data.batching import Encoded
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.engine import Finished
from elbert_jax.errors import UserError
from elbert_jax.exits import Criterion
from elbert_jax.ladder import Ladder

Text = str | tuple[str, str]  # a text, or a pair of texts
Result = dict[str, Any]

_CHUNK = 16384  # texts of a stream that are tokenised, sorted and answered together
_WAITING = 2  # chunks with a text that has not left; then all are answered
_USUAL_LENGTH = 16  # tokens of the rows that get as many slots as were asked for
_TEXTS_PER_SLOT, _FEWEST_SLOTS = 16, 8  # see _slots_for


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

    def take(self, finished: Finished, first: int = 0) -> None:
        """Writes down those of the texts `first` to `first + M` that have left."""
        ids = np.asarray(finished.ids) - first
        ours = (ids >= 0) & (ids < len(self.layers))  # EMPTY is below 0
        self.logits[ids[ours]] = np.asarray(finished.logits)[ours]
        self.layers[ids[ours]] = np.asarray(finished.layer)[ours]
        self.rules[ids[ours]] = np.asarray(finished.rule)[ours]

    def count(self, finished: Finished) -> None:
        """Adds up how full the slots were."""
        self.slot_steps += int(finished.slot_steps)
        self.busy_steps += int(finished.busy_steps)

    @property
    def complete(self) -> bool:
        """Whether all texts have left."""
        return bool((self.layers > 0).all())


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
        method: str | None = None,
    ):
        """Puts a classifier together.

        Args:
          config: the model's shape.
          params: its parameters.
          labels: [C] names of the classes.
          tokenizer: the model's own.
          exit: when a text leaves.
          slots: texts of 16 tokens that go through the layer together; of longer
            ones fewer, so that a batch always has about as many tokens.
          max_length: tokens beyond it are cut; by default, and at most, the model's
            number of positions.
          method: that the parameters were trained by, for `save_pretrained`.
        """
        self.config, self.params, self.labels = config, params, tuple(labels)
        self.tokenizer, self.exit, self.slots = tokenizer, exit, slots
        self.method = method
        positions = config.max_position_embeddings
        self.max_length = min(max_length or positions, positions)
        self.buckets = batching.bucket_lengths(self.max_length)
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
            method=loaded.method,
        )

    def set_delta(self, delta: float) -> None:
        """Moves stage 1's threshold.

        Raises:
          UserError: the criterion has none, or it is below 0.
        """
        moved = exit_settings.to_dict(self.exit) | {"delta": delta}
        try:
            self.exit = exit_settings.from_dict(moved)
        except ValueError as error:
            raise UserError(f"delta: {error}") from error

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Writes a directory that `from_pretrained` and `transformers` open."""
        directory = pathlib.Path(directory)
        params, method = self.params, self.method
        hf.save(directory, self.config, params, self.labels, method=method)
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
            return next(self.stream([cast(Text, texts)]))
        return list(self.stream(texts))

    def stream(self, texts: Iterable[Text]) -> Iterator[Result]:
        """Yields a result a text, in order, from any iterable in constant memory.

        While the device answers a chunk of texts, the next one is read and tokenised.
        """
        chunks = _Chunks(texts, self._encode)
        encoded, ended = chunks.read()
        ladder = self._ladder(len(encoded) if ended else None)
        waiting = collections.deque[tuple[int, Answers]]()
        first = 0  # number of the chunk's first text
        while True:
            waiting.append((first, Answers.empty(self.config, len(encoded))))
            ids = np.arange(first, first + len(encoded), dtype=np.int32)
            all_leave = ended or len(waiting) == _WAITING
            left = ladder.feed(encoded, ids, last=all_leave)
            following = None if ended else chunks.read()  # meanwhile
            for (begin, answers), finished in itertools.product(waiting, left):
                answers.take(finished, begin)
            while waiting and waiting[0][1].complete:
                yield from self._results(waiting.popleft()[1])
            if following is None:
                break
            (encoded, ended), first = following, (first + _CHUNK) % (_CHUNK * _WAITING)
        if chunks.error:
            raise chunks.error

    def _results(self, answers: Answers) -> Iterator[Result]:
        finite: Any = np.isfinite(answers.logits).all(-1)
        if bad := int((~finite).sum()):
            warnings.warn(
                f"the logits of {bad} of {len(finite)} texts are not finite: their "
                "labels mean nothing, so check the model's weights",
                stacklevel=3,
            )
        p = scipy.special.softmax(answers.logits, axis=-1)
        p[~finite] = np.nan
        names = exits.rule_names(self.exit)
        for label, score, layer, rule in zip(
            p.argmax(-1), p.max(-1), answers.layers, answers.rules
        ):
            yield {
                "label": self.labels[label],
                "score": float(score),
                "exit_layer": int(layer),
                "rule": names[rule],
            }

    def _encode(self, texts: Sequence[Text]) -> Encoded:
        pairs = [text if isinstance(text, tuple) else (text, None) for text in texts]
        if any(len(pair) != 2 for pair in pairs):
            raise UserError("a tuple is a pair of texts, so it holds two")
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
                stacklevel=4,
            )
        return encoded

    def run(self, encoded: Encoded) -> Answers:
        """Answers pre-tokenised texts."""
        answers = Answers.empty(self.config, len(encoded))
        ids = np.arange(len(encoded), dtype=np.int32)
        for finished in self._ladder(len(encoded)).feed(encoded, ids, last=True):
            answers.take(finished)
            answers.count(finished)
        return answers

    def _ladder(self, texts: int | None) -> Ladder:
        """Returns a ladder for so many texts; None: for more than one chunk."""
        tokens = self.slots * _USUAL_LENGTH

        def slots(length: int) -> int:
            return _slots_for(texts, max(1, tokens // length))

        return Ladder(self.params, self.config, self.exit, self.buckets, slots)


class _Chunks:
    """An iterable in tokenised chunks; an error ends it, after what came before."""

    def __init__(
        self, texts: Iterable[Text], encode: Callable[[Sequence[Text]], Encoded]
    ):
        self._texts, self._encode = iter(texts), encode
        self.error: Exception | None = None

    def read(self) -> tuple[Encoded, bool]:
        """Returns the next chunk, and whether it is the last; it may be empty."""
        chunk = []
        try:
            for text in itertools.islice(self._texts, _CHUNK):
                chunk.append(text)
        except Exception as error:
            self.error = error
        try:
            return self._encode(chunk), len(chunk) < _CHUNK
        except UserError as error:
            self.error = error
            return self._encode([]), True


def _slots_for(texts: int | None, most: int) -> int:
    """Returns `most`, or a power of two below it: few shapes compile.

    At the end of a run slots stand empty, for longer the more there are: the fewer
    texts, the fewer slots, while the layer still has enough to do.
    """
    if texts is None or texts >= _TEXTS_PER_SLOT * most:
        return most
    wanted = max(texts // _TEXTS_PER_SLOT, min(texts, _FEWEST_SLOTS), 1)
    return min(1 << (wanted.bit_length() - 1), most)
