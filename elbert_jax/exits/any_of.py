"""Several exit criteria at once."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from elbert_jax.exits.base import Criterion, Part


@dataclasses.dataclass(frozen=True)
class AnyOf(Criterion):
    """Exit once any of several criteria says so; the first listed is reported."""

    name = "any_of"
    criteria: tuple[Criterion, ...]

    def __post_init__(self):
        listed = isinstance(self.criteria, tuple) and self.criteria
        if not (listed and all(isinstance(each, Criterion) for each in self.criteria)):
            raise ValueError(f"any_of takes a tuple of exits, not {self.criteria!r}")

    @property
    def rules(self) -> tuple[str, ...]:
        return tuple(rule for each in self.criteria for rule in each.rules)

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(part for each in self.criteria for part in each.parts)

    def grid(self, num_layers: int, num_classes: int) -> dict[str, Criterion]:
        """Returns the grid of the first criterion, beside the others as they are."""
        first, *others = self.criteria
        points = first.grid(num_layers, num_classes).items()
        return {name: AnyOf((point, *others)) for name, point in points}

    def nudged(self, by: float) -> Iterator[Criterion]:
        for i, each in enumerate(self.criteria):
            for moved in each.nudged(by):
                yield AnyOf((*self.criteria[:i], moved, *self.criteria[i + 1 :]))

    def to_dict(self) -> dict[str, Any]:
        criteria = [each.to_dict() for each in self.criteria]
        return {"name": self.name, "criteria": criteria}

    def init(self, ids: Int[Array, " B"], num_classes: int) -> tuple[Any, ...]:
        return tuple(each.init(ids, num_classes) for each in self.criteria)

    def __call__(
        self, state: tuple[Any, ...], logits: Float[Array, "B C"]
    ) -> tuple[tuple[Any, ...], Int[Array, " B"]]:
        states, fired, offset = [], jnp.zeros(len(logits), jnp.int32), 0
        for criterion, before in zip(self.criteria, state):
            after, rule = criterion(before, logits)
            fired = jnp.where((fired == 0) & (rule > 0), rule + offset, fired)
            states.append(after)
            offset += len(criterion.rules)
        return tuple(states), fired
