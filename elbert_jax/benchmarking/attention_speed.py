"""Attention by itself: what the layer computes beside JAX's own functions for it."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from elbert_jax.evaluation import timing
from elbert_jax.evaluation.timing import Timed
from elbert_jax.model.layers import AlbertConfig, attend

LENGTHS = (16, 64, 256)
Attend = Callable[[Array, Array, Array, Array, int, str], Array]  # `modules.attend`


def _of_jax(implementation: str) -> Attend:
    function: Any = jax.nn.dot_product_attention

    def attend(
        query: Array, key: Array, value: Array, mask: Array, heads: int, dtype: str
    ) -> Array:
        query, key, value = (
            x.reshape(*x.shape[:2], heads, -1).astype(dtype)
            for x in (query, key, value)
        )
        # cuDNN wants lengths; XLA's would make this mask of them.
        real = {"key_value_seq_lengths": mask.sum(-1, dtype=jnp.int32)}
        if implementation == "xla":
            real = {"mask": mask[:, None, None]}
        y = function(query, key, value, implementation=implementation, **real)
        return y.reshape(*y.shape[:2], -1).astype(jnp.float32)

    return attend


KINDS: dict[str, Attend] = {
    "einsum": attend,
    "jax.nn, xla": _of_jax("xla"),
    "jax.nn, cudnn": _of_jax("cudnn"),
}


@functools.partial(jax.jit, static_argnames=("kind", "config"))
def _repeated(x: Array, mask: Array, *, kind: str, config: AlbertConfig) -> Array:
    """Attends again and again, each time with what came of it before."""

    def step(x: Array, _: None) -> tuple[Array, None]:
        heads, dtype = config.num_attention_heads, config.dtype
        return KINDS[kind](x, x + 1, x - 1, mask, heads, dtype), None

    return jax.lax.scan(step, x, length=config.num_hidden_layers)[0]


def measure(
    config: AlbertConfig, tokens: int, repeats: int
) -> tuple[dict[tuple[str, int], Timed], dict[str, str]]:
    """Times D attentions in a row on about so many tokens, in rows of `LENGTHS`.

    Texts are between half and all of their row.

    Returns:
      The times by kind and length, and why some kinds do not run here.
    """
    calls, unavailable, random = {}, {}, np.random.default_rng(0)
    for length in LENGTHS:
        rows = max(1, tokens // length)
        shape = rows, length, config.hidden_size
        x = jnp.asarray(random.normal(size=shape), jnp.float32)
        real = random.integers(length // 2, length, rows, endpoint=True)
        mask = jnp.asarray(np.arange(length) < real[:, None])
        for kind in KINDS:
            call = functools.partial(_repeated, x, mask, kind=kind, config=config)
            try:
                jax.block_until_ready(call())
            except Exception as error:  # what the backend lacks, it says in many ways
                reason = str(error).strip() or type(error).__name__
                unavailable[f"{kind}, {length} tokens"] = reason.splitlines()[0]
                continue
            calls[kind, length] = lambda call=call: jax.block_until_ready(call())
    return timing.measure(calls, repeats), unavailable
