"""The training loop: from batches to a model directory, for any objective."""

import contextlib
import os
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import grain
import jax
import tqdm

from elbert_jax import filesystem, interruption, machine
from elbert_jax.errors import UserError
from elbert_jax.settings import Config
from elbert_jax.training import run_directory
from elbert_jax.training.checkpoints import Checkpoints
from elbert_jax.training.config import LoopConfig
from elbert_jax.training.metric_writer import MetricWriter
from elbert_jax.training.stage import StageRun, TrainingStage
from elbert_jax.training.train_step import TrainState

GRADIENT = 3  # cost of a forward and a backward pass, in forward passes


class Evaluation(NamedTuple):
    """The result of an evaluation on held-out data."""

    row: dict[str, Any]  # for the logs
    score: float  # the variables with a stage's highest score are kept
    message: str  # for the terminal


class Effort(NamedTuple):
    """The cost of training so far, over all starts of a run."""

    tokens: int  # without padding
    seconds: float  # in training steps


class Objective(Protocol):
    """What is trained: the interface between the loop and a task."""

    fingerprint: str  # hash of all training and evaluation data

    @property
    def stages(self) -> Sequence[TrainingStage]:
        """The stages; each starts from the best variables of the one before."""
        ...

    def variables(self) -> Any:
        """Returns the variables before the first step: {"model": ..., ...}."""
        ...

    def batches(self) -> grain.DatasetIterator[Any]:
        """Returns a resumable iterator over the batches of all stages."""
        ...

    def flops(self, batch: Any, step: int) -> float:
        """Returns the FLOPs of a step on the real tokens of a batch."""
        ...

    def evaluate(self, variables: Any, step: int) -> Evaluation:
        """Evaluates the variables after `step` steps on held-out data."""
        ...

    def export(
        self, directory: pathlib.Path, variables: Any, step: int, effort: Effort
    ) -> None:
        """Writes a model directory with the variables of a step."""
        ...


def run(
    config: Config,
    workdir: str | pathlib.Path,
    loop: LoopConfig,
    make_objective: Callable[[pathlib.Path], Objective],
    changeable: Sequence[str] = (),
) -> None:
    """Trains an objective, and leaves a model directory in `workdir/model`.

    Started again after a kill, it resumes from the newest checkpoint and gives the
    losses of a run that was never stopped. A signal makes it save a checkpoint first.

    Args:
      config: the whole configuration.
      workdir: gets checkpoints, logs and the model.
      loop: the loop's part of `config`.
      make_objective: reads the data of the run; it may keep files in the workdir.
      changeable: keys of `config` that a second start may change.

    Raises:
      UserError: the data or the workdir cannot be used, the run began with another
        configuration or other data, or the loss is not finite.
    """
    workdir = pathlib.Path(os.path.expanduser(workdir)).absolute()
    run_directory.check_config(workdir, config, changeable)
    if (workdir / "model").exists():
        print(f"nothing to do: the finished model is in {workdir / 'model'}")
        return
    with run_directory.claimed(workdir):
        objective = make_objective(workdir)
        this = _Run(loop, workdir, objective)
        run_directory.record(
            workdir, config, objective.fingerprint, resumed=this.has_checkpoint
        )
        this.export(*this.fit())


