"""What a training run learns from: encoded texts, their classes, a tokenizer."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from elbert_jax.data import readers, sources, tasks
from elbert_jax.data.batching import Encoded
from elbert_jax.data.example import Example
from elbert_jax.data.labels import label_ids, label_names
from elbert_jax.data.tasks import Task
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.data.vocabulary import train_tokenizer
from elbert_jax.errors import UserError, warn

Config = Any  # an ml_collections.ConfigDict; its values have no static types


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """The training and the held-out texts of one task, and others without labels."""

    tokenizer: Tokenizer
    labels: tuple[str, ...]
    metric: str  # the score that chooses the best parameters
    train: Encoded
    validation: Encoded
    unlabelled: Encoded
    train_name: str  # where the texts are from
    validation_name: str
    parts: Mapping[str, slice]  # of `validation`, by name, where it has several

    @property
    def fingerprint(self) -> str:
        """A hash of all pieces and labels."""
        digest = hashlib.blake2b(self.tokenizer.fingerprint.encode(), digest_size=16)
        for texts in (self.train, self.validation, self.unlabelled):
            for array in (texts.offsets, texts.tokens, texts.types, texts.labels):
                digest.update(array.tobytes())
        return digest.hexdigest()


def load(config: Config, workdir: pathlib.Path) -> Corpus:
    """Reads what `config.data` names: local files where given, else a named task.

    A task that is named beside files lays down the labels and the metric.

    Args:
      config: the run's configuration.
      workdir: gets a tokenizer trained on the texts, where neither
        `config.data.tokenizer` nor `config.init` names one.

    Raises:
      UserError: something named there cannot be used.
    """
    data = config.data
    task = tasks.find(data.task) if data.task else None
    train, held_out, train_name, validation_name = _read(data, task)
    validation = [example for part in held_out.values() for example in part]
    if data.drop_held_out:
        train = _without(train, validation, data.train_file or train_name)
    unlabelled = _unlabelled(data)
    if data.drop_held_out and unlabelled:
        unlabelled = _without(unlabelled, validation, data.unlabelled_file)
    every = train
    if data.max_train_samples:
        train = train[: data.max_train_samples]
        train_name += f" (first {len(train)})"
    labels = label_names(train, data.labels or (task.labels if task else None))
    if len(labels) < 2:
        only = "".join(labels)
        raise UserError(f"the only label is {only!r}; it takes two or more")
    tokenizer = _tokenizer(config, workdir, train)
    length = data.max_seq_length
    tokenizer.limit(length, data.truncation)
    ends = np.cumsum([0, *map(len, held_out.values())])
    learned = encode(tokenizer, train, labels, length, beside=[*every, *validation])
    absent = [name for i, name in enumerate(labels) if i not in learned.labels]
    if absent:  # of a file in the order of its labels the first texts, perhaps
        warn(f"no training text has the label {' or '.join(absent)}")
    return Corpus(
        tokenizer,
        labels,
        config.metric or (task.metric if task else "accuracy"),
        learned,
        encode(tokenizer, validation, labels, length, beside=every),
        encode(tokenizer, unlabelled, labels, length),
        train_name,
        validation_name,
        dict(zip(held_out, map(slice, ends, ends[1:]))) if len(held_out) > 1 else {},
    )


class _Texts(NamedTuple):
    train: Sequence[Example]
    held_out: Mapping[str, Sequence[Example]]  # by part
    train_name: str
    validation_name: str


def _read(data: Config, task: Task | None) -> _Texts:
    if data.train_file and data.validation_file:

        def read(file: str, columns: str) -> list[Example]:
            return read_file(
                file,
                text=data.text_column or None,
                text_pair=data.text_pair_column or None,
                label=data.label_column or None,
                columns=_names(columns),
            )

        files, columns = data.validation_file.split(","), data.validation_columns
        names = [pathlib.Path(file).name for file in files]
        held_out = {
            name.partition(".")[0]: read(file, columns or data.columns)
            for name, file in zip(names, files)
        }
        if len(held_out) < len(files):
            raise UserError("two of config.data.validation_file have the same name")
        train = read(data.train_file, data.columns)
        train_name = pathlib.Path(data.train_file).name
        return _Texts(train, held_out, train_name, ", ".join(names))
    if data.train_file or data.validation_file:
        raise UserError(
            "config.data.train_file and config.data.validation_file go together"
        )
    if not task:
        raise UserError("name a config.data.task or a config.data.train_file")
    train, *parts = (
        sources.read_task(task, split, data.data_dir or None)
        for split in (task.train, *task.validation)
    )
    return _Texts(
        train,
        dict(zip(task.validation, parts)),
        f"{task.name}, {task.train}",
        f"{task.name}, {' and '.join(task.validation)}",
    )


def _names(columns: str) -> list[str] | None:
    return columns.split(",") if columns else None


def _without(
    texts: Sequence[Example], held_out: Sequence[Example], name: str
) -> list[Example]:
    known = {(example.text, example.text_pair) for example in held_out}
    kept = [e for e in texts if (e.text, e.text_pair) not in known]
    if not kept:
        raise UserError(f"{name}: every text is held out too")
    if len(kept) < len(texts):
        warn(f"{name}: {len(texts) - len(kept)} texts are held out too: left out")
    return kept


def read(
    file: str | None,
    task: str | None,
    split: str | None,
    data_dir: str | None,
    **columns: Any,
) -> tuple[str, list[Example]]:
    """Returns labelled texts of a file or of a named task, and what to call them.

    Args:
      file: see `read_file`; or None.
      task: one of `tasks.TASKS`; or None.
      split: the task's; None: all that it holds out.
      data_dir: see `sources.read_task`.
      **columns: the file's, as keyword arguments of `sources.read_file`.

    Raises:
      UserError: not one of file and task is given, or no label is there, or it cannot
        be used.
    """
    if file and not task:
        return file, read_file(file, **columns)
    if file or not task:
        raise UserError("give --file=FILE or --task=NAME")
    found = tasks.find(task)
    splits = [split] if split else found.validation
    examples = [e for each in splits for e in sources.read_task(found, each, data_dir)]
    name = f"{task}, {' and '.join(splits)}"
    return name, _labelled(examples, name)


def read_file(file: str, **columns: Any) -> list[Example]:
    """Returns the labelled rows of a file, and warns of those it leaves out.

    Args:
      file: see `sources.read_file`.
      **columns: its keyword arguments.

    Raises:
      UserError: no row is left, or the file cannot be used.
    """
    readable = readers.without_bad(sources.read_file(file, **columns), file)
    return _labelled(list(readable), file)


def _labelled(examples: Sequence[Example], source: str) -> list[Example]:
    labelled = [example for example in examples if example.label is not None]
    if not labelled:
        raise UserError(f"{source} holds no text with a label")
    if len(labelled) < len(examples):
        warn(f"{source}: {len(examples) - len(labelled)} rows without a label")
    return labelled


def _unlabelled(data: Config) -> list[Example]:
    file = data.unlabelled_file
    if not file:
        return []
    columns = {
        "text": data.text_column or None,
        "text_pair": data.text_pair_column or None,
    }
    if readers.format_of(file) == "txt":  # a text a line
        columns = {}
    named = _names(data.columns)
    read = sources.read_file(file, columns=named, labelled=False, **columns)
    examples = list(readers.without_bad(read, file))
    if not examples:
        raise UserError(f"{file} holds no text")
    return examples


def encode(
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    labels: Sequence[str],
    max_length: int,
    beside: Sequence[Example] = (),
) -> Encoded:
    """Returns examples tokenised, their labels as indices into `labels`.

    `beside` are others of the same set; see `labels.label_ids`.
    """
    encoded = Encoded.build(
        tokenizer,
        [example.text for example in examples],
        [example.text_pair for example in examples],
        label_ids(examples, labels, beside),
        max_length,
    )
    if encoded.truncated:
        cut = f"{max_length} ({tokenizer.truncation})"
        warn(f"{encoded.truncated} of {len(encoded)} texts are cut to {cut}")
    return encoded


def _tokenizer(
    config: Config, workdir: pathlib.Path, train: Sequence[Example]
) -> Tokenizer:
    if name := config.data.tokenizer or config.init:
        return Tokenizer.load(name)
    texts = [text for e in train for text in (e.text, e.text_pair) if text]
    return train_tokenizer(texts, config.data.vocab_size, workdir / "tokenizer")
