"""Pretraining ALBERT on plain text: masked tokens and sentence order.

A run starts from the first of these that exists: its own newest checkpoint, the model
directory or hub id `config.init`, random weights of the shape `config.model`.
"""

import dataclasses
import functools
import math
import operator
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import grain
import jax
import numpy as np
from jaxtyping import Array

from elbert_jax.data import passages, pretraining_text
from elbert_jax.data.corpus import Config
from elbert_jax.data.passages import MaskedBatch, Passages, Vocabulary
from elbert_jax.data.pretraining_text import PlainText
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.errors import UserError
from elbert_jax.hub import pretrained, weight_table
from elbert_jax.model import flops, pretraining_heads
from elbert_jax.model.albert import AlbertConfig, Params
from elbert_jax.training import model_card, pretraining_loss, run_directory, trainer
from elbert_jax.training.stage import Stage
from elbert_jax.training.trainer import GRADIENT, Effort, Evaluation


class Phase(NamedTuple):
    """A row of `config.phases`: a depth and a row length for a share of the steps."""

    depth: int  # layer applications; 0: those of the model
    length: int  # tokens of a row
    share: float  # of the steps


@functools.partial(jax.jit, static_argnames=("config", "depth"))
def _held_out_scores(
    params: Params, batch: MaskedBatch, *, config: AlbertConfig, depth: int
) -> dict[str, Array]:
    logits = pretraining_heads.bind(config, params)(*batch.inputs, depth=depth)
    return pretraining_loss.scores(batch, logits)


def pretrain(config: Config, workdir: str | pathlib.Path) -> None:
    """Pretrains as `config` says, and leaves a model directory in `workdir/model`.

    Raises:
      UserError: the configuration, the data or the workdir cannot be used, or the loss
        is not finite.
    """
    workdir = pathlib.Path(os.path.expanduser(workdir)).absolute()
    phases = _check(config)
    if trainer.is_finished(config, workdir):
        return
    with run_directory.claimed(workdir):
        objective = _objective(config, phases, workdir)
        trainer.fit(config, workdir, objective)


def _objective(
    config: Config, phases: list[Phase], workdir: pathlib.Path
) -> "_MaskedLM":
    tokenizer = pretraining_text.tokenizer(config, workdir)
    model_config, params = _initial_model(config, tokenizer)
    phases = _fitted(phases, model_config)
    text = pretraining_text.load(config, tokenizer, workdir)
    return _MaskedLM(config, phases, tokenizer, text, model_config, params)


def _check(config: Config) -> list[Phase]:
    """Returns the phases; refuses values that no run can have."""
    trainer.check(config, ["steps", "batch_tokens", "eval_every", "eval_tokens"], [])
    if config.export_dtype not in pretrained.DTYPES:
        known = ", ".join(pretrained.DTYPES)
        raise UserError(
            f"config.export_dtype is {config.export_dtype!r}; it may be {known}"
        )
    try:
        phases = [
            Phase(operator.index(depth), operator.index(length), float(share))
            for depth, length, share in config.phases
        ]
    except (TypeError, ValueError):
        phases = []
    good = phases and all(
        p.depth >= 0 and p.length >= 16 and 0 < p.share < math.inf for p in phases
    )
    if not good:
        raise UserError(
            f"config.phases is {config.phases}; wanted are rows of (depth >= 0, "
            "length >= 16, share of the steps > 0)"
        )
    for name in ("held_out", "mask_rate"):
        if not 0 < config.data[name] < 1:
            raise UserError(f"config.data.{name} is not between 0 and 1")
    if config.data.max_ngram < 1:
        raise UserError("config.data.max_ngram must be at least 1")
    if not pretraining_text.files(config):
        raise UserError(
            "name text files in config.data.files, with commas between them"
        )
    return phases


def _fitted(phases: list[Phase], model: AlbertConfig) -> list[Phase]:
    """Returns the phases with the model's depth in place of 0."""
    layers, positions = model.num_hidden_layers, model.max_position_embeddings
    deepest, longest = max(p.depth for p in phases), max(p.length for p in phases)
    if deepest > layers or longest > positions:
        raise UserError(
            f"config.phases goes to depth {deepest} and {longest} tokens; the model "
            f"has {layers} layers and {positions} positions"
        )
    return [phase._replace(depth=phase.depth or layers) for phase in phases]


def _initial_model(config: Config, tokenizer: Tokenizer) -> tuple[AlbertConfig, Params]:
    key = jax.random.fold_in(jax.random.key(config.seed), 0)
    if config.init:
        start = pretrained.load(config.init, key=key, model=weight_table.PRETRAINING)
        start.tell()
        tokenizer.check_fits(config.init, start.config.vocab_size)
        return dataclasses.replace(start.config, dtype=config.dtype), start.params
    try:
        model_config = AlbertConfig(
            **config.model, vocab_size=len(tokenizer), dtype=config.dtype
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"config.model: {error}") from error
    return model_config, pretraining_heads.init(model_config, key)


