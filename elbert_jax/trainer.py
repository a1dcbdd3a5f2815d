"""The train loop: batches to a model directory, through kills, for any objective."""

import contextlib
import functools
import pathlib
import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tqdm
from jaxtyping import Array

from elbert_jax import optimizer, roofline, run_directory
from elbert_jax.checkpoint import Checkpoints
from elbert_jax.data.corpus import Config
from elbert_jax.errors import UserError
from elbert_jax.metric_writer import MetricWriter

# (trained variables, batch, key) -> (loss, measured); traced by jit.
Loss = Callable[[Any, Any, Array], tuple[Array, dict[str, Array]]]
_GRADIENT = 3  # a forward pass, and two of its size backward


class TrainState(NamedTuple):
    """What a step changes, and a checkpoint keeps."""

    step: Array  # batches seen
    not_finite_at: Array  # the first step whose loss was not finite; 0: none was
    params: Any  # the trained variables; {"model": parameters, ...}
    opt_state: optax.OptState


class Stage(NamedTuple):
    """So many steps with one loss."""

    steps: int
    loss: Loss


class Evaluation(NamedTuple):
    """What held-out data say of the model."""

    row: dict[str, Any]  # for the logs
    score: float  # the parameters of the highest one are exported
    sentence: str  # for the user


class Effort(NamedTuple):
    """What training has cost so far, over all starts of a run."""

    tokens: int  # real ones, without padding
    seconds: float  # in training steps


class Objective(Protocol):
    """What is trained for. `fit` knows no more of it than this."""

    stages: Sequence[Stage]
    eval_every: int  # steps between evaluations; the last step has one too
    dtype: str  # of the computation
    t_learning_rate: float  # of ELBERT's t_i, where they are among the variables

    def variables(self) -> Any:
        """Returns what is trained, before the first step: {"model": ..., ...}."""
        ...

    def batches(self) -> grain.DatasetIterator[Any]:
        """Returns the batches of all stages."""
        ...

    def flops(self, batch: Any, step: int) -> float:
        """Returns the cost of the forward pass over the real tokens."""
        ...

    def evaluate(self, variables: Any, step: int) -> Evaluation:
        """Measures the variables on held-out data after `step` steps."""
        ...

    def export(
        self, directory: pathlib.Path, variables: Any, step: int, effort: Effort
    ) -> None:
        """Writes a model directory with the variables of a step."""
        ...


_AT_LEAST_ONE = ("accumulate", "log_every", "checkpoint_every")


def check(config: Config, at_least_one: Sequence[str]) -> None:
    """Raises a UserError where a setting of the loop, or one of these, cannot be."""
    for name in (*_AT_LEAST_ONE, *at_least_one):
        if config[name] < 1:
            raise UserError(f"config.{name} is {config[name]}; it must be at least 1")
    if config.optimizer not in optimizer.OPTIMIZERS:
        known = ", ".join(optimizer.OPTIMIZERS)
        raise UserError(f"config.optimizer is {config.optimizer!r}; it may be {known}")


def make_train_step(
    loss_function: Loss, tx: optax.GradientTransformation
) -> Callable[[TrainState, Any, Array], tuple[TrainState, dict[str, Array]]]:
    """Returns the compiled step `(state, batch, key) -> (state, measured)`.

    The state is donated. Measured are `loss`, the `gradient_norm` of the model, and
    what the loss function measures.
    """

    @functools.partial(jax.jit, donate_argnums=0)
    def train_step(state: TrainState, batch: Any, key: Array):
        key = jax.random.fold_in(key, state.step)
        value_and_grad = jax.value_and_grad(loss_function, has_aux=True)
        (loss, others), gradient = value_and_grad(state.params, batch, key)
        updates, opt_state = tx.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        norm = optax.tree.norm(gradient["model"])
        step, bad = state.step + 1, state.not_finite_at
        bad = jnp.where((bad == 0) & ~jnp.isfinite(loss), step, bad)
        measured = {"loss": loss, "gradient_norm": norm} | others
        return TrainState(step, bad, params, opt_state), measured

    return train_step


def is_finished(config: Config, workdir: pathlib.Path) -> bool:
    """Returns, and says, whether the folder holds the finished model of a run.

    Raises:
      UserError: the folder holds a run with another configuration.
    """
    run_directory.refuse_other(workdir, config)
    if (workdir / "model").exists():
        print(f"nothing to do: the finished model is in {workdir / 'model'}")
        return True
    return False


def fit(config: Config, workdir: pathlib.Path, objective: Objective) -> None:
    """Trains for `objective`, and leaves a model directory in `workdir/model`.

    Started again after a kill, it goes on from the newest checkpoint and gives the
    losses of a run that was never stopped.

    Raises:
      UserError: the loss is not finite.
    """
    run_directory.claim(workdir, config)
    run = _Run(config, workdir, objective)
    run.fit()
    run.export()


