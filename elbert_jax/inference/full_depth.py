"""Batches at full depth, none of whose texts leaves early.

Letters: M texts, D layers, C classes.
"""

import functools
from collections.abc import Iterable

import jax
import numpy as np
from jaxtyping import Float

from elbert_jax.data.batching import Batch
from elbert_jax.model import albert
from elbert_jax.model.albert import AlbertConfig, Params


@functools.partial(jax.jit, static_argnames="config")
def _forward(config: AlbertConfig, params: Params, batch: Batch) -> jax.Array:
    return albert.bind(config, params)(*batch.inputs)


def every_layer(
    config: AlbertConfig, params: Params, batches: Iterable[Batch], texts: int
) -> Float[np.ndarray, "D M C"]:
    """Returns the logits of every layer for a corpus of `texts` texts, in its order."""
    shape = (config.num_hidden_layers, texts, config.num_labels)
    logits = np.zeros(shape, np.float32)
    for batch in batches:
        real = batch.weight > 0
        output = np.asarray(_forward(config, params, batch))
        logits[:, batch.index[real]] = output[:, real]
    return logits
