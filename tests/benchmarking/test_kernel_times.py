"""The profile of a call names what it spends its time in."""

import jax
import jax.numpy as jnp
import pytest

from elbert_jax.benchmarking import kernel_times


def test_a_matrix_product_is_found():
    product, x = jax.jit(lambda x: jnp.tanh(x @ x)), jnp.ones((400, 400))
    product(x).block_until_ready()
    rows = kernel_times.measure(lambda: product(x).block_until_ready(), most=3)
    *operations, everything = rows
    assert 1 <= len(operations) <= 3 and everything["system"].startswith("all ")
    times = [row["milliseconds"] for row in operations]
    assert times == sorted(times, reverse=True) and times[-1] > 0
    assert sum(times) <= everything["milliseconds"] * (1 + 1e-9)
    assert everything["calls"] >= sum(row["calls"] for row in operations) > 0
    seconds = everything["milliseconds"] / 1e3 / everything["share"]
    assert operations[0]["share"] == pytest.approx(times[0] / 1e3 / seconds)
