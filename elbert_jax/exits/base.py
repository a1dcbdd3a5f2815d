"""What an exit criterion is, and its replay over the logits of every layer.

A criterion is a frozen dataclass shaped like the body of a scan over layers:

    state = criterion.init(ids, num_classes)     # ids: int32 [B], the texts' numbers
    state, rule = criterion(state, logits)       # after each layer

Every leaf of `state` has the batch as its first axis, so that a refilled slot can be
given a fresh state. `rule` is 0 where no rule fires, else the 1-based position in
`criterion.rules` of the first that does. The engine and the offline replay,
`exit_layer`, call the same object.

A text never exits at a layer whose logits are not finite, nor by a window or a run of
labels that contains such a layer.

Letters: B texts, C classes, D layers.
"""

import abc
import copy
import dataclasses
import functools
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from elbert_jax.errors import UserError

LAST_LAYER = "last_layer"  # the name of rule 0: no rule fired before the end


class Part(NamedTuple):
    """One rule of a criterion, as a criterion that has no other rule."""

    rule: str
    criterion: "Criterion"
    window: int | None = None  # consecutive outputs that it needs; None: only the last


@dataclasses.dataclass(frozen=True)
class Criterion(abc.ABC):
    """When a text exits, and what calibration, sweeps and files need to know of that.

    To add a criterion, derive a frozen dataclass in a file of its own and list it in
    `registry.CRITERIA`. Its fields are pytree leaves, so that changing a threshold
    does not recompile, unless they are `static`. Numbers must be at least 0, or what
    the field's metadata says is `least`.
    """

    name: ClassVar[str]  # in configurations and files
    varies: ClassVar[str] = ""  # the field that `grid` varies
    off_at_0: ClassVar[tuple[str, ...]] = ()  # thresholds that 0 switches off

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Not register_dataclass: in jaxlib 0.10 two classes registered by it are one
        # structure where their static fields are equal, and when their hashes collide
        # a function compiled for one serves the other.
        unflatten = functools.partial(_unflatten, cls)
        jax.tree_util.register_pytree_node(cls, _flatten, unflatten)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.generic):
                value = vars(self)[field.name] = value.item()
            if required := _requirement(field, value):
                name = f"{self.name}.{field.name}"
                raise ValueError(f"{name} is {value!r}; it must be {required}")

    @abc.abstractmethod
    def init(self, ids: Int[Array, " B"], num_classes: int) -> Any:
        """Returns the state of texts that no layer has seen yet."""

    @abc.abstractmethod
    def __call__(
        self, state: Any, logits: Float[Array, "B C"]
    ) -> tuple[Any, Int[Array, " B"]]:
        """Returns the state after one more layer, and the rule that fires."""

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of the rules, in order of precedence."""
        return (self.name,)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Each of `rules` on its own."""
        return (Part(self.name, self),)

    @property
    def variant(self) -> tuple[str, int | None]:
        """What tables and plots call this kind of criterion, and its window if any."""
        return self.name, None

    @classmethod
    def variants(cls, window: int) -> "list[Criterion]":
        """Returns one criterion of each variant, with this window length if any."""
        return [cls()]

    def thresholds(self, num_layers: int, num_classes: int) -> Iterable[float]:
        """Returns the values that `grid` sets, from careful to fast."""
        del num_layers, num_classes
        raise UserError(f"{type(self).__name__} has no threshold to vary")

    def grid(self, num_layers: int, num_classes: int) -> "dict[str, Criterion]":
        """Returns the operating points of this criterion by name, careful to fast.

        Only the field `varies` differs, in an order that does not depend on data.

        Raises:
          UserError: there is no such field, or only one layer.
        """
        if num_layers == 1:
            raise UserError("a model of one layer has no early exit")
        return {
            f"{self.varies} {value:g}": self.replace(**{self.varies: value})
            for value in self.thresholds(num_layers, num_classes)
        }

    def nudged(self, by: float) -> "Iterator[Criterion]":
        """Yields copies, each with another real-valued threshold moved by this much.

        A threshold that is switched off stays.
        """
        for name, value in vars(self).items():
            if isinstance(value, float) and (value or name not in self.off_at_0):
                moved = copy.copy(self)
                vars(moved)[name] += by  # unchecked: it may fall below 0
                yield moved

    def replace(self, **changes: Any) -> Self:
        """Returns a copy with some fields changed; ValueError if that cannot be."""
        known = [field.name for field in dataclasses.fields(self)]
        for key in changes.keys() - known:
            raise ValueError(f"{self.name} has no {key!r}; it has {', '.join(known)}")
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Returns a JSON-able description that `registry.from_dict` reads back."""
        return {"name": self.name} | vars(self)


def static(default: Any, **metadata: Any) -> Any:
    """Declares a field on which the compiled program depends."""
    return dataclasses.field(default=default, metadata=metadata | {"static": True})


def _names(kind: type[Criterion]) -> tuple[list[str], list[str]]:
    """Returns the names of the fields that are leaves, and of the static ones."""
    leaves, fixed = [], []
    for field in dataclasses.fields(kind):
        (fixed if "static" in field.metadata else leaves).append(field.name)
    return leaves, fixed


def _flatten(criterion: Criterion) -> tuple[list[Any], tuple[Any, ...]]:
    leaves, fixed = _names(type(criterion))
    values = vars(criterion)
    return [values[name] for name in leaves], tuple(values[name] for name in fixed)


def _unflatten(
    kind: type[Criterion], fixed: Iterable[Any], leaves: Iterable[Any]
) -> Criterion:
    criterion = object.__new__(kind)  # unchecked: JAX puts anything into a tree
    for names, values in zip(_names(kind), (leaves, fixed)):
        vars(criterion).update(zip(names, values))
    return criterion


def _requirement(field: dataclasses.Field[Any], value: Any) -> str:
    """Returns what a field must be where this value is not; else ""."""
    if field.type is str or isinstance(value, jax.Array | np.ndarray):  # or traced
        return ""
    if field.type is bool:
        return "" if isinstance(value, bool) else "true or false"
    real, least = field.type is float, field.metadata.get("least", 0)
    number = isinstance(value, float | int if real else int)
    if number and not isinstance(value, bool) and value >= least:
        return ""
    return f"a {'number' if real else 'whole number'} >= {least}"


def first_rule(*fired: Bool[Array, " B"]) -> Int[Array, " B"]:
    """Returns the 1-based position of the first true argument, 0 where none is."""
    stacked = jnp.stack(fired)
    return jnp.where(stacked.any(0), stacked.argmax(0) + 1, 0).astype(jnp.int32)


def rule_names(criterion: Criterion) -> tuple[str, ...]:
    """Returns the name of each rule code, from 0."""
    return (LAST_LAYER, *criterion.rules)


class Exits(NamedTuple):
    """Where and why each text of a batch exits, and the logits there."""

    layer: Int[Array, " B"]  # 1-based
    rule: Int[Array, " B"]  # 0: the last layer; k: `criterion.rules[k - 1]`
    logits: Float[Array, "B C"]


@jax.jit
def rules_by_layer(
    criterion: Criterion, logits: Float[Array, "D B C"]
) -> Int[Array, "D B"]:
    """Returns what a criterion says after every layer, as if no text had exited."""
    _, batch, num_classes = logits.shape
    start = criterion.init(jnp.arange(batch, dtype=jnp.int32), num_classes)

    def step(state, logits):  # scan hashes its function; traced thresholds have none
        return criterion(state, logits)

    return jax.lax.scan(step, start, logits)[1]


@jax.jit
def exit_layer(criterion: Criterion, logits: Float[Array, "D B C"]) -> Exits:
    """Replays a criterion over the logits of every layer.

    Args:
      criterion: when a text exits.
      logits: the head's output after each layer, as `Albert.__call__` gives it.

    Returns:
      The first layer where a rule fires, or the last layer.
    """
    rules, texts = rules_by_layer(criterion, logits), jnp.arange(logits.shape[1])
    index = (rules > 0).at[-1].set(True).argmax(0)
    return Exits(index.astype(jnp.int32) + 1, rules[index, texts], logits[index, texts])
