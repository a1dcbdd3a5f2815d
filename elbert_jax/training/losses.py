"""The losses of all exits, and their weights.

Letters: B texts, C classes, D layers.

References:
    Xie et al., "ELBERT: Fast ALBERT with Confidence-Window Based Early Exit",
    ICASSP 2021, Eq. 1-3.
    Distillation: Liu et al., "FastBERT: a Self-distilling BERT with Adaptive Inference
    Time", ACL 2020, and section 3.2 of Course5's paper on sustainable models.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

WEIGHTINGS = ("elbert", "equal", "depth")  # of exits that are trained jointly
INITIAL_T = 4.0


def initial_t(num_layers: int) -> Float[Array, " D-1"]:
    """Returns ELBERT's trainable t_i before training: 4 at every layer but the last."""
    # Of a weak type, such as that of 4.0, the second step would compile again.
    return jnp.full(num_layers - 1, INITIAL_T, jnp.float32)


def layer_weights(weighting: str, t: Float[Array, " D-1"]) -> Float[Array, " D"]:
    """Returns w_i, the weight of each layer's loss.

    Args:
      weighting: `elbert`: w_i = sigmoid(t_i) for i < D and w_D = D - sum of the others
        (Eq. 2); `equal`: 1; `depth`: i; `last`: 0, and 1 at D.
      t: ELBERT's trainable variables; the other weightings only use its size.
    """
    depth = t.shape[0] + 1
    if weighting == "elbert":
        w = jax.nn.sigmoid(t)
        return jnp.append(w, depth - w.sum())
    if weighting == "equal":
        return jnp.ones(depth)
    if weighting == "depth":
        return jnp.arange(1.0, depth + 1)
    if weighting == "last":
        return jnp.zeros(depth).at[-1].set(1.0)
    raise ValueError(f"weighting is {weighting!r}; it may be {', '.join(WEIGHTINGS)}")


def weighted_mean(
    values: Float[Array, "D B"], weight: Float[Array, " B"]
) -> Float[Array, " D"]:
    """Returns the mean over the texts; `weight` is 0 at filler rows."""
    return (values * weight[None]).sum(-1) / jnp.maximum(weight.sum(), 1.0)


def layer_losses(
    logits: Float[Array, "D B C"], labels: Int[Array, " B"], weight: Float[Array, " B"]
) -> Float[Array, " D"]:
    """Returns L_i, the mean cross-entropy of each layer (Eq. 1), in nats."""
    every_layer = jnp.broadcast_to(labels, logits.shape[:2])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, every_layer)
    return weighted_mean(losses, weight)


def distillation(
    logits: Float[Array, "D B C"], weight: Float[Array, " B"]
) -> Float[Array, " D"]:
    """Returns the mean divergence of each layer's distribution from the last layer's.

    It is KL(student || teacher), in nats, as the papers print it (the published code of
    FastBERT computes KL(teacher || student)). The teacher gets no gradient; its own
    divergence is 0.
    """
    log_p = jax.nn.log_softmax(logits)
    students, teacher = log_p[:-1], jax.lax.stop_gradient(log_p[-1])
    teacher = jnp.broadcast_to(teacher, students.shape)
    divergence = optax.losses.kl_divergence_with_log_targets(teacher, students)
    return jnp.append(weighted_mean(divergence, weight), 0.0)
