"""Per-layer classification heads for the layers before the last.

The last layer always uses ALBERT's own pooler and classifier, so that full-depth
logits are the checkpoint's. `AlbertConfig.exit_heads` names the shape of the other
heads; their parameters are stacked along a leading axis, first layer first. With
`shared` there are none: every layer uses the last one's head.

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

from elbert_jax.model.config import AlbertConfig
from elbert_jax.model.layers import Linear, Rngs, attend, drop

WIDTH = 128  # hidden size of `mlp` and `attention` heads
ATTENTION_HEADS = 2


class Head(nnx.Module):
    """Features of the hidden states, dropout, and a linear classifier."""

    uses_all_tokens = False  # only the first one

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs, size: int | None = None):
        size = size or config.hidden_size
        self.classifier = Linear(config, size, config.num_labels, rngs)
        self.dropout_rate = config.classifier_dropout_prob

    @abc.abstractmethod
    def features(self, x: Array, mask: Array, pooled: Array) -> Array:
        """Returns the classifier's input: [B, size]."""

    def __call__(
        self, x: Array, mask: Array, pooled: Array, rngs: Rngs = None
    ) -> Array:
        features = self.features(x, mask, pooled)
        return self.classifier(drop(features, self.dropout_rate, rngs))


class LinearHead(Head):
    """A classifier on the shared pooler's output (PABEE)."""

    def features(self, x: Array, mask: Array, pooled: Array) -> Array:
        return pooled


class PoolerHead(Head):
    """A pooler and a classifier of its own (DeeBERT)."""

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        self.pooler = Linear(config, config.hidden_size, config.hidden_size, rngs)

    def features(self, x: Array, mask: Array, pooled: Array) -> Array:
        return jnp.tanh(self.pooler(x[:, 0]))


class MLPHead(Head):
    """Three linear layers, H to 128 to 128 to C, with tanh between them."""

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs, WIDTH)
        self.narrow = Linear(config, config.hidden_size, WIDTH, rngs)
        self.dense = Linear(config, WIDTH, WIDTH, rngs)

    def features(self, x: Array, mask: Array, pooled: Array) -> Array:
        return jnp.tanh(self.dense(jnp.tanh(self.narrow(x[:, 0]))))


class AttentionHead(MLPHead):
    """The same with self-attention after the first; the first token is the query."""

    uses_all_tokens = True

    def __init__(self, config: AlbertConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        self.query = Linear(config, WIDTH, WIDTH, rngs)
        self.key = Linear(config, WIDTH, WIDTH, rngs)
        self.value = Linear(config, WIDTH, WIDTH, rngs)
        self.output = Linear(config, WIDTH, WIDTH, rngs)
        self.dtype = config.dtype

    def features(self, x: Array, mask: Array, pooled: Array) -> Array:
        y = jnp.tanh(self.narrow(x))
        query, key, value = self.query(y[:, :1]), self.key(y), self.value(y)
        context = attend(query, key, value, mask, ATTENTION_HEADS, self.dtype)
        return jnp.tanh(self.dense(self.output(context[:, 0])))


SHAPES = dict(
    pooler=PoolerHead, linear=LinearHead, mlp=MLPHead, attention=AttentionHead
)


def build(config: AlbertConfig, rngs: nnx.Rngs) -> Head | None:
    """Returns the S heads as one `Head` with stacked parameters; None if shared."""
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
    rngs: Rngs = None,
) -> Float[Array, "B C"]:
    """Returns the logits of each text's own head; `heads` are stacked, from `build`.

    `x` are hidden states and `pooled` the shared pooler's output on them; `depth` is
    1-based, for all texts or one per text. Where it exceeds S, logits are meaningless.
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
    if heads.uses_all_tokens:
        # Gather each text's weights: all S heads on all tokens would cost more.
        alone = [leaf[:, None] for leaf in (x, mask, pooled)]  # batches of one text
        return jax.vmap(own)(index, *alone)[:, 0]
    # On first tokens only, all S heads cost less than gathering weights per text.
    every = jax.vmap(one, in_axes=(0, None, None, None))(stacked, x, mask, pooled)
    return every[index, jnp.arange(len(index))]
