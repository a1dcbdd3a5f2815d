"""What the pretraining heads are trained for, and what they reach.

Letters: as in `masked_lm`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from elbert_jax.data.passages import MaskedBatch
from elbert_jax.model import pretraining_heads
from elbert_jax.model.albert import AlbertConfig
from elbert_jax.training.stage import Loss


def make(
    config: AlbertConfig, depth: int, every: int, remat: bool, bag_of_words: float
) -> Loss:
    """Returns the loss of `{"model": AlbertForPreTraining's parameters}`.

    It is the mean over the layers that speak of the masked pieces' and the sentence
    order's cross-entropies, and over all layers of the bag of words'. It measures them
    at the last, and the accuracies of the first two.

    Args:
      config: shape of the model.
      depth: times the layer is applied.
      every: see `masked_lm.AlbertForPreTraining`.
      remat: likewise.
      bag_of_words: weight of the loss of that name.
    """

    def loss(variables: Any, batch: MaskedBatch, key: Array):
        model = pretraining_heads.bind(config, variables["model"])
        logits = model(*batch.inputs, depth=depth, every=every, remat=remat, key=key)
        reached = scores(batch, logits, bag_of_words > 0)
        total = reached["mlm_loss"].mean() + reached["sop_loss"].mean()
        if bag_of_words:
            total += bag_of_words * reached["bow_loss"].mean()
        return total, {name: values[-1] for name, values in reached.items()}

    return loss


def scores(
    batch: MaskedBatch, logits: pretraining_heads.Logits, bag: bool
) -> dict[str, Array]:
    """Returns mean losses, in nats, and accuracies, [R]; the bag of words' is [D].

    Args:
      batch: what is asked for.
      logits: what the heads say of it.
      bag: whether the bag of words is judged.
    """
    asked = jax.vmap(functools.partial(_asked, batch))(logits.pieces, logits.order)
    if not bag:
        return asked
    bow_loss = jax.vmap(functools.partial(_bag_of_words, batch))(logits.bag)
    return asked | {"bow_loss": bow_loss}


def _asked(batch: MaskedBatch, pieces: Array, order: Array) -> dict[str, Array]:
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels
    weight, asked = batch.weight, jnp.maximum(batch.weight.sum(), 1.0)
    hits = (pieces.argmax(-1) == batch.targets).astype(jnp.float32)
    in_order = (order.argmax(-1) == batch.swapped).astype(jnp.float32)
    return {
        "mlm_loss": (cross_entropy(pieces, batch.targets) * weight).sum() / asked,
        "mlm_accuracy": (hits * weight).sum() / asked,
        "sop_loss": cross_entropy(order, batch.swapped).mean(),
        "sop_accuracy": in_order.mean(),
    }


def _bag_of_words(batch: MaskedBatch, logits: Array) -> Array:
    """Returns the mean loss, in nats, of the pieces that a row shows, all alike."""
    of_pieces = jnp.take_along_axis(logits, batch.tokens, axis=-1)  # [B, L]
    loss = jax.nn.logsumexp(logits, axis=-1, keepdims=True) - of_pieces
    count = jnp.maximum(batch.shown.sum(1), 1)
    return (jnp.where(batch.shown, loss, 0).sum(1) / count).mean()
