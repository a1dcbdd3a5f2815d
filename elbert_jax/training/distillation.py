"""Distilling a BERT-family encoder into an ALBERT.

A run starts from the first of these that exists: its own newest checkpoint, the student
`config.init`, the closed-form parameters of `student`.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import grain
import jax
import numpy as np
from jaxtyping import Array

from elbert_jax.data import pretraining_text
from elbert_jax.data.pretraining_text import PlainText
from elbert_jax.data.sentence_batches import SentenceBatches, TextBatch
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.data.training_batches import resumable
from elbert_jax.errors import UserError
from elbert_jax.hub import pretrained, teacher, weight_table
from elbert_jax.hub.teacher import Teacher
from elbert_jax.model import albert, flops
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig
from elbert_jax.settings import Config
from elbert_jax.training import config as configs
from elbert_jax.training import (
    distillation_card,
    distillation_loss,
    optimizer,
    student,
    trainer,
)
from elbert_jax.training.config import DistillationConfig
from elbert_jax.training.distillation_loss import Maps, TaughtBatch
from elbert_jax.training.distillation_targets import Targets
from elbert_jax.training.stage import TrainingStage
from elbert_jax.training.trainer import GRADIENT, Effort, Evaluation

_SAMPLE = 32768  # tokens to fit the closed forms on
_COUNTED = 1 << 22  # tokens to count word frequencies on
_CHANGEABLE = ("steps",)  # by a second start of a run


def distil(config: Config, workdir: str | pathlib.Path) -> None:
    """Distils a teacher, and leaves the student's model directory in `workdir/model`.

    Args:
      config: a `ConfigDict` with the keys of `configs/distil.py`.
      workdir: gets checkpoints, logs and the model; a second call resumes, and may
        change `config.steps`, which decides when the learning rate decays.

    Raises:
      UserError: the configuration, the teacher, the data or the workdir cannot be used,
        or the loss is not finite.
    """
    parsed = configs.distillation(config)
    prepare = functools.partial(_prepare, parsed)
    trainer.run(config, workdir, parsed.loop, prepare, _CHANGEABLE)


def _prepare(config: DistillationConfig, workdir: pathlib.Path) -> "_Distillation":
    source = teacher.load(config.teacher, config.teacher_name)
    longest = max(bucket.length for bucket in config.buckets)
    if longest > (positions := source.config.max_position_embeddings):
        raise UserError(
            f"config.lengths goes to {longest} tokens; the teacher has {positions} "
            "positions"
        )
    tokenizer = pretraining_text.tokenizer(config.text, workdir)
    tokenizer.check_fits(config.teacher, source.config.vocab_size)
    params = None
    if config.init:
        start = pretrained.load(config.init)
        start.tell()
        tokenizer.check_fits(config.init, start.config.vocab_size)
        shape, params = start.config, start.params
    else:
        try:
            shape = dataclasses.replace(source.config, **config.model)
        except (TypeError, ValueError) as error:
            raise UserError(f"config.model: {error}") from error
    text = pretraining_text.load(config.text, tokenizer, workdir)
    shape = dataclasses.replace(shape, dtype=config.loop.dtype)
    return _Distillation(config, source, tokenizer, text, shape, params)


class _Distillation:
    """The trainer's `Objective`: a teacher's hidden states and text vectors."""

    def __init__(
        self,
        config: DistillationConfig,
        source: Teacher,
        tokenizer: Tokenizer,
        text: PlainText,
        model_config: AlbertConfig,
        params: Params | None,
    ):
        self.config, self.source, self.tokenizer = config, source, tokenizer
        self.text, self.model_config, self.params = text, model_config, params
        self.fingerprint = text.store.digest

        def cut(rows: np.ndarray) -> SentenceBatches:
            return SentenceBatches(
                *(text.store, rows, tokenizer, config.buckets, config.batch_tokens),
                *(config.steps, config.loop.seed),
            )

        self.train = cut(text.train)
        self.sample = self._spread(self.train, _SAMPLE)
        self.held_out = self._spread(cut(text.held_out), config.eval_tokens)
        depths = model_config.num_hidden_layers, source.config.num_hidden_layers
        pairs = distillation_loss.matched(*depths)
        self.layers = tuple(pairs)
        self.targets = Targets(
            source, tuple(pairs.values()), self.sample, config.teacher_dtype
        )
        weights = config.hidden_weight, config.vector_weight
        loss = distillation_loss.make(model_config, self.layers, *weights)
        schedule = optimizer.warmup_stable_decay(
            config.learning_rate,
            config.steps // config.loop.accumulate,
            config.loop.warmup_ratio,
            config.decay_ratio,
        )
        losses = [(config.steps, loss)]
        self.stages = [TrainingStage(losses, schedule, config.eval_every, b2=config.b2)]

    def _spread(self, batches: SentenceBatches, tokens: int) -> list[TextBatch]:
        count = tokens // (self.config.batch_tokens * len(batches.buckets))
        return batches.spread(max(1, count))

    def variables(self) -> Any:
        config, params = self.model_config, self.params
        if params is None:
            tokens = self.text.store.tokens
            every = 1 + len(tokens) // _COUNTED
            counts = np.bincount(tokens[::every], minlength=config.vocab_size)
            key = jax.random.key(self.config.loop.seed)
            params = student.initial_params(
                self.source, config, counts, self.sample, key
            )
        sample = [self.targets(batch) for batch in self.sample]
        pooler, maps = student.fit_maps(config, params, sample, self.layers)
        if self.params is None:
            params = {**params, "pooler": pooler}
        return {"model": {"albert": params, "maps": maps}}

    def batches(self) -> grain.DatasetIterator[TaughtBatch]:
        return resumable(self.train, self.targets)

    def flops(self, batch: TaughtBatch, step: int) -> float:
        del step
        lengths = batch.mask.sum(1)
        theirs, ours = self.source.config, self.model_config
        total = GRADIENT * float(lengths.sum()) * 2 * ours.embedding_size
        total *= ours.hidden_size
        for config, times in ((theirs, 1), (ours, GRADIENT)):
            layers = flops.layer_per_token(config, lengths) * config.num_hidden_layers
            total += times * float((lengths * layers).sum())
        return total

    def evaluate(self, variables: Any, step: int) -> Evaluation:
        hidden, vectors = self._errors(variables)
        row = {f"validation_hidden_error_{n}": x for n, x in hidden.items()}
        row |= {f"validation_vector_error_{n}": x for n, x in vectors.items()}
        message = (
            f"step {step}: held-out error of hidden states "
            f"{hidden[max(hidden)]:.4f} after the last layer, of text vectors "
            f"{vectors[1]:.4f} after the first and {vectors[max(vectors)]:.4f} after "
            "the last"
        )
        # The last variables are kept: those with the decayed learning rate.
        return Evaluation(row, float(step), message)

    def _errors(self, variables: Any) -> tuple[dict[int, float], dict[int, float]]:
        """Returns the held-out errors of hidden states and of vectors, by layer."""
        rows = [
            _batch_errors(
                variables["model"],
                self.targets(batch),
                config=self.model_config,
                layers=self.layers,
            )
            for batch in self.held_out
        ]
        hidden, vectors = (np.mean(x, 0).tolist() for x in zip(*jax.device_get(rows)))
        return dict(zip(self.layers, hidden)), dict(enumerate(vectors, 1))

    def export(
        self, directory: pathlib.Path, variables: Any, step: int, effort: Effort
    ) -> None:
        params = dict(variables["model"]["albert"])
        del params["classifier"]
        labels = [f"LABEL_{n}" for n in range(self.model_config.num_labels)]
        pretrained.save(
            *(directory, self.model_config, params, labels),
            model=weight_table.ENCODER,
            special_ids=self.tokenizer.special_ids,
            dtype=self.config.export_dtype,
        )
        self.tokenizer.save(directory)
        card = distillation_card.render(
            self.model_config,
            self.config,
            source=self.source,
            store=self.text.store,
            step=step,
            effort=effort,
            errors=self._errors(variables),
        )
        (directory / "README.md").write_text(card)


@functools.partial(jax.jit, static_argnames=("config", "layers"))
def _batch_errors(
    variables: Any, batch: TaughtBatch, *, config: AlbertConfig, layers: tuple[int, ...]
) -> tuple[Array, Array]:
    model = albert.bind(config, variables["albert"])
    maps = Maps(**variables["maps"])
    states = distillation_loss.hidden_states(model, batch)
    return distillation_loss.errors(model, maps, batch, states, layers)
