"""A step and a forward pass are timed, and the step compiles once."""

import math

from elbert_jax.benchmarking import training_speed
from elbert_jax.model.albert import AlbertConfig
from elbert_jax.training import losses


def test_the_t_i_keep_their_type_from_the_first_step_on():
    # A weak type turns strong in the first step, and the step would compile again.
    assert not losses.initial_t(4).weak_type


def test_a_step_takes_longer_than_a_forward_pass(optax_promotes):
    config = AlbertConfig(
        vocab_size=40,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    forward, step = training_speed.measure(config, 3)
    assert len(forward.seconds) == len(step.seconds) == 3
    assert 0 < forward.median < step.median
    assert math.isclose(step.speed(64)["texts_per_second"], 64 / step.median)
