"""A stage of training: steps under one optimizer, and the part of a model it moves."""

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util
from jaxtyping import Array

from elbert_jax.data.corpus import Config
from elbert_jax.training import optimizer
from elbert_jax.training.checkpoints import Checkpoints

# (variables, batch, key) -> (loss, measured); traced by jit.
Loss = Callable[[Any, Any, Array], tuple[Array, dict[str, Array]]]
# (a variable's keys, such as ("model", "pooler", "kernel")) -> whether it learns.
Trains = Callable[[tuple[Any, ...]], bool]
TrainStep = Callable[[Any, Any, Array, Any], tuple[Any, dict[str, Array]]]


def everything(path: tuple[Any, ...]) -> bool:
    """Says that any variable learns."""
    return True


class Stage(NamedTuple):
    """Steps under one optimizer, whose learning rate rises and falls once."""

    losses: Sequence[tuple[int, Loss]]  # so many steps with each
    learning_rate: float  # at its peak
    eval_every: int  # steps between evaluations; its last step has one too
    trains: Trains = everything
    stacked: bool = False  # see `optimizer.build`

    @property
    def steps(self) -> int:
        return sum(steps for steps, _ in self.losses)


class TrainState(NamedTuple):
    """What a step changes, and a checkpoint keeps."""

    step: Array  # batches seen
    not_finite_at: Array  # the first step whose loss was not finite; 0: none was
    params: Any  # the variables; {"model": parameters, ...}
    opt_state: optax.OptState  # of those that learn


def split(variables: Any, trains: Trains) -> tuple[Any, Any]:
    """Returns the variables that learn and those that do not, as two trees."""
    flat = traverse_util.flatten_dict(variables)
    learning = {path: leaf for path, leaf in flat.items() if trains(path)}
    frozen = {path: leaf for path, leaf in flat.items() if path not in learning}
    return traverse_util.unflatten_dict(learning), traverse_util.unflatten_dict(frozen)


def join(learning: Any, frozen: Any) -> Any:
    """Returns the variables that were split."""
    one, other = map(traverse_util.flatten_dict, (learning, frozen))
    return traverse_util.unflatten_dict(one | other)


def make_train_step(
    loss_function: Loss, tx: optax.GradientTransformation, trains: Trains = everything
) -> TrainStep:
    """Returns the compiled step `(state, batch, key, rate) -> (state, measured)`.

    The state is donated, and `rate` is the model's learning rate. No gradient is taken
    of a frozen variable, nor an update made. Measured are `loss`, the `gradient_norm`
    of the model, and what the loss function measures.
    """

    tx = optax.with_extra_args_support(tx)

    @functools.partial(jax.jit, donate_argnums=0)
    def train_step(state: TrainState, batch: Any, key: Array, rate: Array):
        key = jax.random.fold_in(key, state.step)
        learning, frozen = split(state.params, trains)

        def loss_of(learning: Any):
            return loss_function(join(learning, frozen), batch, key)

        value_and_grad = jax.value_and_grad(loss_of, has_aux=True)
        (loss, others), gradient = value_and_grad(learning)
        updates, opt_state = tx.update(gradient, state.opt_state, learning, rate=rate)
        params = join(optax.apply_updates(learning, updates), frozen)
        norm = optax.tree.norm(gradient["model"])
        step, bad = state.step + 1, state.not_finite_at
        bad = jnp.where((bad == 0) & ~jnp.isfinite(loss), step, bad)
        measured = {"loss": loss, "gradient_norm": norm} | others
        return TrainState(step, bad, params, opt_state), measured

    return train_step


class Course:
    """A stage in its place in a run: its steps by number, and its best variables."""

    def __init__(
        self,
        stage: Stage,
        config: Config,
        begin: int,
        best: pathlib.Path,
        t_learning_rate: float,
    ):
        """Puts a course together.

        Args:
          stage: what it is a course of.
          config: the run's; its optimizer's settings are read.
          begin: steps that the run has taken before.
          best: folder of the best variables.
          t_learning_rate: see `optimizer.build`.
        """
        self.stage, self.begin, self.end = stage, begin, begin + stage.steps
        schedule = optimizer.learning_rate(
            stage.learning_rate, stage.steps // config.accumulate, config.warmup_ratio
        )
        updates = np.arange(stage.steps) // config.accumulate
        self.rates = np.asarray(schedule(updates), np.float32)  # by step
        self.tx = optimizer.build(
            name=config.optimizer,
            weight_decay=config.weight_decay,
            clip_norm=config.clip_norm,
            accumulate=config.accumulate,
            t_learning_rate=t_learning_rate,
            stacked=stage.stacked,
        )
        self.ends = begin + np.cumsum([steps for steps, _ in stage.losses])
        self.steps = [
            make_train_step(loss, self.tx, stage.trains) for _, loss in stage.losses
        ]
        self.best = Checkpoints(best, keep=1)

    def start(self, variables: Any) -> TrainState:
        """Returns the state before the first step, with a fresh optimizer."""
        # Copies: restored arrays are bound to a device, which new ones are not, and
        # with both the second step would compile again.
        variables = jax.tree.map(jnp.array, jax.device_get(variables))
        # Parts of one array: a buffer is donated only once.
        counts = jnp.array([self.begin, 0], jnp.int32)
        learning, _ = split(variables, self.stage.trains)
        return TrainState(counts[0], counts[1], variables, self.tx.init(learning))

    def train_step(self, step: int) -> TrainStep:
        """Returns what takes a state through the run's step of that number."""
        return self.steps[int(np.searchsorted(self.ends, step))]

    def rate(self, step: int) -> np.float32:
        """Returns the learning rate of a step."""
        return self.rates[step - self.begin - 1]

    def evaluates(self, step: int) -> bool:
        """Says whether an evaluation comes after a step."""
        return (step - self.begin) % self.stage.eval_every == 0 or step == self.end

    def keep_if_best(self, step: int, variables: Any, record: dict[str, Any]) -> None:
        """Stores variables whose record has the highest `score` so far."""
        stored = self.best.latest()
        if stored is None or record["score"] > self.best.record(stored)["score"]:
            self.best.save(step, variables, record)
            self.best.wait()  # a run that resumes behind this step must find it

    def restore_best(self, like: Any) -> tuple[int, Any, dict[str, Any]]:
        """Returns the step of the best variables, them, and their record."""
        step = self.best.latest()
        assert step is not None, "the last step has an evaluation"
        return step, *self.best.restore(step, like)
