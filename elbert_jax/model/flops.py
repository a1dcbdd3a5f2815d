"""Floating-point operations of an ALBERT forward pass; a multiply-add counts as two."""

import numpy as np
from numpy.typing import ArrayLike

from elbert_jax.model.config import AlbertConfig
from elbert_jax.model.heads import WIDTH


def layer_per_token(config: AlbertConfig, length: ArrayLike) -> np.ndarray:
    """Returns FLOPs per token of one layer, in a text of `length` tokens.

    Query, key, value and output take 8 H^2, the feed-forward 4 H F, attention scores
    and their weighted sum 4 L H: together 24 H^2 + 4 L H where F = 4 H.
    """
    h, f = config.hidden_size, config.intermediate_size
    return config.inner_group_num * (8 * h**2 + 4 * h * f + 4 * h * np.asarray(length))


def head(config: AlbertConfig) -> int:
    """Returns FLOPs of the pooler and the classifier for one text."""
    return 2 * config.hidden_size**2 + 2 * config.hidden_size * config.num_labels


def exit_head(config: AlbertConfig, length: ArrayLike) -> np.ndarray:
    """Returns FLOPs of an early layer's head for one text of `length` tokens.

    With W = 128, `mlp` takes 2 H W + 2 W^2 + 2 W C. `attention` takes, per token,
    2 H W, 4 W^2 (key and value) and 4 W (scores and their weighted sum); per text,
    6 W^2 (query, output and dense) and 2 W C. All other shapes cost what `head` does.
    """
    length = np.asarray(length, np.float64)
    if config.exit_heads not in ("mlp", "attention"):
        return np.full_like(length, head(config))
    narrow, square, classes = 2 * config.hidden_size * WIDTH, 2 * WIDTH**2, 2 * WIDTH
    classes *= config.num_labels
    if config.exit_heads == "mlp":
        return np.full_like(length, narrow + square + classes)
    return length * (narrow + 2 * square + 4 * WIDTH) + 3 * square + classes


def text(config: AlbertConfig, length: ArrayLike, depth: ArrayLike) -> np.ndarray:
    """Returns FLOPs of texts of `length` real tokens that exit after layer `depth`.

    Counts the head of every layer up to the exit.
    """
    depth = np.asarray(depth)
    early = np.minimum(depth, config.num_hidden_layers - 1)
    heads = early * exit_head(config, length) + (depth - early) * head(config)
    return _encoder(config, length, depth) + heads


def full_text(config: AlbertConfig, length: ArrayLike) -> np.ndarray:
    """Returns FLOPs of texts at full depth, with the last layer's head only."""
    return _encoder(config, length, config.num_hidden_layers) + head(config)


def masked_token(config: AlbertConfig) -> int:
    """Returns FLOPs of the masked language model head for one masked position."""
    e = config.embedding_size
    return 2 * config.hidden_size * e + 2 * e * config.vocab_size


def _encoder(config: AlbertConfig, length: ArrayLike, depth: ArrayLike) -> np.ndarray:
    length = np.asarray(length, np.float64)
    embed = 2 * config.embedding_size * config.hidden_size * length
    return embed + np.asarray(depth) * length * layer_per_token(config, length)
