"""Curves over seeds, and which point a table shows."""

from typing import Any

import pytest

from elbert_jax import trade_off


def row(value, ratio, score, *, seed=1, criterion="none", method="elbert", **facts):
    origin = {"set": "dev", "method": method, "seed": seed, "metric": "accuracy"}
    costs = {"flops_ratio": ratio, "layer_ratio": ratio, "score": score}
    point = {"criterion": criterion, "window": None, "parameter": "delta"}
    return origin | costs | point | {"value": value, "texts_per_second": None} | facts


ROWS = [row(0.9, 0.1, 0.70), row(0.5, 0.3, 0.82), row(0.4, 0.5, 0.80)]
ROWS += [row(0.3, 0.51, 0.9), row(0.1, 0.9, 0.88)]


def test_a_budget_is_spent_whatever_the_score():
    picked = trade_off.within(ROWS, 0.5)
    assert picked is not None and (picked["value"], picked["score"]) == (0.4, 0.80)
    assert trade_off.within(ROWS, 0.05) is None


def test_nearest():
    assert trade_off.nearest(ROWS, 0.45)["value"] == 0.4


def test_a_curve_is_medians_and_ranges_from_cheap_to_dear():
    rows = [
        row(value, ratio + 0.01 * seed, score, seed=seed)
        for value, ratio, scores in ((0.1, 0.8, (7, 9, 8)), (0.5, 0.2, (1, 3, 5)))
        for seed, score in enumerate(scores)
    ]
    assert trade_off.curve(rows) == [
        (0.5, pytest.approx(0.21), 3, 1, 5),
        (0.1, pytest.approx(0.81), 8, 7, 9),
    ]


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_goes_by_seed():
    full = [
        row(depth, depth / 4, score, seed=seed, criterion="fixed_depth")
        for seed in (1, 2)
        for depth, score in ((1, 0.6), (4, 0.9 + seed / 100))
    ]
    rows = [*ROWS, row(0.5, 0.45, 0.8, seed=2), *full]
    lines = trade_off.table(rows, rows).splitlines()
    assert lines[0] == "accuracy on dev"
    header, none, fixed = (cells(lines[number]) for number in (2, 4, 5))
    none, fixed = (dict(zip(header, line, strict=True)) for line in (none, fixed))
    assert (none["criterion"], none["seeds"]) == ("none", "2")
    assert none["full depth"] == fixed["full depth"] == "0.9150 (0.9100-0.9200)"
    # At 0.667 seed 1 has 0.9, at 0.5 0.8; seed 2 has one point, 0.45.
    assert none["1.5x"] == "0.8500 (0.8000-0.9000)"
    assert none["2x"] == "0.8000 (0.8000-0.8000)"
    assert none["3x"] == none["10x"] == "-"
    assert fixed["4x"] == "0.6000 (0.6000-0.6000)"
    shown = trade_off.table(trade_off.select(rows, criterion="none"), rows)
    assert cells(shown.splitlines()[4]) == cells(lines[4])
    assert "fixed_depth" not in shown


def test_confirmed_points_have_a_table():
    assert trade_off.confirmed(ROWS) == ""
    facts: dict[str, Any] = {
        "full_depth_texts_per_second": 50.0,
        "wall_clock_ratio": 0.5,
    }
    facts |= {"texts_per_second": 100.0, "edge_texts": 3, "moved_texts": 1}
    told = trade_off.confirmed([*ROWS, row(0.2, 0.6, 0.9, **facts)])
    assert told.count("elbert") == 1 and "3 (1)" in told and "0.500" in told
