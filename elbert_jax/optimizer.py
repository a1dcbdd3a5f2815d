"""The optimizer: AdamW with warm-up and decay, and ELBERT's t_i beside it."""

import jax
import optax

from elbert_jax.albert import Params


def decay_mask(params: Params) -> Params:
    """Returns True where weight decay applies: matrices, not biases or LayerNorms."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def learning_rate(
    peak: float, total_updates: int, warmup_ratio: float
) -> optax.Schedule:
    """Returns a linear rise from 0 to `peak`, and a fall to 0 after the last update."""
    warmup = round(warmup_ratio * total_updates)
    rise = optax.linear_schedule(0.0, peak, max(1, warmup))
    fall = optax.linear_schedule(peak, 0.0, max(1, total_updates - warmup))
    return optax.join_schedules([rise, fall], [warmup])


def build(
    schedule: optax.Schedule,
    *,
    weight_decay: float,
    clip_norm: float,
    t_learning_rate: float,
    accumulate: int,
) -> optax.GradientTransformation:
    """Returns the optimizer of `{"model": parameters, "t": ELBERT's t_i}`.

    Args:
      schedule: learning rate of the model by update.
      weight_decay: AdamW's, on the model's matrices.
      clip_norm: largest global norm of the model's gradient.
      t_learning_rate: of the t_i, which learn by Adam without decay (ELBERT: 1e-2).
      accumulate: batches whose gradients are averaged into one update.
    """
    model = optax.chain(
        optax.clip_by_global_norm(clip_norm),
        optax.adamw(schedule, weight_decay=weight_decay, mask=decay_mask),
    )
    both = optax.multi_transform(
        {"model": model, "t": optax.adam(t_learning_rate)},
        {"model": "model", "t": "t"},
    )
    if accumulate == 1:
        return both
    return optax.MultiSteps(both, accumulate).gradient_transformation()
