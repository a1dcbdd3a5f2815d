"""A stage in a run: its learning rates, losses and evaluations by global step."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import default
from elbert_jax.settings import section
from elbert_jax.training.config import LoopConfig
from elbert_jax.training.stage import StageRun, TrainingStage

BEGIN = 10  # steps of earlier stages


def loss(scale):
    def measure(variables, batch, key):
        return scale * variables["model"]["kernel"].sum(), {"scale": jnp.float32(scale)}

    return measure


@pytest.fixture
def run(tmp_path):
    config = default.get_config()
    config.accumulate = 2
    stage = TrainingStage(
        losses=[(4, loss(1.0)), (3, loss(2.0))],
        learning_rate=optax.linear_schedule(3.0, 0.0, 3),
        eval_every=3,
    )
    run = StageRun(stage, section(LoopConfig, config), BEGIN, tmp_path / "best")
    yield run
    run.best.close()


def test_the_learning_rate_follows_the_updates(run):
    steps = range(BEGIN + 1, run.end + 1)
    assert [*steps] == [11, 12, 13, 14, 15, 16, 17]
    rates = [run.learning_rate(step) for step in steps]
    np.testing.assert_allclose(rates, [3, 3, 2, 2, 1, 1, 0], atol=1e-6)


def test_evaluations_are_regular_and_after_the_last_step(run):
    steps = range(BEGIN + 1, run.end + 1)
    assert [step for step in steps if run.evaluates(step)] == [13, 16, 17]


def test_losses_follow_each_other(run, optax_promotes):
    for step, scale in ((11, 1), (14, 1), (15, 2), (17, 2)):
        state = run.initial_state({"model": {"kernel": np.ones((2, 2), np.float32)}})
        assert state.step == BEGIN
        key, rate = np.zeros(2, np.uint32), run.learning_rate(step)
        state, measured = run.train_step(step)(state, None, key, rate)
        assert (state.step, measured["scale"]) == (BEGIN + 1, scale)


def test_the_variables_with_the_highest_score_are_kept(run):
    for step, score in ((13, 0.5), (16, 0.9), (17, 0.9)):
        run.keep_if_best(step, {"model": np.full(2, step)}, score)
    step, variables = run.restore_best({"model": np.zeros(2, int)})
    assert step == 16
    np.testing.assert_array_equal(variables["model"], [16, 16])
