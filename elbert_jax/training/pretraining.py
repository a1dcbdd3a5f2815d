"""Pretraining ALBERT on plain text: masked tokens and sentence order.

A run starts from the first of these that exists: its own newest checkpoint, the model
directory or hub id `config.init`, random weights of the shape `config.model`.
"""

import dataclasses
import functools
import math
import pathlib
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from elbert_jax.data import passages, pretraining_text
from elbert_jax.data.passages import MaskedBatch, Passages, Plan, Vocabulary
from elbert_jax.data.pretraining_text import PlainText
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.errors import UserError
from elbert_jax.hub import pretrained, weight_table
from elbert_jax.model import flops, pretraining_heads
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig
from elbert_jax.settings import Config
from elbert_jax.training import config as configs
from elbert_jax.training import model_card, optimizer, trainer
from elbert_jax.training.config import Phase, PretrainingConfig
from elbert_jax.training.stage import TrainingStage
from elbert_jax.training.train_step import Loss
from elbert_jax.training.trainer import GRADIENT, Effort, Evaluation

LABELS = ("in order", "swapped")


def pretrain(config: Config, workdir: str | pathlib.Path) -> None:
    """Pretrains an encoder, and leaves a model directory in `workdir/model`.

    Args:
      config: a `ConfigDict` with the keys of `configs/pretrain_default.py`.
      workdir: gets checkpoints, logs and the model; a second call resumes.

    Raises:
      UserError: the configuration, the data or the workdir cannot be used, or the loss
        is not finite.
    """
    parsed = configs.pretraining(config)
    trainer.run(config, workdir, parsed.loop, lambda path: _prepare(parsed, path))


def _prepare(config: PretrainingConfig, workdir: pathlib.Path) -> "_MaskedLM":
    tokenizer = pretraining_text.tokenizer(config.text, workdir)
    model_config, params = _initial_model(config, tokenizer)
    layers = model_config.num_hidden_layers
    positions = model_config.max_position_embeddings
    deepest = max(phase.depth for phase in config.phases)
    longest = max(phase.length for phase in config.phases)
    if deepest > layers or longest > positions:
        raise UserError(
            f"config.phases goes to depth {deepest} and {longest} tokens; the model "
            f"has {layers} layers and {positions} positions"
        )
    text = pretraining_text.load(config.text, tokenizer, workdir)
    return _MaskedLM(config, tokenizer, text, model_config, params)


def _initial_model(
    config: PretrainingConfig, tokenizer: Tokenizer
) -> tuple[AlbertConfig, Params]:
    key = jax.random.fold_in(jax.random.key(config.loop.seed), 0)
    dtype = config.loop.dtype
    if config.init:
        start = pretrained.load(config.init, key=key, model=weight_table.PRETRAINING)
        start.tell()
        tokenizer.check_fits(config.init, start.config.vocab_size)
        return dataclasses.replace(start.config, dtype=dtype), start.params
    model_config = configs.albert_config(
        config.model, vocab_size=len(tokenizer), dtype=dtype
    )
    return model_config, pretraining_heads.init(model_config, key)


