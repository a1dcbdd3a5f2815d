"""Training stages: steps under one optimizer and one learning-rate schedule."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import optax

from elbert_jax.training import optimizer, train_step
from elbert_jax.training.checkpoints import Checkpoints
from elbert_jax.training.config import LoopConfig
from elbert_jax.training.train_step import Loss, TrainState, TrainStep


@dataclasses.dataclass(frozen=True)
class TrainingStage:
    """What is trained in a stage, how long, and at which learning rate."""

    losses: Sequence[tuple[int, Loss]]  # a number of steps with each
    learning_rate: optax.Schedule  # of the model, by the number of updates
    eval_every: int  # steps between evaluations; there is one after the last step too
    trainable: train_step.Trainable = train_step.everything
    stacked: bool = False  # see `optimizer.build`
    t_learning_rate: float = 0.0  # of ELBERT's t_i, if they are among the variables
    b2: float = 0.999  # see `optimizer.build`

    @property
    def steps(self) -> int:
        return sum(steps for steps, _ in self.losses)


class StageRun:
    """A stage's schedule, optimizer and best checkpoint, indexed by global step.

    Its first step is `begin + 1`, its last one `end`; `best` is of the checkpoint.
    """

    def __init__(
        self, stage: TrainingStage, config: LoopConfig, begin: int, best: pathlib.Path
    ):
        self.stage, self.begin, self.end = stage, begin, begin + stage.steps
        updates = np.arange(stage.steps) // config.accumulate
        self._rates = np.asarray(stage.learning_rate(updates), np.float32)
        self._tx = optimizer.build(
            name=config.optimizer,
            weight_decay=config.weight_decay,
            clip_norm=config.clip_norm,
            accumulate=config.accumulate,
            t_learning_rate=stage.t_learning_rate,
            stacked=stage.stacked,
            b2=stage.b2,
        )
        self._ends = begin + np.cumsum([steps for steps, _ in stage.losses])
        self._train_steps = [
            train_step.make_train_step(loss, self._tx, stage.trainable)
            for _, loss in stage.losses
        ]
        self.best = Checkpoints(best, keep=1)

    def initial_state(self, variables: Any) -> TrainState:
        """Returns the state before the first step."""
        trainable = self.stage.trainable
        return train_step.initial_state(variables, self._tx, trainable, self.begin)

    def train_step(self, step: int) -> TrainStep:
        """Returns the compiled function of a step."""
        return self._train_steps[int(np.searchsorted(self._ends, step))]

    def learning_rate(self, step: int) -> np.float32:
        """Returns the learning rate of a step."""
        return self._rates[step - self.begin - 1]

    def evaluates(self, step: int) -> bool:
        """Returns whether an evaluation follows a step."""
        return (step - self.begin) % self.stage.eval_every == 0 or step == self.end

    def keep_if_best(self, step: int, variables: Any, score: float) -> None:
        """Stores the variables if their score is the highest so far."""
        stored = self.best.latest()
        if stored is None or score > self.best.record(stored)["score"]:
            self.best.save(step, variables, {"score": score})
            self.best.wait()  # a run that resumes after this step must find it

    def restore_best(self, like: Any) -> tuple[int, Any]:
        """Returns the step of the best variables, and the variables."""
        step = self.best.latest()
        assert step is not None, "the last step has an evaluation"
        return step, self.best.restore(step, like)
