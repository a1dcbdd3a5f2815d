"""The train loop: batches to a model directory, through kills, for any objective."""

import contextlib
import pathlib
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import grain
import jax
import tqdm

from elbert_jax import interruption, machine
from elbert_jax.data.corpus import Config
from elbert_jax.errors import UserError
from elbert_jax.model.config import DTYPES
from elbert_jax.training import optimizer, run_directory
from elbert_jax.training.checkpoints import Checkpoints
from elbert_jax.training.metric_writer import MetricWriter
from elbert_jax.training.stage import Course, Stage, TrainState

GRADIENT = 3  # the cost of a forward pass with its gradient, in forward passes


class Evaluation(NamedTuple):
    """What held-out data say of the model."""

    row: dict[str, Any]  # for the logs
    score: float  # a stage's variables of the highest one are kept
    sentence: str  # for the user


class Effort(NamedTuple):
    """What training has cost so far, over all starts of a run."""

    tokens: int  # real ones, without padding
    seconds: float  # in training steps


class Objective(Protocol):
    """What is trained for. `fit` knows no more of it than this."""

    stages: Sequence[Stage]  # each goes on from the best variables of the one before
    dtype: str  # of the computation
    texts: str  # a hash of all that is learned from and measured on
    t_learning_rate: float  # of ELBERT's t_i, where they are among the variables

    def variables(self) -> Any:
        """Returns what is trained, before the first step: {"model": ..., ...}."""
        ...

    def batches(self) -> grain.DatasetIterator[Any]:
        """Returns the batches of all stages."""
        ...

    def flops(self, batch: Any, step: int) -> float:
        """Returns the cost of a step over the real tokens, its gradient included."""
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


