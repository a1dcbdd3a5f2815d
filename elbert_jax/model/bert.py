"""BERT's encoder in Flax NNX, made of ALBERT's modules: the teacher of a distillation.

Letters: B texts, L tokens, H hidden size, D layers.

Reference:
    Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding", NAACL 2019.
"""

import functools

from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from elbert_jax.model.albert import Embeddings, EncoderLayer, Params
from elbert_jax.model.config import AlbertConfig


class Bert(nnx.Module):
    """BERT without pooler and heads: D layers, each with its own weights.

    Its shape is an `AlbertConfig` whose `embedding_size` is its `hidden_size`.
    """

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        self.embeddings = Embeddings(config, rngs)
        self.layers = nnx.List(
            [EncoderLayer(config, rngs) for _ in range(config.num_hidden_layers)]
        )

    def __call__(
        self,
        tokens: Int[Array, "B L"],
        mask: Bool[Array, "B L"],
        types: Int[Array, "B L"],
    ) -> list[Float[Array, "B L H"]]:
        """Returns D + 1 hidden states: the embeddings, then the output of every layer.

        Args:
          tokens: token ids, padded on the right with any id.
          mask: True at the real tokens, False at padding.
          types: 0 for the first text of a pair (and all of a single one), 1 for the
            second.
        """
        states = [self.embeddings(tokens, types)]
        for layer in self.layers:
            states.append(layer(states[-1], mask))
        return states


def init(config: AlbertConfig, key: Array) -> Params:
    """Returns fresh parameters (normal, `initializer_range`; zero biases)."""
    return nnx.to_pure_dict(nnx.state(Bert(config, nnx.Rngs(key))))


@functools.cache
def _graphdef(config: AlbertConfig) -> nnx.GraphDef:
    return nnx.graphdef(nnx.eval_shape(lambda: Bert(config, nnx.Rngs(0))))


def bind(config: AlbertConfig, params: Params) -> Bert:
    """Returns the model that holds `params`. Costs nothing inside `jax.jit`."""
    return nnx.merge(_graphdef(config), params)
