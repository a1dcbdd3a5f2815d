"""What one update does to matrices, biases, LayerNorms and t."""

import itertools
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from elbert_jax.model import albert
from elbert_jax.model.config import AlbertConfig
from elbert_jax.training import optimizer

pytestmark = pytest.mark.usefixtures("optax_promotes")

PARAMS = {
    "model": {
        "dense": {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.full(2, 2.0)},
        "layer_norm": {"scale": jnp.full(2, 2.0), "bias": jnp.full(2, 2.0)},
    },
    "t": jnp.full(3, 4.0),
}
ZERO = jax.tree.map(jnp.zeros_like, PARAMS)


def build(*, weight_decay=0.0, clip_norm=1.0, accumulate=1, **others):
    return optimizer.build(
        **others,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        t_learning_rate=0.01,
        accumulate=accumulate,
    )


def after(tx, gradients, params=PARAMS, rates: Iterable[float] = itertools.repeat(0.1)):
    """Returns the parameters after each of the gradients."""

    @jax.jit
    def step(params, state, gradient, rate):
        updates, state = tx.update(gradient, state, params, rate=rate)
        return optax.apply_updates(params, updates), state

    state, seen = tx.init(params), []
    for gradient, rate in zip(gradients, rates):
        params, state = step(params, state, gradient, np.float32(rate))
        seen.append(params)
    return seen


def random_gradients(count):
    draw = np.random.default_rng(0)

    def like(leaf):
        return jnp.asarray(draw.normal(size=leaf.shape), jnp.float32)

    return [jax.tree.map(like, PARAMS) for _ in range(count)]


def assert_close(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, want)


def test_decay_is_for_matrices_alone():
    [params] = after(build(weight_decay=0.5), [ZERO])
    want = jax.tree.map(lambda leaf: leaf, PARAMS)
    want["model"]["dense"]["kernel"] *= 1 - 0.1 * 0.5
    assert_close(params, want)


def test_decay_mask_of_albert():
    config = AlbertConfig(
        vocab_size=8, hidden_size=24, intermediate_size=8, exit_heads="mlp"
    )
    params = jax.eval_shape(lambda: albert.init(config, jax.random.key(0)))
    for path, decays in jax.tree.leaves_with_path(optimizer.decay_mask(params)):
        assert decays == (path[-1].key in ("kernel", "embedding")), path


@pytest.mark.parametrize("name", ["adamw", "lamb"])
def test_stacked_models_learn_together_what_each_learns_alone(name):
    settings = {"name": name, "weight_decay": 0.5, "clip_norm": 2.0}
    rates = [0.02, 0.1, 0.05]
    gradients = [(a, b) for a, b in zip(random_gradients(3), random_gradients(6)[3:])]
    starts = PARAMS, jax.tree.map(lambda x: x * 3 - 1, PARAMS)

    def stack(pair):
        whole = jax.tree.map(lambda *x: jnp.stack(x), *pair)
        return {"model": whole["model"]}

    tx = build(stacked=True, **settings)
    got = after(tx, [stack(pair) for pair in gradients], stack(starts), rates)[-1]
    alone = [
        after(build(**settings), [pair[i] for pair in gradients], start, rates)[-1]
        for i, start in enumerate(starts)
    ]
    assert_close(got, stack(alone))


def test_t_has_a_learning_rate_of_its_own():
    gradient = ZERO | {"t": jnp.array([3.0, -0.5, 0.0])}
    [params] = after(build(weight_decay=0.5), [gradient])
    # Adam's first step is the rate, against the gradient's sign.
    np.testing.assert_allclose(params["t"], [3.99, 4.01, 4.0], rtol=1e-6)


def test_the_models_gradient_is_clipped_at_the_norm_and_t_does_not_count():
    first, second = random_gradients(2)
    first["t"] *= 1e3
    second = jax.tree.map(lambda g: g / 10, second)
    norm, small = optax.tree.norm(first["model"]), optax.tree.norm(second["model"])
    assert small < 2 < norm
    scaled = first | {"model": jax.tree.map(lambda g: g * 2 / norm, first["model"])}
    clipped = after(build(clip_norm=2.0), [first, second])[-1]
    assert_close(clipped, after(build(clip_norm=1e9), [scaled, second])[-1])
    free = after(build(clip_norm=1e9), [first, second])[-1]
    assert not np.allclose(*(p["model"]["dense"]["bias"] for p in (clipped, free)))


@pytest.mark.parametrize(
    ("total", "ratio", "want"),
    [
        (8, 0.25, [0, 0.5, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0]),
        (4, 0.0, [1, 3 / 4, 2 / 4, 1 / 4, 0]),
        (1, 0.1, [1, 0]),  # a warm-up of no update
    ],
)
def test_learning_rate_rises_and_falls(total, ratio, want):
    schedule = optimizer.warmup_decay(2.0, total, ratio)
    rates = [np.asarray(schedule(update)) for update in range(total + 1)]
    np.testing.assert_allclose(rates, 2 * np.array(want), rtol=1e-6)


def test_two_accumulated_batches_are_one_batch_of_their_mean_gradient():
    a, b, c, d = random_gradients(4)
    mean = [jax.tree.map(lambda x, y: (x + y) / 2, *pair) for pair in [(a, b), (c, d)]]
    tx = build(weight_decay=0.5, accumulate=2)
    by_batch = after(tx, [a, b, c, d], rates=[0.02, 0.02, 0.1, 0.1])
    by_update = after(build(weight_decay=0.5), mean, rates=[0.02, 0.1])
    assert_close(by_batch[0], PARAMS)
    assert_close(by_batch[1], by_batch[2])
    assert_close(by_batch[1::2], by_update)


def test_the_rate_stays_at_its_peak_until_the_decay():
    rate = optimizer.warmup_stable_decay(2.0, 100, 0.1, 0.2)
    got = [np.asarray(rate(n)) for n in (0, 5, 10, 50, 80, 90, 99, 100)]
    np.testing.assert_allclose(got, [0, 1, 2, 2, 2, 1, 0.1, 0], atol=1e-6)
    # With no room for a plateau it is the other schedule.
    longest = optimizer.warmup_stable_decay(2.0, 100, 0.1, 1.0)
    other = optimizer.warmup_decay(2.0, 100, 0.1)
    updates = np.arange(101)
    np.testing.assert_allclose(longest(updates), other(updates), rtol=1e-6)
