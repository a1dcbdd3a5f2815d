"""A fine-tuning step beside a forward pass of the same batch."""

import jax
import jax.numpy as jnp
import numpy as np

from elbert_jax.data.batching import Batch
from elbert_jax.evaluation import timing
from elbert_jax.evaluation.timing import Timed
from elbert_jax.model import albert
from elbert_jax.model.albert import AlbertConfig
from elbert_jax.training import losses, optimizer, stage
from elbert_jax.training.methods import Lesson

BATCH, LENGTH = 64, 16


def measure(config: AlbertConfig, repeats: int) -> tuple[Timed, Timed]:
    """Times the logits of all layers, and gradient and update, on 64 x 16 tokens.

    Returns:
      The forward pass, and the step.
    """
    random, shape = np.random.default_rng(0), (BATCH, LENGTH)
    batch = Batch(
        random.integers(5, config.vocab_size, shape, np.int32),
        np.zeros(shape, np.int32),
        np.ones(shape, bool),
        random.integers(0, config.num_labels, BATCH).astype(np.int32),
        np.ones(BATCH, np.float32),
        np.arange(BATCH, dtype=np.int32),
    )
    tx = optimizer.build(
        weight_decay=0.01, clip_norm=1.0, accumulate=1, t_learning_rate=1e-2
    )
    params = albert.init(config, jax.random.key(0))
    forward = jax.jit(lambda params: albert.bind(config, params)(*batch.inputs))
    update = stage.make_train_step(Lesson("all", "elbert").loss(config), tx)
    t, key = losses.initial_t(config.num_hidden_layers), jax.random.key(1)
    trained = {"model": jax.tree.map(lambda x: x.copy(), params), "t": t}
    counts = jnp.zeros(2, jnp.int32)
    state = stage.TrainState(counts[0], counts[1], trained, tx.init(trained))

    def step() -> None:
        nonlocal state  # which is donated
        state, measured = update(state, batch, key, np.float32(3e-5))
        measured["loss"].block_until_ready()

    calls = {"forward": lambda: forward(params).block_until_ready(), "step": step}
    timed = timing.measure(calls, repeats)
    return timed["forward"], timed["step"]
