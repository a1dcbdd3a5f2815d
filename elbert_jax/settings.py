"""Typed, validated parts of a run's configuration.

`configs/*.py` and `--config.KEY=VALUE` make one plain `ConfigDict`. A command reads it
once, at its start, into frozen dataclasses, whose fields may carry rules:

    batch_size: Annotated[int, at_least(1)]
"""

import dataclasses
import typing
from collections.abc import Callable, Collection
from typing import Any, NamedTuple, TypeVar

from elbert_jax.errors import UserError

Config = Any  # an ml_collections.ConfigDict; its values have no static types
_Section = TypeVar("_Section")


class Rule(NamedTuple):
    """A condition that a value must meet, and how an error message states it."""

    holds: Callable[[Any], bool]
    wanted: str


def at_least(bound: float) -> Rule:
    return Rule(lambda value: value >= bound, f"it must be at least {bound}")


def one_of(choices: Collection[str]) -> Rule:
    named = ", ".join(filter(None, choices))
    return Rule(lambda value: value in choices, f"it may be {named}")


FRACTION = Rule(lambda value: 0 < value < 1, "it must be between 0 and 1")
SHARE = Rule(lambda value: 0 <= value <= 1, "it must be in [0, 1]")


def section(
    kind: type[_Section], config: Config, name: str = "config", **given: Any
) -> _Section:
    """Returns a dataclass whose fields are the configuration's values of those names.

    Fields that are `given` are not read from `config`, whose `name` is for messages.

    Raises:
      UserError: A value breaks a rule of its field.
      AttributeError: `config` lacks a field.
    """
    hints = typing.get_type_hints(kind, include_extras=True)
    names = [field.name for field in dataclasses.fields(kind)]  # pyright: ignore
    values = given | {key: getattr(config, key) for key in names if key not in given}
    for key, value in values.items():
        for rule in getattr(hints[key], "__metadata__", ()):
            check(f"{name}.{key}", value, rule)
    return kind(**values)


def check(name: str, value: Any, rule: Rule) -> None:
    """Raises a UserError if the value of this name breaks the rule."""
    if not rule.holds(value):
        raise UserError(f"{name} is {value!r}; {rule.wanted}")
