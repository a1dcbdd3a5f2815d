"""Every attention gives the same numbers, and those that run here are timed."""

import jax.numpy as jnp
import numpy as np

from elbert_jax.benchmarking import attention_speed
from elbert_jax.benchmarking.attention_speed import KINDS
from elbert_jax.model.albert import AlbertConfig


def test_jax_computes_what_the_layer_does():
    random = np.random.default_rng(0)
    query, key, value = jnp.asarray(random.normal(size=(3, 4, 6, 8)), jnp.float32)
    mask = jnp.arange(6)[None] < jnp.array([1, 3, 6, 6])[:, None]
    got = KINDS["jax.nn, xla"](query, key, value, mask, 2, "float32")
    want = KINDS["einsum"](query, key, value, mask, 2, "float32")
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_what_cannot_run_here_is_told(monkeypatch):
    monkeypatch.setattr(attention_speed, "LENGTHS", (4,))
    config = AlbertConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=2)
    timed, unavailable = attention_speed.measure(config, 12, 3)
    assert {("einsum", 4), ("jax.nn, xla", 4)} <= set(timed)
    assert len(timed) + len(unavailable) == len(KINDS)
    assert all(len(each.seconds) == 3 for each in timed.values())
