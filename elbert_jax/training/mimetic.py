"""A start for little text: parameters that look like those of a trained model.

Words begin as vectors made from the text, positions as sinusoids in dimensions of their
own. Attention hands on what it reads as it is; half of its heads read one neighbour
each, as the position tells, the others the mean of the text. The masked-word head
reads off the word that an embedding is most like, or else the most frequent. All of it
is free to change.

Attention by position is what training finds last: without this start a small model took
its first ten million tokens to get there.

References:
    Trockman and Kolter, "Mimetic Initialization of Self-Attention Layers", ICML 2023:
    values and output near the identity.
    Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.5: an offset
    rotates a sinusoid, so that a head can read the token at one.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from elbert_jax.model.albert import AlbertConfig, Params

READS = ("mean", "neighbours")  # what the heads of a model that is so begun read
_LENGTH = 0.5  # of a word's vector and a position's; what is drawn has 0.2
_SCORE = 5.0  # of the neighbour that a head reads, before the softmax; the others' is 0


def word_size(config: AlbertConfig, reads: str) -> int:
    """Returns W, how many dimensions of an embedding, the first, are the words'.

    To read neighbours the positions have the rest: a quarter, or what a head has room
    for. To read the mean they need none.
    """
    if reads == "mean":
        return config.embedding_size
    head = config.hidden_size // config.num_attention_heads
    return config.embedding_size - min(config.embedding_size // 4, head) // 2 * 2


def begin(
    config: AlbertConfig,
    params: Params,
    vectors: Float[np.ndarray, "V W"],
    counts: Int[np.ndarray, " V"],
    key: Array,
) -> Params:
    """Returns fresh parameters of `AlbertForPreTraining`, begun as told above.

    Args:
      config: the model's shape.
      params: as `masked_lm.init` gives them; they stay as they are.
      vectors: of the pieces; W is `word_size`, and tells what the heads read.
      counts: how often a piece is in the text; the others keep what was drawn.
      key: of the projection, and of the positions' frequencies.
    """
    params = jax.tree.map(lambda x: x, params)
    model, head = params["albert"], params["predictions"]
    for_projection, for_frequencies = jax.random.split(key)
    words, size = vectors.shape[1], config.embedding_size
    waves = (size - words) // 2  # F
    frequency = jax.random.uniform(for_frequencies, (waves,))  # radians a token,
    frequency += jnp.arange(waves, dtype=jnp.float32)  # spread over half a turn
    frequency *= math.pi / max(waves, 1)

    table = model["embeddings"]["word_embeddings"]
    table["embedding"] = _words(table["embedding"], vectors * (counts > 0)[:, None])
    table = model["embeddings"]["position_embeddings"]
    table["embedding"] = _positions(table["embedding"], frequency)
    orthogonal = nnx.initializers.orthogonal()
    projection = orthogonal(for_projection, (size, config.hidden_size))
    model["embedding_hidden_mapping_in"]["kernel"] = projection
    for layer in model["albert_layers"].values():
        _attend(config, layer["attention"], projection[words:].T, frequency)

    kernel = head["dense"]["kernel"]
    head["dense"]["kernel"] = kernel.at[:, :words].add(projection[:words].T)
    share = (counts + 0.5) / (counts + 0.5).sum()
    head["bias"] = jnp.asarray(np.log(share), jnp.float32)
    return params


def _words(drawn: Float[Array, "V E"], vectors: np.ndarray) -> Float[Array, "V E"]:
    """Returns the vectors, equally long, or what was drawn; zeros for the positions."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    seen = length > 0
    words = jnp.where(
        seen,
        vectors * _LENGTH / np.where(seen, length, 1),
        drawn[:, : vectors.shape[1]],
    )
    return jnp.zeros_like(drawn).at[:, : vectors.shape[1]].set(words)


def _positions(
    drawn: Float[Array, "P E"], frequency: Float[Array, " F"]
) -> Float[Array, "P E"]:
    """Returns sines, then cosines in the last 2F dimensions, and what was drawn."""
    place = jnp.arange(len(drawn), dtype=jnp.float32)
    angle = place[:, None] * frequency[None]
    both = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=1)
    both *= _LENGTH / math.sqrt(max(len(frequency), 1))
    return drawn.at[:, drawn.shape[1] - both.shape[1] :].set(both)


def _attend(
    config: AlbertConfig,
    attention: Params,
    positions: Float[Array, "H 2F"],
    frequency: Float[Array, " F"],
) -> None:
    """Has the values handed on, and half of the heads read a neighbour each."""
    for name in "value", "dense":
        attention[name]["kernel"] += jnp.eye(config.hidden_size)
    size = config.hidden_size // config.num_attention_heads
    # Half of a normalised embedding is its position's: its square is E / 2.
    scale = math.sqrt(_SCORE * math.sqrt(size) / (config.embedding_size / 2))
    sine, cosine = jnp.split(positions, 2, axis=1)
    for number in range(config.num_attention_heads // 2):
        offset = (number // 2 + 1) * (-1) ** number  # 1 before, 1 after, 2 before, ...
        turn = (frequency * offset)[None]
        turned = (
            sine * jnp.cos(turn) + cosine * jnp.sin(turn),
            cosine * jnp.cos(turn) - sine * jnp.sin(turn),
        )
        columns = slice(number * size, number * size + positions.shape[1])
        for name, kernel in (
            ("query", positions),
            ("key", jnp.concatenate(turned, axis=1)),
        ):
            drawn = attention[name]["kernel"]
            attention[name]["kernel"] = drawn.at[:, columns].add(scale * kernel)
