"""Labels predicted for a corpus, with the layer-steps that they took."""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.special
from jaxtyping import Float, Int

from elbert_jax.data.encoded import Encoded
from elbert_jax.inference.engine import Finished
from elbert_jax.inference.session import Session
from elbert_jax.model.config import AlbertConfig

Result = dict[str, Any]  # see `Classifier`


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


def results(
    finished: Finished, labels: Sequence[str], rules: Sequence[str]
) -> list[Result]:
    """Returns a result for each finished text, with a warning if logits are not finite.

    Args:
      finished: texts of the task `Classification`, as `engine.compact` gives them.
      labels: [C] names of the classes.
      rules: names of the rule codes.
    """
    logits, rule = finished.outputs
    finite = np.isfinite(logits).all(-1)
    if not finite.all():
        warnings.warn(
            "the logits of some texts are not finite: their labels mean nothing, "
            "so check the model's weights",
            stacklevel=3,
        )
    p = scipy.special.softmax(logits, axis=-1)
    p[~finite] = np.nan
    columns = p.argmax(-1), p.max(-1), finished.layer, rule
    return [
        {
            "label": labels[label],
            "score": float(score),
            "exit_layer": int(layer),
            "rule": rules[code],
        }
        for label, score, layer, code in zip(*columns, strict=True)
    ]
