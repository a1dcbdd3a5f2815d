"""Exit criteria as plain values: what a configuration names, and a file keeps."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from elbert_jax.exits import (
    AnyOf,
    ConfidenceWindow,
    Count,
    Criterion,
    Elbert2021,
    Entropy,
    FixedDepth,
    Patience,
)

_BY_NAME = {
    "confidence_window": ConfidenceWindow,
    "elbert2021": Elbert2021,
    "entropy": Entropy,
    "patience": Patience,
    "count": Count,
    "fixed_depth": FixedDepth,
}


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


def from_dict(values: Mapping[str, Any]) -> Criterion:
    """Returns the criterion that `to_dict` wrote, or that a configuration names.

    Raises:
      ValueError: on a name, a field or a value that no criterion has.
    """
    _require(isinstance(values, Mapping), f"an exit is a mapping, not {values!r}")
    values = {key: _plain(value) for key, value in values.items()}
    name = values.pop("name", "confidence_window")
    if name == "any_of":
        several = values.pop("criteria", None)
        listed = isinstance(several, list) and several and not values
        _require(bool(listed), "any_of has one field, criteria: a list of exits")
        return AnyOf(tuple(from_dict(each) for each in several))
    known = (*_BY_NAME, "any_of")
    _require(name in known, f"exit name is {name!r}; it may be {', '.join(known)}")
    kinds = _fields(_BY_NAME[name])
    for key, value in values.items():
        _require(key in kinds, f"{name} has no {key!r}; it has {', '.join(kinds)}")
        if fault := _fault(kinds[key], value):
            raise ValueError(f"{name}.{key} is {value!r}; it must be {fault}")
    return _BY_NAME[name](**values)


def _fields(kind: Any) -> dict[str, Any]:
    """Returns the type of every field of a criterion; none of None."""
    return (
        {field.name: field.type for field in dataclasses.fields(kind)} if kind else {}
    )


def _fault(kind: Any, value: Any) -> str:
    """Returns what a field of this type must be, where the value is not; else ""."""
    if kind is str:  # the criterion names the choices
        return ""
    if kind is bool:
        return "" if type(value) is bool else "true or false"
    number = type(value) is int or (kind is float and type(value) is float)
    noun = "a number >= 0" if kind is float else "a whole number >= 0"
    return "" if number and value >= 0 else noun


def chosen(values: Mapping[str, Any], default: Criterion) -> Criterion:
    """Returns the criterion of a run's configuration.

    Args:
      values: a `name`, or "" for the default's; and fields of any criteria, None where
        they are not set. Those that another criterion has are passed over.
      default: what the values change.

    Raises:
      ValueError: see `from_dict`.
    """
    name = values.get("name")
    base = {"name": name} if name else to_dict(default)
    of_another = {field for kind in _BY_NAME.values() for field in _fields(kind)}
    of_another -= {*_fields(_BY_NAME.get(base["name"]))}
    given = {
        key: value
        for key, value in values.items()
        if key != "name" and value is not None and key not in of_another
    }
    return from_dict(base | given)


def to_dict(criterion: Criterion) -> dict[str, Any]:
    """Returns a JSON-able description that `from_dict` reads back."""
    if isinstance(criterion, AnyOf):
        criteria = [to_dict(each) for each in criterion.criteria]
        return {"name": "any_of", "criteria": criteria}
    name = next(name for name, kind in _BY_NAME.items() if type(criterion) is kind)
    fields = {key: _plain(value) for key, value in vars(criterion).items()}
    return {"name": name, **fields}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
