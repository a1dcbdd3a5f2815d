"""The pretraining loss and its metrics: masked tokens and sentence order.

Letters: as in `pretraining_heads`.
"""

from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array

from elbert_jax.data.passages import MaskedBatch
from elbert_jax.model import pretraining_heads
from elbert_jax.model.config import AlbertConfig
from elbert_jax.training.train_step import Loss


def make(config: AlbertConfig, depth: int, remat: bool) -> Loss:
    """Returns the loss of `{"model": AlbertForPreTraining's parameters}`.

    It is the sum of the mean cross-entropies of the masked tokens and of the sentence
    order, after `depth` layer applications; its metrics are those of `scores`.
    """

    def loss(variables: Any, batch: MaskedBatch, key: Array):
        model = pretraining_heads.bind(config, variables["model"])
        logits = model(*batch.inputs, depth=depth, remat=remat, key=key)
        measured = scores(batch, logits)
        return measured["mlm_loss"] + measured["sop_loss"], measured

    return loss


def scores(batch: MaskedBatch, logits: pretraining_heads.Logits) -> dict[str, Array]:
    """Returns the mean loss, in nats, and the accuracy of both heads."""
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels
    weight, count = batch.weight, jnp.maximum(batch.weight.sum(), 1.0)
    hits = (logits.tokens.argmax(-1) == batch.targets).astype(jnp.float32)
    right_order = (logits.order.argmax(-1) == batch.swapped).astype(jnp.float32)
    mlm_losses = cross_entropy(logits.tokens, batch.targets)
    return {
        "mlm_loss": (mlm_losses * weight).sum() / count,
        "mlm_accuracy": (hits * weight).sum() / count,
        "sop_loss": cross_entropy(logits.order, batch.swapped).mean(),
        "sop_accuracy": right_order.mean(),
    }
