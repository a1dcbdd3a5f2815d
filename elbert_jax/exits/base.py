"""Exit criteria: when is a text's prediction good enough to stop?

A criterion is a frozen dataclass shaped like the body of a scan over layers:

    state = criterion.init(ids, num_classes)        # ids: int32 [B], the texts' numbers
    state, rule = criterion(state, logits)          # once a layer

Every leaf of `state` has the batch as its first axis, so that a slot's state can be
replaced by a fresh one. `rule` is 0 where the text goes on, else the 1-based position
in `criterion.rules` of the rule that fired. Thresholds are pytree leaves: changing one
compiles nothing anew. The engine and the offline replay, `exit_layer`, call the same
object. Logits that are not finite never let a text out early: not at their layer, and
not by a window or a run of labels that holds them.

Letters: B texts, C classes, D layers.

References:
    Xie et al., "ELBERT: Fast ALBERT with Confidence-Window Based Early Exit",
    ICASSP 2021, Eq. 5.
    Xin et al., "DeeBERT: Dynamic Early Exiting for Accelerating BERT Inference",
    ACL 2020.
    Liu et al., "FastBERT: a Self-distilling BERT with Adaptive Inference Time",
    ACL 2020.
    Zhou et al., "BERT Loses Patience", NeurIPS 2020.
    "Sustainable" exits by KL and by count: Algorithms 1 and 2 of Course5's paper.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

LAST_LAYER = "last_layer"  # the name of rule 0: no rule fired before the end

Kind = TypeVar("Kind")


class Criterion(Protocol):
    """What the engine and the replay ask of a criterion."""

    @property
    def rules(self) -> tuple[str, ...]: ...

    def init(self, ids: Int[Array, " B"], num_classes: int) -> Any: ...

    def __call__(
        self, state: Any, logits: Float[Array, "B C"]
    ) -> tuple[Any, Int[Array, " B"]]: ...


def probabilities(logits: Float[Array, "... C"]) -> Float[Array, "... C"]:
    """Returns float32 probabilities; NaN where a logit of the text is not finite."""
    finite = jnp.isfinite(logits).all(-1, keepdims=True)
    # The softmax of -inf is a confident 0.
    return jnp.where(finite, jax.nn.softmax(logits.astype(jnp.float32)), jnp.nan)


def entropy(logits: Float[Array, "... C"]) -> Float[Array, "..."]:
    """Returns the entropy of the softmax, in nats; NaN where a logit is not finite."""
    p = probabilities(logits)
    # Rounding may leave a saturated text at -1e-8, which must not pass 0.
    return jnp.maximum(-xlogy(p, p).sum(-1), 0.0)


def puzzlement(logits: Float[Array, "... C"]) -> Float[Array, "..."]:
    """Returns the entropy of the softmax over `log C`, in [0, 1] (ELBERT Eq. 5).

    It is NaN where a logit is not finite.
    """
    return entropy(logits) / jnp.log(float(logits.shape[-1]))


def register(kind: type[Kind]) -> type[Kind]:
    """Makes a criterion a pytree, whose leaves are the fields that are not static.

    To jaxlib 0.10 two classes of `jax.tree_util.register_dataclass` are one structure
    if their static fields are equal. Their hashes differ, so that only now and then a
    compiled function is taken for that of the other class.
    """
    fields = dataclasses.fields(cast(Any, kind))
    static = [field.name for field in fields if field.metadata.get("static")]
    leaves = [field.name for field in fields if field.name not in static]

    def flatten(criterion: Kind) -> tuple[list[Any], tuple[Any, ...]]:
        values = vars(criterion)
        return [values[name] for name in leaves], tuple(map(values.get, static))

    def unflatten(values: tuple[Any, ...], children: Iterable[Any]) -> Kind:
        return kind(**dict(zip(leaves, children)), **dict(zip(static, values)))

    jax.tree_util.register_pytree_node(kind, flatten, unflatten)
    return kind


def first_rule(*fired: Bool[Array, " B"]) -> Int[Array, " B"]:
    """Returns the 1-based position of the first true argument, 0 where none is."""
    stacked = jnp.stack(fired)
    return jnp.where(stacked.any(0), stacked.argmax(0) + 1, 0).astype(jnp.int32)


@register
@dataclasses.dataclass(frozen=True)
class Entropy:
    """Exit where the entropy is below a threshold.

    In nats it is DeeBERT's rule; `normalised`, the puzzlement, it is FastBERT's and the
    first of the sustainable ones.
    """

    threshold: float = 0.1
    normalised: bool = dataclasses.field(default=False, metadata={"static": True})

    @property
    def rules(self) -> tuple[str, ...]:
        return ("entropy",)

    def init(self, ids: Int[Array, " B"], num_classes: int) -> tuple[()]:
        return ()

    def __call__(self, state: tuple[()], logits: Float[Array, "B C"]):
        uncertainty = puzzlement(logits) if self.normalised else entropy(logits)
        return state, first_rule(uncertainty < self.threshold)


def _agreement(
    last: Int[Array, " B"], logits: Float[Array, "B C"]
) -> tuple[Int[Array, " B"], Bool[Array, " B"]]:
    """Returns the labels, -1 where a logit is not finite, and where they repeat."""
    finite = jnp.isfinite(logits).all(-1)
    label = jnp.where(finite, logits.argmax(-1), -1).astype(jnp.int32)
    return label, (label == last) & finite


def _no_label_yet(ids: Int[Array, " B"]) -> tuple[Int[Array, " B"], Int[Array, " B"]]:
    return jnp.full_like(ids, -1), jnp.zeros_like(ids)


@register
@dataclasses.dataclass(frozen=True)
class Patience:
    """Exit once the label has repeated `patience` times in a row (PABEE)."""

    patience: int = 6

    @property
    def rules(self) -> tuple[str, ...]:
        return ("patience",)

    def init(self, ids: Int[Array, " B"], num_classes: int):
        return _no_label_yet(ids)

    def __call__(self, state, logits: Float[Array, "B C"]):
        last, count = state
        label, repeats = _agreement(last, logits)
        count = jnp.where(repeats, count + 1, 0)
        return (label, count), first_rule((count >= self.patience) & (label >= 0))


@register
@dataclasses.dataclass(frozen=True)
class Count:
    """Exit once the label has repeated `count` times, in a row or not.

    That is the sustainable count as printed: a label that changes keeps the count. The
    variant that begins again is `Patience`.
    """

    count: int = 6

    @property
    def rules(self) -> tuple[str, ...]:
        return ("count",)

    def init(self, ids: Int[Array, " B"], num_classes: int):
        return _no_label_yet(ids)

    def __call__(self, state, logits: Float[Array, "B C"]):
        last, count = state
        label, repeats = _agreement(last, logits)
        count = jnp.where(repeats, count + 1, count)
        return (label, count), first_rule((count >= self.count) & (label >= 0))


@register
@dataclasses.dataclass(frozen=True)
class FixedDepth:
    """Exit at a depth laid down beforehand: one for all texts, or one for each."""

    depth: ArrayLike = 12  # 1-based; int32 [M] is indexed by the texts' numbers

    @property
    def rules(self) -> tuple[str, ...]:
        return ("fixed_depth",)

    def init(self, ids: Int[Array, " B"], num_classes: int) -> Int[Array, " B"]:
        """Returns the layers still to go."""
        depth = jnp.asarray(self.depth, jnp.int32)
        return depth[ids] if depth.ndim else jnp.full_like(ids, depth)

    def __call__(self, state: Int[Array, " B"], logits: Float[Array, "B C"]):
        left = state - 1
        return left, first_rule((left <= 0) & jnp.isfinite(logits).all(-1))


@register
@dataclasses.dataclass(frozen=True)
class AnyOf:
    """Exit once any of several criteria says so; the first named one is reported."""

    criteria: tuple[Criterion, ...]

    @property
    def rules(self) -> tuple[str, ...]:
        return tuple(rule for each in self.criteria for rule in each.rules)

    def init(self, ids: Int[Array, " B"], num_classes: int) -> tuple[Any, ...]:
        return tuple(each.init(ids, num_classes) for each in self.criteria)

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
    ids = jnp.arange(batch, dtype=jnp.int32)

    def step(state, logits):  # scan hashes its function; traced thresholds have none
        return criterion(state, logits)

    _, rules = jax.lax.scan(step, criterion.init(ids, num_classes), logits)
    index = (rules > 0).at[-1].set(True).argmax(0)
    return Exits(index.astype(jnp.int32) + 1, rules[index, ids], logits[index, ids])


def rule_names(criterion: Criterion) -> tuple[str, ...]:
    """Returns the name of each rule code, from 0."""
    return (LAST_LAYER, *criterion.rules)
