"""Fine-tuning a classifier with a loss at every exit.

A run goes on from the first of these that is there: its own newest checkpoint, the
checkpoint or hub id that `config.init` names, random weights shaped as `config.model`.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from elbert_jax import (
    albert,
    evaluation,
    exit_settings,
    flops,
    hf,
    losses,
    metrics,
    model_card,
    operating_point,
    trainer,
)
from elbert_jax.albert import AlbertConfig, Params
from elbert_jax.data import batching, corpus
from elbert_jax.data.batching import Batch
from elbert_jax.data.corpus import Config, Corpus
from elbert_jax.errors import UserError
from elbert_jax.exits import Criterion
from elbert_jax.trainer import Effort, Evaluation, Loss, Stage

_DROPOUTS = {f.name for f in dataclasses.fields(AlbertConfig) if "dropout" in f.name}


def make_loss(config: AlbertConfig, weighting: str) -> Loss:
    """Returns the loss of `{"model": Albert's parameters, "t": ELBERT's t_i [D - 1]}`.

    It measures `layer_loss`, `layer_accuracy` and `layer_weight`, [D] each.
    """

    def loss(variables: Any, batch: Batch, key: Array):
        model = albert.bind(config, variables["model"])
        logits = model(*batch.inputs, key=key)
        labels, weight = batch.targets
        by_layer = losses.layer_losses(logits, labels, weight)
        weights = losses.layer_weights(weighting, variables["t"])
        hits = (logits.argmax(-1) == labels[None]).astype(jnp.float32)
        return (weights * by_layer).sum(), {
            "layer_loss": by_layer,
            "layer_accuracy": losses.weighted_mean(hits, weight),
            "layer_weight": weights,
        }

    return loss


def train(config: Config, workdir: str | pathlib.Path) -> None:
    """Trains as `config` says, and leaves a model directory in `workdir/model`.

    Raises:
      UserError: the configuration, the data or the workdir cannot be used, or the loss
        is not finite.
    """
    workdir = pathlib.Path(workdir).absolute()
    criterion = _check(config)
    if trainer.is_finished(config, workdir):
        return
    data = corpus.load(config, workdir)
    model_config, params = _initial_model(config, data)
    length, positions = config.data.max_seq_length, model_config.max_position_embeddings
    if length > positions:
        raise UserError(
            f"config.data.max_seq_length is {length}, more than the model's {positions}"
        )
    objective = _Classification(config, data, model_config, params, criterion)
    trainer.fit(config, workdir, objective)


def _check(config: Config) -> Criterion:
    """Returns the criterion that is named; refuses values that no run can have."""
    if config.weighting not in losses.WEIGHTINGS:
        known = ", ".join(losses.WEIGHTINGS)
        raise UserError(f"config.weighting is {config.weighting!r}; it may be {known}")
    if config.metric not in ("", *metrics.NAMES):
        known = ", ".join(metrics.NAMES)
        raise UserError(f"config.metric is {config.metric!r}; it may be {known}")
    trainer.check(config, ["batch_size", "epochs", "eval_batch_size"])
    if config.steps < 0:
        raise UserError(f"config.steps is {config.steps}; it must be at least 0")
    try:
        return exit_settings.from_dict(config.exit.to_dict())
    except ValueError as error:
        raise UserError(f"config.exit: {error}") from error


def _initial_model(config: Config, data: Corpus) -> tuple[AlbertConfig, Params]:
    key, labels = jax.random.fold_in(jax.random.key(config.seed), 0), len(data.labels)
    if config.init:
        start = hf.load(config.init, num_labels=labels, key=key)
        start.tell()
        dropouts = {name: config.model[name] for name in _DROPOUTS & {*config.model}}
        model_config = dataclasses.replace(start.config, dtype=config.dtype, **dropouts)
        vocabulary = model_config.vocab_size
        if len(data.tokenizer) > vocabulary:
            raise UserError(
                f"the tokenizer has {len(data.tokenizer)} pieces, but {config.init} "
                f"embeds {vocabulary}: name its own tokenizer in config.data.tokenizer"
            )
        return model_config, start.params
    try:
        model_config = AlbertConfig(
            **config.model,
            vocab_size=len(data.tokenizer),
            num_labels=labels,
            dtype=config.dtype,
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"config.model: {error}") from error
    return model_config, albert.init(model_config, key)


class _Classification:
    """The trainer's `Objective`: a class for every text, at every layer."""

    def __init__(
        self,
        config: Config,
        data: Corpus,
        model_config: AlbertConfig,
        params: Params,
        criterion: Criterion,
    ):
        self.config, self.data, self.params = config, data, params
        self.model_config, self.criterion = model_config, criterion
        self.dtype, self.t_learning_rate = config.dtype, config.t_learning_rate
        self.buckets = batching.bucket_lengths(config.data.max_seq_length)
        self.eval_every = batching.steps_per_epoch(data.train, config.batch_size)
        loss = make_loss(model_config, config.weighting)
        self.steps = config.steps or self.eval_every * config.epochs
        self.stages: Sequence[Stage] = [Stage(self.steps, loss)]

    def variables(self) -> Any:
        t = losses.initial_t(self.model_config.num_hidden_layers)
        return {"model": self.params, "t": t}

    def batches(self) -> grain.DatasetIterator[Batch]:
        config, epochs = self.config, -(-self.steps // self.eval_every)
        return batching.train_iterator(
            self.data.train, config.batch_size, epochs, config.seed, self.buckets
        )

    def flops(self, batch: Batch, step: int) -> float:
        lengths = batch.mask.sum(1)[batch.weight > 0]
        depth = self.model_config.num_hidden_layers
        return float(flops.text(self.model_config, lengths, depth).sum())

    def _logits(self, params: Params) -> np.ndarray:
        held_out = self.data.validation
        batches = batching.eval_batches(
            held_out, self.config.eval_batch_size, self.buckets
        )
        return evaluation.every_layer(self.model_config, params, batches, len(held_out))

    def _by_part(
        self, logits: np.ndarray, parts: Mapping[str, slice]
    ) -> dict[str, dict[str, Any]]:
        held_out = self.data.validation
        return evaluation.by_part(
            self.model_config,
            logits,
            held_out.labels,
            held_out.lengths,
            self.criterion,
            parts,
        )

    def evaluate(self, variables: Any, step: int) -> Evaluation:
        metric, depth = self.data.metric, self.model_config.num_hidden_layers
        logits = self._logits(variables["model"])
        parts = {f"/{name}": texts for name, texts in self.data.parts.items()}
        measured = self._by_part(logits, {"": slice(None)} | parts)
        epoch = round(step / self.eval_every, 2)
        full, at_exit = measured[""]["full_depth"], measured[""]["at_exit"]
        row = {
            "epoch": epoch,
            "validation_mean_exit_layer": at_exit["mean_exit_layer"],
            "validation_layer_accuracy": evaluation.layer_accuracy(
                logits, self.data.validation.labels
            ),
        }
        for part, scores in measured.items():
            for name in metrics.NAMES:
                row[f"validation_{name}{part}"] = scores["full_depth"][name]
                row[f"validation_exit_{name}{part}"] = scores["at_exit"][name]
        sentence = (
            f"epoch {epoch:g}: {metric} {full[metric]:.4f} at full depth, "
            f"{at_exit[metric]:.4f} with early exit at layer "
            f"{at_exit['mean_exit_layer']:.2f} of {depth} on average"
        )
        return Evaluation(row, full[metric], sentence)

    def export(
        self, directory: pathlib.Path, variables: Any, step: int, effort: Effort
    ) -> None:
        config, data, params = self.model_config, self.data, variables["model"]
        logits = self._logits(params)
        report = evaluation.report(
            config,
            logits,
            data.validation.labels,
            data.validation.lengths,
            self.criterion,
        )
        report["parts"] = self._by_part(logits, data.parts)
        hf.save(directory, config, params, data.labels)
        data.tokenizer.save(directory)
        operating_point.save(directory, self.criterion, report["at_exit"])
        card = model_card.render(config, data, report, step, self.config)
        (directory / "README.md").write_text(card)