class _MaskedLM:
    """The trainer's `Objective`: masked tokens, and the order of two segments."""

    def __init__(
        self,
        config: PretrainingConfig,
        tokenizer: Tokenizer,
        text: PlainText,
        model_config: AlbertConfig,
        params: Params,
    ):
        self.config, self.tokenizer, self.store = config, tokenizer, text.store
        self.model_config, self.params = model_config, params
        self.fingerprint = text.store.digest
        layers = model_config.num_hidden_layers
        self.phases = [p._replace(depth=p.depth or layers) for p in config.phases]
        masking, vocabulary = config.masking, Vocabulary.of(tokenizer)

        def cut(rows: np.ndarray) -> dict[int, Passages]:
            choice = masking.mask_rate, masking.max_ngram
            return {
                length: Passages(text.store, rows, vocabulary, length, *choice)
                for length in {phase.length for phase in self.phases}
            }

        train, self.held_out = cut(text.train), cut(text.held_out)
        shares = np.cumsum([phase.share for phase in self.phases])
        ends = np.rint(shares / shares[-1] * config.steps).astype(int)
        self.ends = ends  # the last step of each phase
        self.plans, losses = [], []
        for phase, steps in zip(self.phases, np.diff(ends, prepend=0).tolist()):
            plan = Plan(train[phase.length], self._rows(phase.length), steps)
            self.plans.append(plan)
            losses.append((steps, _make_loss(model_config, phase.depth, config.remat)))
        updates = config.steps // config.loop.accumulate
        schedule = optimizer.warmup_decay(
            config.learning_rate, updates, config.loop.warmup_ratio
        )
        self.stages = [TrainingStage(losses, schedule, config.eval_every)]

    def _rows(self, length: int) -> int:
        return max(1, self.config.batch_tokens // length)

    def _phase(self, step: int) -> Phase:
        return self.phases[int(np.searchsorted(self.ends, step))]

    def variables(self) -> Any:
        return {"model": self.params}

    def batches(self) -> grain.DatasetIterator[MaskedBatch]:
        return passages.train_iterator(self.plans, self.config.loop.seed)

    def flops(self, batch: MaskedBatch, step: int) -> float:
        lengths, masked = batch.mask.sum(1), batch.weight.sum()
        encoder = flops.text(self.model_config, lengths, self._phase(step).depth).sum()
        head = masked * flops.masked_token(self.model_config)
        return GRADIENT * float(encoder + head)

    def evaluate(self, variables: Any, step: int) -> Evaluation:
        phase = self._phase(step)
        scores = self._held_out_scores(variables["model"], phase)
        message = (
            f"step {step}, depth {phase.depth}: held-out accuracy on masked tokens "
            f"{scores['mlm_accuracy']:.4f}, perplexity "
            f"{scores['mlm_perplexity']:.2f}, sentence order "
            f"{scores['sop_accuracy']:.4f}"
        )
        row = {f"validation_{name}": value for name, value in scores.items()}
        # Scores of different phases cannot be compared: the last variables are kept.
        return Evaluation({"depth": phase.depth} | row, float(step), message)

    def _held_out_scores(self, params: Params, phase: Phase) -> dict[str, float]:
        """Returns the mean scores at the depth of a phase."""
        rows = self._rows(phase.length)
        count = max(1, self.config.eval_tokens // (rows * phase.length))
        batches = passages.eval_batches(self.held_out[phase.length], rows, count)
        measure = functools.partial(
            _batch_scores, self.model_config, phase.depth, params
        )
        each = [jax.device_get(measure(batch)) for batch in batches]
        mean = {name: float(np.mean([row[name] for row in each])) for name in each[0]}
        return mean | {"mlm_perplexity": math.exp(mean["mlm_loss"])}

    def export(
        self, directory: pathlib.Path, variables: Any, step: int, effort: Effort
    ) -> None:
        config, params = self.model_config, variables["model"]
        model, dtype = weight_table.PRETRAINING, self.config.export_dtype
        pretrained.save(directory, config, params, LABELS, model=model, dtype=dtype)
        self.tokenizer.save(directory)
        scores = self._held_out_scores(params, self.phases[-1])
        card = model_card.render_pretrained(
            config, self.config, self.phases, self.store, effort, scores
        )
        (directory / "README.md").write_text(card)


def _make_loss(config: AlbertConfig, depth: int, remat: bool) -> Loss:
    """Returns the loss of `{"model": AlbertForPreTraining's parameters}`.

    It is the sum of the mean cross-entropies of the masked tokens and of the sentence
    order, after `depth` layer applications; its metrics are those of `_scores`.
    """

    def loss(variables: Any, batch: MaskedBatch, key: Array):
        model = pretraining_heads.bind(config, variables["model"])
        logits = model(*batch.inputs, depth=depth, remat=remat, key=key)
        measured = _scores(batch, logits)
        return measured["mlm_loss"] + measured["sop_loss"], measured

    return loss


@functools.partial(jax.jit, static_argnums=(0, 1))
def _batch_scores(
    config: AlbertConfig, depth: int, params: Params, batch: MaskedBatch
) -> dict[str, Array]:
    logits = pretraining_heads.bind(config, params)(*batch.inputs, depth=depth)
    return _scores(batch, logits)


def _scores(batch: MaskedBatch, logits: pretraining_heads.Logits) -> dict[str, Array]:
    """Returns the mean loss, in nats, and the accuracy of both heads."""
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels
    weight, count = batch.weight, jnp.maximum(batch.weight.sum(), 1.0)
    hits = (logits.tokens.argmax(-1) == batch.targets).astype(jnp.float32)
    right_order = (logits.order.argmax(-1) == batch.swapped).astype(jnp.float32)
    mlm_losses = cross_entropy(logits.tokens, batch.targets)
    return {
        "mlm_loss": (mlm_losses * weight).sum() / count,
        "mlm_accuracy": (hits * weight).sum() / count,
        "sop_loss": cross_entropy(logits.order, batch.swapped).mean(),
        "sop_accuracy": right_order.mean(),
    }