def check(
    config: Config, at_least_one: Sequence[str], at_least_zero: Sequence[str]
) -> None:
    """Raises a UserError where a setting of the loop, or one of these, cannot be."""
    least = dict.fromkeys((*_AT_LEAST_ONE, *at_least_one), 1)
    least |= dict.fromkeys(("seed", *at_least_zero), 0)
    for name, bound in least.items():
        value = getattr(config, name)
        if value < bound:
            raise UserError(f"config.{name} is {value}; it must be at least {bound}")
    if not 0 <= config.warmup_ratio <= 1:
        raise UserError(f"config.warmup_ratio is {config.warmup_ratio}, not in [0, 1]")
    for name, known in ("optimizer", optimizer.OPTIMIZERS), ("dtype", DTYPES):
        if config[name] not in known:
            these = ", ".join(known)
            raise UserError(f"config.{name} is {config[name]!r}; it may be {these}")


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
    losses of a run that was never stopped; a signal makes it keep one first.

    Args:
      config: the run's.
      workdir: is `run_directory.claimed`.
      objective: what is trained for.

    Raises:
      UserError: the loss is not finite, or the batches do not make one update, or the
        run began on other texts.
    """
    fewest = min((stage.steps for stage in objective.stages if stage.steps), default=0)
    if 0 < fewest < config.accumulate:
        raise UserError(
            f"config.accumulate is {config.accumulate}, and there are only {fewest} "
            "batches: nothing would be learned"
        )
    run = _Run(config, workdir, objective)
    run_directory.keep(workdir, config, objective.texts, begun=run.begun)
    run.fit()
    run.export()


class _Run:
    """One training run: what stays the same from its first step to its last."""

    def __init__(self, config: Config, workdir: pathlib.Path, objective: Objective):
        self.config, self.workdir, self.objective = config, workdir, objective
        folder = workdir / "checkpoints"
        self.courses: list[Course] = []
        self.total = 0
        for number, stage in enumerate(objective.stages):
            best = folder / f"best_{number}"
            rate = objective.t_learning_rate
            self.courses.append(Course(stage, config, self.total, best, rate))
            self.total += stage.steps
        self.latest = Checkpoints(folder / "latest", keep=2)

    @property
    def begun(self) -> bool:
        """Whether there is something to go on from."""
        stored = self.latest, *(course.best for course in self.courses)
        return any(each.latest() is not None for each in stored)

    def fit(self) -> None:
        """Trains from the newest checkpoint, if there is one, to the last step."""
        config, objective = self.config, self.objective
        first, effort = self.latest.latest() or 0, Effort(0, 0.0)
        # The one that the checkpoint is of.
        course = self._course(min(max(first, 1), self.total))
        state, batches = course.start(objective.variables()), objective.batches()
        if first:
            state, record = self.latest.restore(first, state)
            batches.set_state(record["batches"])
            effort = Effort(*record["effort"])
            print(f"going on from step {first} of {self.total}")
        key = jax.random.fold_in(jax.random.key(config.seed), 1)
        with (
            contextlib.closing(self.latest),
            contextlib.closing(MetricWriter(self.workdir, first)) as writer,
            interruption.waiting(),
            tqdm.tqdm(total=self.total, initial=first, unit="batch") as bar,
        ):
            meter = _Meter(objective, effort)
            for step in range(first + 1, self.total + 1):
                if step > course.end:
                    _, variables, _ = course.restore_best(state.params)
                    course = self._course(step)
                    state = course.start(variables)
                batch = next(batches)
                rate = course.rate(step)
                state, measured = course.train_step(step)(state, batch, key, rate)
                meter.count(batch, step)
                bar.update()
                evaluates = course.evaluates(step)
                stops = interruption.asked()
                keeps = evaluates or stops or step % config.checkpoint_every == 0
                if keeps or step % config.log_every == 0:
                    self._check(state)
                    rates = meter.read()
                    row = {"learning_rate": rate}
                    writer.write(step, row | jax.device_get(measured) | rates)
                    shown = {"loss": f"{measured['loss']:.3f}"} | {
                        "tokens/s": f"{rates['tokens_per_second']:,.0f}",
                        "MFU": f"{rates['mfu']:.2f}",
                    }
                    bar.set_postfix(shown, refresh=False)
                if evaluates:
                    self._evaluate(course, step, state.params, writer, meter.effort)
                if keeps:
                    record = {"batches": batches.get_state(), "effort": meter.effort}
                    self.latest.save(step, state, record)
                    meter.reset()  # neither is training
                if stops:
                    kept = f"step {step} of {self.total} is kept"
                    advice = f"{kept}: the same command goes on from there"
                    tqdm.tqdm.write(advice, file=sys.stderr)
                    raise KeyboardInterrupt

    def _course(self, step: int) -> Course:
        return next(course for course in self.courses if step <= course.end)

    def _evaluate(
        self,
        course: Course,
        step: int,
        variables: Any,
        writer: MetricWriter,
        effort: Effort,
    ) -> None:
        evaluation = self.objective.evaluate(variables, step)
        record = {"score": evaluation.score, "effort": effort}
        course.keep_if_best(step, variables, record)
        writer.write(step, evaluation.row)
        tqdm.tqdm.write(evaluation.sentence)

    def _check(self, state: TrainState) -> None:
        if step := int(state.not_finite_at):
            raise UserError(
                f"the loss is not finite at step {step}: try a lower "
                "config.learning_rate, or a longer config.warmup_ratio, in a new "
                f"--workdir (the last checkpoint is of step {self.latest.latest()})"
            )

    def export(self) -> None:
        """Writes the last stage's best variables as a model directory, whole."""
        shapes = jax.eval_shape(self.objective.variables)
        step, variables, record = self.courses[-1].restore_best(shapes)
        directory = self.workdir / "model.tmp"
        shutil.rmtree(directory, ignore_errors=True)
        effort = Effort(*record["effort"])
        self.objective.export(directory, variables, step, effort)
        directory.rename(self.workdir / "model")
        for course in self.courses:
            course.best.close()
        print(f"the model of step {step} is in {self.workdir / 'model'}")


class _Meter:
    """What training costs, and how fast it is since it was last read or reset."""

    def __init__(self, objective: Objective, effort: Effort):
        self.objective, self.effort = objective, effort
        self.peak = machine.peak_flops(objective.dtype)
        self.reset()

    def reset(self) -> None:
        self.start, self.tokens, self.flops = time.perf_counter(), 0, 0.0

    def count(self, batch: Any, step: int) -> None:
        self.tokens += int(batch.mask.sum())
        self.flops += self.objective.flops(batch, step)

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
