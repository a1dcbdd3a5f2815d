"""Initial parameters of a distilled student, in closed form from its teacher's.

Letters: V tokens of the vocabulary, E embedding size, H hidden size, D layers of the
student, M matched layers.

The teacher's word embeddings are projected onto their E principal directions, weighted
by word frequency, and rotated at random: the LayerNorm that follows expects dimensions
of like scale. Positions and token types go through the same projection. The map from E
to H is a least-squares fit to the teacher's embeddings of real text, the shared layer
is the mean of the teacher's layers, and the pooler and the maps to the targets are
least-squares fits.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from elbert_jax.data.sentence_batches import TextBatch
from elbert_jax.hub.teacher import Teacher
from elbert_jax.model import albert, bert
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig
from elbert_jax.training import distillation_loss
from elbert_jax.training.distillation_loss import POOLER_SCALE, TaughtBatch

_POWER = 0.75  # of a word's frequency, as its weight
# Ridges, relative to the mean square of the inputs. At first [CLS] hardly differs
# between texts: a smaller ridge gives maps so steep that training diverges.
_PROJECTION_RIDGE, _MAPS_RIDGE = 1e-3, 1e-2


def initial_params(
    teacher: Teacher,
    config: AlbertConfig,
    counts: Int[np.ndarray, " V"],
    sample: Sequence[TextBatch],
    key: Array,
) -> Params:
    """Returns parameters of `Albert` made from a teacher's.

    Args:
      config: shape of the student; H, heads and activation are the teacher's.
      counts: frequencies of the tokens.
      sample: texts to fit the map from E to H on.
      key: of the random rotation, the pooler and the classifier.
    """
    tables = jax.tree.map(np.float64, jax.device_get(teacher.params["embeddings"]))
    words, positions, types = (
        tables[f"{name}_embeddings"]["embedding"]
        for name in ("word", "position", "token_type")
    )
    # A common vector is moved from positions and types to the words.
    position = positions[: sample[0].tokens.shape[1]].mean(0)
    words = words + (position + types[0])[None]
    projection = _principal_directions(words, counts, config, key)
    params = jax.tree.map(lambda x: x, albert.init(config, key))
    for name, table in (
        ("word", words),
        ("position", positions - position[None]),
        ("token_type", types - types[:1]),
    ):
        embedding = {"embedding": jnp.float32(table @ projection)}
        params["embeddings"][f"{name}_embeddings"] = embedding
    for number in params["albert_layers"]:
        layers = [
            layer
            for n, layer in teacher.params["layers"].items()
            if int(n) % config.inner_group_num == int(number)
        ]
        mean = jax.tree.map(lambda *x: sum(x) / len(x), *layers)
        params["albert_layers"][number] = mean
    params["embedding_hidden_mapping_in"] = _mapping_in(teacher, config, params, sample)
    return params


def fit_maps(
    config: AlbertConfig,
    params: Params,
    sample: Sequence[TaughtBatch],
    layers: Sequence[int],
) -> tuple[Params, dict[str, Array]]:
    """Returns a student's pooler and the fields of `Maps`, fitted to the targets.

    Args:
      sample: texts and targets to fit on.
      layers: the M matched layers of the student, from 1.
    """

    @jax.jit
    def outputs(params: Params, batch: TaughtBatch) -> Any:
        states = distillation_loss.hidden_states(albert.bind(config, params), batch)
        return [states[n - 1] for n in layers], jnp.stack([x[:, 0] for x in states])

    size, depth = config.hidden_size, config.num_hidden_layers
    sums = np.zeros((5, len(layers), size))  # of 1, x, y, x x, x y
    cls, vectors = [], []
    for batch in sample:
        hidden, first = jax.device_get(outputs(params, batch))
        real = np.array(batch.mask)
        real[:, 0] = False
        for n, (x, y) in enumerate(zip(hidden, jax.device_get(batch.hidden))):
            x, y = x[real].astype(np.float64), y[real].astype(np.float64)
            terms = np.ones_like(x), x, y, x * x, x * y
            sums[:, n] += [term.sum(0) for term in terms]
        cls.append(first.reshape(-1, size))
        vectors.append(np.tile(jax.device_get(batch.vectors), (depth, 1)))
    count, x, y, xx, xy = sums
    scale = (xy - x * y / count) / np.maximum(xx - x * x / count, 1e-6 * count)
    kernel, bias = _ridge_regression(
        np.concatenate(cls), np.concatenate(vectors), _MAPS_RIDGE
    )
    pooler = {
        "kernel": kernel[:, :size] * POOLER_SCALE,
        "bias": bias[:size] * POOLER_SCALE,
    }
    maps = {
        "scale": scale,
        "shift": (y - scale * x) / count,
        "kernel": kernel[:, size:],
        "bias": bias[size:],
    }
    return jax.tree.map(jnp.float32, pooler), jax.tree.map(jnp.float32, maps)


def _principal_directions(
    table: Float[np.ndarray, "V H"],
    counts: Int[np.ndarray, " V"],
    config: AlbertConfig,
    key: Array,
) -> Float[np.ndarray, "H E"]:
    weight = (counts + 1.0) ** _POWER
    moments = table.T @ (table * (weight / weight.sum())[:, None])
    _, vectors = np.linalg.eigh(moments)  # ascending
    size = config.embedding_size
    random = np.asarray(jax.random.normal(key, (size, size)), np.float64)
    rotation, _ = np.linalg.qr(random)
    return vectors[:, ::-1][:, :size] @ rotation


def _mapping_in(
    teacher: Teacher, config: AlbertConfig, params: Params, sample: Sequence[TextBatch]
) -> Params:
    """Returns the map from E to H that fits the teacher's embeddings of texts."""

    @jax.jit
    def embed(ours: Params, theirs: Params, batch: TextBatch) -> tuple[Array, Array]:
        inputs = batch.tokens, jnp.zeros_like(batch.tokens)
        student, model = albert.bind(config, ours), bert.bind(teacher.config, theirs)
        return student.embeddings(*inputs), model.embeddings(*inputs)

    inputs, outputs = [], []
    for batch in sample:
        x, y = jax.device_get(embed(params, teacher.params, batch))
        inputs.append(x[batch.mask])
        outputs.append(y[batch.mask])
    kernel, bias = _ridge_regression(
        np.concatenate(inputs), np.concatenate(outputs), _PROJECTION_RIDGE
    )
    return {"kernel": jnp.float32(kernel), "bias": jnp.float32(bias)}


def _ridge_regression(
    x: np.ndarray, y: np.ndarray, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the kernel and bias that predict y from x."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    ridge *= np.square(x).mean()
    mean_x, mean_y = x.mean(0), y.mean(0)
    x, y = x - mean_x[None], y - mean_y[None]
    moments = x.T @ x / len(x)
    kernel = np.linalg.solve(moments + ridge * np.eye(len(moments)), x.T @ y / len(x))
    return kernel, mean_y - mean_x @ kernel
