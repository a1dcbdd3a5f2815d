"""The pretraining heads: at which positions, with which gradient, which dropout."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from elbert_jax.model import pretraining_heads
from elbert_jax.model.config import AlbertConfig

CONFIG = AlbertConfig(
    vocab_size=50,
    embedding_size=8,
    hidden_size=16,
    num_attention_heads=4,
    intermediate_size=32,
    max_position_embeddings=12,
    initializer_range=0.3,
    classifier_dropout_prob=0.0,
)
B, L, P = 3, 12, 4
_rng = np.random.default_rng(0)
TOKENS = jnp.asarray(_rng.integers(0, 50, (B, L), np.int32))
MASK = jnp.asarray(np.arange(L) < np.array([[12], [7], [3]]))
TYPES = jnp.asarray(_rng.integers(0, 2, (B, L), np.int32))
POSITIONS = jnp.asarray(_rng.integers(0, L, (B, P), np.int32))
ALL = jnp.tile(jnp.arange(L), (B, 1))


@functools.partial(jax.jit, static_argnames=("config", "depth", "remat"))
def run(params, key=None, *, positions=POSITIONS, config=CONFIG, **switches):
    model = pretraining_heads.bind(config, params)
    return model(TOKENS, MASK, TYPES, positions, key=key, **switches)


@pytest.fixture(scope="module")
def params():
    return pretraining_heads.init(CONFIG, jax.random.key(1))


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


def test_only_the_positions_asked_for_meet_the_vocabulary(params):
    want, got = (run(params, positions=p, depth=2).tokens for p in (ALL, POSITIONS))
    assert got.shape == (B, P, 50)
    close(got, want[jnp.arange(B)[:, None], POSITIONS])


def test_remat_leaves_the_gradient_as_it_is(params):
    config = dataclasses.replace(
        CONFIG, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2
    )

    def gradient(remat):
        def loss(params):
            key = jax.random.key(3)
            logits = run(params, key, config=config, depth=2, remat=remat)
            return sum(jnp.mean(jax.nn.logsumexp(x, axis=-1)) for x in logits)

        assert ("remat" in str(jax.make_jaxpr(loss)(params))) == remat
        return ravel_pytree(jax.grad(loss)(params))[0]

    want, got = gradient(False), gradient(True)
    assert np.linalg.norm(got - want) <= 1e-6 * np.linalg.norm(want) > 0


def test_key_matters_only_with_a_dropout_rate(params):
    one, other = jax.random.key(7), jax.random.key(8)
    still = run(params, depth=2)
    for rate, moves in (
        ("hidden_dropout_prob", (True, True)),
        ("attention_probs_dropout_prob", (True, True)),
        ("classifier_dropout_prob", (False, True)),
        (None, (False, False)),
    ):
        config = dataclasses.replace(CONFIG, **{rate: 0.5} if rate else {})
        outputs = [
            run(params, key, config=config, depth=2) for key in (one, one, other)
        ]
        close(run(params, config=config, depth=2)[0], still[0])
        for head, moved in enumerate(moves):
            first, again, second = (logits[head] for logits in outputs)
            np.testing.assert_array_equal(first, again)
            for logits in (still[head], second):
                change = np.abs(first - logits).max()
                assert change > 1e-2 if moved else change < 1e-5
