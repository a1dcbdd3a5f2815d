"""What every module of an ALBERT is made of: its shape, Linear, LayerNorm, attention.

Letters: B texts, L tokens, Q those that read, H size, N attention heads, K = H / N.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

ACTIVATIONS = {
    "gelu_new": functools.partial(nnx.gelu, approximate=True),  # the tanh form
    "gelu": functools.partial(nnx.gelu, approximate=False),  # the erf form
}
DTYPES = ("float32", "bfloat16")
EXIT_HEADS = ("shared", "pooler", "linear", "mlp", "attention")  # see `exit_heads`


@dataclasses.dataclass(frozen=True)
class AlbertConfig:
    """Shape of an ALBERT; the field names are those of Hugging Face's config.json."""

    vocab_size: int = 30000
    embedding_size: int = 128
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    inner_group_num: int = 1
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    classifier_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    num_labels: int = 2
    dtype: str = "float32"  # of what products multiply; all else is float32
    exit_heads: str = "shared"  # of the layers before the last; see `exit_heads`

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if type(field.default) is int and value < 1:
                raise ValueError(f"{field.name} is {value!r}; it must be at least 1")
        if self.hidden_act not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"hidden_act is {self.hidden_act!r}; it may be {known}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of "
                f"num_attention_heads {self.num_attention_heads}"
            )
        if self.dtype not in DTYPES:
            known = ", ".join(DTYPES)
            raise ValueError(f"dtype is {self.dtype!r}; it may be {known}")
        if self.exit_heads not in EXIT_HEADS:
            known = ", ".join(EXIT_HEADS)
            raise ValueError(f"exit_heads is {self.exit_heads!r}; it may be {known}")
        if self.exit_heads != "shared" and self.num_hidden_layers < 2:
            raise ValueError(f"exit_heads {self.exit_heads!r} want 2 layers or more")


def product(axes: str, a: Array, b: Array, dtype: str) -> Array:
    """Returns `einsum(axes, a, b)` of factors rounded to `dtype`, in float32.

    Only factors are bfloat16, all between two products is float32: were the results
    rounded, a text's logits would depend on its batch. The gradient is rounded too, so
    that its products are as fast.
    """
    return _product(axes, a.astype(dtype), b.astype(dtype))


def _float32(axes: str, a: Array, b: Array) -> Array:
    return jnp.einsum(axes, a, b, preferred_element_type=jnp.float32)


def _forward(axes: str, a: Array, b: Array) -> tuple[Array, tuple[Array, Array]]:
    return _float32(axes, a, b), (a, b)


def _backward(axes: str, factors: tuple[Array, Array], gradient: Array):
    _, pull = jax.vjp(functools.partial(jnp.einsum, axes), *factors)
    return pull(gradient.astype(factors[0].dtype))


_product: Any = jax.custom_vjp(_float32, nondiff_argnums=(0,))
_product.defvjp(_forward, _backward)


class Linear(nnx.Linear):
    bias: Any  # it is there

    def __init__(self, config: AlbertConfig, inputs: int, outputs: int, rngs: nnx.Rngs):
        init = nnx.initializers.normal(config.initializer_range)
        super().__init__(inputs, outputs, kernel_init=init, rngs=rngs)
        self.compute_dtype = config.dtype

    def __call__(self, x: Array) -> Array:
        """Multiplies matrices, whatever the leading axes: XLA's gradient of a product
        of higher rank is half as fast on a CPU."""
        rows = x.reshape(-1, x.shape[-1])
        y = product("ri,io->ro", rows, self.kernel[...], self.compute_dtype)
        return (y + self.bias[...][None]).reshape(*x.shape[:-1], y.shape[-1])


class LayerNorm(nnx.LayerNorm):
    def __init__(self, config: AlbertConfig, size: int, rngs: nnx.Rngs):
        super().__init__(
            size, epsilon=config.layer_norm_eps, use_fast_variance=False, rngs=rngs
        )


def drop(x: Array, rate: float, rngs: nnx.Rngs | None) -> Array:
    """Returns `x` after dropout; None turns it off."""
    return x if rngs is None else nnx.Dropout(rate, deterministic=False)(x, rngs=rngs)


def attend(
    query: Float[Array, "B Q H"],
    key: Float[Array, "B L H"],
    value: Float[Array, "B L H"],
    mask: Bool[Array, "B L"],
    num_heads: int,
    dtype: str,
    drop_rate: float = 0.0,
    rngs: nnx.Rngs | None = None,
) -> Float[Array, "B Q H"]:
    """Returns what Q tokens read of L, of which the mask's count, with N heads."""

    def heads(y: Array) -> Array:
        return y.reshape(*y.shape[:2], num_heads, -1)  # [B, L, N, K]

    query, key, value = map(heads, (query, key, value))
    scores = product("bqnk,bsnk->bnqs", query, key, dtype) * query.shape[-1] ** -0.5
    lowest = jnp.finfo(jnp.float32).min
    probs = jax.nn.softmax(jnp.where(mask[:, None, None], scores, lowest))
    probs = drop(probs, drop_rate, rngs)
    y = product("bnqs,bsnk->bqnk", probs, value, dtype)
    return y.reshape(*y.shape[:2], -1)
