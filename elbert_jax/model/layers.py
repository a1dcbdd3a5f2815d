"""Building blocks of an ALBERT: Linear, LayerNorm, dropout, attention.

Letters: B texts, L tokens, Q query positions, H hidden size, N attention heads,
K = H / N.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from elbert_jax.model.config import AlbertConfig

Rngs = nnx.Rngs | None  # None turns dropout off
ACTIVATIONS = {
    "gelu_new": functools.partial(nnx.gelu, approximate=True),  # the tanh form
    "gelu": functools.partial(nnx.gelu, approximate=False),  # the erf form
}


def einsum(subscripts: str, a: Array, b: Array, dtype: str) -> Array:
    """Returns `jnp.einsum` of inputs rounded to `dtype`, accumulated in float32.

    Only matmul inputs are rounded: if results were, a text's logits would depend on
    its batch. The gradient is rounded too, so that its matmuls are as fast.
    """
    return _einsum(subscripts, a.astype(dtype), b.astype(dtype))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _einsum(subscripts: str, a: Array, b: Array) -> Array:
    return jnp.einsum(subscripts, a, b, preferred_element_type=jnp.float32)


def _forward(subscripts: str, a: Array, b: Array) -> tuple[Array, tuple[Array, Array]]:
    return _einsum(subscripts, a, b), (a, b)


def _backward(subscripts: str, inputs: tuple[Array, Array], gradient: Array):
    _, vjp = jax.vjp(functools.partial(jnp.einsum, subscripts), *inputs)
    return vjp(gradient.astype(inputs[0].dtype))


_einsum.defvjp(_forward, _backward)


class Linear(nnx.Linear):
    """Dense layer with bias, in the config's matmul dtype and initializer range."""

    bias: nnx.Param

    def __init__(self, config: AlbertConfig, inputs: int, outputs: int, rngs: nnx.Rngs):
        init = nnx.initializers.normal(config.initializer_range)
        super().__init__(inputs, outputs, kernel_init=init, rngs=rngs)
        self.compute_dtype = config.dtype

    def __call__(self, x: Array) -> Array:
        # One matrix, as XLA's gradient of a batched matmul is half as fast on a CPU.
        rows = x.reshape(-1, x.shape[-1])
        y = einsum("ri,io->ro", rows, self.kernel[...], self.compute_dtype)
        return (y + self.bias[...][None]).reshape(*x.shape[:-1], y.shape[-1])


class LayerNorm(nnx.LayerNorm):
    """Layer normalisation with the config's epsilon."""

    def __init__(self, config: AlbertConfig, size: int, rngs: nnx.Rngs):
        epsilon = config.layer_norm_eps
        super().__init__(size, epsilon=epsilon, use_fast_variance=False, rngs=rngs)


def drop(x: Array, rate: float, rngs: Rngs) -> Array:
    """Returns `x` after dropout."""
    return x if rngs is None else nnx.Dropout(rate, deterministic=False)(x, rngs=rngs)


def attend(
    query: Float[Array, "B Q H"],
    key: Float[Array, "B L H"],
    value: Float[Array, "B L H"],
    mask: Bool[Array, "B L"],
    num_heads: int,
    dtype: str,
    drop_rate: float = 0.0,
    rngs: Rngs = None,
) -> Float[Array, "B Q H"]:
    """Returns masked multi-head dot-product attention."""

    def heads(y: Array) -> Array:
        return y.reshape(*y.shape[:2], num_heads, -1)  # [B, L, N, K]

    query, key, value = map(heads, (query, key, value))
    scores = einsum("bqnk,bsnk->bnqs", query, key, dtype) * query.shape[-1] ** -0.5
    lowest = jnp.finfo(jnp.float32).min
    probs = jax.nn.softmax(jnp.where(mask[:, None, None], scores, lowest))
    probs = drop(probs, drop_rate, rngs)
    y = einsum("bnqs,bsnk->bqnk", probs, value, dtype)
    return y.reshape(*y.shape[:2], -1)
