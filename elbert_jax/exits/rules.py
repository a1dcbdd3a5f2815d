"""What each rule of a criterion says of one text after every layer.

A text exits where the first rule fires. To see the others, and the layers beyond, each
is replayed alone over the logits of a full-depth pass.

Letters: D layers, C classes.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from elbert_jax.exits.base import Criterion, rules_by_layer


@dataclasses.dataclass(frozen=True, eq=False)
class Rule:
    """What one rule says after every layer, were it the only one."""

    name: str
    fires: Bool[np.ndarray, " D"]
    window: int | None  # consecutive outputs that it needs; None: only the last
    held: Int[np.ndarray, " D"] | None  # how many of these, the newest, satisfy it

    @property
    def first(self) -> int | None:
        """The first layer where it fires, 1-based."""
        return int(self.fires.argmax()) + 1 if self.fires.any() else None


def replay(criterion: Criterion, logits: Float[np.ndarray, "D C"]) -> tuple[Rule, ...]:
    """Returns the rules of a criterion, in its order, for the outputs of one text."""
    rules = []
    for name, part, window in criterion.parts:
        if window is None:
            held, fires = None, np.asarray(rules_by_layer(part, logits[:, None]))[:, 0]
        else:
            held = _held(part, window, logits)
            fires = held == window
        rules.append(Rule(name, fires > 0, window, held))
    return tuple(rules)


def _held(
    rule: Criterion, window: int, logits: Float[np.ndarray, "D C"]
) -> Int[np.ndarray, " D"]:
    """Returns `Rule.held`.

    Where the newest w outputs satisfy a rule, so do they with the oldest of them
    repeated in front up to the window: all layers and all w are replayed at once.
    """
    layer = np.arange(len(logits))[:, None]
    newest = np.arange(1, min(window, len(logits)) + 1)
    oldest = layer - newest + 1  # [D, w]
    back = np.arange(window)[::-1, None, None]
    history = np.maximum(layer - back, oldest).clip(0).reshape(window, -1)
    holds = np.asarray(rules_by_layer(rule, logits[history]))[-1] > 0
    holds = holds.reshape(oldest.shape) & (oldest >= 0)
    return np.where(holds, newest, 0).max(1)
