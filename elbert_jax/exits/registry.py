"""Exit criteria by name, as plain values in configurations and files."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from elbert_jax.exits.any_of import AnyOf
from elbert_jax.exits.base import Criterion
from elbert_jax.exits.confidence_window import ConfidenceWindow, Elbert2021
from elbert_jax.exits.entropy import Entropy
from elbert_jax.exits.fixed_depth import FixedDepth
from elbert_jax.exits.patience import Count, Patience

CRITERIA: tuple[type[Criterion], ...] = (
    ConfidenceWindow,
    Elbert2021,
    Entropy,
    Patience,
    Count,
    FixedDepth,
)


def from_dict(values: Mapping[str, Any]) -> Criterion:
    """Returns the criterion that `Criterion.to_dict` wrote or a configuration names.

    Values hold a `name`, by default ELBERT's, and any fields of the criterion.

    Raises:
      ValueError: there is no such name, field or value.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"an exit is a mapping, not {values!r}")
    fields = {**values}
    name = fields.pop("name", ConfidenceWindow.name)
    if name == AnyOf.name:
        several = fields.pop("criteria", None)
        if fields or not (isinstance(several, list) and several):
            raise ValueError("any_of has one field, criteria: a list of exits")
        return AnyOf(tuple(from_dict(each) for each in several))
    return _kind(name)().replace(**fields)


def chosen(values: Mapping[str, Any], default: Criterion) -> Criterion:
    """Returns the default, or the criterion named, with a configuration's values.

    A configuration lists the fields of many criteria: those of others are ignored, and
    so are values that are None. Raises ValueError as `from_dict` does.
    """
    name = values.get("name")
    base = {"name": name} if name else default.to_dict()
    ignored = {"name"}.union(*map(_fields, CRITERIA))
    if base["name"] != AnyOf.name:
        ignored -= _fields(_kind(base["name"]))
    given = {k: v for k, v in values.items() if v is not None and k not in ignored}
    return from_dict(base | given)


def _kind(name: Any) -> type[Criterion]:
    for kind in CRITERIA:
        if kind.name == name:
            return kind
    known = ", ".join([kind.name for kind in (*CRITERIA, AnyOf)])
    raise ValueError(f"exit name is {name!r}; it may be {known}")


def _fields(kind: type[Criterion]) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}
