"""Rows of a sweep against the numbers of one criterion at a time."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from elbert_jax import exits
from elbert_jax.evaluation import curve
from elbert_jax.evaluation.curve import LayerOutputs
from elbert_jax.exits import FixedDepth, registry
from elbert_jax.model import flops
from elbert_jax.model.config import AlbertConfig
from elbert_jax.sweeps.replay import Run, criteria, grid, other_windows, replay

CONFIG = AlbertConfig(
    num_hidden_layers=5, hidden_size=16, num_attention_heads=2, num_labels=3
)
TEXTS = 40


@pytest.fixture(scope="module")
def run():
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(5, TEXTS, 3)).cumsum(0).astype(np.float32)
    labels, lengths = draw.integers(0, 3, TEXTS), draw.integers(2, 30, TEXTS)
    origin = "a/model", "elbert", 7, "dev.tsv", "f1", "monotone"
    return Run(*origin, LayerOutputs(CONFIG, logits, labels, lengths))


@pytest.fixture(scope="module")
def compiled() -> Any:
    """The replay's jitted function, which has compiled nothing yet."""
    function: Any = exits.exit_layer  # pyright does not know what jit adds
    function.clear_cache()
    return function


@pytest.fixture(scope="module")
def rows(compiled, run):
    return replay(run, window=3)


def test_a_kind_of_criterion_compiles_once(compiled, rows):
    kinds = criteria(3) + other_windows(3, 5)
    assert len(rows) > 10 * len(kinds) == 10 * compiled._cache_size()


def test_a_row_is_what_evaluation_says(run, rows):
    for row in rows:
        criterion = registry.from_dict(row["exit"])
        want = curve.at_exit(run.outputs, criterion)
        assert (row["metric"], row["score"]) == ("f1", want["f1"])
        for name in ("mean_exit_layer", "layer_ratio", "exit_histogram", "rule_counts"):
            assert row[name] == want[name]
        if row["criterion"] != "fixed_depth":
            assert row["flops_ratio"] == want["flops_ratio"]
        assert getattr(criterion, row["parameter"]) == row["value"]
        assert row["texts_per_second"] is None
    assert {(row["model"], row["seed"], row["set"]) for row in rows} == {
        ("a/model", 7, "dev.tsv")
    }


def test_every_criterion_all_along_its_grid(rows):
    kinds = criteria(3) + other_windows(3, 5)
    want = [point for kind in kinds for point in grid(kind, CONFIG)]
    assert [registry.from_dict(row["exit"]) for row in rows] == want
    windows = {row["window"] for row in rows if row["criterion"] == "monotone"}
    assert windows == {2, 3, 4}


def test_a_fixed_depth_costs_a_model_of_that_depth(run, rows):
    fixed = [row for row in rows if row["criterion"] == "fixed_depth"]
    for row in fixed:
        short = dataclasses.replace(CONFIG, num_hidden_layers=row["value"])
        full = flops.full_text(CONFIG, run.outputs.lengths).sum()
        cost = flops.full_text(short, run.outputs.lengths).sum() / full
        assert row["flops_ratio"] == pytest.approx(float(cost))
    assert fixed[-1]["flops_ratio"] == 1


def test_a_model_with_a_head_a_layer_has_a_fixed_depth_of_one(run, rows):
    config = dataclasses.replace(CONFIG, exit_heads="linear")
    outputs = dataclasses.replace(run.outputs, config=config)
    depths = [
        row
        for row in replay(dataclasses.replace(run, outputs=outputs), window=3)
        if row["criterion"] == "fixed_depth"
    ]
    assert [row["value"] for row in depths] == [1, 2, 3, 4, 5]
    assert depths == [row for row in rows if row["criterion"] == "fixed_depth"]


def test_a_plain_model_has_its_last_layer_only(run):
    [row] = replay(dataclasses.replace(run, method="plain"), window=3)
    assert registry.from_dict(row["exit"]) == FixedDepth(5)
    assert row["flops_ratio"] == 1 and row["mean_exit_layer"] == 5
