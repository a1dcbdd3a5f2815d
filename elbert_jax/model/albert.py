"""ALBERT in Flax NNX: one encoder layer, applied at every depth.

Letters: B texts, L tokens, Q query positions, E embedding size, H hidden size,
C classes, D layers.

Modules hold parameters only. The rest of the library passes the pair
`(config, params)`, a hashable value and a plain pytree, through `jax.jit`, and calls
`bind` on the first line inside it.

References:
    Lan et al., "ALBERT: A Lite BERT for Self-supervised Learning of Language
    Representations", ICLR 2020.
    Xie et al., "ELBERT: Fast ALBERT with Confidence-Window Based Early Exit",
    ICASSP 2021, Eq. 4.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from elbert_jax.model import heads
from elbert_jax.model.config import AlbertConfig
from elbert_jax.model.layers import ACTIVATIONS, LayerNorm, Linear, Rngs, attend, drop

Params = Any  # a pytree of float32 arrays with the structure of `Albert`


class Embeddings(nnx.Module):
    """Sum of word, position and token type embeddings, layer-normalised."""

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        size = config.embedding_size
        init = nnx.initializers.normal(config.initializer_range)

        def table(rows: int) -> nnx.Embed:
            return nnx.Embed(rows, size, embedding_init=init, rngs=rngs)

        self.word_embeddings = table(config.vocab_size)
        self.position_embeddings = table(config.max_position_embeddings)
        self.token_type_embeddings = table(config.type_vocab_size)
        self.layer_norm = LayerNorm(config, size, rngs)
        self.dropout_rate = config.hidden_dropout_prob

    def __call__(self, tokens: Array, types: Array, rngs: Rngs = None) -> Array:
        positions = self.position_embeddings(jnp.arange(tokens.shape[1]))
        x = self.word_embeddings(tokens) + self.token_type_embeddings(types)
        return drop(self.layer_norm(x + positions[None]), self.dropout_rate, rngs)


class Attention(nnx.Module):
    """Multi-head self-attention with its residual and LayerNorm."""

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        size = config.hidden_size
        self.query = Linear(config, size, size, rngs)
        self.key = Linear(config, size, size, rngs)
        self.value = Linear(config, size, size, rngs)
        self.dense = Linear(config, size, size, rngs)
        self.layer_norm = LayerNorm(config, size, rngs)
        self.num_heads, self.dtype = config.num_attention_heads, config.dtype
        self.dropout_rate = config.hidden_dropout_prob
        self.probs_dropout_rate = config.attention_probs_dropout_prob

    def __call__(
        self, x: Array, mask: Array, num_queries: int | None = None, rngs: Rngs = None
    ) -> Array:
        """Returns outputs for the first Q positions, attending over all L keys."""
        queries = x[:, :num_queries]
        inputs = self.query(queries), self.key(x), self.value(x), mask
        y = attend(*inputs, self.num_heads, self.dtype, self.probs_dropout_rate, rngs)
        return self.layer_norm(queries + drop(self.dense(y), self.dropout_rate, rngs))


class EncoderLayer(nnx.Module):
    """One transformer layer, post-norm: attention, then feed-forward."""

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        self.attention = Attention(config, rngs)
        size, inner = config.hidden_size, config.intermediate_size
        self.ffn = Linear(config, size, inner, rngs)
        self.ffn_output = Linear(config, inner, size, rngs)
        self.full_layer_layer_norm = LayerNorm(config, size, rngs)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.dropout_rate = config.hidden_dropout_prob

    def __call__(
        self, x: Array, mask: Array, num_queries: int | None = None, rngs: Rngs = None
    ) -> Array:
        """Returns hidden states of the first Q positions, by default all."""
        x = self.attention(x, mask, num_queries, rngs=rngs)
        y = self.ffn_output(self.activation(self.ffn(x)))
        return self.full_layer_layer_norm(x + drop(y, self.dropout_rate, rngs))


class Albert(nnx.Module):
    """ALBERT with a classification head after every layer, shared or per-layer.

    `embed` gives h_0, `layer` h_i from h_{i-1}, `classify` the logits of h_i, and
    `__call__` the logits of every layer. A `mask` is True at real tokens.
    """

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        self.config = config
        self.embeddings = Embeddings(config, rngs)
        inputs, hidden = config.embedding_size, config.hidden_size
        self.embedding_hidden_mapping_in = Linear(config, inputs, hidden, rngs)
        layers = [EncoderLayer(config, rngs) for _ in range(config.inner_group_num)]
        self.albert_layers = nnx.List(layers)
        self.pooler = Linear(config, hidden, hidden, rngs)
        self.classifier = Linear(config, hidden, config.num_labels, rngs)
        self.exit_heads = heads.build(config, rngs)

    def embed(
        self, tokens: Int[Array, "B L"], types: Int[Array, "B L"], *, rngs: Rngs = None
    ) -> Float[Array, "B L H"]:
        """Returns h_0: the embeddings projected to the hidden size."""
        x = self.embeddings(tokens, types, rngs=rngs)
        return self.embedding_hidden_mapping_in(x)

    def layer(
        self,
        x: Float[Array, "B L H"],
        mask: Bool[Array, "B L"],
        num_queries: int | None = None,
        *,
        rngs: Rngs = None,
    ) -> Float[Array, "B Q H"]:
        """Returns h_i from h_{i-1}: one depth, which is `inner_group_num` layers.

        Only the first `num_queries` positions of h_i are computed, by default all.
        """
        *inner, outer = self.albert_layers
        for layer in inner:
            x = layer(x, mask, rngs=rngs)
        return outer(x, mask, num_queries, rngs=rngs)

    def classify(
        self,
        x: Float[Array, "B L H"],
        mask: Bool[Array, "B L"] | None = None,
        depth: Int[Array, ""] | Int[Array, " B"] | None = None,
        *,
        rngs: Rngs = None,
    ) -> Float[Array, "B C"]:
        """Returns float32 logits: pooler on the first token, tanh, dropout, linear.

        `x` is h_i and `depth` is i, 1-based, for all texts or one per text. Per-layer
        heads need `mask` and `depth`; the last layer's head is used without them.
        """
        pooled = jnp.tanh(self.pooler(x[:, 0]))
        dropped = drop(pooled, self.config.classifier_dropout_prob, rngs)
        logits = self.classifier(dropped)
        if self.exit_heads is None or mask is None or depth is None:
            return logits
        early = heads.classify(self.exit_heads, x, mask, pooled, depth, rngs=rngs)
        is_last = jnp.reshape(depth == self.config.num_hidden_layers, (-1, 1))
        return jnp.where(is_last, logits, early)

    def __call__(
        self,
        tokens: Int[Array, "B L"],
        mask: Bool[Array, "B L"],
        types: Int[Array, "B L"],
        *,
        key: Array | None = None,
    ) -> Float[Array, "D B C"]:
        """Returns the logits of every layer, first to last.

        `tokens` are right-padded with any id, where `mask` is False; `types` are 1 in
        the second text of a pair. Without a dropout `key` there is no dropout.
        """

        def step(x: Array, inputs: tuple[Array, Array | None]) -> tuple[Array, Array]:
            depth, key = inputs
            rngs = None if key is None else nnx.Rngs(dropout=key)
            x = self.layer(x, mask, rngs=rngs)
            return x, self.classify(x, mask, depth, rngs=rngs)

        early = self.config.num_hidden_layers - 1
        keys, rngs, last = None, None, None
        if key is not None:
            first, final, *_ = keys = jax.random.split(key, early + 2)
            rngs, last = nnx.Rngs(dropout=first), nnx.Rngs(dropout=final)
            keys = keys[2:]
        x = self.embed(tokens, types, rngs=rngs)
        # Unrolling makes the gradient 1.3 times as fast on a CPU at the same compile
        # time; without a gradient it gains nothing.
        unroll = 1 if key is None else max(early, 1)
        depths = jnp.arange(1, early + 1)
        x, logits = jax.lax.scan(step, x, (depths, keys), early, unroll=unroll)
        x = self.layer(x, mask, num_queries=1, rngs=last)
        return jnp.concatenate([logits, self.classify(x, rngs=last)[None]])


def init(config: AlbertConfig, key: Array) -> Params:
    """Returns random parameters: normal with `initializer_range`, zero biases."""
    return nnx.to_pure_dict(nnx.state(Albert(config, nnx.Rngs(key))))


@functools.cache
def _graphdef(config: AlbertConfig) -> nnx.GraphDef:
    return nnx.graphdef(nnx.eval_shape(lambda: Albert(config, nnx.Rngs(0))))


def bind(config: AlbertConfig, params: Params) -> Albert:
    """Returns the model with `params`; free inside `jax.jit`."""
    return nnx.merge(_graphdef(config), params)
