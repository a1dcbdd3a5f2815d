"""ALBERT with its two pretraining heads: masked tokens and sentence order.

Letters: as in `albert`; V tokens of the vocabulary, P masked positions of a row.

References:
    Lan et al., "ALBERT: A Lite BERT for Self-supervised Learning of Language
    Representations", ICLR 2020, section 3.1.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from elbert_jax.model.albert import Albert, Params
from elbert_jax.model.config import AlbertConfig
from elbert_jax.model.layers import ACTIVATIONS, LayerNorm, Linear, einsum


class MaskedLMHead(nnx.Module):
    """Projects hidden states to the vocabulary, with tied word embeddings."""

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        self.dense = Linear(config, config.hidden_size, config.embedding_size, rngs)
        self.layer_norm = LayerNorm(config, config.embedding_size, rngs)
        self.bias = nnx.Param(jnp.zeros(config.vocab_size))
        self.activation, self.dtype = ACTIVATIONS[config.hidden_act], config.dtype

    def __call__(
        self, x: Float[Array, "B P H"], table: Float[Array, "V E"]
    ) -> Float[Array, "B P V"]:
        """Returns float32 logits."""
        x = self.layer_norm(self.activation(self.dense(x)))
        rows = x.reshape(-1, x.shape[-1])
        scores = einsum("re,ve->rv", rows, table, self.dtype)
        return (scores + self.bias[None]).reshape(*x.shape[:-1], -1)


class Logits(NamedTuple):
    """Float32 logits of the two heads."""

    tokens: Float[Array, "B P V"]  # at the masked positions
    order: Float[Array, "B 2"]  # segments in order, segments swapped


class AlbertForPreTraining(nnx.Module):
    """ALBERT with a masked language model head and a sentence order classifier.

    The sentence order head is the classifier of `Albert`: class 0 is in order, class 1
    swapped.
    """

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        self.albert = Albert(config, rngs)
        self.predictions = MaskedLMHead(config, rngs)

    def __call__(
        self,
        tokens: Int[Array, "B L"],
        mask: Bool[Array, "B L"],
        types: Int[Array, "B L"],
        positions: Int[Array, "B P"],
        *,
        depth: int,
        remat: bool = False,
        key: Array | None = None,
    ) -> Logits:
        """Returns the logits of both heads after the layer is applied `depth` times.

        Args:
          tokens: token ids, some of them masked.
          mask: True at real tokens, False at padding.
          types: 0 in the first segment, 1 in the second.
          positions: masked positions; only these are projected to the vocabulary.
          depth: number of layer applications.
          remat: rematerialise each layer's activations in the backward pass.
          key: dropout key; None turns dropout off.
        """

        def layer(model: Albert, x: Array, key: Array | None) -> Array:
            return model.layer(x, mask, rngs=_rngs(key))

        apply = nnx.remat(layer) if remat else layer
        count = depth + 2  # the embeddings, each layer, the classifier
        keys = [None] * count if key is None else jax.random.split(key, count)
        x = self.albert.embed(tokens, types, rngs=_rngs(keys[0]))
        for number in range(1, depth + 1):
            x = apply(self.albert, x, keys[number])
        masked = jnp.take_along_axis(x, positions[:, :, None], axis=1)
        table = self.albert.embeddings.word_embeddings.embedding[...]
        order = self.albert.classify(x, rngs=_rngs(keys[-1]))
        return Logits(self.predictions(masked, table), order)


def _rngs(key: Array | None) -> nnx.Rngs | None:
    return None if key is None else nnx.Rngs(dropout=key)


def init(config: AlbertConfig, key: Array) -> Params:
    """Returns fresh parameters (normal, `initializer_range`; zero biases)."""
    return nnx.to_pure_dict(nnx.state(AlbertForPreTraining(config, nnx.Rngs(key))))


@functools.cache
def _graphdef(config: AlbertConfig) -> nnx.GraphDef:
    build = lambda: AlbertForPreTraining(config, nnx.Rngs(0))  # noqa: E731
    return nnx.graphdef(nnx.eval_shape(build))


def bind(config: AlbertConfig, params: Params) -> AlbertForPreTraining:
    """Returns the model that holds `params`. Costs nothing inside `jax.jit`."""
    return nnx.merge(_graphdef(config), params)
