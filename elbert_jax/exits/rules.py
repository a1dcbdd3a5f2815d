"""Every rule of an exit criterion on its own, after every layer.

A criterion reports the first of its rules that fires, and a text leaves there. To see
what the others say, and what all of them say at the layers beyond, each is replayed
alone over the logits of a full-depth pass.

Letters: D layers, C classes, S outputs, B sequences of them.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from elbert_jax.exits import AnyOf, ConfidenceWindow, Criterion


@dataclasses.dataclass(frozen=True, eq=False)
class Rule:
    """What one rule of a criterion says after every layer, were it the only one."""

    name: str
    fires: Bool[np.ndarray, " D"]
    needed: int | None  # outputs that it looks back on; None: it does not
    held: Int[np.ndarray, " D"] | None  # how many of them, the newest, satisfy it

    @property
    def first(self) -> int | None:
        """The first layer where it fires, 1-based."""
        return int(self.fires.argmax()) + 1 if self.fires.any() else None


def apart(criterion: Criterion, logits: Float[np.ndarray, "D C"]) -> tuple[Rule, ...]:
    """Returns the rules of a criterion, in its order, for the outputs of one text."""
    found = []
    for name, alone, needed in _alone(criterion):
        held = None if needed is None else _held(alone, needed, logits)
        if held is None:
            fires = np.asarray(_fires(alone, logits[:, None]))[:, 0]
        else:
            fires = held == needed
        found.append(Rule(name, fires, needed, held))
    return tuple(found)


def _alone(criterion: Any) -> Iterator[tuple[str, Criterion, int | None]]:
    """Yields each rule's name, a criterion that has it alone, and `Rule.needed`."""
    if isinstance(criterion, AnyOf):
        for each in criterion.criteria:
            yield from _alone(each)
    elif len(criterion.rules) == 2:  # stages, the first of which is always the same
        stage_1, stage_2 = criterion.rules
        yield stage_1, ConfidenceWindow(criterion.delta, criterion="none"), None
        yield stage_2, dataclasses.replace(criterion, delta=0.0), criterion.window
    else:
        (name,) = criterion.rules
        repeats = getattr(criterion, "patience", None)
        yield name, criterion, None if repeats is None else repeats + 1


@jax.jit
def _fires(criterion: Criterion, logits: Float[Array, "S B C"]) -> Bool[Array, "S B"]:
    def step(state: Any, output: Array) -> tuple[Any, Array]:
        return criterion(state, output)

    _, batch, num_classes = logits.shape
    start = criterion.init(jnp.arange(batch), num_classes)
    return jax.lax.scan(step, start, logits)[1] > 0


def _held(
    rule: Criterion, needed: int, logits: Float[np.ndarray, "D C"]
) -> Int[np.ndarray, " D"]:
    """Returns `Rule.held`.

    Where the newest w outputs satisfy a rule, so do they with the oldest of them
    repeated in front: that tries all layers, and all w, at once.
    """
    layer = np.arange(len(logits))[:, None]
    newest = np.arange(1, min(needed, len(logits)) + 1)
    oldest = layer - newest + 1  # [D, w]
    back = np.arange(needed)[::-1, None, None]
    history = np.maximum(layer - back, oldest).clip(0).reshape(needed, -1)
    holds = np.asarray(_fires(rule, logits[history]))[-1].reshape(oldest.shape)
    return np.where(holds & (oldest >= 0), newest, 0).max(1)
