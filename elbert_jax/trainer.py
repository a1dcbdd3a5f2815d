"""Fine-tuning with a loss at every exit, from data to a model directory.

A run goes on from the first of these that is there: its own newest checkpoint, the
checkpoint or hub id that `config.init` names, random weights shaped as `config.model`.
"""

import contextlib
import dataclasses
import functools
import pathlib
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tqdm
from jaxtyping import Array

from elbert_jax import (
    albert,
    evaluation,
    exits,
    hf,
    losses,
    metrics,
    model_card,
    operating_point,
    optimizer,
    run_directory,
)
from elbert_jax.albert import AlbertConfig, Params
from elbert_jax.checkpoint import Checkpoints
from elbert_jax.data import batching, corpus
from elbert_jax.data.batching import Batch
from elbert_jax.data.corpus import Config, Corpus
from elbert_jax.errors import UserError
from elbert_jax.metric_writer import MetricWriter

_AT_LEAST_ONE = (
    "batch_size",
    "eval_batch_size",
    "accumulate",
    "epochs",
    "log_every",
    "checkpoint_every",
)


class TrainState(NamedTuple):
    """What a step changes, and a checkpoint keeps."""

    step: Array  # batches seen
    not_finite_at: Array  # the first step whose loss was not finite; 0: none was
    params: Any  # {"model": Albert's parameters, "t": ELBERT's t_i [D - 1]}
    opt_state: optax.OptState


def make_train_step(
    config: AlbertConfig, tx: optax.GradientTransformation, weighting: str
) -> Callable[[TrainState, Batch, Array], tuple[TrainState, dict[str, Array]]]:
    """Returns the compiled step `(state, batch, key) -> (state, measured)`.

    The state is donated. Measured are `loss`; `layer_loss`, `layer_accuracy` and
    `layer_weight`, [D] each; `gradient_norm` of the model.
    """

    def loss_function(params: Any, batch: Batch, key: Array):
        model = albert.bind(config, params["model"])
        logits = model(*batch.inputs, key=key)
        labels, weight = batch.targets
        by_layer = losses.layer_losses(logits, labels, weight)
        weights = losses.layer_weights(weighting, params["t"])
        hits = (logits.argmax(-1) == labels[None]).astype(jnp.float32)
        return (weights * by_layer).sum(), {
            "layer_loss": by_layer,
            "layer_accuracy": losses.weighted_mean(hits, weight),
            "layer_weight": weights,
        }

    @functools.partial(jax.jit, donate_argnums=0)
    def train_step(state: TrainState, batch: Batch, key: Array):
        key = jax.random.fold_in(key, state.step)
        value_and_grad = jax.value_and_grad(loss_function, has_aux=True)
        (loss, layers), gradient = value_and_grad(state.params, batch, key)
        updates, opt_state = tx.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        norm = optax.tree.norm(gradient["model"])
        step, bad = state.step + 1, state.not_finite_at
        bad = jnp.where((bad == 0) & ~jnp.isfinite(loss), step, bad)
        measured = {"loss": loss, "gradient_norm": norm} | layers
        return TrainState(step, bad, params, opt_state), measured

    return train_step


def train(config: Config, workdir: str | pathlib.Path) -> None:
    """Trains as `config` says, and leaves a model directory in `workdir/model`.

    Started again after a kill, it goes on from the newest checkpoint and gives the
    losses of a run that was never stopped.

    Raises:
      UserError: the configuration, the data or the workdir cannot be used, or the loss
        is not finite.
    """
    workdir = pathlib.Path(workdir).absolute()
    criterion = _check(config)
    run_directory.refuse_other(workdir, config)
    if (workdir / "model").exists():
        print(f"nothing to do: the finished model is in {workdir / 'model'}")
        return
    data = corpus.load(config, workdir)
    model_config, params = _initial_model(config, data)
    run_directory.claim(workdir, config)
    run = _Run(config, workdir, data, model_config, criterion)
    run.fit(params)
    run.export()


def _check(config: Config) -> exits.Criterion:
    """Returns the criterion that is named; refuses values that no run can have."""
    if config.weighting not in losses.WEIGHTINGS:
        known = ", ".join(losses.WEIGHTINGS)
        raise UserError(f"config.weighting is {config.weighting!r}; it may be {known}")
    for name in _AT_LEAST_ONE:
        if config[name] < 1:
            raise UserError(f"config.{name} is {config[name]}; it must be at least 1")
    try:
        return exits.from_dict(config.exit.to_dict())
    except ValueError as error:
        raise UserError(f"config.exit: {error}") from error


def _initial_model(config: Config, data: Corpus) -> tuple[AlbertConfig, Params]:
    key, labels = jax.random.fold_in(jax.random.key(config.seed), 0), len(data.labels)
    if config.init:
        start = hf.load(config.init, num_labels=labels, key=key)
        for what, names in (
            ("initialised afresh", start.initialised),
            ("not used", start.ignored),
        ):
            if names:
                print(f"{config.init}: {what}: {', '.join(names)}")
        model_config = dataclasses.replace(start.config, dtype=config.dtype)
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


