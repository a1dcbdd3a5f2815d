"""A row's numbers follow from answers and times."""

import numpy as np
import pytest

from elbert_jax.benchmarking import bench
from elbert_jax.data.encoded import Encoded
from elbert_jax.evaluation.timing import Timed
from elbert_jax.inference.predictions import Predictions
from elbert_jax.model import flops
from elbert_jax.model.config import AlbertConfig

CONFIG = AlbertConfig(hidden_size=16, num_hidden_layers=4, num_attention_heads=2)


def answers(labels, layers, **steps):
    logits = np.eye(2, dtype=np.float32)[labels]
    layers = np.array(layers, np.int32)
    return Predictions(logits, layers, np.zeros_like(layers), **steps)


def test_a_row_by_hand():
    lengths = np.array([3, 8])
    encoded = Encoded(
        np.zeros(11, np.int32),
        np.zeros(11, np.int8),
        np.array([0, 3, 11]),
        np.array([0, 1]),
        0,
    )
    # Rows of 8 tokens: 3 layer-steps of two slots, in which texts were 4 times.
    early = answers([0, 0], [1, 3], slot_tokens=6 * 8, busy_tokens=4 * 8)
    full = answers([0, 1, 1], [4, 4, 4])  # a text more
    timed = Timed(early, (2.0, 1.0, 4.0))
    row = bench.row(timed, CONFIG, encoded, 1e6, full, full)
    assert (row["texts_per_second"], row["slowest"], row["fastest"]) == (1, 0.5, 2)
    assert (row["mean_exit_layer"], row["compute_ratio"]) == (2, 0.5)
    assert (row["accuracy"], row["agreement"]) == (0.5, 0.5)
    assert row["logit_difference"] == 0  # no text left at the same layer
    cost = flops.text(CONFIG, lengths, early.layers).sum()
    assert row["useful_mfu"] == pytest.approx(cost / 2.0 / 1e6)
    assert row["padding"] == pytest.approx((3 + 3 * 8) / 32)
    assert row["slots"] == pytest.approx(4 / 6)
    product = row["padding"] * row["slots"] * row["kernels"]
    assert product == pytest.approx(row["useful_mfu"])
    like = answers([1, 0], [1, 3])
    off = bench.row(timed, CONFIG, encoded, 1e6, full, like)["logit_difference"]
    assert off == 1  # of text 0
    unlabelled = bench.row(
        timed,
        CONFIG,
        Encoded(encoded.tokens, encoded.types, encoded.offsets, np.array([-1, -1]), 0),
        1e6,
        full,
        full,
    )
    assert unlabelled["accuracy"] is None
