"""What a training run learns from: two encoded splits, their classes, a tokenizer."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from elbert_jax.data import rows, sources, tasks
from elbert_jax.data.batching import Encoded
from elbert_jax.data.example import Example
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.data.vocabulary import train_tokenizer
from elbert_jax.errors import UserError, warn

Config = Any  # an ml_collections.ConfigDict; its values have no static types


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """The training and the held-out texts of one task."""

    tokenizer: Tokenizer
    labels: tuple[str, ...]
    metric: str  # the score that chooses the best parameters
    train: Encoded
    validation: Encoded
    train_name: str  # where the texts are from
    validation_name: str


def load(config: Config, workdir: pathlib.Path) -> Corpus:
    """Reads what `config.data` names: local files where given, else a named task.

    Args:
      config: the run's configuration.
      workdir: gets a tokenizer trained on the texts, where neither
        `config.data.tokenizer` nor `config.init` names one.

    Raises:
      UserError: something named there cannot be used.
    """
    data = config.data
    if data.train_file or data.validation_file:
        if not (data.train_file and data.validation_file):
            raise UserError(
                "config.data.train_file and config.data.validation_file go together"
            )
        columns = {
            "text": data.text_column or None,
            "text_pair": data.text_pair_column or None,
            "label": data.label_column or None,
            "columns": data.columns or None,
        }
        train = read_file(data.train_file, **columns)
        validation = read_file(data.validation_file, **columns)
        names = [pathlib.Path(f).name for f in (data.train_file, data.validation_file)]
        known, metric = None, "accuracy"
    elif data.task:
        task = tasks.find(data.task)
        held_out = task.validation[0]
        train = sources.read_task(task, task.train, data.data_dir or None)
        validation = sources.read_task(task, held_out, data.data_dir or None)
        names = [f"{task.name}, {split}" for split in (task.train, held_out)]
        known, metric = task.labels, task.metric
    else:
        raise UserError("name a config.data.task or a config.data.train_file")
    if data.max_train_samples:
        train = train[: data.max_train_samples]
        names[0] += f" (first {len(train)})"
    labels = tasks.label_names(train, data.labels or known)
    if len(labels) < 2:
        only = "".join(labels)
        raise UserError(f"all texts have the label {only!r}; it takes two or more")
    tokenizer = _tokenizer(config, workdir, train)
    length = data.max_seq_length
    return Corpus(
        tokenizer,
        labels,
        config.metric or metric,
        encode(tokenizer, train, labels, length),
        encode(tokenizer, validation, labels, length),
        names[0],
        names[1],
    )


def read(
    file: str | None, task: str | None, split: str, data_dir: str | None, **columns: Any
) -> list[Example]:
    """Returns the labelled texts of a file, or of a split of a named task.

    Args:
      file: see `read_file`; or None.
      task: one of `tasks.TASKS`; or None.
      split: the task's.
      data_dir: see `sources.read_task`.
      **columns: the file's, as keyword arguments of `sources.read_file`.

    Raises:
      UserError: not one of file and task is given, or no label is there, or it cannot
        be used.
    """
    if bool(file) == bool(task):
        raise UserError("give --file=FILE or --task=NAME")
    if task:
        examples = sources.read_task(tasks.find(task), split, data_dir)
        return _labelled(examples, f"{task}, {split}")
    return read_file(file or "", **columns)


def read_file(file: str, **columns: Any) -> list[Example]:
    """Returns the labelled rows of a file, and warns of those it leaves out.

    Args:
      file: see `sources.read_file`.
      **columns: its keyword arguments.

    Raises:
      UserError: no row is left, or the file cannot be used.
    """
    readable = rows.without_bad(sources.read_file(file, **columns), file)
    return _labelled(list(readable), file)


def _labelled(examples: Sequence[Example], source: str) -> list[Example]:
    labelled = [example for example in examples if example.label is not None]
    if not labelled:
        raise UserError(f"{source} holds no text with a label")
    if len(labelled) < len(examples):
        warn(f"{source}: {len(examples) - len(labelled)} rows without a label")
    return labelled


def encode(
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    labels: Sequence[str],
    max_length: int,
) -> Encoded:
    """Returns examples tokenised, their labels as indices into `labels`."""
    encoded = Encoded.build(
        tokenizer,
        [example.text for example in examples],
        [example.text_pair for example in examples],
        tasks.label_ids(examples, labels),
        max_length,
    )
    if encoded.truncated:
        warn(f"{encoded.truncated} of {len(encoded)} texts are cut to {max_length}")
    return encoded


def _tokenizer(
    config: Config, workdir: pathlib.Path, train: Sequence[Example]
) -> Tokenizer:
    if name := config.data.tokenizer or config.init:
        return Tokenizer.load(name)
    texts = [text for e in train for text in (e.text, e.text_pair) if text]
    return train_tokenizer(texts, config.data.vocab_size, workdir / "tokenizer")
