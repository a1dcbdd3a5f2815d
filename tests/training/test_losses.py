"""The losses and weights of three layers, against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from elbert_jax.training import losses

# Probability of the right class: 1/2 1/4, then 1/2 1/2, then 1/4 1/16. In units of
# log 2 the mean losses are (1 + 2) / 2, (1 + 1) / 2 and (2 + 4) / 2.
LABELS = jnp.array([0, 2])
LOGITS = jnp.log(
    jnp.array(
        [
            [[1 / 2, 1 / 4, 1 / 4], [1 / 2, 1 / 4, 1 / 4]],
            [[1 / 2, 0.3, 0.2], [0.1, 0.4, 1 / 2]],
            [[1 / 4, 1 / 2, 1 / 4], [1 / 2, 7 / 16, 1 / 16]],
        ]
    )
)
LOSSES = np.array([1.5, 1.0, 3.0]) * np.log(2)
T = jnp.log(jnp.array([1.0, 3.0]))  # sigmoid(T) is 1/2, 3/4


def test_layer_losses():
    got = losses.layer_losses(LOGITS, LABELS, jnp.ones(2))
    np.testing.assert_allclose(got, LOSSES, rtol=1e-6)


def test_filler_rows_do_not_count():
    logits = jnp.concatenate([LOGITS, jnp.full((3, 2, 3), 7.0)], axis=1)
    labels = jnp.append(LABELS, jnp.array([1, -1]))
    weight = jnp.array([1.0, 1.0, 0.0, 0.0])
    got = losses.layer_losses(logits, labels, weight)
    np.testing.assert_allclose(got, LOSSES, rtol=1e-6)
    nothing = losses.layer_losses(logits, labels, jnp.zeros(4))
    np.testing.assert_array_equal(nothing, np.zeros(3))


def test_elbert_weights():
    w = losses.layer_weights("elbert", T)
    np.testing.assert_allclose(w, [0.5, 0.75, 1.75], rtol=1e-6)
    w = losses.layer_weights("elbert", losses.initial_t(12))
    np.testing.assert_allclose(w[:-1], 0.982014, rtol=1e-6)  # 1 / (1 + e^-4)
    assert w.sum() == pytest.approx(12)


def test_other_weights():
    t = losses.initial_t(4)
    np.testing.assert_array_equal(losses.layer_weights("equal", t), [1, 1, 1, 1])
    np.testing.assert_array_equal(losses.layer_weights("depth", t), [1, 2, 3, 4])
    np.testing.assert_array_equal(losses.layer_weights("last", t), [0, 0, 0, 1])
    with pytest.raises(ValueError, match="'first'; it may be elbert, equal, depth"):
        losses.layer_weights("first", t)


def total(t, by_layer):
    return (losses.layer_weights("elbert", t) * by_layer).sum()


def test_total_and_its_gradient():
    value, gradient = jax.value_and_grad(total)(T, LOSSES)
    want = (0.5 * 1.5 + 0.75 * 1.0 + 1.75 * 3.0) * np.log(2)
    assert value == pytest.approx(want)
    # dL/dt_i = w_i (1 - w_i) (L_i - L_D): 1/4 (1.5 - 3), 3/16 (1 - 3)
    np.testing.assert_allclose(gradient, np.log(2) * np.array([-0.375, -0.375]), 1e-5)


@pytest.mark.parametrize(
    ("by_layer", "want"),
    [([3.0, 2.0, 1.0], [0, 0, 3]), ([1.0, 2.0, 3.0], [1, 1, 1])],
)
def test_t_pulls_weight_to_the_lowest_loss(by_layer, want):
    """w_i < 1 before the last layer, and so w_D > 1 however high its loss is."""

    @jax.jit
    def descend(t):
        return t - 10 * jax.grad(total)(t, jnp.array(by_layer))

    t = losses.initial_t(3)
    for _ in range(300):
        t = descend(t)
    np.testing.assert_allclose(losses.layer_weights("elbert", t), want, atol=0.01)


def test_the_t_i_keep_their_type_from_the_first_step_on():
    # A weak type turns strong in the first step, and the step would compile again.
    assert not losses.initial_t(4).weak_type


def test_distillation_is_the_divergence_from_the_last_layer():
    logits = np.random.default_rng(0).normal(0, 3, (4, 5, 3)).astype(np.float32)
    weight = np.array([1, 1, 0, 1, 1], np.float32)
    p = scipy.special.softmax(logits, axis=-1)
    by_text = scipy.special.rel_entr(p, p[-1]).sum(-1)  # KL(student || teacher)
    want = by_text[:, weight > 0].mean(-1)
    got = losses.distillation(jnp.array(logits), jnp.array(weight))
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_the_teacher_gets_no_gradient():
    logits = jnp.asarray(np.random.default_rng(0).normal(0, 3, (4, 5, 3)), jnp.float32)
    total = lambda x: losses.distillation(x, jnp.ones(5)).sum()  # noqa: E731
    gradient = jax.grad(total)(logits)
    np.testing.assert_array_equal(gradient[-1], np.zeros((5, 3)))
    assert np.abs(gradient[:-1]).min() > 0
