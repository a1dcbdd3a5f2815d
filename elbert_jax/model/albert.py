"""ALBERT in Flax NNX: one encoder layer, applied at every depth.

Letters: B texts, L tokens, Q of them that read, E embedding size, H hidden size,
C classes, D layers.

Modules hold parameters and nothing else. The rest of the library passes the pair
`(config, params)`, a hashable value and a plain pytree, through `jax.jit`, and calls
`bind` as the first line inside it.

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
from elbert_jax.model.layers import (
    ACTIVATIONS,
    AlbertConfig,
    LayerNorm,
    Linear,
    attend,
    drop,
)

Params = Any  # a pytree of float32 arrays, shaped as `Albert` is


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
        self,
        x: Float[Array, "B L H"],
        mask: Bool[Array, "B L"],
        readers: int | None = None,
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B Q H"]:
        """Returns what the first Q tokens become, by default all; they read L."""
        reading = x[:, :readers]
        y = attend(
            self.query(reading),
            self.key(x),
            self.value(x),
            mask,
            self.num_heads,
            self.dtype,
            self.probs_dropout_rate,
            rngs,
        )
        return self.layer_norm(reading + drop(self.dense(y), self.dropout_rate, rngs))


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
        readers: int | None = None,
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B Q H"]:
        """Returns the first Q tokens one layer deeper, by default all."""
        x = self.attention(x, mask, readers, rngs=rngs)
        y = self.ffn_output(self.activation(self.ffn(x)))
        return self.full_layer_layer_norm(x + drop(y, self.dropout_rate, rngs))


class Albert(nnx.Module):
    """ALBERT with a classification head at every depth: one and the same, or its own.

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
        self.exit_heads = heads.build(config, rngs)

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
        readers: int | None = None,
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B Q H"]:
        """Returns h_i for h_{i-1}: one depth, `inner_group_num` layers.

        Args:
          x: h_{i-1}.
          mask: True at the real tokens.
          readers: Q, the first so many tokens, where h_i of the others is not wanted;
            by default all.
        """
        *inner, outer = self.albert_layers
        for layer in inner:
            x = layer(x, mask, rngs=rngs)
        return outer(x, mask, readers, rngs=rngs)

    def classify(
        self,
        x: Float[Array, "B L H"],
        mask: Bool[Array, "B L"] | None = None,
        depth: Int[Array, ""] | Int[Array, " B"] | None = None,
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B C"]:
        """Returns float32 logits: pooler on the first token, tanh, linear.

        Where layers have heads of their own, that is the last layer's.

        Args:
          x: h_i.
          mask: True at the real tokens.
          depth: i, of all texts or of each; by default the last layer's.
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

        Args:
          tokens: piece ids, padded on the right with any id.
          mask: True at the real tokens, False at padding.
          types: 0 for the first text of a pair (and all of a single one), 1 for the
            second.
          key: dropout key; None turns dropout off.
        """

        def step(x: Array, each: tuple[Array, Array | None]) -> tuple[Array, Array]:
            number, key = each
            rngs = None if key is None else nnx.Rngs(dropout=key)
            x = self.layer(x, mask, rngs=rngs)
            return x, self.classify(x, mask, number, rngs=rngs)

        early = self.config.num_hidden_layers - 1
        keys, rngs, last = None, None, None
        if key is not None:
            first, final, *_ = keys = jax.random.split(key, early + 2)
            rngs, last = nnx.Rngs(dropout=first), nnx.Rngs(dropout=final)
            keys = keys[2:]
        x = self.embed(tokens, types, rngs=rngs)
        # Unrolled, the gradient runs 1.3 times as fast on a CPU, at the same compile
        # time; without a gradient there is nothing to win.
        unroll = 1 if key is None else max(early, 1)
        numbers = jnp.arange(1, early + 1)
        x, logits = jax.lax.scan(step, x, (numbers, keys), early, unroll=unroll)
        x = self.layer(x, mask, readers=1, rngs=last)
        return jnp.concatenate([logits, self.classify(x, rngs=last)[None]])


def init(config: AlbertConfig, key: Array) -> Params:
    """Returns fresh parameters (normal, `initializer_range`; zero biases)."""
    return nnx.to_pure_dict(nnx.state(Albert(config, nnx.Rngs(key))))


@functools.cache
def _graphdef(config: AlbertConfig) -> nnx.GraphDef:
    return nnx.graphdef(nnx.eval_shape(lambda: Albert(config, nnx.Rngs(0))))


def bind(config: AlbertConfig, params: Params) -> Albert:
    """Returns the model that holds `params`. Costs nothing inside `jax.jit`."""
    return nnx.merge(_graphdef(config), params)
