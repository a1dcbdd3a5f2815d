"""Training methods: exit heads, training stages, and the exit criterion that fits them.

A method is a row of `METHODS`. Each of its losses is minimised in a training stage of
its own, with its own learning rate and a fresh optimizer, from the best variables of
the stage before.

With a frozen backbone the exit heads are independent of each other, and each has its
own optimizer. Training them together in one stage therefore teaches each exactly what
it would learn alone, from top to bottom or in any order, from the same batches, at the
cost of one forward pass. Dropout is off in that stage: a head sees what it will see at
inference.

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
from elbert_jax.model.config import AlbertConfig
from elbert_jax.settings import check, one_of
from elbert_jax.training import losses
from elbert_jax.training.train_step import Loss, Trainable, everything

_HEADS = ("model", "exit_heads")
_TRAINABLE: dict[str, Trainable] = {
    "all": everything,
    "backbone": lambda path: path[:2] != _HEADS,  # the last layer's head included
    "heads": lambda path: path[:2] == _HEADS,
}


@dataclasses.dataclass(frozen=True)
class ExitLoss:
    """The loss of a training stage: a weighted sum of the losses of all exits."""

    trains: str  # "all", "backbone" or "heads"
    weighting: str = "equal"  # see `losses.layer_weights`
    mean: bool = False  # divide by the sum of the weights
    distilled: bool = False  # targets are the last layer's distribution, not the labels

    @property
    def heads_only(self) -> bool:
        return self.trains == "heads"

    @property
    def trainable(self) -> Trainable:
        return _TRAINABLE[self.trains]

    def bind(self, config: AlbertConfig) -> Loss:
        """Returns the loss of `{"model": Albert's parameters, "t": ELBERT's t_i}`.

        A model of a single layer has no `"t"`. The metrics, [D] each: `layer_loss`,
        `layer_weight`, and `layer_accuracy` or, if distilled, `layer_agreement` with
        the last layer.
        """
        single = losses.initial_t(1)

        def loss(variables: Any, batch: Batch, key: Array):
            model = albert.bind(config, variables["model"])
            logits = model(*batch.inputs, key=None if self.heads_only else key)
            labels, weight = batch.targets
            if self.distilled:
                by_layer = losses.distillation(logits, weight)
                name, targets = "layer_agreement", logits[-1].argmax(-1)
            else:
                by_layer = losses.layer_losses(logits, labels, weight)
                name, targets = "layer_accuracy", labels
            weights = losses.layer_weights(self.weighting, variables.get("t", single))
            hits = (logits.argmax(-1) == targets[None]).astype(jnp.float32)
            total = (weights * by_layer).sum()
            return total / weights.sum() if self.mean else total, {
                "layer_loss": by_layer,
                name: losses.weighted_mean(hits, weight),
                "layer_weight": weights,
            }

        return loss


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to train a model with early exits."""

    name: str
    exit_heads: str  # see `AlbertConfig`
    losses: tuple[ExitLoss, ...]  # one training stage each
    exit: Callable[[int], Criterion]  # the default criterion, by the number of layers

    @property
    def distils(self) -> bool:
        """Whether a stage needs no labels."""
        return any(loss.distilled for loss in self.losses)

    @property
    def freezes(self) -> bool:
        """Whether the exit heads are trained on a frozen backbone."""
        return any(loss.heads_only for loss in self.losses)

    @property
    def weighs(self) -> bool:
        """Whether all exits are trained jointly, so that their weights matter."""
        return self.losses[0].weighting != "last"


_BACKBONE = ExitLoss("backbone", "last")  # ordinary fine-tuning
_SELF_DISTILLATION = _BACKBONE, ExitLoss("heads", distilled=True)


def _entropy(_: int) -> Criterion:
    return Entropy(normalised=True)


_ALL = (
    Method(
        "elbert", "shared", (ExitLoss("all", "elbert"),), lambda _: ConfidenceWindow()
    ),
    Method("plain", "shared", (_BACKBONE,), FixedDepth),
    Method("pabee", "linear", (ExitLoss("all", "depth", True),), lambda _: Patience()),
    Method("deebert", "pooler", (_BACKBONE, ExitLoss("heads")), lambda _: Entropy()),
    Method("fastbert", "attention", _SELF_DISTILLATION, _entropy),
    Method("sustainable_kl", "mlp", _SELF_DISTILLATION, _entropy),
    Method("sustainable_count", "mlp", (ExitLoss("all"),), lambda _: Count()),
)
METHODS = {method.name: method for method in _ALL}


def names(test: Callable[[Method], bool]) -> str:
    """Returns the names of the methods that pass a test, for error messages."""
    return ", ".join(method.name for method in METHODS.values() if test(method))


def find(name: str, weighting: str = "") -> Method:
    """Returns a method by name, with another weighting of the exits if that is set.

    Raises:
      UserError: there is no such method or weighting, or the method has no weights.
    """
    check("config.method", name, one_of(METHODS))
    check("config.weighting", weighting, one_of(("", *losses.WEIGHTINGS)))
    method = METHODS[name]
    if not weighting:
        return method
    if not method.weighs:
        able = names(lambda other: other.weighs)
        raise UserError(f"config.weighting is of no use to {name}; it is to {able}")
    joint = dataclasses.replace(method.losses[0], weighting=weighting)
    return dataclasses.replace(method, losses=(joint,))
