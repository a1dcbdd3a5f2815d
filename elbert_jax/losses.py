"""The loss of every exit, and how the exits are weighted.

References:
    Xie et al., "ELBERT: Fast ALBERT with Confidence-Window Based Early Exit",
    ICASSP 2021, Eq. 1-3.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

WEIGHTINGS = ("elbert", "equal", "depth")
INITIAL_T = 4.0


def initial_t(num_layers: int) -> Float[Array, " D-1"]:
    """Returns ELBERT's trainable t_i before training: 4 at every layer but the last."""
    return jnp.full(num_layers - 1, INITIAL_T)


def layer_weights(weighting: str, t: Float[Array, " D-1"]) -> Float[Array, " D"]:
    """Returns w_i, the weight of each layer's loss.

    Args:
      weighting: `elbert`: w_i = sigmoid(t_i) for i < D and w_D = D - sum of the others
        (Eq. 2); `equal`: 1; `depth`: i.
      t: ELBERT's trainable variables; the other weightings use its size only.
    """
    depth = t.shape[0] + 1
    if weighting == "elbert":
        w = jax.nn.sigmoid(t)
        return jnp.append(w, depth - w.sum())
    if weighting == "equal":
        return jnp.ones(depth)
    if weighting == "depth":
        return jnp.arange(1.0, depth + 1)
    raise ValueError(f"weighting is {weighting!r}; it may be {', '.join(WEIGHTINGS)}")


def weighted_mean(
    values: Float[Array, "D B"], weight: Float[Array, " B"]
) -> Float[Array, " D"]:
    """Returns the mean over the texts, where `weight` is 0 at filler rows."""
    return (values * weight[None]).sum(-1) / jnp.maximum(weight.sum(), 1.0)


def layer_losses(
    logits: Float[Array, "D B C"],
    labels: Int[Array, " B"],
    weight: Float[Array, " B"],
) -> Float[Array, " D"]:
    """Returns L_i, the mean cross-entropy of each layer (Eq. 1), in nats."""
    every_layer = jnp.broadcast_to(labels, logits.shape[:2])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, every_layer)
    return weighted_mean(losses, weight)
