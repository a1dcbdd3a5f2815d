"""Text in, labels out: a model directory, its tokenizer and the slot engine."""

import collections
import dataclasses
import itertools
import os
import pathlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import scipy.special
import tqdm
from jaxtyping import Float

from elbert_jax import exits
from elbert_jax.data import batching
from elbert_jax.data.batching import Encoded, Room
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.errors import UserError
from elbert_jax.exits import Criterion
from elbert_jax.hub import operating_point, pretrained
from elbert_jax.inference import capacity, full_depth, text_chunks
from elbert_jax.inference.buckets import Ladder, device_mesh
from elbert_jax.inference.layout import Layout
from elbert_jax.inference.predictions import Predictions
from elbert_jax.inference.text_chunks import Text, TextChunks
from elbert_jax.model.albert import AlbertConfig, Params

Result = dict[str, Any]

_CHUNK = 16384  # texts of a stream that are tokenised, sorted and answered together
_WAITING = 2  # chunks with a text that has not left; then all are answered
_PROBLEM = "single_label_classification"  # in config.json


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
          exit: when a text leaves.
          slots: texts of 16 tokens that go through the layer together on a device;
            of longer ones fewer, so that a batch always has about as many tokens.
            "auto" measures what is fastest; see `budget.choose`.
          max_length: longer texts are cut, as the tokenizer says; by default to what
            the model was trained on, and at most to its number of positions.
          devices: which share the texts; all local ones by default.
          training: how the parameters came to be, for `save_pretrained`.
        """
        self.config, self.params, self.labels = config, params, tuple(labels)
        self.tokenizer, self.exit = tokenizer, exit
        self.training = training
        positions = config.max_position_embeddings
        self.max_length = min(max_length or tokenizer.max_length, positions)
        chosen = capacity.choose(slots, params, config)
        self.layout = Layout(chosen, device_mesh(devices), self.max_length)
        self._warned_of_truncation = False

    @property
    def slots(self) -> int:
        """Texts of 16 tokens that go through the layer together on a device."""
        return self.layout.slots

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
          exit: when a text leaves; by default what the directory recommends.
          slots: see the constructor.
          max_length: see the constructor.
          devices: see the constructor.
          dtype: of the computation, "float32" or "bfloat16".
          revision: a branch, tag or commit of the hub.
          local_files_only: never asks the hub.

        Raises:
          UserError: it is not there, or no ALBERT.
        """
        loaded = pretrained.load(
            name, revision=revision, local_files_only=local_files_only
        )
        if loaded.initialised:
            warnings.warn(
                f"{name} has no {', '.join(loaded.initialised)}: they are random, so "
                "train the model before you trust an answer",
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
        """Moves stage 1's threshold.

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
        params, training = self.params, self.training
        pretrained.save(directory, self.config, params, self.labels, training=training)
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
        chunks = TextChunks(texts, _CHUNK)

        def read() -> tuple[Encoded, bool]:
            chunk, ended = chunks.read()
            return self._encode(chunk), ended

        encoded, ended = read()
        ladder = self._ladder(encoded, endless=not ended)
        rules = exits.rule_names(ladder.criterion)  # `exit` may be set meanwhile
        waiting = collections.deque[tuple[int, Predictions]]()
        first = 0  # number of the chunk's first text
        while True:
            waiting.append((first, Predictions.empty(self.config, len(encoded))))
            ids = np.arange(first, first + len(encoded), dtype=np.int32)
            all_leave = ended or len(waiting) == _WAITING
            left = ladder.feed(encoded, ids, last=all_leave)
            following = None if ended else read()  # meanwhile
            for (begin, answers), finished in itertools.product(waiting, left):
                answers.take(finished, begin)
            while waiting and waiting[0][1].complete:
                yield from self._results(waiting.popleft()[1], rules)
            if following is None:
                break
            (encoded, ended), first = following, (first + _CHUNK) % (_CHUNK * _WAITING)
        if chunks.error:
            raise chunks.error

    def _results(self, answers: Predictions, rules: Sequence[str]) -> Iterator[Result]:
        finite: Any = np.isfinite(answers.logits).all(-1)
        if bad := int((~finite).sum()):
            warnings.warn(
                f"the logits of {bad} of {len(finite)} texts are not finite: their "
                "labels mean nothing, so check the model's weights",
                stacklevel=3,
            )
        p = scipy.special.softmax(answers.logits, axis=-1)
        p[~finite] = np.nan
        for label, score, layer, rule in zip(
            p.argmax(-1), p.max(-1), answers.layers, answers.rules
        ):
            yield {
                "label": self.labels[label],
                "score": float(score),
                "exit_layer": int(layer),
                "rule": rules[rule],
            }

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
                stacklevel=4,
            )
        return encoded

    def warmup(
        self, texts: Sequence[Text] = (), calls: Sequence[int | None] = (1, None)
    ) -> None:
        """Compiles all that later calls need, so that none of them waits for it.

        From then on texts are padded to the same few lengths.

        Args:
          texts: a sample, from which the lengths are chosen; none: the usual ones.
          calls: how many texts will come in a call; None: a stream, or very many.

        Raises:
          UserError: a text of the sample is not one; see `__call__`.
        """
        for number, text in enumerate(texts):
            text_chunks.check(text, number)
        if texts:
            self.layout.buckets = None
            buckets = self.layout.buckets_for(self._encode(texts).lengths)
        else:
            buckets = batching.bucket_lengths(self.max_length)
        self.layout.buckets = buckets
        for count in calls:
            self._ladder_of(buckets, count).warmup()

    def run(self, encoded: Encoded) -> Predictions:
        """Predictions pre-tokenised texts."""
        return self._ladder(encoded).answer(encoded)

    def full_depth(
        self,
        encoded: Encoded,
        max_batch_size: Room | None = None,
        *,
        lengths: Sequence[int] | None = None,
        once_per_shape: bool = False,
    ) -> Predictions:
        """Predicts pre-tokenised texts at the last layer, without early exit.

        Args:
          encoded: M texts.
          max_batch_size: see `full_depth.last_layer`; by default as many tokens as the
            slots hold.
          lengths: the padded lengths; by default those that waste the least.
          once_per_shape: run only one batch of each shape, to compile the programs.
        """
        lengths = lengths or self.layout.buckets
        lengths = lengths or batching.fitting_lengths(
            encoded.lengths, lambda _: 1, self.max_length
        )
        return full_depth.last_layer(
            self.config,
            self.params,
            encoded,
            lengths,
            max_batch_size or batching.room(self.slots),
            once_per_shape=once_per_shape,
        )

    def every_layer(self, encoded: Encoded) -> Float[np.ndarray, "D M C"]:
        """Returns the logits of all D layers for M pre-tokenised texts, none leaving.

        Raises:
          UserError: they are not finite.
        """
        lengths, texts = batching.bucket_lengths(self.max_length), len(encoded)
        room = batching.room(self.slots)
        cut = list(batching.cut(encoded.lengths, lengths, room))
        batches = (  # of one shape for each length
            batching.pad(encoded, rows, length, min(int(room(np.array(length))), texts))
            for rows, length in tqdm.tqdm(cut, unit="batch", leave=False, disable=None)
        )
        logits = full_depth.every_layer(self.config, self.params, batches, texts)
        if not np.isfinite(logits).all():
            raise UserError("the model's logits are not finite: check its weights")
        return logits

    def _ladder(self, encoded: Encoded, *, endless: bool = False) -> Ladder:
        """Returns a ladder for these texts, or for a stream that begins with them."""
        buckets = self.layout.buckets_for(encoded.lengths, endless=endless)
        return self._ladder_of(buckets, None if endless else len(encoded))

    def _ladder_of(self, buckets: Sequence[int], texts: int | None) -> Ladder:
        return self.layout.ladder(self.params, self.config, self.exit, buckets, texts)
