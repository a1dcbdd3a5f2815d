"""Pretraining ALBERT on plain text: masked tokens and sentence order.

A run starts from the first of these that exists: its own newest checkpoint, the model
directory or hub id `config.init`, random weights of the shape `config.model`.
"""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import grain
import jax
import numpy as np
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
from elbert_jax.training import model_card, optimizer, pretraining_loss, trainer
from elbert_jax.training.config import Phase, PretrainingConfig
from elbert_jax.training.stage import TrainingStage
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
    phases = _fitted(config.phases, model_config)
    text = pretraining_text.load(config.text, tokenizer, workdir)
    return _MaskedLM(config, phases, tokenizer, text, model_config, params)


def _fitted(phases: Sequence[Phase], model: AlbertConfig) -> list[Phase]:
    """Returns the phases with the model's depth in place of 0."""
    layers, positions = model.num_hidden_layers, model.max_position_embeddings
    deepest, longest = max(p.depth for p in phases), max(p.length for p in phases)
    if deepest > layers or longest > positions:
        raise UserError(
            f"config.phases goes to depth {deepest} and {longest} tokens; the model "
            f"has {layers} layers and {positions} positions"
        )
    return [phase._replace(depth=phase.depth or layers) for phase in phases]


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
        phases: Sequence[Phase],
        tokenizer: Tokenizer,
        text: PlainText,
        model_config: AlbertConfig,
        params: Params,
    ):
        self.config, self.phases, self.tokenizer = config, phases, tokenizer
        self.store, self.model_config, self.params = text.store, model_config, params
        self.fingerprint = text.store.digest
        masking, vocabulary = config.masking, Vocabulary.of(tokenizer)

        def cut(rows: np.ndarray) -> dict[int, Passages]:
            return {
                length: Passages(
                    *(text.store, rows, vocabulary, length),
                    *(masking.mask_rate, masking.max_ngram),
                )
                for length in {phase.length for phase in phases}
            }

        train, self.held_out = cut(text.train), cut(text.held_out)
        total = sum(phase.share for phase in phases)
        ends = np.cumsum([phase.share for phase in phases]) / total * config.steps
        self.ends = np.rint(ends).astype(int)  # the last step of each phase
        counts = np.diff(self.ends, prepend=0).tolist()
        self.plans = [
            Plan(train[phase.length], self._rows(phase.length), count)
            for count, phase in zip(counts, phases)
        ]
        losses = [
            (count, pretraining_loss.make(model_config, phase.depth, config.remat))
            for count, phase in zip(counts, phases)
        ]
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
        scores = self._scores(variables["model"], phase)
        message = (
            f"step {step}, depth {phase.depth}: held-out accuracy on masked tokens "
            f"{scores['mlm_accuracy']:.4f}, perplexity "
            f"{scores['mlm_perplexity']:.2f}, sentence order "
            f"{scores['sop_accuracy']:.4f}"
        )
        row = {f"validation_{name}": value for name, value in scores.items()}
        # Scores of different phases cannot be compared: the last variables are kept.
        return Evaluation({"depth": phase.depth} | row, float(step), message)

    def _scores(self, params: Params, phase: Phase) -> dict[str, float]:
        """Returns the mean scores on held-out text at the depth of a phase."""
        rows = self._rows(phase.length)
        count = max(1, self.config.eval_tokens // (rows * phase.length))
        batches = passages.eval_batches(self.held_out[phase.length], rows, count)
        each = [
            jax.device_get(_held_out_scores(self.model_config, phase.depth, params, b))
            for b in batches
        ]
        mean = {name: float(np.mean([row[name] for row in each])) for name in each[0]}
        return mean | {"mlm_perplexity": math.exp(mean["mlm_loss"])}

    def export(
        self, directory: pathlib.Path, variables: Any, step: int, effort: Effort
    ) -> None:
        config, params = self.model_config, variables["model"]
        model, dtype = weight_table.PRETRAINING, self.config.export_dtype
        pretrained.save(directory, config, params, LABELS, model=model, dtype=dtype)
        self.tokenizer.save(directory)
        card = model_card.render_pretrained(
            config,
            self.config,
            phases=self.phases,
            documents=len(self.store),
            tokens=len(self.store.tokens),
            effort=effort,
            scores=self._scores(params, self.phases[-1]),
        )
        (directory / "README.md").write_text(card)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _held_out_scores(
    config: AlbertConfig, depth: int, params: Params, batch: MaskedBatch
) -> dict[str, Array]:
    logits = pretraining_heads.bind(config, params)(*batch.inputs, depth=depth)
    return pretraining_loss.scores(batch, logits)
