"""Labels predicted for a corpus, with the layer-steps that they took."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from elbert_jax.data.encoded import Encoded
from elbert_jax.inference.engine import Finished
from elbert_jax.inference.session import Session
from elbert_jax.model.config import AlbertConfig


@dataclasses.dataclass
class Predictions:
    """Predictions for M texts of C classes, and how full the slots were."""

    logits: Float[np.ndarray, "M C"]  # at the exit layer
    layers: Int[np.ndarray, " M"]  # exit layers, from 1
    rules: Int[np.ndarray, " M"]  # rule codes, see `exits.rule_names`
    slot_steps: int = 0  # layer-steps, each counted for every slot of the batch
    busy_steps: int = 0  # layer-steps, counted for slots that held a text
    slot_tokens: int = 0  # slot_steps, weighted by the padded length
    busy_tokens: int = 0  # busy_steps, weighted by the padded length

    @classmethod
    def empty(cls, config: AlbertConfig, texts: int) -> "Predictions":
        """Returns predictions to be filled in."""
        layers, rules = np.zeros((2, texts), np.int32)
        return cls(np.zeros((texts, config.num_labels), np.float32), layers, rules)

    def add(self, finished: Finished) -> None:
        """Fills in texts of the task `Classification`, as `engine.compact` gives them.

        Their ids are their places.
        """
        self.logits[finished.ids] = finished.outputs.logits
        self.layers[finished.ids] = finished.layer
        self.rules[finished.ids] = finished.outputs.rule
        slot_steps, busy_steps = int(finished.slot_steps), int(finished.busy_steps)
        self.add_steps(slot_steps, busy_steps, finished.length)

    def add_steps(self, slot_steps: int, busy_steps: int, length: int) -> None:
        """Counts layer-steps of rows padded to `length` tokens."""
        self.slot_steps += slot_steps
        self.busy_steps += busy_steps
        self.slot_tokens += slot_steps * length
        self.busy_tokens += busy_steps * length


def predict(session: Session, encoded: Encoded) -> Predictions:
    """Submits texts to a new session and waits for all of them."""
    predictions = Predictions.empty(session.config, len(encoded))
    session.submit(encoded, np.arange(len(encoded), dtype=np.int32))
    for finished in session.drain():
        predictions.add(finished)
    return predictions