class _Run:
    """One training run: what stays the same from its first step to its last."""

    def __init__(
        self,
        config: Config,
        workdir: pathlib.Path,
        data: Corpus,
        model_config: AlbertConfig,
        criterion: exits.Criterion,
    ):
        self.config, self.workdir, self.data = config, workdir, data
        self.model_config, self.criterion = model_config, criterion
        self.buckets = batching.bucket_lengths(config.data.max_seq_length)
        self.epoch_steps = batching.steps_per_epoch(data.train, config.batch_size)
        self.total = self.epoch_steps * config.epochs
        self.schedule = optimizer.learning_rate(
            config.learning_rate, self.total // config.accumulate, config.warmup_ratio
        )
        self.tx = optimizer.build(
            self.schedule,
            weight_decay=config.weight_decay,
            clip_norm=config.clip_norm,
            t_learning_rate=config.t_learning_rate,
            accumulate=config.accumulate,
        )
        self.latest = Checkpoints(workdir / "checkpoints" / "latest", keep=2)
        self.best = Checkpoints(workdir / "checkpoints" / "best", keep=1)

    def fit(self, params: Params) -> None:
        """Trains from `params`, or the newest checkpoint, to the last step."""
        config = self.config
        t = losses.initial_t(self.model_config.num_hidden_layers)
        trained = {"model": params, "t": t}
        counts = jnp.zeros(2, jnp.int32)  # parts of it: a buffer is donated only once
        state = TrainState(counts[0], counts[1], trained, self.tx.init(trained))
        batches = batching.train_iterator(
            self.data.train, config.batch_size, config.epochs, config.seed, self.buckets
        )
        first = self.latest.latest() or 0
        if first:
            state, record = self.latest.restore(first, state)
            batches.set_state(record["batches"])
            print(f"going on from step {first} of {self.total}")
        train_step = make_train_step(self.model_config, self.tx, config.weighting)
        key = jax.random.fold_in(jax.random.key(config.seed), 1)
        with (
            contextlib.closing(self.latest),
            contextlib.closing(MetricWriter(self.workdir, first)) as writer,
            tqdm.tqdm(total=self.total, initial=first, unit="batch") as bar,
        ):
            for step in range(first + 1, self.total + 1):
                state, measured = train_step(state, next(batches), key)
                bar.update()
                ends_epoch = step % self.epoch_steps == 0
                keeps = ends_epoch or step % config.checkpoint_every == 0
                if keeps or step % config.log_every == 0:
                    self._check(state)
                    writer.write(step, self._training_row(step, measured))
                    bar.set_postfix(loss=f"{measured['loss']:.3f}", refresh=False)
                if ends_epoch:
                    row = self._validate(step, state.params["model"])
                    writer.write(step, row)
                    bar.write(self._sentence(row))
                if keeps:
                    self.latest.save(step, state, {"batches": batches.get_state()})

    def _check(self, state: TrainState) -> None:
        if step := int(state.not_finite_at):
            raise UserError(
                f"the loss is not finite at step {step}: try a lower "
                "config.learning_rate, or a longer config.warmup_ratio, in a new "
                f"--workdir (the last checkpoint is of step {self.latest.latest()})"
            )

    def _training_row(self, step: int, measured: dict[str, Array]) -> dict[str, Any]:
        rate = self.schedule((step - 1) // self.config.accumulate)
        return {"learning_rate": np.asarray(rate)} | jax.device_get(measured)

    def _logits(self, params: Params) -> np.ndarray:
        held_out = self.data.validation
        batches = batching.eval_batches(
            held_out, self.config.eval_batch_size, self.buckets
        )
        return evaluation.every_layer(self.model_config, params, batches, len(held_out))

    def _validate(self, step: int, params: Params) -> dict[str, Any]:
        """Scores the held-out texts, and keeps the parameters if they are the best."""
        held_out, metric = self.data.validation, self.data.metric
        logits = self._logits(params)
        at_exit = evaluation.at_exit(
            self.model_config, logits, held_out.labels, held_out.lengths, self.criterion
        )
        score = metrics.classification(held_out.labels, logits[-1].argmax(-1))[metric]
        if score > self._best_score():
            self.best.save(step, params, {"score": score})
            self.best.wait()  # a run that resumes behind this step must find it
        return {
            "epoch": step // self.epoch_steps,
            f"validation_{metric}": score,
            f"validation_exit_{metric}": at_exit[metric],
            "validation_mean_exit_layer": at_exit["mean_exit_layer"],
            "validation_layer_accuracy": evaluation.layer_accuracy(
                logits, held_out.labels
            ),
        }

    def _sentence(self, row: dict[str, Any]) -> str:
        metric, depth = self.data.metric, self.model_config.num_hidden_layers
        return (
            f"epoch {row['epoch']}: {metric} {row[f'validation_{metric}']:.4f} at full "
            f"depth, {row[f'validation_exit_{metric}']:.4f} with early exit at layer "
            f"{row['validation_mean_exit_layer']:.2f} of {depth} on average"
        )

    def _best_score(self) -> float:
        step = self.best.latest()
        return -np.inf if step is None else self.best.record(step)["score"]

    def export(self) -> None:
        """Writes the best parameters as a model directory, whole or not at all."""
        config, data = self.model_config, self.data
        shapes = jax.eval_shape(lambda: albert.init(config, jax.random.key(0)))
        step = self.best.latest()
        assert step is not None, "every epoch ends with an evaluation"
        params, _ = self.best.restore(step, shapes)
        report = evaluation.report(
            config,
            self._logits(params),
            data.validation.labels,
            data.validation.lengths,
            self.criterion,
        )
        directory = self.workdir / "model.tmp"
        shutil.rmtree(directory, ignore_errors=True)
        hf.save(directory, config, params, data.labels)
        data.tokenizer.save(directory)
        operating_point.save(directory, self.criterion, report["at_exit"])
        card = model_card.render(config, data, report, step, self.config)
        (directory / "README.md").write_text(card)
        directory.rename(self.workdir / "model")
        self.best.close()
        print(f"the model of step {step} is in {self.workdir / 'model'}")
