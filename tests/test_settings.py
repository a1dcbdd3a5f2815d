"""Configurations are read once, into typed values that obey their rules."""

import dataclasses
import math
from typing import Annotated

import ml_collections
import pytest

from elbert_jax.errors import UserError
from elbert_jax.settings import FRACTION, SHARE, at_least, one_of, section


@dataclasses.dataclass(frozen=True)
class Example:
    size: Annotated[int, at_least(1)]
    name: Annotated[str, one_of(("", "red", "blue"))]
    rate: Annotated[float, FRACTION]
    part: Annotated[float, SHARE]
    more: str


GOOD = {"size": 1, "name": "", "rate": 0.5, "part": 1.0}


def read(**changes):
    config = ml_collections.ConfigDict(GOOD | changes | {"another": 3})
    return section(Example, config, "config.data", more="given")


def test_fields_are_the_values_of_their_names():
    assert read() == Example(**GOOD, more="given")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "config.data.size is 0; it must be at least 1"),
        ({"name": "green"}, "config.data.name is 'green'; it may be red, blue"),
        ({"rate": 0.0}, "config.data.rate is 0.0; it must be between 0 and 1"),
        ({"rate": math.nan}, "config.data.rate is nan"),
        ({"part": 1.5}, "config.data.part is 1.5; it must be in"),
    ],
)
def test_a_value_that_breaks_its_rule_is_named(change, message):
    with pytest.raises(UserError, match=message):
        read(**change)


def test_a_missing_key_is_named():
    with pytest.raises(AttributeError, match="size"):
        section(Example, ml_collections.ConfigDict(), more="given")
