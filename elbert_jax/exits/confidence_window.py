"""ELBERT's two stages: confident now, or settled over a window of outputs.

Letters: B texts, W window, C classes.

References:
    Xie et al., "ELBERT: Fast ALBERT with Confidence-Window Based Early Exit",
    ICASSP 2021, Section 3.3.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from elbert_jax.exits.base import first_rule, probabilities, puzzlement, register


def _check(criterion: str, known: tuple[str, ...], window: int) -> None:
    if criterion not in known:
        raise ValueError(f"criterion is {criterion!r}; it may be {', '.join(known)}")
    if window < 1:
        raise ValueError(f"window is {window}; it must be at least 1")


def _empty_window(batch: int, window: int, *shape: int) -> Float[Array, "B W ..."]:
    # NaN: no output there yet.
    return jnp.full((batch, window, *shape), jnp.nan, jnp.float32)


def _slide(window: Array, newest: Array) -> Array:
    return jnp.concatenate([window[:, 1:], newest[:, None]], axis=1)


@register
@dataclasses.dataclass(frozen=True)
class ConfidenceWindow:
    """ELBERT's two stages: confident now, or settled over a window of outputs.

    Stage 1 exits where `puzzlement < delta`; delta = 0 switches it off. Stage 2 is
    looked at where stage 1 did not exit and the last `window` outputs are there:

    - `monotone`: the probability of the newest label never fell by more than
      `tolerance` over the window, and it was the label at the oldest output too.
    - `range`: the largest probability moved by less than `epsilon`.
    - `label`: the label is the same at all outputs (PABEE's rule, patience W - 1).
    - `none`: no stage 2.
    """

    delta: float = 0.1
    window: int = dataclasses.field(default=8, metadata={"static": True})
    criterion: str = dataclasses.field(default="monotone", metadata={"static": True})
    tolerance: float = 1e-6  # at saturation float noise would decide otherwise
    epsilon: float = 0.01

    def __post_init__(self):
        known = ("monotone", "range", "label", "none")
        _check(self.criterion, known, self.window)

    @property
    def rules(self) -> tuple[str, ...]:
        return ("confidence", "window")

    def init(self, ids: Int[Array, " B"], num_classes: int) -> Float[Array, "B W C"]:
        return _empty_window(len(ids), self.window, num_classes)

    def __call__(
        self, state: Float[Array, "B W C"], logits: Float[Array, "B C"]
    ) -> tuple[Float[Array, "B W C"], Int[Array, " B"]]:
        state = _slide(state, probabilities(logits))
        confident = puzzlement(logits) < self.delta
        settled = jnp.isfinite(state).all((1, 2)) & self._settled(state)
        return state, first_rule(confident, settled)

    def _settled(self, p: Float[Array, "B W C"]) -> Bool[Array, " B"]:
        labels = p.argmax(-1)
        if self.criterion == "monotone":
            chosen = jnp.take_along_axis(p, labels[:, -1, None, None], axis=2)[..., 0]
            falls = chosen[:, 1:] < chosen[:, :-1] - self.tolerance
            return ~falls.any(1) & (labels[:, 0] == labels[:, -1])
        if self.criterion == "range":
            top = p.max(-1)
            return top.max(1) - top.min(1) < self.epsilon
        if self.criterion == "label":
            return (labels == labels[:, -1:]).all(1)
        return jnp.zeros(len(p), bool)


@register
@dataclasses.dataclass(frozen=True)
class Elbert2021:
    """The rules of ELBERT's published code, kept for reproduction.

    They follow the probability of class 0 against 0.5, whatever the number of
    classes: over the whole window it stays on one side of 0.5 +- `margin` (`bias_1`,
    the shipped default), or starts there and moves monotonically away (`bias_2`), or
    stays there within `spread` (`bias_3`). A step back of up to `tolerance` is none:
    the published code has 0, where float noise decides at saturation.
    """

    delta: float = 0.1
    window: int = dataclasses.field(default=8, metadata={"static": True})
    criterion: str = dataclasses.field(default="bias_1", metadata={"static": True})
    margin: float = 0.0
    spread: float = 0.01
    tolerance: float = 0.0

    def __post_init__(self):
        known = ("bias_1", "bias_2", "bias_3")
        _check(self.criterion, known, self.window)

    @property
    def rules(self) -> tuple[str, ...]:
        return ("confidence", "window")

    def init(self, ids: Int[Array, " B"], num_classes: int) -> Float[Array, "B W"]:
        return _empty_window(len(ids), self.window)

    def __call__(
        self, state: Float[Array, "B W"], logits: Float[Array, "B C"]
    ) -> tuple[Float[Array, "B W"], Int[Array, " B"]]:
        state = _slide(state, probabilities(logits)[:, 0])
        confident = puzzlement(logits) < self.delta
        settled = jnp.isfinite(state).all(1) & self._settled(state)
        return state, first_rule(confident, settled)

    def _settled(self, p: Float[Array, "B W"]) -> Bool[Array, " B"]:
        above, below = p > 0.5 + self.margin, p < 0.5 - self.margin
        if self.criterion == "bias_2":
            step = jnp.diff(p, axis=1)
            rises = (step >= -self.tolerance).all(1)
            falls = (step <= self.tolerance).all(1)
            return (above[:, 0] & rises) | (below[:, 0] & falls)
        one_side = above.all(1) | below.all(1)
        if self.criterion == "bias_3":
            return one_side & (p.max(1) - p.min(1) <= self.spread)
        return one_side
