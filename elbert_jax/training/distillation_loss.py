"""The losses of distillation: the teacher's hidden states and text vectors.

Letters: B texts, L tokens, H hidden size, D layers of the student, M of them matched to
a layer of the teacher, V dimensions of a text's vectors.

Layer k of the student learns the hidden states of the teacher's layer at the same
relative depth, for all tokens but [CLS]. They are standardised per dimension, since
layers differ in scale, and predicted through a scale and shift per dimension and layer.
[CLS] learns the teacher's vectors of the whole text at every layer: the pooler predicts
the first H of them, the mean of the last layer's tokens, and one linear map, shared by
all layers, predicts the others. These maps are discarded after training.

References:
    Jiao et al., "TinyBERT: Distilling BERT for Natural Language Understanding",
    Findings of EMNLP 2020: hidden states layer by layer, through a map.
    Reimers and Gurevych, "Sentence-BERT", EMNLP 2019: the mean of a text's tokens.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from elbert_jax.model import albert
from elbert_jax.model.albert import Albert
from elbert_jax.model.config import AlbertConfig
from elbert_jax.training.stage import Loss

# Standard deviation of the pooler's output before its tanh, which thus stays in its
# steep part.
POOLER_SCALE = 0.5


class TaughtBatch(NamedTuple):
    """B texts, with the teacher's outputs as targets."""

    tokens: Any  # int32 [B, L]
    mask: Any  # bool [B, L]: True at real tokens
    hidden: tuple[Any, ...]  # M of float32 [B, L, H], standardised
    vectors: Any  # float32 [B, V], standardised


class Maps(NamedTuple):
    """From the student's hidden states to the targets."""

    scale: Float[Array, "M H"]
    shift: Float[Array, "M H"]
    kernel: Float[Array, "H V-H"]  # of [CLS], for all layers
    bias: Float[Array, " V-H"]


def matched(student: int, teacher: int) -> dict[int, int]:
    """Returns the teacher's layer that each matched layer of a student learns.

    Args:
      student: its number of layers.
      teacher: its number of layers.

    >>> matched(4, 6)
    {2: 3, 4: 6}
    """
    layers = range(1, student + 1)
    return {n: n * teacher // student for n in layers if n * teacher % student == 0}


def hidden_states(model: Albert, batch: Any) -> list[Float[Array, "B L H"]]:
    """Returns the student's hidden states after every layer."""
    x = model.embed(batch.tokens, jnp.zeros_like(batch.tokens))
    states = []
    for _ in range(model.config.num_hidden_layers):
        x = model.layer(x, batch.mask)
        states.append(x)
    return states


def errors(
    model: Albert,
    maps: Maps,
    batch: TaughtBatch,
    states: Sequence[Array],
    layers: Sequence[int],
) -> tuple[Float[Array, " M"], Float[Array, " D"]]:
    """Returns the mean squared errors of hidden states and of vectors, by layer.

    Args:
      model: the student.
      states: its `hidden_states`.
      layers: its M matched layers, from 1.
    """
    real = batch.mask.at[:, 0].set(False)
    weight = real.astype(jnp.float32) / jnp.maximum(real.sum(), 1)
    hidden = []
    for number, (layer, target) in enumerate(zip(layers, batch.hidden)):
        scale, shift = maps.scale[number], maps.shift[number]
        x = states[layer - 1] * scale[None, None] + shift[None, None]
        hidden.append((jnp.square(x - target).mean(-1) * weight).sum())
    cls = jnp.stack([x[:, 0] for x in states])  # [D, B, H]
    mapped = cls @ maps.kernel + maps.bias[None, None]
    predicted = jnp.concatenate([model.pooler(cls) / POOLER_SCALE, mapped], -1)
    vectors = jnp.square(predicted - batch.vectors[None]).mean((1, 2))
    return jnp.stack(hidden), vectors


def make(
    config: AlbertConfig,
    layers: Sequence[int],
    hidden_weight: float,
    vector_weight: float,
) -> Loss:
    """Returns the loss of `{"model": {"albert": ..., "maps": ...}}`.

    It is the weighted sum of two means: of the hidden states' errors over the matched
    layers, where the last counts twice, and of the vectors' errors over all layers,
    where layer k counts k times. `layers` are the M matched ones, from 1.
    """
    by_match = jnp.array([1.0] * (len(layers) - 1) + [2.0])
    by_layer = jnp.arange(1.0, config.num_hidden_layers + 1)

    def loss(variables: Any, batch: TaughtBatch, key: Array):
        del key  # there is no dropout
        model = albert.bind(config, variables["model"]["albert"])
        maps = Maps(**variables["model"]["maps"])
        hidden, vectors = errors(
            model, maps, batch, hidden_states(model, batch), layers
        )
        hidden_loss = (hidden * by_match).sum() / by_match.sum()
        vector_loss = (vectors * by_layer).sum() / by_layer.sum()
        total = hidden_weight * hidden_loss + vector_weight * vector_loss
        return total, {
            "hidden_loss": hidden_loss,
            "vector_loss": vector_loss,
            "hidden_error_last": hidden[-1],
            "vector_error_first": vectors[0],
            "vector_error_last": vectors[-1],
        }

    return loss
