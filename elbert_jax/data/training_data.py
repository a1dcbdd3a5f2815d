"""The data of a fine-tuning run: encoded texts, their classes, a tokenizer."""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np

from elbert_jax.data import corpus, readers, sources, tasks
from elbert_jax.data.encoded import Encoded
from elbert_jax.data.example import Example
from elbert_jax.data.labels import label_names
from elbert_jax.data.tokenization import TRUNCATIONS, Tokenizer
from elbert_jax.data.vocabulary import train_tokenizer
from elbert_jax.errors import UserError, warn
from elbert_jax.settings import at_least, one_of


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where texts and labels come from, and how they are tokenised.

    `configs/default.py` says what each field means; `tokenizer` is already that of
    `config.init` where only that is set.
    """

    task: str
    data_dir: str
    train_file: str
    validation_file: str
    text_column: str
    text_pair_column: str
    label_column: str
    unlabelled_file: str
    columns: str
    validation_columns: str
    labels: Sequence[str]
    tokenizer: str
    vocab_size: int
    max_seq_length: int
    truncation: Annotated[str, one_of(TRUNCATIONS)]
    drop_held_out: bool
    max_train_samples: Annotated[int, at_least(0)]

    def __post_init__(self):
        if bool(self.train_file) != bool(self.validation_file):
            both = "config.data.train_file and config.data.validation_file"
            raise UserError(f"{both} go together")
        if not self.task and not self.train_file:
            raise UserError("name a config.data.task or a config.data.train_file")
        if self.task:
            tasks.find(self.task)
        if len(self.validation_files) < len(self.validation_file.split(",")):
            raise UserError("two of config.data.validation_file have the same name")

    @property
    def validation_files(self) -> dict[str, str]:
        """The held-out files by their names without a suffix."""
        files = self.validation_file.split(",")
        return {pathlib.Path(file).name.partition(".")[0]: file for file in files}


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingData:
    """The training, held-out and unlabelled texts of one task."""

    tokenizer: Tokenizer
    labels: tuple[str, ...]
    metric: str  # of the task, or accuracy
    train: Encoded
    validation: Encoded
    unlabelled: Encoded
    train_name: str
    validation_name: str
    parts: Mapping[str, slice]  # of `validation`, by name, if it has several

    @property
    def fingerprint(self) -> str:
        """A hash of all tokens and labels."""
        digest = hashlib.blake2b(self.tokenizer.fingerprint.encode(), digest_size=16)
        for texts in (self.train, self.validation, self.unlabelled):
            for array in (texts.offsets, texts.tokens, texts.types, texts.labels):
                digest.update(array.tobytes())
        return digest.hexdigest()


def load(config: DataConfig, workdir: pathlib.Path) -> TrainingData:
    """Reads and encodes the files of a run, or else the splits of its task.

    A task that is named beside files sets the labels and the metric. `workdir` gets a
    tokenizer trained on the texts, where `config` names none.
    """
    task = tasks.find(config.task) if config.task else None
    texts = _read_files(config) if config.train_file else _read_task(config)
    validation = [example for part in texts.held_out.values() for example in part]
    train, unlabelled = texts.train, _read_unlabelled(config)
    train_name = texts.train_name
    if config.drop_held_out:
        train = _without(train, validation, config.train_file or train_name)
        if unlabelled:
            unlabelled = _without(unlabelled, validation, config.unlabelled_file)
    every = train
    if config.max_train_samples:
        train = train[: config.max_train_samples]
        train_name += f" (first {len(train)})"
    labels = label_names(train, config.labels or (task.labels if task else None))
    if len(labels) < 2:
        only = "".join(labels)
        raise UserError(f"the only label is {only!r}; two or more are needed")
    if config.tokenizer:
        tokenizer = Tokenizer.load(config.tokenizer)
    else:
        corpora = [text for e in train for text in (e.text, e.text_pair) if text]
        tokenizer = train_tokenizer(corpora, config.vocab_size, workdir / "tokenizer")
    tokenizer.limit(config.max_seq_length, config.truncation)
    encode = functools.partial(
        corpus.encode, tokenizer, labels=labels, max_length=config.max_seq_length
    )
    encoded = encode(train, beside=[*every, *validation])
    absent = [name for i, name in enumerate(labels) if i not in encoded.labels]
    if absent:  # the file may be sorted by label
        warn(f"no training text has the label {' or '.join(absent)}")
    ends = np.cumsum([0, *map(len, texts.held_out.values())])
    parts = dict(zip(texts.held_out, map(slice, ends, ends[1:])))
    return TrainingData(
        tokenizer,
        labels,
        task.metric if task else "accuracy",
        encoded,
        encode(validation, beside=every),
        encode(unlabelled),
        train_name,
        texts.validation_name,
        parts if len(parts) > 1 else {},
    )


class _Texts(NamedTuple):
    train: Sequence[Example]
    held_out: Mapping[str, Sequence[Example]]  # by part
    train_name: str
    validation_name: str


def _read_files(config: DataConfig) -> _Texts:
    def read(file: str, names: str) -> list[Example]:
        label = config.label_column or None
        return corpus.read_file(file, label=label, **_columns(config, names))

    train, files = config.train_file, config.validation_files
    names = config.validation_columns or config.columns
    held_out = {name: read(file, names) for name, file in files.items()}
    validation_name = ", ".join(pathlib.Path(file).name for file in files.values())
    examples = read(train, config.columns)
    return _Texts(examples, held_out, pathlib.Path(train).name, validation_name)


def _read_task(config: DataConfig) -> _Texts:
    task, data_dir = tasks.find(config.task), config.data_dir or None
    splits = "train", *task.validation
    train, *held_out = (sources.read_task(task, each, data_dir) for each in splits)
    validation_name = f"{task.name}, {' and '.join(task.validation)}"
    parts = dict(zip(task.validation, held_out))
    return _Texts(train, parts, f"{task.name}, train", validation_name)


def _read_unlabelled(config: DataConfig) -> list[Example]:
    file, columns = config.unlabelled_file, _columns(config, config.columns)
    if not file:
        return []
    if readers.format_of(file) == "txt":
        columns = {"columns": columns["columns"]}
    rows = sources.read_file(file, labelled=False, **columns)
    examples = list(readers.without_bad(rows, file))
    if not examples:
        raise UserError(f"{file} holds no text")
    return examples


def _columns(config: DataConfig, names: str) -> dict[str, Any]:
    """Returns arguments of `sources.read_file` for a file with columns of these names.

    Without names, the file has a header line.
    """
    return {
        "text": config.text_column or None,
        "text_pair": config.text_pair_column or None,
        "columns": names.split(",") if names else None,
    }


def _without(
    texts: Sequence[Example], held_out: Sequence[Example], source: str
) -> list[Example]:
    known = {(example.text, example.text_pair) for example in held_out}
    kept = [e for e in texts if (e.text, e.text_pair) not in known]
    if not kept:
        raise UserError(f"{source}: every text is held out too")
    if len(kept) < len(texts):
        warn(f"{source}: dropped {len(texts) - len(kept)} texts that are held out too")
    return kept
