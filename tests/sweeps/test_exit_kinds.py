"""Grids of criteria: one field moves, everything is covered."""

import dataclasses
import math
from typing import Any

import pytest

from elbert_jax.exits import registry
from elbert_jax.model.albert import AlbertConfig
from elbert_jax.sweeps import exit_kinds

CONFIG = AlbertConfig(num_hidden_layers=6, num_labels=3)
CRITERIA: list[Any] = exit_kinds.criteria(4)


def grid(criterion: Any) -> list[Any]:
    return [*exit_kinds.points(criterion, CONFIG)]


@pytest.mark.parametrize("criterion", CRITERIA, ids=exit_kinds.name)
def test_a_grid_moves_one_field_through_rising_values(criterion):
    field, points = exit_kinds.moves(criterion), grid(criterion)
    values = [getattr(point, field) for point in points]
    assert values == sorted(set(values)) and len(values) >= 5
    for point in points:
        assert dataclasses.replace(point, **{field: getattr(criterion, field)}) == (
            criterion
        )
        assert registry.from_dict(registry.to_dict(point)) == point


def test_every_kind_has_a_name_of_its_own():
    names = [exit_kinds.name(each) for each in CRITERIA]
    assert len(set(names)) == len(names)
    windows = {exit_kinds.name(e): exit_kinds.window(e) for e in CRITERIA}
    assert windows["monotone"] == windows["bias_2"] == 4
    assert windows["stage_1"] is windows["patience"] is windows["fixed_depth"] is None


def test_counts_and_depths_take_every_value():
    grids = {exit_kinds.name(e): grid(e) for e in CRITERIA}
    assert [each.depth for each in grids["fixed_depth"]] == [1, 2, 3, 4, 5, 6]
    assert [each.patience for each in grids["patience"]] == [0, 1, 2, 3, 4]
    assert [each.count for each in grids["count"]] == [0, 1, 2, 3, 4]
    assert grids["entropy"][-1].threshold == pytest.approx(math.log(3), rel=1e-2)
    assert grids["monotone"][0].delta == 0 < grids["stage_1"][0].delta


def test_other_windows_fit_the_depth():
    windows: list[Any] = exit_kinds.other_windows(4, 6)
    assert [each.window for each in windows] == [2, 3, 6]
