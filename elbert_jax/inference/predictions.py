"""Predictions for a corpus, with the layer-steps that they took."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from elbert_jax.inference.engine import Finished
from elbert_jax.model.config import AlbertConfig


@dataclasses.dataclass
class Predictions:
    """Predictions for M texts of C classes, and how full the slots were."""

    logits: Float[np.ndarray, "M C"]  # at the exit layer
    layers: Int[np.ndarray, " M"]  # exit layers, from 1
    rules: Int[np.ndarray, " M"]  # rule codes, see `exits.rule_names`
    slot_steps: int = 0  # layer-steps taken, times the slots of the batch
    busy_steps: int = 0  # those of slots that held a text
    slot_tokens: int = 0  # slot_steps, weighted by the padded length
    busy_tokens: int = 0  # busy_steps, weighted by the padded length

    @classmethod
    def empty(cls, config: AlbertConfig, texts: int) -> "Predictions":
        """Returns predictions to be filled in; exit layer 0 marks a missing one."""
        return cls(
            np.zeros((texts, config.num_labels), np.float32),
            np.zeros(texts, np.int32),
            np.zeros(texts, np.int32),
        )

    def take(self, finished: Finished, first: int = 0) -> None:
        """Stores the finished texts whose ids are in `first` to `first + M`."""
        ids = np.asarray(finished.ids) - first  # EMPTY is below 0
        ours = (ids >= 0) & (ids < len(self.layers))
        self.logits[ids[ours]] = np.asarray(finished.logits)[ours]
        self.layers[ids[ours]] = np.asarray(finished.layer)[ours]
        self.rules[ids[ours]] = np.asarray(finished.rule)[ours]

    def count(self, finished: Finished) -> None:
        """Adds up the layer-steps."""
        slot_steps, busy_steps = map(np.sum, (finished.slot_steps, finished.busy_steps))
        self.add_steps(int(slot_steps), int(busy_steps), finished.length)

    def add_steps(self, slot_steps: int, busy_steps: int, length: int) -> None:
        """Counts layer-steps of rows padded to `length` tokens."""
        self.slot_steps += slot_steps
        self.busy_steps += busy_steps
        self.slot_tokens += slot_steps * length
        self.busy_tokens += busy_steps * length

    @property
    def complete(self) -> bool:
        """Whether every text has a prediction."""
        return bool((self.layers > 0).all())