class _Run:
    """One training run, from its newest checkpoint to the exported model."""

    def __init__(self, config: LoopConfig, workdir: pathlib.Path, objective: Objective):
        self.config, self.workdir, self.objective = config, workdir, objective
        fewest = min(stage.steps for stage in objective.stages)
        if fewest < config.accumulate:
            raise UserError(
                f"config.accumulate is {config.accumulate}, and there are only "
                f"{fewest} batches: nothing would be learned"
            )
        directory = workdir / "checkpoints"
        self.stages: list[StageRun] = []
        self.total = 0
        for number, stage in enumerate(objective.stages):
            best = directory / f"best_{number}"
            self.stages.append(StageRun(stage, config, self.total, best))
            self.total += stage.steps
        self.latest = Checkpoints(directory / "latest", keep=2)
        self.key = jax.random.fold_in(jax.random.key(config.seed), 1)

    @property
    def has_checkpoint(self) -> bool:
        stored = self.latest, *(stage.best for stage in self.stages)
        return any(each.latest() is not None for each in stored)

    def fit(self) -> tuple[int, Any]:
        """Trains from the newest checkpoint, if there is one, to the last step.

        Returns:
          The step of the last stage's best variables, and the variables.
        """
        first, effort = self.latest.latest() or 0, Effort(0, 0.0)
        self.batches = self.objective.batches()
        if first:
            record = self.latest.record(first)
            self.batches.set_state(record["batches"])
            effort = Effort(*record["effort"])
            print(f"resuming from step {first} of {self.total}")
        self.meter = _Meter(self.objective, self.config.dtype, effort)
        with (
            contextlib.closing(self.latest),
            contextlib.closing(MetricWriter(self.workdir, first)) as self.writer,
            interruption.waiting(),
            tqdm.tqdm(total=self.total, initial=first, unit="batch") as self.bar,
        ):
            best, variables = 0, self.objective.variables()
            for stage in self.stages:
                if first < stage.end:
                    state = stage.initial_state(variables)
                    if first > stage.begin:
                        state = self.latest.restore(first, state)
                    self._train(stage, state, max(first, stage.begin))
                best, variables = stage.restore_best(variables)
        return best, variables

    def _train(self, stage: StageRun, state: TrainState, done: int) -> None:
        """Takes the steps of a stage after `done`."""
        self.meter.reset()
        for step in range(done + 1, stage.end + 1):
            batch, rate = next(self.batches), stage.learning_rate(step)
            state, measured = stage.train_step(step)(state, batch, self.key, rate)
            self.meter.count(batch, step)
            self.bar.update()
            evaluates, stops = stage.evaluates(step), interruption.asked()
            saves = evaluates or stops or step % self.config.checkpoint_every == 0
            if saves or step % self.config.log_every == 0:
                self._log(step, state, {"learning_rate": rate} | measured)
            if evaluates:
                self._evaluate(stage, step, state.params)
            if saves:
                effort, position = self.meter.effort, self.batches.get_state()
                self.latest.save(step, state, {"batches": position, "effort": effort})
                self.meter.reset()  # neither evaluating nor saving is training
            if stops:
                message = f"saved step {step} of {self.total}; the same command resumes"
                tqdm.tqdm.write(message, file=sys.stderr)
                raise KeyboardInterrupt

    def _log(self, step: int, state: TrainState, measured: dict[str, Any]) -> None:
        if bad := int(state.not_finite_at):
            raise UserError(
                f"the loss is not finite at step {bad}: try a lower "
                "config.learning_rate, or a longer config.warmup_ratio, in a new "
                f"--workdir (the last checkpoint is of step {self.latest.latest()})"
            )
        rates = self.meter.read()
        measured = jax.device_get(measured)
        self.writer.write(step, measured | rates)
        speed = f"tokens/s={rates['tokens_per_second']:,.0f}, MFU={rates['mfu']:.2f}"
        self.bar.set_postfix_str(f"loss={measured['loss']:.3f}, {speed}", refresh=False)

    def _evaluate(self, stage: StageRun, step: int, variables: Any) -> None:
        evaluation = self.objective.evaluate(variables, step)
        stage.keep_if_best(step, variables, evaluation.score)
        self.writer.write(step, evaluation.row)
        tqdm.tqdm.write(evaluation.message)

    def export(self, step: int, variables: Any) -> None:
        """Writes the variables of a step as a model directory."""
        model = self.workdir / "model"
        with filesystem.creating_directory(model) as directory:
            self.objective.export(directory, variables, step, self.meter.effort)
        for stage in self.stages:
            stage.best.close()
        print(f"the model of step {step} is in {model}")


class _Meter:
    """The cost of training, and its speed since the last reading or reset."""

    def __init__(self, objective: Objective, dtype: str, effort: Effort):
        self.objective, self.effort = objective, effort
        self.peak = machine.peak_flops(dtype)
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
