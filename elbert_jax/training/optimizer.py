"""The optimizer: AdamW or LAMB for the model, Adam for ELBERT's t_i; schedules."""

from collections.abc import Hashable
from typing import Any

import jax
import optax

from elbert_jax.model.albert import Params

OPTIMIZERS: dict[str, Any] = {"adamw": optax.adamw, "lamb": optax.lamb}


def decay_mask(params: Params) -> Params:
    """Returns True where weight decay applies: matrices, not biases or LayerNorms."""

    def decays(path: Any, _: Any) -> bool:  # by name, as stacked biases are 2D too
        return path[-1].key in ("kernel", "embedding")

    return jax.tree.map_with_path(decays, params)


def warmup_decay(
    peak: float, total_updates: int, warmup_ratio: float
) -> optax.Schedule:
    """Returns a linear warm-up from 0 to `peak`, then a linear decay to 0."""
    return warmup_stable_decay(peak, total_updates, warmup_ratio, decay_ratio=1.0)


def warmup_stable_decay(
    peak: float, total_updates: int, warmup_ratio: float, decay_ratio: float
) -> optax.Schedule:
    """Returns a linear warm-up from 0 to `peak`, a plateau, and a linear decay to 0.

    The ratios are shares of the updates; the decay has at most what the warm-up leaves.

    References:
      Hu et al., "MiniCPM: Unveiling the Potential of Small Language Models with
      Scalable Training Strategies", 2024, section 4.
    """
    warmup = round(warmup_ratio * total_updates)
    decay = min(round(decay_ratio * total_updates), total_updates - warmup)
    parts = [
        optax.linear_schedule(0.0, peak, max(1, warmup)),
        optax.constant_schedule(peak),
        optax.linear_schedule(peak, 0.0, max(1, decay)),
    ]
    return optax.join_schedules(parts, [warmup, total_updates - decay])


def _scale_by_rate() -> optax.GradientTransformationExtraArgs:
    """Multiplies updates by the argument `rate`, so that it is no compiled constant."""

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any):
        del params
        return jax.tree.map(lambda leaf: extra_args["rate"] * leaf, updates), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def build(
    *,
    name: str = "adamw",
    weight_decay: float,
    clip_norm: float,
    accumulate: int,
    t_learning_rate: float = 0.0,
    stacked: bool = False,
    b2: float = 0.999,
) -> optax.GradientTransformation:
    """Returns the optimizer of `{"model": parameters}` and, if present, ELBERT's `"t"`.

    Its `update` takes the learning rate of the model as `rate`.

    Args:
      name: the model's optimizer, one of `OPTIMIZERS`.
      weight_decay: of the model's matrices.
      clip_norm: largest global norm of the model's gradient.
      accumulate: batches whose gradients are averaged into one update.
      t_learning_rate: of the t_i, trained by Adam without decay (ELBERT: 1e-2).
      stacked: the first axis of the model's parameters stacks independent models, each
        of which is trained as it would be alone, clipping included.
      b2: decay rate of the mean of squared gradients, of the model's optimizer.
    """
    model = optax.chain(
        optax.clip_by_global_norm(clip_norm),
        OPTIMIZERS[name](1.0, b2=b2, weight_decay=weight_decay, mask=decay_mask),
    )
    if stacked:
        init, update = jax.vmap(model.init), jax.vmap(model.update)
        model = optax.GradientTransformation(init, update)
    model = optax.chain(model, _scale_by_rate())
    parts: dict[Hashable, Any] = {"model": model, "t": optax.adam(t_learning_rate)}
    both = optax.multi_transform(parts, lambda variables: {k: k for k in variables})
    if accumulate == 1:
        return both
    # Its `gradient_transformation()` would not declare that it takes `rate`.
    steps: Any = optax.MultiSteps(both, accumulate)
    return optax.GradientTransformationExtraArgs(steps.init, steps.update)
