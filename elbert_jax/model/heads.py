"""Heads of the layers before the last, where each of them has its own.

The last layer's head is ALBERT's own pooler and classifier whatever these are, so that
a checkpoint gives the same logits at full depth everywhere. `AlbertConfig.exit_heads`
names the shape of the others, and their parameters lie stacked, first layer first. With
`shared` there are none: every layer uses the last one's.

Letters: B texts, L tokens, H hidden size, C classes, D layers, S = D - 1 heads.

References:
    pooler: Xin et al., "DeeBERT: Dynamic Early Exiting for Accelerating BERT
    Inference", ACL 2020.
    linear: Zhou et al., "BERT Loses Patience", NeurIPS 2020.
    mlp: Course5's paper on sustainable models, Table 1.
    attention: Liu et al., "FastBERT: a Self-distilling BERT with Adaptive Inference
    Time", ACL 2020, Table 1; its published code has the tanh and the two heads.
"""

import abc

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from elbert_jax.model.layers import AlbertConfig, Linear, attend, drop

WIDTH = 128  # of the narrow shapes
ATTENTION_HEADS = 2


class Head(nnx.Module):
    """One head: features of the hidden states, dropout, a classifier."""

    reads_all_tokens = False  # or the first one alone

    def __init__(self, config: AlbertConfig, size: int, rngs: nnx.Rngs):
        self.classifier = Linear(config, size, config.num_labels, rngs)
        self.dropout_rate = config.classifier_dropout_prob

    @abc.abstractmethod
    def features(self, x: Array, mask: Array, pooled: Array) -> Array:
        """Returns what the classifier reads: [B, size]."""

    def __call__(
        self,
        x: Float[Array, "B L H"],
        mask: Bool[Array, "B L"],
        pooled: Float[Array, "B H"],
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B C"]:
        """Returns logits.

        Args:
          x: the layer's hidden states.
          mask: True at the real tokens.
          pooled: what the last layer's pooler makes of them.
        """
        features = self.features(x, mask, pooled)
        return self.classifier(drop(features, self.dropout_rate, rngs))


class LinearHead(Head):
    """A classifier behind the pooler that all layers share."""

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        super().__init__(config, config.hidden_size, rngs)

    def features(self, x: Array, mask: Array, pooled: Array) -> Array:
        return pooled


class PoolerHead(Head):
    """A pooler and a classifier."""

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        super().__init__(config, config.hidden_size, rngs)
        self.pooler = Linear(config, config.hidden_size, config.hidden_size, rngs)

    def features(self, x: Array, mask: Array, pooled: Array) -> Array:
        return jnp.tanh(self.pooler(x[:, 0]))


class MLPHead(Head):
    """Three layers, H to 128 to 128 to C, with tanh between them."""

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        super().__init__(config, WIDTH, rngs)
        self.narrow = Linear(config, config.hidden_size, WIDTH, rngs)
        self.dense = Linear(config, WIDTH, WIDTH, rngs)

    def features(self, x: Array, mask: Array, pooled: Array) -> Array:
        return jnp.tanh(self.dense(jnp.tanh(self.narrow(x[:, 0]))))


class AttentionHead(MLPHead):
    """The same with self-attention behind the first, of which the first token reads."""

    reads_all_tokens = True

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        self.query = Linear(config, WIDTH, WIDTH, rngs)
        self.key = Linear(config, WIDTH, WIDTH, rngs)
        self.value = Linear(config, WIDTH, WIDTH, rngs)
        self.output = Linear(config, WIDTH, WIDTH, rngs)
        self.dtype = config.dtype

    def features(self, x: Array, mask: Array, pooled: Array) -> Array:
        y = jnp.tanh(self.narrow(x))
        parts = self.query(y[:, :1]), self.key(y), self.value(y)
        read = attend(*parts, mask, ATTENTION_HEADS, self.dtype)
        return jnp.tanh(self.dense(self.output(read[:, 0])))


SHAPES = {
    "pooler": PoolerHead,
    "linear": LinearHead,
    "mlp": MLPHead,
    "attention": AttentionHead,
}


def build(config: AlbertConfig, rngs: nnx.Rngs) -> Head | None:
    """Returns the S heads as one whose parameters have S as their first axis."""
    if config.exit_heads == "shared":
        return None
    shape = SHAPES[config.exit_heads]
    keys = jax.random.split(rngs.params(), config.num_hidden_layers - 1)
    stacked = jax.vmap(lambda key: nnx.state(shape(config, nnx.Rngs(key))))(keys)
    return nnx.merge(nnx.graphdef(shape(config, rngs)), stacked)


def classify(
    heads: Head,
    x: Float[Array, "B L H"],
    mask: Bool[Array, "B L"],
    pooled: Float[Array, "B H"],
    depth: Int[Array, ""] | Int[Array, " B"],
    *,
    rngs: nnx.Rngs | None = None,
) -> Float[Array, "B C"]:
    """Returns the logits of each text's own head.

    Args:
      heads: as `build` stacks them.
      depth: the layer, 1-based, of all texts or of each; beyond S, any head's.
      x, mask, pooled: see `Head`.
    """
    graphdef, state = nnx.split(heads)
    stacked = nnx.to_pure_dict(state)

    def one(params, x, mask, pooled):
        return nnx.merge(graphdef, params)(x, mask, pooled, rngs=rngs)

    def own(index, *text):
        return one(jax.tree.map(lambda leaf: leaf[index], stacked), *text)

    index = jnp.clip(depth, 1, len(stacked["classifier"]["bias"])) - 1
    if index.ndim == 0:
        return own(index, x, mask, pooled)
    if heads.reads_all_tokens:
        # All of them would cost S times all tokens; of one, only its weights move.
        alone = [leaf[:, None] for leaf in (x, mask, pooled)]  # batches of one text
        return jax.vmap(own)(index, *alone)[:, 0]
    # On the first tokens, all of them cost less than gathering weights by text.
    every = jax.vmap(one, in_axes=(0, None, None, None))(stacked, x, mask, pooled)
    return every[index, jnp.arange(len(index))]
