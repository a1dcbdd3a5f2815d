"""One training step: gradient and update of the variables that are trained."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util
from jaxtyping import Array

# (variables, batch, key) -> (loss, metrics); traced by jit.
Loss = Callable[[Any, Any, Array], tuple[Array, dict[str, Array]]]
# A variable's path, such as ("model", "pooler", "kernel"), to whether it is trained.
Trainable = Callable[[tuple[Any, ...]], bool]
TrainStep = Callable[[Any, Any, Array, Any], tuple[Any, dict[str, Array]]]


def everything(path: tuple[Any, ...]) -> bool:
    """Says that any variable is trained."""
    return True


class TrainState(NamedTuple):
    """The state that a step updates and a checkpoint stores."""

    step: Array  # batches seen
    not_finite_at: Array  # first step with a non-finite loss; 0: none
    params: Any  # all variables: {"model": parameters, ...}
    opt_state: optax.OptState  # of the trained variables


def split(variables: Any, trainable: Trainable) -> tuple[Any, Any]:
    """Returns the trained and the frozen variables, as two trees."""
    flat = traverse_util.flatten_dict(variables)
    trained = {path: leaf for path, leaf in flat.items() if trainable(path)}
    frozen = {path: leaf for path, leaf in flat.items() if path not in trained}
    return traverse_util.unflatten_dict(trained), traverse_util.unflatten_dict(frozen)


def join(trained: Any, frozen: Any) -> Any:
    """Returns the variables that `split` took apart."""
    one, other = map(traverse_util.flatten_dict, (trained, frozen))
    return traverse_util.unflatten_dict(one | other)


def initial_state(
    variables: Any,
    tx: optax.GradientTransformation,
    trainable: Trainable = everything,
    step: int = 0,
) -> TrainState:
    """Returns a state at `step`, with a fresh optimizer.

    The variables are copied: restored arrays are bound to a device, which new ones are
    not, and a mixture of both would compile the step twice.
    """
    variables = jax.tree.map(jnp.array, jax.device_get(variables))
    # Two arrays of one: a buffer is donated only once.
    counts = jnp.array([step, 0], jnp.int32)
    trained, _ = split(variables, trainable)
    return TrainState(counts[0], counts[1], variables, tx.init(trained))


def make_train_step(
    loss_function: Loss,
    tx: optax.GradientTransformation,
    trainable: Trainable = everything,
) -> TrainStep:
    """Returns the compiled step `(state, batch, key, rate) -> (state, metrics)`.

    The state is donated; `rate` is the model's learning rate. Frozen variables get no
    gradient and no update. The metrics are `loss`, `gradient_norm` of the model, and
    those of the loss function.
    """
    tx = optax.with_extra_args_support(tx)

    @functools.partial(jax.jit, donate_argnums=0)
    def train_step(state: TrainState, batch: Any, key: Array, rate: Array):
        key = jax.random.fold_in(key, state.step)
        trained, frozen = split(state.params, trainable)

        def loss_of(trained: Any):
            return loss_function(join(trained, frozen), batch, key)

        value_and_grad = jax.value_and_grad(loss_of, has_aux=True)
        (loss, others), gradient = value_and_grad(trained)
        updates, opt_state = tx.update(gradient, state.opt_state, trained, rate=rate)
        params = join(optax.apply_updates(trained, updates), frozen)
        norm = optax.tree.norm(gradient["model"])
        step, bad = state.step + 1, state.not_finite_at
        bad = jnp.where((bad == 0) & ~jnp.isfinite(loss), step, bad)
        measured = {"loss": loss, "gradient_norm": norm} | others
        return TrainState(step, bad, params, opt_state), measured

    return train_step
