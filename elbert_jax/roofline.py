"""What this machine can do at most, measured: the floor under every time."""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


@functools.cache
def _product(dtype: str) -> tuple[Callable[[], Any], float]:
    """Returns what multiplies large matrices, and its FLOPs."""
    on_cpu = jax.default_backend() == "cpu"
    # Elsewhere several, so that the time the host takes to start them does not count.
    size, in_a_row = (2048, 1) if on_cpu else (8192, 10)
    key = jax.random.key(0)  # random: a chip may run zeros faster
    a = jax.random.normal(key, (size, size), jnp.dtype(dtype))
    product = jax.jit(jnp.matmul).lower(a, a).compile()

    def several() -> None:
        jax.block_until_ready([product(a, a) for _ in range(in_a_row)])

    several()
    return several, in_a_row * 2 * size**3


def peak_flops(dtype: str) -> float:
    """Returns FLOP/s of a large matrix product on one device, the best of five now.

    Args:
      dtype: `float32` or `bfloat16`.
    """
    (product, flops), seconds = _product(dtype), []
    for _ in range(5):
        start = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - start)
    return flops / min(seconds)
