"""What this machine can do at most, measured: the floor under every time."""

import functools
import time

import jax
import jax.numpy as jnp


@functools.cache
def peak_flops(dtype: str) -> float:
    """Returns FLOP/s of a large matrix product on one device, the best of five.

    Args:
      dtype: `float32` or `bfloat16`.
    """
    size = 2048 if jax.default_backend() == "cpu" else 8192
    key = jax.random.key(0)  # random: a chip may run zeros faster
    a = jax.random.normal(key, (size, size), jnp.dtype(dtype))
    product = jax.jit(jnp.matmul)
    product(a, a).block_until_ready()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        product(a, a).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)
