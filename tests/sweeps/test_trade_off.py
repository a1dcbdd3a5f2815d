"""Curves over seeds, and which point a table shows."""

import math
from typing import Any

import pytest

from elbert_jax.evaluation import plots
from elbert_jax.sweeps import sweep_plots, trade_off


def row(value, ratio, score, *, seed=1, criterion="none", method="elbert", **facts):
    origin = {"set": "dev", "method": method, "seed": seed, "metric": "accuracy"}
    costs = {"flops_ratio": ratio, "layer_ratio": ratio, "score": score}
    point = {"criterion": criterion, "window": None, "parameter": "delta"}
    return origin | costs | point | {"value": value, "texts_per_second": None} | facts


ROWS = [row(0.9, 0.1, 0.70), row(0.5, 0.3, 0.82), row(0.4, 0.5, 0.80)]
ROWS += [row(0.3, 0.51, 0.9), row(0.1, 0.9, 0.88)]


def test_the_score_at_a_cost_lies_between_its_neighbours():
    assert trade_off.score_at(ROWS, 0.5) == 0.80
    assert trade_off.score_at(ROWS, 0.4) == pytest.approx(0.81)
    assert trade_off.score_at(ROWS[::-1], 0.1) == 0.70
    assert math.isnan(trade_off.score_at(ROWS, 0.09))


def test_nearest():
    assert trade_off.nearest(ROWS, 0.45)["value"] == 0.4


def test_a_curve_is_medians_and_ranges_from_cheap_to_dear():
    rows = [
        row(value, ratio + 0.01 * seed, score, seed=seed)
        for value, ratio, scores in ((0.1, 0.8, (7, 9, 8)), (0.5, 0.2, (1, 3, 5)))
        for seed, score in enumerate(scores)
    ]
    assert trade_off.curve(rows) == [
        (pytest.approx(0.21), 3, 1, 5),
        (pytest.approx(0.81), 8, 7, 9),
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
    # Full depth is the last point of both, the only one of seed 2 beside 0.45.
    assert none["1.5x"] == "0.8696 (0.8473-0.8920)"
    assert none["2x"] == "0.8055 (0.8000-0.8109)"
    assert none["3x"] == none["10x"] == "-"
    assert fixed["4x"] == "0.6000 (0.6000-0.6000)"
    shown = trade_off.table(trade_off.select(rows, criterion="none"), rows)
    assert cells(shown.splitlines()[4]) == cells(lines[4])
    assert "fixed_depth" not in shown


def test_what_an_exit_gains_over_one_layer_for_all():
    depths = [(1, 0.25, 0.6), (2, 0.5, 0.7), (4, 1.0, 0.9)]
    rows = [
        row(*point, seed=seed, criterion="fixed_depth")
        for seed in (1, 2)
        for point in depths
    ]
    rows += [row(0.5, 0.3, 0.7, seed=1), row(0.5, 0.25, 0.6, seed=2)]
    *_, head, _, line = trade_off.gains(rows).splitlines()
    told = dict(zip(cells(head), cells(line), strict=True))
    assert (told["criterion"], told["models"], told["10x"]) == ("none", "2", "-")
    # At a half seed 1 has 0.7 + 0.2 * 0.2 / 0.7, where depth 2 has 0.7; seed 2 on the
    # straight line from 0.6 to 0.9 has as much as depth 2.
    assert told["2x"] == "+2.86 (1 / 0)"
    assert told["4x"] == "+0.00 (0 / 0)"  # seed 2: 0.3 is dearer


def test_confirmed_points_have_a_table():
    assert trade_off.confirmed(ROWS) == ""
    facts: dict[str, Any] = {
        "full_depth_texts_per_second": 50.0,
        "wall_clock_ratio": 0.5,
    }
    facts |= {"texts_per_second": 100.0, "edge_texts": 3, "moved_texts": 1}
    told = trade_off.confirmed([*ROWS, row(0.2, 0.6, 0.9, **facts)])
    assert told.count("elbert") == 1 and "3 (1)" in told and "0.500" in told


def test_a_smaller_model_gains_nothing_where_it_cannot_cost_as_much():
    large = [(1, 0.25, 0.6), (2, 0.5, 0.7), (4, 1.0, 0.9)]
    small = [(1, 0.1, 0.6), (4, 0.4, 0.8)]
    rows = [
        row(*point, method=method, criterion="fixed_depth")
        for method, points in (("large", large), ("small", small))
        for point in points
    ]
    rows += [row(0.5, 0.5, 0.8, method="large"), row(0.5, 0.2, 0.8, method="small")]
    rows += [row(0.5, 0.5, 0.8, method="large", window=9)]  # too long for the small one
    *_, head, _, both, one = trade_off.gains(rows).splitlines()
    both, one = (
        dict(zip(cells(head), cells(line), strict=True)) for line in (both, one)
    )
    assert both["models"] == "2" and one["models"] == "1"
    assert both["2x"] == one["2x"] == "+10.00 (1 / 0)"
    assert both["4x"] == "+10.00 (1 / 0)"


def test_a_seed_at_chance_does_not_flatten_the_picture(tmp_path, monkeypatch):
    rows = [
        row(ratio, ratio, 0.5 if seed == 1 else score, seed=seed, criterion=criterion)
        for seed in (0, 1, 2)
        for criterion in ("none", "fixed_depth")
        for ratio, score in ((0.1, 0.76), (0.5, 0.77), (1.0, 0.79))
    ]
    drawn = []
    monkeypatch.setattr(plots, "finish", lambda figure, _: drawn.append(figure))
    own = trade_off.select(rows, criterion="none")
    sweep_plots.methods(tmp_path / "methods.png", own, rows)
    bottom, top = drawn[0].axes[0].get_ylim()
    assert 0.72 < bottom < 0.76 and 0.79 < top < 0.82
