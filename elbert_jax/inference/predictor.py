"""Pre-tokenised texts in, predictions out.

Letters: M texts, D layers, C classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tqdm
from jaxtyping import Float, Int

from elbert_jax.data import batching
from elbert_jax.data.batching import MaxBatchSize
from elbert_jax.data.encoded import Encoded
from elbert_jax.errors import UserError
from elbert_jax.exits import Criterion
from elbert_jax.inference import buckets, capacity, full_depth, predictions
from elbert_jax.inference import devices as devices_lib
from elbert_jax.inference.buckets import Buckets
from elbert_jax.inference.predictions import Predictions
from elbert_jax.inference.session import Session
from elbert_jax.inference.tasks import Classification
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig


class Predictor:
    """A model on its devices, with an exit criterion.

    Attributes:
      params: the model's parameters; others may be set.
      exit: when a text exits; another may be set.
      padded_lengths: to which all texts are padded, from short to long; None: they are
        chosen for each call. See `compile`.
    """

    def __init__(
        self,
        config: AlbertConfig,
        params: Params,
        exit: Criterion,
        max_length: int,
        *,
        slots: int | str | None = None,
        devices: Sequence[Any] | None = None,
    ):
        """Puts a predictor together.

        Args:
          config: the model's shape.
          params: its parameters.
          exit: when a text exits.
          max_length: tokens of the longest text to come.
          slots: a device's slots for texts of 16 tokens; longer texts get fewer. "auto"
            measures how many are fastest; see `capacity.choose`.
          devices: which share the texts; all local ones by default.
        """
        self.config, self.exit, self.max_length = config, exit, max_length
        self.params = params
        self.budget = capacity.choose(slots, params, config)
        self.mesh = devices_lib.mesh(devices)
        self.padded_lengths: tuple[int, ...] | None = None

    @property
    def slots(self) -> int:
        """A device's slots for texts of 16 tokens."""
        return self.budget.slots(batching.USUAL_LENGTH)

    @property
    def params(self) -> Params:
        return self._params

    @params.setter
    def params(self, params: Params) -> None:
        self._params, self._replicated = params, None

    def fitting_lengths(
        self, lengths: Int[np.ndarray, " M"], texts: int | None
    ) -> tuple[int, ...]:
        """Returns the padded lengths that `session` chooses for texts like these."""
        each = self._on_each_device(texts)
        return buckets.fitting_lengths(self.budget, lengths, self.max_length, each)

    def finest_lengths(self, lengths: Int[np.ndarray, " M"]) -> tuple[int, ...]:
        """Returns the padded lengths with the least padding of such texts."""
        return self.padded_lengths or batching.fitting_lengths(
            lengths, lambda _: 1, self.max_length
        )

    def session(
        self, lengths: Int[np.ndarray, " M"], *, endless: bool = False
    ) -> Session:
        """Returns a session for texts of these lengths; `endless`: and many more."""
        texts = None if endless else len(lengths)
        padded = self.padded_lengths or self.fitting_lengths(lengths, texts)
        return self._session(padded, texts)

    def _session(self, lengths: Sequence[int], texts: int | None) -> Session:
        if self._replicated is None:
            self._replicated = devices_lib.replicate(self.mesh, self.params)
        return Session(
            Classification(self.exit),
            self._replicated,
            self.config,
            Buckets.build(self.budget, lengths, self._on_each_device(texts)),
            self.mesh,
            unroll=self.budget.unroll,
        )

    def _on_each_device(self, texts: int | None) -> int | None:
        return None if texts is None else -(-texts // self.mesh.size)

    def compile(self, lengths: Sequence[int], calls: Sequence[int | None]) -> None:
        """Compiles all that later calls need, and fixes `padded_lengths`.

        Args:
          lengths: padded lengths, from short to long.
          calls: how many texts calls will have; None: a stream, or very many.
        """
        self.padded_lengths = tuple(lengths)
        for texts in calls:
            self._session(lengths, texts).warmup()

    def run(self, encoded: Encoded) -> Predictions:
        """Predicts texts with early exit and slot refill."""
        return predictions.predict(self.session(encoded.lengths), encoded)

    def full_depth(
        self,
        encoded: Encoded,
        max_batch_size: MaxBatchSize | None = None,
        *,
        lengths: Sequence[int] | None = None,
    ) -> Predictions:
        """Predicts texts at the last layer, without early exit.

        Args:
          encoded: M texts.
          max_batch_size: by padded length; by default as many tokens as the slots hold.
          lengths: the padded lengths; by default those that pad the least.
        """
        return full_depth.last_layer(
            self.config,
            self.params,
            encoded,
            lengths or self.finest_lengths(encoded.lengths),
            max_batch_size or batching.max_batch_size(self.slots),
        )

    def every_layer(self, encoded: Encoded) -> Float[np.ndarray, "D M C"]:
        """Returns the logits of all layers, without early exit.

        Raises:
          UserError: they are not finite.
        """
        lengths, texts = batching.bucket_lengths(self.max_length), len(encoded)
        room = batching.max_batch_size(self.slots)
        cut = list(batching.cut(encoded.lengths, lengths, room))
        batches = (  # of one shape for each length
            batching.pad(encoded, rows, length, min(int(room(np.array(length))), texts))
            for rows, length in tqdm.tqdm(cut, unit="batch", leave=False, disable=None)
        )
        logits = full_depth.every_layer(self.config, self.params, batches, texts)
        if not np.isfinite(logits).all():
            raise UserError("the model's logits are not finite: check its weights")
        return logits
