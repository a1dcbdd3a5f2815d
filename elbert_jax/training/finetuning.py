"""Fine-tuning a classifier, by any of the methods of `recipes`.

A run goes on from the first of these that is there: its own newest checkpoint, the
checkpoint or hub id that `config.init` names, random weights shaped as `config.model`.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import grain
import jax
import numpy as np

from elbert_jax.data import batching, corpus, training_batches
from elbert_jax.data.batching import Batch
from elbert_jax.data.corpus import Config, Corpus
from elbert_jax.data.training_batches import Epoch
from elbert_jax.errors import UserError
from elbert_jax.evaluation import curve, metrics
from elbert_jax.evaluation.curve import LayerOutputs
from elbert_jax.exits import Criterion, registry
from elbert_jax.hub import config_json, operating_point, pretrained
from elbert_jax.inference import full_depth
from elbert_jax.model import albert, flops
from elbert_jax.model.albert import AlbertConfig, Params
from elbert_jax.training import (
    losses,
    methods,
    model_card,
    run_directory,
    trainer,
)
from elbert_jax.training.methods import Lesson, Recipe
from elbert_jax.training.stage import Stage
from elbert_jax.training.trainer import GRADIENT, Effort, Evaluation

_DROPOUTS = {f.name for f in dataclasses.fields(AlbertConfig) if "dropout" in f.name}


def train(config: Config, workdir: str | pathlib.Path) -> None:
    """Trains as `config` says, and leaves a model directory in `workdir/model`.

    Raises:
      UserError: the configuration, the data or the workdir cannot be used, or the loss
        is not finite.
    """
    workdir = pathlib.Path(os.path.expanduser(workdir)).absolute()
    recipe = _check(config)
    if trainer.is_finished(config, workdir):
        return
    with run_directory.claimed(workdir):
        data = corpus.load(config, workdir)
        model_config, params = _initial_model(config, recipe, data)
        length = config.data.max_seq_length
        if length > (positions := model_config.max_position_embeddings):
            raise UserError(
                f"config.data.max_seq_length is {length}, more than the model's "
                f"{positions}"
            )
        objective = _Classification(config, recipe, data, model_config, params)
        trainer.fit(config, workdir, objective)


def _check(config: Config) -> Recipe:
    """Returns the recipe that is named; refuses values that no run can have."""
    if config.metric not in ("", *metrics.NAMES):
        known = ", ".join(metrics.NAMES)
        raise UserError(f"config.metric is {config.metric!r}; it may be {known}")
    at_least_one = ["batch_size", "head_epochs", "eval_batch_size"]
    trainer.check(config, at_least_one, ["epochs", "steps"])
    if config.data.max_train_samples < 0:
        raise UserError("config.data.max_train_samples must be at least 0")
    recipe = methods.find(config)
    if _heads_only(config) and not (config.init and recipe.lessons[1:]):
        able = ", ".join(name for name, it in methods.METHODS.items() if it.lessons[1:])
        raise UserError(
            "config.epochs is 0, which leaves a fine-tuned model as it is and teaches "
            f"it exits: only {able} can, and config.init must name it"
        )
    _exit(config, recipe, 1)
    return recipe


def _heads_only(config: Config) -> bool:
    """Says whether the run starts with a model that has been fine-tuned already."""
    return config.epochs == 0


def _exit(config: Config, recipe: Recipe, layers: int) -> Criterion:
    try:
        return registry.chosen(config.exit.to_dict(), recipe.exit(layers))
    except ValueError as error:
        raise UserError(f"config.exit: {error}") from error


def _initial_model(
    config: Config, recipe: Recipe, data: Corpus
) -> tuple[AlbertConfig, Params]:
    key, labels = jax.random.fold_in(jax.random.key(config.seed), 0), len(data.labels)
    heads = recipe.exit_heads
    if config.init:
        start = pretrained.load(
            config.init,
            num_labels=labels,
            num_hidden_layers=config.model.get("num_hidden_layers"),
            exit_heads=heads,
            key=key,
        )
        start.tell()
        known = all("exit_heads." in name for name in start.initialised)
        if _heads_only(config) and not (known and start.labels == data.labels):
            raise UserError(
                f"{config.init} has no classifier of {', '.join(data.labels)}, which "
                "config.epochs=0 needs, in this order (config.data.labels sets it)"
            )
        dropouts = {name: config.model[name] for name in _DROPOUTS & {*config.model}}
        model_config = dataclasses.replace(start.config, dtype=config.dtype, **dropouts)
        data.tokenizer.check_fits(config.init, model_config.vocab_size)
        return model_config, start.params
    shape = {name: value for name, value in config.model.items() if value is not None}
    try:
        model_config = AlbertConfig(
            **shape,
            vocab_size=len(data.tokenizer),
            num_labels=labels,
            dtype=config.dtype,
            exit_heads=heads,
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"config.model: {error}") from error
    return model_config, albert.init(model_config, key)


class _Classification:
    """The trainer's `Objective`: a class for every text, at every layer."""

    def __init__(
        self,
        config: Config,
        recipe: Recipe,
        data: Corpus,
        model_config: AlbertConfig,
        params: Params,
    ):
        self.config, self.data = config, data
        self.model_config, self.params = model_config, params
        self.criterion = _exit(config, recipe, model_config.num_hidden_layers)
        self.dtype, self.t_learning_rate = config.dtype, config.t_learning_rate
        self.texts = data.fingerprint
        self.buckets = batching.bucket_lengths(config.data.max_seq_length)
        stages: list[Stage] = []
        self.epochs: list[tuple[Lesson, Epoch]] = []  # of all stages
        for lesson in recipe.lessons:
            heads = lesson.learns == "heads"
            if _heads_only(config) and not heads:
                continue
            epochs = config.head_epochs if heads else config.epochs
            rate = config.head_learning_rate if heads else config.learning_rate
            texts = data.train
            if lesson.from_teacher:
                texts = batching.joined(texts, data.unlabelled)
            each = training_batches.steps_per_epoch(texts, config.batch_size)
            steps = config.steps if config.steps and not heads else epochs * each
            taught = [(steps, lesson.loss(model_config))]
            trains = methods.TRAINS[lesson.learns]
            stages.append(Stage(taught, rate, each, trains, stacked=heads))
            parts = training_batches.epochs(texts, config.batch_size, steps)
            self.epochs += [(lesson, epoch) for epoch in parts]
        self.stages: Sequence[Stage] = stages
        self.measured: tuple[int, LayerOutputs] | None = None  # of the last step
        self.ends = np.cumsum([epoch.steps for _, epoch in self.epochs])

    def _epoch(self, step: int) -> tuple[float, Lesson]:
        """Returns how many epochs end with a step, and what the last one teaches."""
        index = int(np.searchsorted(self.ends, step))
        lesson, epoch = self.epochs[index]
        begin = self.ends[index] - epoch.steps
        whole = training_batches.steps_per_epoch(epoch.texts, self.config.batch_size)
        return round(index + (step - begin) / whole, 2), lesson

    def variables(self) -> Any:
        t = losses.initial_t(self.model_config.num_hidden_layers)
        return {"model": self.params} | ({"t": t} if t.size else {})

    def batches(self) -> grain.DatasetIterator[Batch]:
        epochs = [epoch for _, epoch in self.epochs]
        return training_batches.train_iterator(
            epochs, self.config.batch_size, self.config.seed, self.buckets
        )

    def flops(self, batch: Batch, step: int) -> float:
        config, lengths = self.model_config, batch.mask.sum(1)[batch.weight > 0]
        depth = config.num_hidden_layers
        forward = flops.text(config, lengths, depth).sum()
        _, lesson = self._epoch(step)
        if lesson.learns == "heads":
            heads = (depth - 1) * flops.exit_head(config, lengths).sum()
            return float(forward + (GRADIENT - 1) * heads)
        return GRADIENT * float(forward)

    def _outputs(self, params: Params, step: int) -> LayerOutputs:
        """Returns those of the held-out texts, computed once a step."""
        if self.measured is None or self.measured[0] != step:
            config, held_out = self.model_config, self.data.validation
            batches = batching.eval_batches(
                held_out, self.config.eval_batch_size, self.buckets
            )
            logits = full_depth.every_layer(config, params, batches, len(held_out))
            outputs = LayerOutputs(config, logits, held_out.labels, held_out.lengths)
            self.measured = step, outputs
        return self.measured[1]

    def _by_part(
        self, outputs: LayerOutputs, parts: Mapping[str, slice]
    ) -> dict[str, dict[str, Any]]:
        return {
            name: curve.scores(outputs.take(texts), self.criterion)
            for name, texts in parts.items()
        }

    def evaluate(self, variables: Any, step: int) -> Evaluation:
        metric, depth = self.data.metric, self.model_config.num_hidden_layers
        outputs = self._outputs(variables["model"], step)
        parts = {f"/{name}": texts for name, texts in self.data.parts.items()}
        measured = self._by_part(outputs, {"": slice(None)} | parts)
        epoch, lesson = self._epoch(step)
        full, at_exit = measured[""]["full_depth"], measured[""]["at_exit"]
        row = {
            "epoch": epoch,
            "validation_mean_exit_layer": at_exit["mean_exit_layer"],
            "validation_layer_accuracy": outputs.layer_accuracy(),
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
        score = full[metric]
        if lesson.learns == "heads":  # full depth stays as it is
            labels, classes = self.data.validation.labels, len(self.data.labels)
            by_layer = [
                metrics.classification(labels, each, classes, [metric])[metric]
                for each in outputs.logits.argmax(-1)
            ]
            score = float(np.mean(by_layer))
        return Evaluation(row, score, sentence)

    def export(
        self, directory: pathlib.Path, variables: Any, step: int, effort: Effort
    ) -> None:
        config, data, params = self.model_config, self.data, variables["model"]
        outputs = self._outputs(params, step)
        report = curve.report(outputs, self.criterion)
        report["parts"] = self._by_part(outputs, data.parts)
        training = {name: self.config[name] for name in config_json.TRAINING}
        pretrained.save(directory, config, params, data.labels, training=training)
        data.tokenizer.save(directory)
        operating_point.save(directory, self.criterion, report["at_exit"])
        exit = self.criterion.to_dict()
        card = model_card.render(config, data, report, exit, step, self.config)
        (directory / "README.md").write_text(card)
