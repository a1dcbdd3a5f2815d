"""Fine-tuning a classifier with early exits, by any of the methods of `methods`.

A run starts from the first of these that exists: its own newest checkpoint, the model
directory or hub id `config.init`, random weights of the shape `config.model`.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import grain
import jax
import numpy as np

from elbert_jax.data import batching, training_batches, training_data
from elbert_jax.data.batching import Batch
from elbert_jax.data.training_batches import StageTexts, TrainingBatches
from elbert_jax.data.training_data import TrainingData
from elbert_jax.errors import UserError
from elbert_jax.evaluation import curve, metrics
from elbert_jax.evaluation.curve import LayerOutputs
from elbert_jax.hub import operating_point, pretrained
from elbert_jax.inference import full_depth
from elbert_jax.model import albert, flops
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig
from elbert_jax.settings import Config
from elbert_jax.training import config as configs
from elbert_jax.training import losses, model_card, optimizer, trainer
from elbert_jax.training.config import FineTuningConfig
from elbert_jax.training.methods import ExitLoss
from elbert_jax.training.stage import TrainingStage
from elbert_jax.training.trainer import GRADIENT, Effort, Evaluation


def train(config: Config, workdir: str | pathlib.Path) -> None:
    """Trains a classifier, and leaves a model directory in `workdir/model`.

    Args:
      config: a `ConfigDict` with the keys of `configs/default.py`.
      workdir: gets checkpoints, logs and the model; a second call resumes.

    Raises:
      UserError: the configuration, the data or the workdir cannot be used, or the loss
        is not finite.
    """
    parsed = configs.fine_tuning(config)
    trainer.run(config, workdir, parsed.loop, lambda path: prepare(parsed, path))


def prepare(config: FineTuningConfig, workdir: pathlib.Path) -> "Classification":
    """Returns the objective of a run, before its first step."""
    data = training_data.load(config.data, workdir)
    model_config, params = initial_model(config, data)
    length = config.data.max_seq_length
    if length > (positions := model_config.max_position_embeddings):
        raise UserError(
            f"config.data.max_seq_length is {length}, more than the model's {positions}"
        )
    return Classification(config, data, model_config, params)


def initial_model(
    config: FineTuningConfig, data: TrainingData
) -> tuple[AlbertConfig, Params]:
    """Returns the model before the first step.

    It is `config.init` with the depth and dropout rates of `config.model`, or a random
    one of the shape `config.model`.
    """
    key = jax.random.fold_in(jax.random.key(config.loop.seed), 0)
    heads, dtype = config.method.exit_heads, config.loop.dtype
    if not config.init:
        sizes = {"vocab_size": len(data.tokenizer), "num_labels": len(data.labels)}
        model_config = configs.albert_config(
            config.model, **sizes, exit_heads=heads, dtype=dtype
        )
        return model_config, albert.init(model_config, key)
    start = pretrained.load(
        config.init,
        num_labels=len(data.labels),
        num_hidden_layers=config.model.get("num_hidden_layers"),
        exit_heads=heads,
        key=key,
    )
    start.tell()
    classifies = all("exit_heads." in name for name in start.initialised)
    if config.heads_only and not (classifies and start.labels == data.labels):
        raise UserError(
            f"{config.init} has no classifier of {', '.join(data.labels)}, which "
            "config.epochs=0 needs, in this order (config.data.labels sets it)"
        )
    data.tokenizer.check_fits(config.init, start.config.vocab_size)
    dropouts = {name: rate for name, rate in config.model.items() if "dropout" in name}
    return dataclasses.replace(start.config, dtype=dtype, **dropouts), start.params


class Classification:
    """The trainer's `Objective`: a class for every text, after every layer.

    Each loss of the method has a stage of its own.
    """

    def __init__(
        self,
        config: FineTuningConfig,
        data: TrainingData,
        model_config: AlbertConfig,
        params: Params,
    ):
        self.config, self.data = config, data
        self.model_config, self.params = model_config, params
        self.criterion = config.criterion(model_config.num_hidden_layers)
        self.metric = config.metric or data.metric
        self.fingerprint = data.fingerprint
        every = config.method.losses
        self.losses = [x for x in every if x.heads_only or not config.heads_only]
        texts, self.stages = zip(*map(self._stage, self.losses))
        self.buckets = batching.bucket_lengths(config.data.max_seq_length)
        self.train = TrainingBatches(
            texts, config.batch_size, config.loop.seed, self.buckets
        )

    def _stage(self, loss: ExitLoss) -> tuple[StageTexts, TrainingStage]:
        config, loop, texts = self.config, self.config.loop, self.data.train
        if loss.distilled:
            texts = texts.joined(self.data.unlabelled)
        epoch = training_batches.steps_per_epoch(texts, config.batch_size)
        if loss.heads_only:
            steps, peak = config.head_epochs * epoch, config.head_learning_rate
        else:
            steps, peak = config.steps or config.epochs * epoch, config.learning_rate
        updates = steps // loop.accumulate
        return StageTexts(texts, steps), TrainingStage(
            losses=[(steps, loss.bind(self.model_config))],
            learning_rate=optimizer.warmup_decay(peak, updates, loop.warmup_ratio),
            eval_every=epoch,
            trainable=loss.trainable,
            stacked=loss.heads_only,
            t_learning_rate=config.t_learning_rate,
        )

    def _trains_heads_only(self, step: int) -> bool:
        return self.losses[self.train.stage_of(step - 1)].heads_only

    def variables(self) -> Any:
        t = losses.initial_t(self.model_config.num_hidden_layers)
        return {"model": self.params} | ({"t": t} if t.size else {})

    def batches(self) -> grain.DatasetIterator[Batch]:
        return training_batches.resumable(self.train)

    def flops(self, batch: Batch, step: int) -> float:
        config, lengths = self.model_config, batch.mask.sum(1)[batch.weight > 0]
        depth = config.num_hidden_layers
        forward = flops.text(config, lengths, depth).sum()
        if self._trains_heads_only(step):
            heads = (depth - 1) * flops.exit_head(config, lengths).sum()
            return float(forward + (GRADIENT - 1) * heads)
        return GRADIENT * float(forward)

    def _outputs(self, params: Params) -> LayerOutputs:
        """Returns the logits of all layers for the held-out texts."""
        config, texts = self.model_config, self.data.validation
        batches = batching.eval_batches(
            texts, self.config.eval_batch_size, self.buckets
        )
        logits = full_depth.every_layer(config, params, batches, len(texts))
        return LayerOutputs(config, logits, texts.labels, texts.lengths)

    def _by_part(
        self, outputs: LayerOutputs, parts: Mapping[str, slice]
    ) -> dict[str, dict[str, Any]]:
        return {
            name: curve.scores(outputs.take(texts), self.criterion)
            for name, texts in parts.items()
        }

    def evaluate(self, variables: Any, step: int) -> Evaluation:
        metric, depth = self.metric, self.model_config.num_hidden_layers
        outputs = self._outputs(variables["model"])
        parts = {f"/{name}": texts for name, texts in self.data.parts.items()}
        measured = self._by_part(outputs, {"": slice(None)} | parts)
        full, at_exit = measured[""]["full_depth"], measured[""]["at_exit"]
        epoch, mean_exit = self.train.epochs_after(step), at_exit["mean_exit_layer"]
        row = {
            "epoch": round(epoch, 2),
            "validation_mean_exit_layer": mean_exit,
            "validation_layer_accuracy": outputs.layer_accuracy(),
        }
        for part, scores in measured.items():
            for name in metrics.NAMES:
                row[f"validation_{name}{part}"] = scores["full_depth"][name]
                row[f"validation_exit_{name}{part}"] = scores["at_exit"][name]
        message = (
            f"epoch {row['epoch']:g}: {metric} {full[metric]:.4f} at full depth, "
            f"{at_exit[metric]:.4f} with early exit at layer {mean_exit:.2f} of "
            f"{depth} on average"
        )
        if not self._trains_heads_only(step):
            return Evaluation(row, full[metric], message)
        # Full depth is frozen: the mean over the layers is compared.
        labels, classes = outputs.labels, len(self.data.labels)
        by_layer = [
            metrics.classification(labels, predicted, classes, [metric])[metric]
            for predicted in outputs.logits.argmax(-1)
        ]
        return Evaluation(row, float(np.mean(by_layer)), message)

    def export(
        self, directory: pathlib.Path, variables: Any, step: int, effort: Effort
    ) -> None:
        del effort
        config, data, params = self.config, self.data, variables["model"]
        outputs = self._outputs(params)
        report = curve.report(outputs, self.criterion)
        report["parts"] = self._by_part(outputs, data.parts)
        training = {
            "method": config.method.name,
            "weighting": config.weighting,
            "seed": config.loop.seed,
        }
        pretrained.save(
            *(directory, self.model_config, params, data.labels),
            training=training,
            special_ids=data.tokenizer.special_ids,
        )
        data.tokenizer.save(directory)
        operating_point.save(directory, self.criterion, report["at_exit"])
        exit = self.criterion.to_dict()
        card = model_card.render(self.model_config, data, report, exit, step, config)
        (directory / "README.md").write_text(card)
