"""Methods of training: which heads a model has, what it is taught, and when it exits.

A method is a row of `METHODS`: a shape of exit heads, lessons, and the exit that goes
with them. A lesson is taught in a stage of its own, with its own learning rate and a
fresh optimizer, and goes on from the best variables of the one before.

With a frozen backbone the heads are independent of each other, and each has its own
optimizer. So one lesson to all of them teaches each exactly what it would learn alone,
from top to bottom or in any order, from the same batches: at the cost of one pass.
While they learn, nothing is dropped out: a head sees what it will see when it is used.

References:
    elbert, plain: Xie et al., "ELBERT: Fast ALBERT with Confidence-Window Based Early
    Exit", ICASSP 2021.
    pabee: Zhou et al., "BERT Loses Patience", NeurIPS 2020.
    deebert: Xin et al., "DeeBERT: Dynamic Early Exiting for Accelerating BERT
    Inference", ACL 2020.
    fastbert: Liu et al., "FastBERT: a Self-distilling BERT with Adaptive Inference
    Time", ACL 2020.
    sustainable_kl, sustainable_count: Course5's paper, sections 3.2 and 3.3.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from elbert_jax.data.batching import Batch
from elbert_jax.data.corpus import Config
from elbert_jax.errors import UserError
from elbert_jax.exits import (
    ConfidenceWindow,
    Count,
    Criterion,
    Entropy,
    FixedDepth,
    Patience,
)
from elbert_jax.model import albert
from elbert_jax.model.albert import AlbertConfig
from elbert_jax.training import losses, stage
from elbert_jax.training.stage import Loss, Trains

_HEADS = ("model", "exit_heads")
# By what a lesson says that learns. The backbone is all but the exit heads.
TRAINS: dict[str, Trains] = {
    "all": stage.everything,
    "backbone": lambda path: path[:2] != _HEADS,
    "heads": lambda path: path[:2] == _HEADS,
}


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What is learned in a stage: a sum of the layers' losses."""

    learns: str  # of `TRAINS`
    weighting: str = "equal"  # of the layers' losses; see `losses.layer_weights`
    mean: bool = False  # divide by the sum of the weights
    from_teacher: bool = False  # the last layer's distribution, in place of labels

    def loss(self, config: AlbertConfig) -> Loss:
        """Returns the loss of `{"model": Albert's parameters, "t": ELBERT's t_i}`.

        Of a single layer there is no `"t"`. It measures `layer_loss`, `layer_weight`
        and `layer_accuracy`, or from a teacher `layer_agreement`: [D] each.
        """

        single = losses.initial_t(1)

        def loss(variables: Any, batch: Batch, key: Array):
            model = albert.bind(config, variables["model"])
            logits = model(*batch.inputs, key=None if self.learns == "heads" else key)
            labels, weight = batch.targets
            if self.from_teacher:
                by_layer = losses.distillation(logits, weight)
                name, right = "layer_agreement", logits[-1].argmax(-1)
            else:
                by_layer = losses.layer_losses(logits, labels, weight)
                name, right = "layer_accuracy", labels
            weights = losses.layer_weights(self.weighting, variables.get("t", single))
            hits = (logits.argmax(-1) == right[None]).astype(jnp.float32)
            total = (weights * by_layer).sum()
            return total / weights.sum() if self.mean else total, {
                "layer_loss": by_layer,
                name: losses.weighted_mean(hits, weight),
                "layer_weight": weights,
            }

        return loss


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A method of training."""

    exit_heads: str  # see `AlbertConfig`
    lessons: tuple[Lesson, ...]
    exit: Callable[[int], Criterion]  # that goes with it, by the number of layers

    @property
    def distils(self) -> bool:
        """Whether a lesson needs no labels."""
        return any(lesson.from_teacher for lesson in self.lessons)

    @property
    def weighs(self) -> bool:
        """Whether all exits learn together, so that their weights matter."""
        return self.lessons[0].weighting != "last"


_ALONE = Lesson("backbone", "last")  # as ALBERT is fine-tuned
_TOGETHER = Lesson("all")
_FROM_LABELS = Lesson("heads")
_FROM_TEACHER = Lesson("heads", from_teacher=True)

METHODS = {
    "elbert": Recipe(
        "shared", (Lesson("all", "elbert"),), lambda _: ConfidenceWindow()
    ),
    "plain": Recipe("shared", (_ALONE,), FixedDepth),
    "pabee": Recipe("linear", (Lesson("all", "depth", True),), lambda _: Patience()),
    "deebert": Recipe("pooler", (_ALONE, _FROM_LABELS), lambda _: Entropy()),
    "fastbert": Recipe(
        "attention", (_ALONE, _FROM_TEACHER), lambda _: Entropy(normalised=True)
    ),
    "sustainable_kl": Recipe(
        "mlp", (_ALONE, _FROM_TEACHER), lambda _: Entropy(normalised=True)
    ),
    "sustainable_count": Recipe("mlp", (_TOGETHER,), lambda _: Count()),
}


def find(config: Config) -> Recipe:
    """Returns the recipe of `config.method`, with `config.weighting` if that is set.

    Raises:
      UserError: there is no such method, or a value beside it is of no use to it.
    """
    method, weighting = config.method, config.weighting
    if method not in METHODS:
        known = ", ".join(METHODS)
        raise UserError(f"config.method is {method!r}; it may be {known}")
    recipe = METHODS[method]
    if config.data.unlabelled_file and not recipe.distils:
        able = ", ".join(name for name, other in METHODS.items() if other.distils)
        raise UserError(
            f"config.data.unlabelled_file is of no use to {method}; it is to {able}"
        )
    if not weighting:
        return recipe
    if weighting not in losses.WEIGHTINGS:
        known = ", ".join(losses.WEIGHTINGS)
        raise UserError(f"config.weighting is {weighting!r}; it may be {known}")
    if not recipe.weighs:
        able = ", ".join(name for name, other in METHODS.items() if other.weighs)
        raise UserError(f"config.weighting is of no use to {method}; it is to {able}")
    (together,) = recipe.lessons
    together = dataclasses.replace(together, weighting=weighting)
    return dataclasses.replace(recipe, lessons=(together,))
