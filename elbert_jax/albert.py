"""ALBERT in Flax NNX: one encoder layer, applied at every depth.

Letters: B texts, L tokens, E embedding size, H hidden size, F feed-forward size,
N attention heads, K = H / N head size, C classes, D layers.

Modules hold parameters and nothing else. The rest of the library passes the pair
`(config, params)`, a hashable value and a plain pytree, through `jax.jit`, and calls
`bind` as the first line inside it.

References:
    Lan et al., "ALBERT: A Lite BERT for Self-supervised Learning of Language
    Representations", ICLR 2020.
    Xie et al., "ELBERT: Fast ALBERT with Confidence-Window Based Early Exit",
    ICASSP 2021, Eq. 4.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

Params = Any  # a pytree of float32 arrays, shaped as `Albert` is

ACTIVATIONS = {
    "gelu_new": functools.partial(nnx.gelu, approximate=True),  # the tanh form
    "gelu": functools.partial(nnx.gelu, approximate=False),  # the erf form
}


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
    dtype: str = "float32"  # of the computation; parameters are float32

    def __post_init__(self):
        if self.hidden_act not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"hidden_act is {self.hidden_act!r}; it may be {known}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of "
                f"num_attention_heads {self.num_attention_heads}"
            )
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype is {self.dtype!r}; it may be float32, bfloat16")


class Linear(nnx.Linear):
    def __init__(self, config: AlbertConfig, inputs: int, outputs: int, rngs: nnx.Rngs):
        init = nnx.initializers.normal(config.initializer_range)
        dtype = jnp.dtype(config.dtype)
        super().__init__(inputs, outputs, kernel_init=init, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Multiplies matrices, whatever the leading axes: XLA's gradient of a product
        of higher rank is half as fast on a CPU."""
        y = super().__call__(x.reshape(-1, x.shape[-1]))
        return y.reshape(*x.shape[:-1], y.shape[-1])


class LayerNorm(nnx.LayerNorm):
    """Mean and variance are float32 whatever the compute dtype."""

    def __init__(self, config: AlbertConfig, size: int, rngs: nnx.Rngs):
        super().__init__(
            size, epsilon=config.layer_norm_eps, use_fast_variance=False, rngs=rngs
        )
        self.compute_dtype = jnp.dtype(config.dtype)

    def __call__(self, x: Array) -> Array:
        return super().__call__(x.astype(jnp.float32)).astype(self.compute_dtype)


def _drop(x: Array, rate: float, rngs: nnx.Rngs | None) -> Array:
    return x if rngs is None else nnx.Dropout(rate, deterministic=False)(x, rngs=rngs)


