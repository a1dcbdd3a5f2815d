"""Exit criteria: when is a text's prediction good enough to stop?

A criterion is a frozen dataclass shaped like the body of a scan over layers:

    state = criterion.init(batch, num_classes)
    state, rule = criterion(state, logits)          # once a layer

Every leaf of `state` has the batch as its first axis, so that a slot's state can be
replaced by a fresh one. `rule` is 0 where the text goes on, else the 1-based position
in `criterion.rules` of the rule that fired. Thresholds are pytree leaves: changing one
compiles nothing anew. The engine and the offline replay, `exit_layer`, call the same
object. Logits that are not finite never let a text out early: not at their layer, and
not by a window or a run of labels that holds them.

References:
    Xie et al., "ELBERT: Fast ALBERT with Confidence-Window Based Early Exit",
    ICASSP 2021, Section 3.3 and Eq. 5.
    Zhou et al., "BERT Loses Patience", NeurIPS 2020.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy
from jaxtyping import Array, Bool, Float, Int

LAST_LAYER = "last_layer"  # the name of rule 0: no rule fired before the end


class Criterion(Protocol):
    """What the engine and the replay ask of a criterion."""

    @property
    def rules(self) -> tuple[str, ...]: ...

    def init(self, batch: int, num_classes: int) -> Any: ...

    def __call__(
        self, state: Any, logits: Float[Array, "B C"]
    ) -> tuple[Any, Int[Array, " B"]]: ...


def _softmax(logits: Float[Array, "... C"]) -> Float[Array, "... C"]:
    """Returns float32 probabilities; NaN where a logit of the text is not finite."""
    finite = jnp.isfinite(logits).all(-1, keepdims=True)
    # The softmax of -inf is a confident 0.
    return jnp.where(finite, jax.nn.softmax(logits.astype(jnp.float32)), jnp.nan)


def puzzlement(logits: Float[Array, "... C"]) -> Float[Array, "..."]:
    """Returns the entropy of the softmax over `log C`, in [0, 1] (ELBERT Eq. 5).

    It is NaN where a logit is not finite.
    """
    p = _softmax(logits)
    # Rounding may leave a saturated text at -1e-8, which must not pass delta = 0.
    return jnp.maximum(-xlogy(p, p).sum(-1) / jnp.log(float(p.shape[-1])), 0.0)


def _empty_window(batch: int, window: int, *shape: int) -> Float[Array, "B W ..."]:
    # NaN: no output there yet.
    return jnp.full((batch, window, *shape), jnp.nan, jnp.float32)


def _slide(window: Array, newest: Array) -> Array:
    return jnp.concatenate([window[:, 1:], newest[:, None]], axis=1)


def _first_rule(*fired: Bool[Array, " B"]) -> Int[Array, " B"]:
    """Returns the 1-based position of the first true argument, 0 where none is."""
    stacked = jnp.stack(fired)
    return jnp.where(stacked.any(0), stacked.argmax(0) + 1, 0).astype(jnp.int32)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


@jax.tree_util.register_dataclass
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
        _require(
            self.criterion in known,
            f"criterion is {self.criterion!r}; it may be {', '.join(known)}",
        )
        _require(self.window >= 1, f"window is {self.window}; it must be at least 1")

    @property
    def rules(self) -> tuple[str, ...]:
        return ("confidence", "window")

    def init(self, batch: int, num_classes: int) -> Float[Array, "B W C"]:
        return _empty_window(batch, self.window, num_classes)

    def __call__(
        self, state: Float[Array, "B W C"], logits: Float[Array, "B C"]
    ) -> tuple[Float[Array, "B W C"], Int[Array, " B"]]:
        state = _slide(state, _softmax(logits))
        confident = puzzlement(logits) < self.delta
        settled = jnp.isfinite(state).all((1, 2)) & self._settled(state)
        return state, _first_rule(confident, settled)

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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Elbert2021:
    """The rules of ELBERT's published code, kept for reproduction.

    They follow the probability of class 0 against 0.5, whatever the number of
    classes: over the whole window it stays on one side of 0.5 +- `margin` (`bias_1`,
    the shipped default), or starts there and moves monotonically away (`bias_2`), or
    stays there within `spread` (`bias_3`).
    """

    delta: float = 0.1
    window: int = dataclasses.field(default=8, metadata={"static": True})
    criterion: str = dataclasses.field(default="bias_1", metadata={"static": True})
    margin: float = 0.0
    spread: float = 0.01

    def __post_init__(self):
        known = ("bias_1", "bias_2", "bias_3")
        _require(
            self.criterion in known,
            f"criterion is {self.criterion!r}; it may be {', '.join(known)}",
        )
        _require(self.window >= 1, f"window is {self.window}; it must be at least 1")

    @property
    def rules(self) -> tuple[str, ...]:
        return ("confidence", "window")

    def init(self, batch: int, num_classes: int) -> Float[Array, "B W"]:
        return _empty_window(batch, self.window)

    def __call__(
        self, state: Float[Array, "B W"], logits: Float[Array, "B C"]
    ) -> tuple[Float[Array, "B W"], Int[Array, " B"]]:
        state = _slide(state, _softmax(logits)[:, 0])
        confident = puzzlement(logits) < self.delta
        settled = jnp.isfinite(state).all(1) & self._settled(state)
        return state, _first_rule(confident, settled)

    def _settled(self, p: Float[Array, "B W"]) -> Bool[Array, " B"]:
        above, below = p > 0.5 + self.margin, p < 0.5 - self.margin
        if self.criterion == "bias_2":
            step = jnp.diff(p, axis=1)
            rises, falls = (step >= 0).all(1), (step <= 0).all(1)
            return (above[:, 0] & rises) | (below[:, 0] & falls)
        one_side = above.all(1) | below.all(1)
        if self.criterion == "bias_3":
            return one_side & (p.max(1) - p.min(1) <= self.spread)
        return one_side


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Patience:
    """Exit once the label has repeated `patience` times (PABEE)."""

    patience: int = 6

    @property
    def rules(self) -> tuple[str, ...]:
        return ("patience",)

    def init(
        self, batch: int, num_classes: int
    ) -> tuple[Int[Array, " B"], Int[Array, " B"]]:
        return jnp.full(batch, -1, jnp.int32), jnp.zeros(batch, jnp.int32)

    def __call__(self, state, logits: Float[Array, "B C"]):
        last, count = state
        finite = jnp.isfinite(logits).all(-1)
        label = jnp.where(finite, logits.argmax(-1), -1).astype(jnp.int32)
        count = jnp.where(label == last, count + 1, 0)
        return (label, count), _first_rule((count >= self.patience) & finite)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AnyOf:
    """Exit once any of several criteria says so; the first named one is reported."""

    criteria: tuple[Criterion, ...]

    @property
    def rules(self) -> tuple[str, ...]:
        return tuple(rule for each in self.criteria for rule in each.rules)

    def init(self, batch: int, num_classes: int) -> tuple[Any, ...]:
        return tuple(each.init(batch, num_classes) for each in self.criteria)

    def __call__(self, state, logits: Float[Array, "B C"]):
        states, fired, offset = [], jnp.zeros(len(logits), jnp.int32), 0
        for criterion, one in zip(self.criteria, state):
            one, rule = criterion(one, logits)
            fired = jnp.where((fired == 0) & (rule > 0), rule + offset, fired)
            states.append(one)
            offset += len(criterion.rules)
        return tuple(states), fired


class Exits(NamedTuple):
    """Where a batch of texts left, by text."""

    layer: Int[Array, " B"]  # 1-based
    rule: Int[Array, " B"]  # 0: the last layer; k: `criterion.rules[k - 1]`
    logits: Float[Array, "B C"]


@jax.jit
def exit_layer(criterion: Criterion, logits: Float[Array, "D B C"]) -> Exits:
    """Replays a criterion over the logits of every layer.

    Args:
      criterion: the rule to replay.
      logits: the head's output after each layer, as `Albert.__call__` gives it.

    Returns:
      The first layer where a rule fired, or the last layer.
    """
    _, batch, num_classes = logits.shape

    def step(state, logits):  # scan hashes its function; traced thresholds have none
        return criterion(state, logits)

    _, rules = jax.lax.scan(step, criterion.init(batch, num_classes), logits)
    index = (rules > 0).at[-1].set(True).argmax(0)
    column = jnp.arange(batch)
    return Exits(
        index.astype(jnp.int32) + 1, rules[index, column], logits[index, column]
    )


def rule_names(criterion: Criterion) -> tuple[str, ...]:
    """Returns the name of each rule code, from 0."""
    return (LAST_LAYER, *criterion.rules)


_BY_NAME = {
    "confidence_window": ConfidenceWindow,
    "elbert2021": Elbert2021,
    "patience": Patience,
}


def from_dict(values: Mapping[str, Any]) -> Criterion:
    """Returns the criterion that `to_dict` wrote, or that a configuration names.

    Raises:
      ValueError: on a name, a field or a value that no criterion has.
    """
    _require(isinstance(values, Mapping), f"an exit is a mapping, not {values!r}")
    values = dict(values)
    name = values.pop("name", "confidence_window")
    if name == "any_of":
        several = list(values) == ["criteria"] and isinstance(values["criteria"], list)
        _require(several, "any_of has one field, criteria: a list of exits")
        return AnyOf(tuple(from_dict(each) for each in values["criteria"]))
    known = (*_BY_NAME, "any_of")
    _require(name in known, f"exit name is {name!r}; it may be {', '.join(known)}")
    kinds = {field.name: field.type for field in dataclasses.fields(_BY_NAME[name])}
    for key, value in values.items():
        _require(key in kinds, f"{name} has no {key!r}; it has {', '.join(kinds)}")
        if key != "criterion":
            whole = kinds[key] is int
            number = type(value) is int or (type(value) is float and not whole)
            noun = "a whole number" if whole else "a number"
            _require(
                number and value >= 0,
                f"{name}.{key} is {value!r}; it must be {noun} >= 0",
            )
    return _BY_NAME[name](**values)


def to_dict(criterion: Criterion) -> dict[str, Any]:
    """Returns a JSON-able description that `from_dict` reads back."""
    if isinstance(criterion, AnyOf):
        criteria = [to_dict(each) for each in criterion.criteria]
        return {"name": "any_of", "criteria": criteria}
    name = next(name for name, kind in _BY_NAME.items() if type(criterion) is kind)
    return {"name": name, **vars(criterion)}