class _MaskedLM:
    """The trainer's `Objective`: masked tokens, and which segment was first."""

    t_learning_rate = 0.0

    def __init__(
        self,
        config: Config,
        phases: list[Phase],
        tokenizer: Tokenizer,
        text: PlainText,
        model_config: AlbertConfig,
        params: Params,
    ):
        self.config, self.phases, self.params = config, phases, params
        self.tokenizer, self.model_config = tokenizer, model_config
        self.dtype, self.store = config.dtype, text.store
        self.texts = text.store.digest
        settings = config.data.mask_rate, config.data.max_ngram
        vocabulary = Vocabulary.of(tokenizer)
        cut = {  # by the length of a row: passages to train on, and to measure on
            length: [
                Passages(self.store, rows, vocabulary, length, *settings)
                for rows in (text.train, text.held_out)
            ]
            for length in {phase.length for phase in phases}
        }
        self.held_out = {length: pair[1] for length, pair in cut.items()}
        total = sum(phase.share for phase in phases)
        ends = np.cumsum([phase.share for phase in phases]) / total * config.steps
        steps = np.diff(np.rint(ends).astype(int), prepend=0)
        losses = [
            (
                int(count),
                pretraining_loss.make(model_config, phase.depth, config.remat),
            )
            for count, phase in zip(steps, phases)
        ]
        # One schedule and one optimizer through all phases.
        self.stages: Sequence[Stage] = [
            Stage(losses, config.learning_rate, config.eval_every)
        ]
        self.ends = np.cumsum(steps)
        self.plans = [
            passages.Plan(cut[phase.length][0], self._rows(phase.length), int(count))
            for count, phase in zip(steps, phases)
        ]

    def _rows(self, length: int) -> int:
        return max(1, self.config.batch_tokens // length)

    def _phase(self, step: int) -> Phase:
        return self.phases[int(np.searchsorted(self.ends, step))]

    def variables(self) -> Any:
        return {"model": self.params}

    def batches(self) -> grain.DatasetIterator[MaskedBatch]:
        return passages.train_iterator(self.plans, self.config.seed)

    def flops(self, batch: MaskedBatch, step: int) -> float:
        lengths, asked = batch.mask.sum(1), batch.weight.sum()
        depth = self._phase(step).depth
        return GRADIENT * float(
            flops.text(self.model_config, lengths, depth).sum()
            + asked * flops.masked_token(self.model_config)
        )

    def evaluate(self, variables: Any, step: int) -> Evaluation:
        phase = self._phase(step)
        row = self._measure(variables["model"], phase)
        sentence = (
            f"step {step}, depth {phase.depth}: held-out accuracy on masked tokens "
            f"{row['mlm_accuracy']:.4f}, perplexity "
            f"{row['mlm_perplexity']:.2f}, sentence order {row['sop_accuracy']:.4f}"
        )
        named = {f"validation_{name}": value for name, value in row.items()}
        # What phases measure cannot be compared: the last parameters are kept.
        return Evaluation({"depth": phase.depth} | named, float(step), sentence)

    def _measure(self, params: Params, phase: Phase) -> dict[str, float]:
        """Returns the mean scores on held-out text at the depth of a phase."""
        rows = self._rows(phase.length)
        count = max(1, self.config.eval_tokens // (rows * phase.length))
        batches = passages.eval_batches(self.held_out[phase.length], rows, count)
        settings = {"config": self.model_config, "depth": phase.depth}
        seen = [
            jax.device_get(_held_out_scores(params, batch, **settings))
            for batch in batches
        ]
        mean = {name: float(np.mean([row[name] for row in seen])) for name in seen[0]}
        return mean | {"mlm_perplexity": math.exp(mean["mlm_loss"])}

    def export(
        self, directory: pathlib.Path, variables: Any, step: int, effort: Effort
    ) -> None:
        config, params = self.model_config, variables["model"]
        labels = ("in order", "swapped")
        model, dtype = weight_table.PRETRAINING, self.config.export_dtype
        pretrained.save(directory, config, params, labels, model=model, dtype=dtype)
        self.tokenizer.save(directory)
        card = model_card.render_pretrained(
            config,
            self.config,
            phases=self.phases,
            names=[
                pathlib.Path(file).name for file in pretraining_text.files(self.config)
            ],
            documents=len(self.store),
            tokens=len(self.store.tokens),
            effort=effort,
            scores=self._measure(params, self.phases[-1]),
        )
        (directory / "README.md").write_text(card)
