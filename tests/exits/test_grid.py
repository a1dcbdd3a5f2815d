"""What a criterion tells of itself: its grid, its variants and its parts."""

import dataclasses
import math
from typing import Any

import pytest

from elbert_jax.exits import (
    AnyOf,
    ConfidenceWindow,
    Criterion,
    Elbert2021,
    Patience,
    registry,
)
from elbert_jax.exits.base import first_rule

VARIANTS: list[Any] = [
    each for kind in registry.CRITERIA for each in kind.variants(window=4)
]


@pytest.mark.parametrize("criterion", VARIANTS, ids=lambda each: each.variant[0])
def test_a_grid_moves_one_field(criterion):
    points = criterion.grid(6, 3)
    values = [getattr(point, criterion.varies) for point in points.values()]
    assert len(set(values)) == len(values) >= 5
    for name, point in points.items():
        field, value = name.split()
        assert field == criterion.varies
        assert float(value) == pytest.approx(getattr(point, field))
        assert point.replace(**{field: getattr(criterion, field)}) == criterion
        assert registry.from_dict(point.to_dict()) == point


def test_every_variant_has_a_name_of_its_own():
    windows = dict(each.variant for each in VARIANTS)
    assert len(windows) == len(VARIANTS)
    assert windows["monotone"] == windows["bias_2"] == 4
    assert windows["stage_1"] is windows["patience"] is windows["fixed_depth"] is None


def test_counts_and_depths_take_every_value():
    grids = {each.variant[0]: [*each.grid(6, 3).values()] for each in VARIANTS}
    assert [each.depth for each in grids["fixed_depth"]] == [5, 4, 3, 2, 1]
    assert [each.patience for each in grids["patience"]] == [4, 3, 2, 1, 0]
    assert [each.count for each in grids["count"]] == [4, 3, 2, 1, 0]
    assert grids["entropy"][-1].threshold == pytest.approx(math.log(3), rel=1e-2)
    assert grids["monotone"][0].delta == 0 < grids["stage_1"][0].delta


@pytest.mark.parametrize("criterion", VARIANTS, ids=lambda each: each.variant[0])
def test_parts_are_the_rules(criterion):
    assert tuple(part.rule for part in criterion.parts) == criterion.rules


def test_the_window_that_a_part_needs():
    every = AnyOf((ConfidenceWindow(window=5), Elbert2021(window=4), Patience(3)))
    windows = [part.window for part in every.parts]
    assert windows == [None, 5, None, 4, 4]


def test_thresholds_that_are_on_are_nudged():
    window, patience = ConfidenceWindow(0.0, 3), Patience(2)  # no delta, no real number
    published = Elbert2021(0.5, 3)
    moved = [vars(each) for each in published.nudged(-0.25)]
    assert [each["delta"] for each in moved] == [0.25, 0.5, 0.5, 0.5]
    assert [each["margin"] for each in moved] == [0.0, -0.25, 0.0, 0.0]
    every = [*AnyOf((window, patience, published)).nudged(-0.25)]
    assert len(every) == 2 + 0 + 4
    assert every[0].to_dict()["criteria"][0]["tolerance"] == 1e-6 - 0.25


def test_a_new_criterion_is_one_class_and_one_line(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Logit(Criterion):
        """Exit where the logit of class 0 is large."""

        name = "logit"
        varies = "least"

        least: float = 0.5

        def thresholds(self, num_layers, num_classes):
            return 0.9, 0.5, 0.1

        def init(self, ids, num_classes):
            return ()

        def __call__(self, state, logits):
            return state, first_rule(logits[:, 0] > self.least)

    monkeypatch.setattr(registry, "CRITERIA", (*registry.CRITERIA, Logit))
    assert registry.from_dict({"name": "logit", "least": 0.1}) == Logit(0.1)
    assert [*AnyOf((Logit(),)).grid(6, 3)] == ["least 0.9", "least 0.5", "least 0.1"]
    assert registry.chosen({"name": "", "least": 0.2, "delta": 1.0}, Logit()) == (
        Logit(0.2)
    )
