"""A teacher's outputs as training targets of mean 0 and standard deviation 1.

Letters: B texts, L tokens, H hidden size, M matched layers, V dimensions of a text's
vectors.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from elbert_jax.data.sentence_batches import TextBatch
from elbert_jax.hub.teacher import Teacher
from elbert_jax.model import bert
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig
from elbert_jax.training.distillation_loss import TaughtBatch

_TOLERANCE = 1e-2  # RMS change of the hidden states that bfloat16 may cause
_CONSTANT = 1e-6  # a dimension of smaller standard deviation is not divided by it


class Targets:
    """Runs the teacher on texts: `TextBatch` to `TaughtBatch`."""

    def __init__(
        self,
        teacher: Teacher,
        layers: Sequence[int],
        sample: Sequence[TextBatch],
        dtype: str = "",
    ):
        """Measures the mean and standard deviation of every target.

        Args:
          layers: the M of the teacher whose hidden states are targets, from 1.
          sample: texts to measure on.
          dtype: of matmul inputs; "": bfloat16 if this machine is fast at it and it
            changes the hidden states by at most 1e-2 (RMS), else float32.
        """
        self.params, self.layers = teacher.params, tuple(layers)
        self.config = teacher.config
        dtype = dtype or self._fastest_dtype(sample[0])
        self.config = dataclasses.replace(teacher.config, dtype=dtype)
        self.mean, self.deviation = self._moments(sample)

    def __call__(self, batch: TextBatch) -> TaughtBatch:
        outputs = self._run(batch)
        return TaughtBatch(*batch, *_standardised(outputs, self.mean, self.deviation))

    def _run(self, batch: TextBatch) -> Any:
        return _hidden_and_vectors(
            self.params, batch, config=self.config, layers=self.layers
        )

    def _moments(self, sample: Sequence[TextBatch]) -> Any:
        """Returns means and standard deviations, each of the outputs' structure."""
        sums: list[Any] = []
        for batch in sample:
            hidden, vectors = jax.device_get(self._run(batch))
            real = batch.mask.copy()
            real[:, 0] = False
            rows = [x[real].astype(np.float64) for x in hidden]
            rows.append(vectors.astype(np.float64))
            sums.append([(len(x), x.sum(0), np.square(x).sum(0)) for x in rows])
        moments = []
        for parts in zip(*sums):
            count, total, squares = (sum(each) for each in zip(*parts))
            mean = total / count
            deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
            deviation[deviation < _CONSTANT] = 1
            moments.append((jnp.float32(mean), jnp.float32(deviation)))
        return [(parts[:-1], parts[-1]) for parts in zip(*moments)]

    def _fastest_dtype(self, batch: TextBatch) -> str:
        if jax.default_backend() == "cpu" and not _cpu_has_bfloat16():
            return "float32"
        exact, _ = self._run(batch)
        self.config = dataclasses.replace(self.config, dtype="bfloat16")
        rounded, _ = self._run(batch)
        errors = [jnp.sqrt(jnp.square(a - b).mean()) for a, b in zip(exact, rounded)]
        return "bfloat16" if max(errors) <= _TOLERANCE else "float32"


@functools.partial(jax.jit, static_argnames=("config", "layers"))
def _hidden_and_vectors(
    params: Params, batch: TextBatch, *, config: AlbertConfig, layers: tuple[int, ...]
) -> tuple[tuple[Float[Array, "B L H"], ...], Float[Array, "B V"]]:
    """Returns the hidden states of some layers, and the vectors of the texts.

    The vectors are the mean over the text's tokens of the last layer, of the one before
    and of the middle one, and the last layer's [CLS].
    """
    types = jnp.zeros_like(batch.tokens)
    states = bert.bind(config, params)(batch.tokens, batch.mask, types)
    last = config.num_hidden_layers
    weight = batch.mask.astype(jnp.float32)
    weight /= weight.sum(1, keepdims=True)
    means = [
        jnp.einsum("blh,bl->bh", states[n], weight)
        for n in (last, max(1, last - 1), max(1, last // 2))
    ]
    vectors = jnp.concatenate([*means, states[last][:, 0]], -1)
    return tuple(states[n] for n in layers), vectors


@jax.jit
def _standardised(outputs: Any, mean: Any, deviation: Any) -> Any:
    def standardise(x: Array, m: Array, d: Array) -> Array:
        shape = (1,) * (x.ndim - 1) + m.shape
        return (x - m.reshape(shape)) / d.reshape(shape)

    return jax.tree.map(standardise, outputs, mean, deviation)


def _cpu_has_bfloat16() -> bool:
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
