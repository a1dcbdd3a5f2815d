"""Fine-tuning a classifier with early exits, by any of the methods of `methods`.

A run starts from the first of these that exists: its own newest checkpoint, the model
directory or hub id `config.init`, random weights of the shape `config.model`.
"""

import dataclasses
import pathlib

import jax

from elbert_jax.data import training_data
from elbert_jax.data.training_data import TrainingData
from elbert_jax.errors import UserError
from elbert_jax.hub import pretrained
from elbert_jax.model import albert
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig
from elbert_jax.settings import Config
from elbert_jax.training import config as configs
from elbert_jax.training import trainer
from elbert_jax.training.classification import Classification
from elbert_jax.training.config import FineTuningConfig


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


def prepare(config: FineTuningConfig, workdir: pathlib.Path) -> Classification:
    """Returns the objective of a run, before its first step.

    Raises:
      UserError: the model or the data cannot be used.
    """
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
    """Returns the model before the first step: `config.init`, or a random one.

    Raises:
      UserError: `config.init` or `config.model` cannot be used.
    """
    key = jax.random.fold_in(jax.random.key(config.loop.seed), 0)
    if config.init:
        return _loaded_model(config, data, key)
    model_config = configs.albert_config(
        config.model,
        vocab_size=len(data.tokenizer),
        num_labels=len(data.labels),
        dtype=config.loop.dtype,
        exit_heads=config.method.exit_heads,
    )
    return model_config, albert.init(model_config, key)


def _loaded_model(
    config: FineTuningConfig, data: TrainingData, key: jax.Array
) -> tuple[AlbertConfig, Params]:
    """Returns `config.init`, with the depth and dropout rates of `config.model`."""
    start = pretrained.load(
        config.init,
        num_labels=len(data.labels),
        num_hidden_layers=config.model.get("num_hidden_layers"),
        exit_heads=config.method.exit_heads,
        key=key,
    )
    start.tell()
    classifies = all("exit_heads." in name for name in start.initialised)
    if config.heads_only and not (classifies and start.labels == data.labels):
        raise UserError(
            f"{config.init} has no classifier of {', '.join(data.labels)}, which "
            "config.epochs=0 needs, in this order (config.data.labels sets it)"
        )
    dropouts = {name: rate for name, rate in config.model.items() if "dropout" in name}
    model_config = dataclasses.replace(
        start.config, dtype=config.loop.dtype, **dropouts
    )
    data.tokenizer.check_fits(config.init, model_config.vocab_size)
    return model_config, start.params
