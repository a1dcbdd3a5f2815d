"""The fine-tuning objective: a class for every text, predicted after every layer."""

import pathlib
from collections.abc import Mapping
from typing import Any

import grain
import numpy as np

from elbert_jax.data import batching, training_batches
from elbert_jax.data.batching import Batch
from elbert_jax.data.training_batches import StageTexts, TrainingBatches
from elbert_jax.data.training_data import TrainingData
from elbert_jax.evaluation import curve, metrics
from elbert_jax.evaluation.curve import LayerOutputs
from elbert_jax.hub import operating_point, pretrained
from elbert_jax.inference import full_depth
from elbert_jax.model import flops
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig
from elbert_jax.training import losses, model_card, optimizer
from elbert_jax.training.config import FineTuningConfig
from elbert_jax.training.methods import ExitLoss
from elbert_jax.training.stage import TrainingStage
from elbert_jax.training.trainer import GRADIENT, Effort, Evaluation


class Classification:
    """The trainer's `Objective` of a method's losses, one stage each.

    `params` are those before the first step.
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
        self.losses = [
            loss
            for loss in config.method.losses
            if loss.heads_only or not config.heads_only
        ]
        texts = [self._texts(loss) for loss in self.losses]
        self.stages = [self._stage(*each) for each in zip(self.losses, texts)]
        self.buckets = batching.bucket_lengths(config.data.max_seq_length)
        self.train = TrainingBatches(
            texts, config.batch_size, config.loop.seed, self.buckets
        )

    def _texts(self, loss: ExitLoss) -> StageTexts:
        config, texts = self.config, self.data.train
        if loss.distilled:
            texts = texts.joined(self.data.unlabelled)
        each = training_batches.steps_per_epoch(texts, config.batch_size)
        if loss.heads_only:
            return StageTexts(texts, config.head_epochs * each)
        return StageTexts(texts, config.steps or config.epochs * each)

    def _stage(self, loss: ExitLoss, texts: StageTexts) -> TrainingStage:
        config, loop = self.config, self.config.loop
        heads = loss.heads_only
        peak = config.head_learning_rate if heads else config.learning_rate
        updates = texts.steps // loop.accumulate
        return TrainingStage(
            losses=[(texts.steps, loss.bind(self.model_config))],
            learning_rate=optimizer.warmup_decay(peak, updates, loop.warmup_ratio),
            eval_every=training_batches.steps_per_epoch(texts.texts, config.batch_size),
            trainable=loss.trainable,
            stacked=heads,
            t_learning_rate=config.t_learning_rate,
        )

    def _loss_of(self, step: int) -> ExitLoss:
        return self.losses[self.train.stage_of(step - 1)]

    def variables(self) -> Any:
        t = losses.initial_t(self.model_config.num_hidden_layers)
        return {"model": self.params} | ({"t": t} if t.size else {})

    def batches(self) -> grain.DatasetIterator[Batch]:
        return training_batches.resumable(self.train)

    def flops(self, batch: Batch, step: int) -> float:
        config, lengths = self.model_config, batch.mask.sum(1)[batch.weight > 0]
        depth = config.num_hidden_layers
        forward = flops.text(config, lengths, depth).sum()
        if self._loss_of(step).heads_only:
            heads = (depth - 1) * flops.exit_head(config, lengths).sum()
            return float(forward + (GRADIENT - 1) * heads)
        return GRADIENT * float(forward)

    def _outputs(self, params: Params) -> LayerOutputs:
        """Returns the logits of all layers for the held-out texts."""
        config, held_out = self.model_config, self.data.validation
        batches = batching.eval_batches(
            held_out, self.config.eval_batch_size, self.buckets
        )
        logits = full_depth.every_layer(config, params, batches, len(held_out))
        return LayerOutputs(config, logits, held_out.labels, held_out.lengths)

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
        epoch = round(self.train.epochs_after(step), 2)
        row = {
            "epoch": epoch,
            "validation_mean_exit_layer": at_exit["mean_exit_layer"],
            "validation_layer_accuracy": outputs.layer_accuracy(),
        }
        for part, scores in measured.items():
            for name in metrics.NAMES:
                row[f"validation_{name}{part}"] = scores["full_depth"][name]
                row[f"validation_exit_{name}{part}"] = scores["at_exit"][name]
        message = (
            f"epoch {epoch:g}: {metric} {full[metric]:.4f} at full depth, "
            f"{at_exit[metric]:.4f} with early exit at layer "
            f"{at_exit['mean_exit_layer']:.2f} of {depth} on average"
        )
        if not self._loss_of(step).heads_only:
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
        config, data, params = self.model_config, self.data, variables["model"]
        outputs = self._outputs(params)
        report = curve.report(outputs, self.criterion)
        report["parts"] = self._by_part(outputs, data.parts)
        training = {
            "method": self.config.method.name,
            "weighting": self.config.weighting,
            "seed": self.config.loop.seed,
        }
        pretrained.save(
            *(directory, config, params, data.labels),
            training=training,
            special_ids=data.tokenizer.special_ids,
        )
        data.tokenizer.save(directory)
        operating_point.save(directory, self.criterion, report["at_exit"])
        exit = self.criterion.to_dict()
        card = model_card.render(config, data, report, exit, step, self.config)
        (directory / "README.md").write_text(card)