class _Run:
    """One training run: what stays the same from its first step to its last."""

    def __init__(self, config: Config, workdir: pathlib.Path, objective: Objective):
        self.config, self.workdir, self.objective = config, workdir, objective
        self.ends = np.cumsum([stage.steps for stage in objective.stages])
        self.total = int(self.ends[-1])
        self.schedule = optimizer.learning_rate(
            config.learning_rate, self.total // config.accumulate, config.warmup_ratio
        )
        self.tx = optimizer.build(
            self.schedule,
            name=config.optimizer,
            weight_decay=config.weight_decay,
            clip_norm=config.clip_norm,
            accumulate=config.accumulate,
            t_learning_rate=objective.t_learning_rate,
        )
        self.latest = Checkpoints(workdir / "checkpoints" / "latest", keep=2)
        self.best = Checkpoints(workdir / "checkpoints" / "best", keep=1)

    def fit(self) -> None:
        """Trains from the newest checkpoint, if there is one, to the last step."""
        config, objective = self.config, self.objective
        trained = objective.variables()
        counts = jnp.zeros(2, jnp.int32)  # parts of it: a buffer is donated only once
        state = TrainState(counts[0], counts[1], trained, self.tx.init(trained))
        batches = objective.batches()
        first, effort = self.latest.latest() or 0, Effort(0, 0.0)
        if first:
            state, record = self.latest.restore(first, state)
            batches.set_state(record["batches"])
            effort = Effort(*record["effort"])
            print(f"going on from step {first} of {self.total}")
        steps = [make_train_step(stage.loss, self.tx) for stage in objective.stages]
        key = jax.random.fold_in(jax.random.key(config.seed), 1)
        with (
            contextlib.closing(self.latest),
            contextlib.closing(MetricWriter(self.workdir, first)) as writer,
            tqdm.tqdm(total=self.total, initial=first, unit="batch") as bar,
        ):
            meter = _Meter(objective, effort)
            for step in range(first + 1, self.total + 1):
                stage = int(np.searchsorted(self.ends, step))
                batch = next(batches)
                state, measured = steps[stage](state, batch, key)
                meter.count(batch, step)
                bar.update()
                evaluates = step % objective.eval_every == 0 or step == self.total
                keeps = evaluates or step % config.checkpoint_every == 0
                if keeps or step % config.log_every == 0:
                    self._check(state)
                    rates = meter.read()
                    writer.write(step, self._training_row(step, measured) | rates)
                    shown = {"loss": f"{measured['loss']:.3f}"} | {
                        "tokens/s": f"{rates['tokens_per_second']:,.0f}",
                        "MFU": f"{rates['mfu']:.2f}",
                    }
                    bar.set_postfix(shown, refresh=False)
                if evaluates:
                    evaluation = self._evaluate(step, state.params, meter.effort)
                    writer.write(step, evaluation.row)
                    bar.write(evaluation.sentence)
                if keeps:
                    record = {"batches": batches.get_state(), "effort": meter.effort}
                    self.latest.save(step, state, record)
                    meter.reset()  # neither is training

    def _check(self, state: TrainState) -> None:
        if step := int(state.not_finite_at):
            raise UserError(
                f"the loss is not finite at step {step}: try a lower "
                "config.learning_rate, or a longer config.warmup_ratio, in a new "
                f"--workdir (the last checkpoint is of step {self.latest.latest()})"
            )

    def _training_row(self, step: int, measured: dict[str, Array]) -> dict[str, Any]:
        rate = self.schedule((step - 1) // self.config.accumulate)
        return {"learning_rate": np.asarray(rate)} | jax.device_get(measured)

    def _evaluate(self, step: int, variables: Any, effort: Effort) -> Evaluation:
        """Scores the variables, and keeps them if they are the best."""
        evaluation = self.objective.evaluate(variables, step)
        if evaluation.score > self._best_score():
            record = {"score": evaluation.score, "effort": effort}
            self.best.save(step, variables, record)
            self.best.wait()  # a run that resumes behind this step must find it
        return evaluation

    def _best_score(self) -> float:
        step = self.best.latest()
        return -np.inf if step is None else self.best.record(step)["score"]

    def export(self) -> None:
        """Writes the best variables as a model directory, whole or not at all."""
        step = self.best.latest()
        assert step is not None, "the last step has an evaluation"
        shapes = jax.eval_shape(self.objective.variables)
        variables, record = self.best.restore(step, shapes)
        directory = self.workdir / "model.tmp"
        shutil.rmtree(directory, ignore_errors=True)
        effort = Effort(*record["effort"])
        self.objective.export(directory, variables, step, effort)
        directory.rename(self.workdir / "model")
        self.best.close()
        print(f"the model of step {step} is in {self.workdir / 'model'}")


class _Meter:
    """What training costs, and how fast it is since it was last read or reset."""

    def __init__(self, objective: Objective, effort: Effort):
        self.objective, self.effort = objective, effort
        self.peak = roofline.peak_flops(objective.dtype)
        self.reset()

    def reset(self) -> None:
        self.start, self.tokens, self.flops = time.perf_counter(), 0, 0.0

    def count(self, batch: Any, step: int) -> None:
        self.tokens += int(batch.mask.sum())
        self.flops += _GRADIENT * self.objective.flops(batch, step)

    def read(self) -> dict[str, float]:
        seconds, tokens = time.perf_counter() - self.start, self.tokens
        self.effort = Effort(self.effort.tokens + tokens, self.effort.seconds + seconds)
        mfu = self.flops / seconds / self.peak
        self.reset()
        return {
            "tokens_seen": self.effort.tokens,
            "hours": self.effort.seconds / 3600,
            "tokens_per_second": tokens / seconds,
            "mfu": mfu,
        }