class Embeddings(nnx.Module):
    """Word, position and type embeddings, normalised; size E."""

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        def table(rows: int) -> nnx.Embed:
            init = nnx.initializers.normal(config.initializer_range)
            return nnx.Embed(
                rows, config.embedding_size, embedding_init=init, rngs=rngs
            )

        self.word_embeddings = table(config.vocab_size)
        self.position_embeddings = table(config.max_position_embeddings)
        self.token_type_embeddings = table(config.type_vocab_size)
        self.layer_norm = LayerNorm(config, config.embedding_size, rngs)
        self.dropout_rate = config.hidden_dropout_prob

    def __call__(
        self,
        tokens: Int[Array, "B L"],
        types: Int[Array, "B L"],
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B L E"]:
        positions = self.position_embeddings(jnp.arange(tokens.shape[1]))
        x = self.word_embeddings(tokens) + self.token_type_embeddings(types)
        return _drop(self.layer_norm(x + positions[None]), self.dropout_rate, rngs)


class Attention(nnx.Module):
    """Multi-head self-attention with its residual and LayerNorm."""

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        size = config.hidden_size
        self.query = Linear(config, size, size, rngs)
        self.key = Linear(config, size, size, rngs)
        self.value = Linear(config, size, size, rngs)
        self.dense = Linear(config, size, size, rngs)
        self.layer_norm = LayerNorm(config, size, rngs)
        self.num_heads = config.num_attention_heads
        self.dropout_rate = config.hidden_dropout_prob
        self.probs_dropout_rate = config.attention_probs_dropout_prob

    def __call__(
        self,
        x: Float[Array, "B L H"],
        mask: Bool[Array, "B L"],
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B L H"]:
        def heads(y: Array) -> Array:
            return y.reshape(*y.shape[:2], self.num_heads, -1)  # [B, L, N, K]

        query, key, value = map(heads, (self.query(x), self.key(x), self.value(x)))
        scores = jnp.einsum("bqnk,bsnk->bnqs", query, key).astype(jnp.float32)
        scores = scores * query.shape[-1] ** -0.5
        lowest = jnp.finfo(jnp.float32).min
        probs = jax.nn.softmax(jnp.where(mask[:, None, None], scores, lowest))
        probs = _drop(probs, self.probs_dropout_rate, rngs).astype(value.dtype)
        y = jnp.einsum("bnqs,bsnk->bqnk", probs, value).reshape(x.shape)
        return self.layer_norm(x + _drop(self.dense(y), self.dropout_rate, rngs))


class EncoderLayer(nnx.Module):
    """One transformer layer, norms after the residuals."""

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        self.attention = Attention(config, rngs)
        self.ffn = Linear(config, config.hidden_size, config.intermediate_size, rngs)
        self.ffn_output = Linear(
            config, config.intermediate_size, config.hidden_size, rngs
        )
        self.full_layer_layer_norm = LayerNorm(config, config.hidden_size, rngs)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.dropout_rate = config.hidden_dropout_prob

    def __call__(
        self,
        x: Float[Array, "B L H"],
        mask: Bool[Array, "B L"],
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B L H"]:
        x = self.attention(x, mask, rngs=rngs)
        y = self.ffn_output(self.activation(self.ffn(x)))
        return self.full_layer_layer_norm(x + _drop(y, self.dropout_rate, rngs))


class Albert(nnx.Module):
    """ALBERT with one classification head, shared by every depth.

    The library's three verbs are `embed` (h_0), `layer` (h_i from h_{i-1}) and
    `classify` (the logits of h_i); `__call__` runs them at every depth.
    """

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        self.config = config
        self.embeddings = Embeddings(config, rngs)
        self.embedding_hidden_mapping_in = Linear(
            config, config.embedding_size, config.hidden_size, rngs
        )
        self.albert_layers = nnx.List(
            [EncoderLayer(config, rngs) for _ in range(config.inner_group_num)]
        )
        self.pooler = Linear(config, config.hidden_size, config.hidden_size, rngs)
        self.classifier = Linear(config, config.hidden_size, config.num_labels, rngs)

    def embed(
        self,
        tokens: Int[Array, "B L"],
        types: Int[Array, "B L"],
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B L H"]:
        """Returns h_0: the embeddings projected to the hidden size."""
        return self.embedding_hidden_mapping_in(
            self.embeddings(tokens, types, rngs=rngs)
        )

    def layer(
        self,
        x: Float[Array, "B L H"],
        mask: Bool[Array, "B L"],
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B L H"]:
        """Returns h_i for h_{i-1}: one depth, `inner_group_num` layers."""
        for layer in self.albert_layers:
            x = layer(x, mask, rngs=rngs)
        return x

    def classify(
        self, x: Float[Array, "B L H"], *, rngs: nnx.Rngs | None = None
    ) -> Float[Array, "B C"]:
        """Returns float32 logits: pooler on the first token, tanh, linear."""
        pooled = jnp.tanh(self.pooler(x[:, 0]))
        pooled = _drop(pooled, self.config.classifier_dropout_prob, rngs)
        return self.classifier(pooled).astype(jnp.float32)

    def __call__(
        self,
        tokens: Int[Array, "B L"],
        mask: Bool[Array, "B L"],
        types: Int[Array, "B L"],
        *,
        key: Array | None = None,
    ) -> Float[Array, "D B C"]:
        """Returns the logits of every layer, first to last.

        Args:
          tokens: piece ids, padded on the right with any id.
          mask: True at the real tokens, False at padding.
          types: 0 for the first text of a pair (and all of a single one), 1 for the
            second.
          key: dropout key; None turns dropout off.
        """

        def step(x: Array, key: Array | None) -> tuple[Array, Array]:
            rngs = None if key is None else nnx.Rngs(dropout=key)
            x = self.layer(x, mask, rngs=rngs)
            return x, self.classify(x, rngs=rngs)

        depth = self.config.num_hidden_layers
        keys, rngs = None, None
        if key is not None:
            first, *_ = keys = jax.random.split(key, depth + 1)
            keys, rngs = keys[1:], nnx.Rngs(dropout=first)
        x = self.embed(tokens, types, rngs=rngs)
        # Unrolled, the gradient runs 1.3 times as fast on a CPU, at the same compile
        # time; without a gradient there is nothing to win.
        unroll = 1 if key is None else depth
        return jax.lax.scan(step, x, keys, depth, unroll=unroll)[1]


def init(config: AlbertConfig, key: Array) -> Params:
    """Returns fresh parameters (normal, `initializer_range`; zero biases)."""
    return nnx.to_pure_dict(nnx.state(Albert(config, nnx.Rngs(key))))


@functools.cache
def _graphdef(config: AlbertConfig) -> nnx.GraphDef:
    return nnx.graphdef(nnx.eval_shape(lambda: Albert(config, nnx.Rngs(0))))


def bind(config: AlbertConfig, params: Params) -> Albert:
    """Returns the model that holds `params`. Costs nothing inside `jax.jit`."""
    return nnx.merge(_graphdef(config), params)
