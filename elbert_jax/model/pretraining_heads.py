"""ALBERT with the two heads that it is pretrained with.

Letters: as in `albert`; V pieces, P masked positions of a row, R layers that speak, D
times the layer is applied.

References:
    Ma et al., "Drop your Decoder: Pre-training with Bag-of-Word Prediction for Dense
    Passage Retrieval", SIGIR 2024: [CLS] through the masked-word head.
    Lan et al., "ALBERT: A Lite BERT for Self-supervised Learning of Language
    Representations", ICLR 2020, section 3.1.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from elbert_jax.model.albert import Albert, AlbertConfig, Params
from elbert_jax.model.layers import ACTIVATIONS, LayerNorm, Linear, einsum


class MaskedLMHead(nnx.Module):
    """Hidden states to pieces, through the embedding table (tied weights)."""

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
    """What the heads say, in float32."""

    pieces: Float[Array, "R B P V"]  # of the masked ones
    order: Float[Array, "R B 2"]  # of the two segments
    bag: Float[Array, "D B V"]  # of all the text's pieces, as [CLS] foretells them


class AlbertForPreTraining(nnx.Module):
    """Masked language model and sentence order; the classifier of `albert` judges it.

    Its two classes are 0, in order, and 1, swapped.
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
        every: int = 0,
        remat: bool = False,
        key: Array | None = None,
    ) -> Logits:
        """Returns the logits of the pieces at `positions`, of the order, of the text's.

        Args:
          tokens: piece ids, some of them hidden.
          mask: True at the real tokens, False at padding.
          types: 0 in the first segment, 1 in the second.
          positions: of the pieces asked for; only they meet the vocabulary.
          depth: times the layer is applied.
          every: both heads read `positions` and the order every so many layers, the
            last one always; 0: only it.
          remat: keep the layers' inputs only, and compute the rest anew for the
            gradient.
          key: dropout key; None turns dropout off.
        """

        def layer(model: Albert, x: Array, key: Array | None) -> Array:
            return model.layer(x, mask, rngs=_rngs(key))

        apply = nnx.remat(layer) if remat else layer
        count = 1 + 2 * depth  # one for the embeddings, the layers, their classifiers
        keys = [None] * count if key is None else jax.random.split(key, count)
        x = self.albert.embed(tokens, types, rngs=_rngs(keys[0]))
        pieces, order, first = [], [], []
        table = self.albert.embeddings.word_embeddings.embedding[...]
        for number in range(1, depth + 1):
            x = apply(self.albert, x, keys[number])
            first.append(x[:, 0])
            if number == depth or every and (depth - number) % every == 0:
                asked = jnp.take_along_axis(x, positions[:, :, None], axis=1)
                pieces.append(self.predictions(asked, table))
                order.append(self.albert.classify(x, rngs=_rngs(keys[-number])))
        # What nobody reads is not computed: XLA drops it.
        bag = self.predictions(jnp.stack(first), table)
        return Logits(jnp.stack(pieces), jnp.stack(order), bag)


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
