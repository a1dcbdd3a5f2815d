"""ELBERT's two stages, as in the paper and as in its published code.

Letters: B texts, W window, C classes.

References:
    Xie et al., "ELBERT: Fast ALBERT with Confidence-Window Based Early Exit",
    ICASSP 2021, Section 3.3.
"""

import abc
import dataclasses
from collections.abc import Iterable
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from elbert_jax.exits.base import Criterion, Part, first_rule, static
from elbert_jax.exits.entropy import UNCERTAINTIES, normalised_entropy, probabilities


@dataclasses.dataclass(frozen=True)
class TwoStage(Criterion):
    """Stage 1 exits by normalised entropy, stage 2 by the last `window` outputs."""

    varies = "delta"
    off_at_0 = ("delta",)
    choices: ClassVar[tuple[str, ...]]  # for stage 2

    delta: float = 0.1
    window: int = static(8, least=1)
    criterion: str = static("")

    def __post_init__(self):
        super().__post_init__()
        if self.criterion not in self.choices:
            known = ", ".join(self.choices)
            raise ValueError(f"criterion is {self.criterion!r}; it may be {known}")

    @abc.abstractmethod
    def _settled(self, p: Float[Array, "B W C"]) -> Bool[Array, " B"]:
        """Returns where stage 2 fires, given the window's probabilities."""

    @property
    def rules(self) -> tuple[str, ...]:
        return ("confidence", "window")

    @property
    def parts(self) -> tuple[Part, ...]:
        stage_1 = ConfidenceWindow(self.delta, criterion="none")
        stage_2 = self.replace(delta=0.0)
        return Part("confidence", stage_1), Part("window", stage_2, self.window)

    @property
    def variant(self) -> tuple[str, int | None]:
        none = self.criterion == "none"
        return ("stage_1", None) if none else (self.criterion, self.window)

    @classmethod
    def variants(cls, window: int) -> list[Criterion]:
        lengths = {each: 1 if each == "none" else window for each in cls.choices}
        return [cls(window=lengths[each], criterion=each) for each in cls.choices]

    def thresholds(self, num_layers: int, num_classes: int) -> Iterable[float]:
        """Returns values of delta, first 0 where there is a stage 2 to exit by."""
        return UNCERTAINTIES if self.criterion == "none" else (0.0, *UNCERTAINTIES)

    def init(self, ids: Int[Array, " B"], num_classes: int) -> Float[Array, "B W C"]:
        shape = len(ids), self.window, num_classes
        return jnp.full(shape, jnp.nan, jnp.float32)  # NaN: no output there yet

    def __call__(
        self, state: Float[Array, "B W C"], logits: Float[Array, "B C"]
    ) -> tuple[Float[Array, "B W C"], Int[Array, " B"]]:
        newest = probabilities(logits)[:, None]
        state = jnp.concatenate([state[:, 1:], newest], axis=1)
        confident = normalised_entropy(logits) < self.delta
        settled = jnp.isfinite(state).all((1, 2)) & self._settled(state)
        return state, first_rule(confident, settled)


@dataclasses.dataclass(frozen=True)
class ConfidenceWindow(TwoStage):
    """ELBERT's two stages: confident now, or settled over a window of outputs.

    Stage 1 exits where the normalised entropy is below `delta`; 0 switches it off.
    Stage 2 is asked where stage 1 does not exit and `window` outputs are there:

    - `monotone`: the probability of the newest label never fell by more than
      `tolerance` over the window, and it was the label at the oldest output too.
    - `range`: the largest probability varied by less than `epsilon`.
    - `label`: the label is the same at all outputs (PABEE with patience W - 1).
    - `none`: no stage 2.
    """

    name = "confidence_window"
    choices = ("monotone", "range", "label", "none")

    criterion: str = static("monotone")
    tolerance: float = 1e-6  # at saturation float noise would decide otherwise
    epsilon: float = 0.01

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


@dataclasses.dataclass(frozen=True)
class Elbert2021(TwoStage):
    """The rules of ELBERT's published code, kept for reproduction.

    Stage 1 is that of `ConfidenceWindow`. Stage 2 compares the probability of class 0
    with 0.5, whatever the number of classes: over the window it stays on one side of
    0.5 +- `margin` (`bias_1`, the published default), or starts there and moves
    monotonically away (`bias_2`), or stays there and varies by at most `spread`
    (`bias_3`). A step back of up to `tolerance` is ignored; in the published code that
    is 0, where float noise decides at saturation.
    """

    name = "elbert2021"
    choices = ("bias_1", "bias_2", "bias_3")

    criterion: str = static("bias_1")
    margin: float = 0.0
    spread: float = 0.01
    tolerance: float = 0.0

    def _settled(self, p: Float[Array, "B W C"]) -> Bool[Array, " B"]:
        p = p[..., 0]
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
