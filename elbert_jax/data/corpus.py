"""What a training run learns from: two encoded splits, their classes, a tokenizer."""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from ml_collections import ConfigDict

from elbert_jax.data import sources, tasks
from elbert_jax.data.batching import Encoded
from elbert_jax.data.sources import BadRow, Example
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.data.vocabulary import train_tokenizer
from elbert_jax.errors import UserError

_SHOWN = 5  # bad rows that are named one by one


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


def load(config: ConfigDict, workdir: pathlib.Path) -> Corpus:
    """Reads what `config.data` names: local files where given, else a named task.

    Args:
      config: the run's configuration.
      workdir: gets a tokenizer trained on the texts, where neither
        `config.data.tokenizer` nor `config.init` names one.

    Raises:
      UserError: something named there cannot be used.
    """
    data = config.data
    task = tasks.find(data.task) if data.task else None
    splits, names = [], []
    for file, split in (
        (data.train_file, task and task.train),
        (data.validation_file, task and task.validation[0]),
    ):
        if bool(data.train_file) != bool(data.validation_file):
            raise UserError(
                "config.data.train_file and config.data.validation_file go together"
            )
        if file:
            splits.append(_read_file(file, data))
            names.append(pathlib.Path(file).name)
        elif task:
            splits.append(sources.read_task(task, split, data.data_dir or None))
            names.append(f"{task.name}, {split}")
        else:
            raise UserError("name a config.data.task or a config.data.train_file")
    train, validation = splits
    if data.max_train_samples:
        train = train[: data.max_train_samples]
        names[0] += f" (first {len(train)})"
    given = data.labels or (task.labels if task and not data.train_file else None)
    labels = tasks.label_names(train, given)
    if len(labels) < 2:
        raise UserError(f"all texts have the label {labels[0]!r}; it takes two or more")
    tokenizer = _tokenizer(config, workdir, train)

    def encode(examples: Sequence[Example]) -> Encoded:
        pairs = [e.text_pair for e in examples if e.text_pair is not None]
        ids = tasks.label_ids(examples, labels)
        texts = [e.text for e in examples]
        encoded = Encoded.build(
            tokenizer, texts, pairs or None, ids, data.max_seq_length
        )
        if encoded.truncated:
            print(
                f"warning: {encoded.truncated} of {len(encoded)} texts are cut to "
                f"config.data.max_seq_length = {data.max_seq_length} tokens",
                file=sys.stderr,
            )
        return encoded

    metric = config.metric or (task.metric if task else "accuracy")
    return Corpus(tokenizer, labels, metric, encode(train), encode(validation), *names)


def _read_file(file: str, data: ConfigDict) -> list[Example]:
    examples, bad = [], []
    for row in sources.read_file(
        file,
        text=data.text_column or None,
        text_pair=data.text_pair_column or None,
        label=data.label_column or None,
        columns=data.columns or None,
    ):
        (bad if isinstance(row, BadRow) else examples).append(row)
    for row in bad[:_SHOWN]:
        print(f"warning: {file}:{row.line}: {row.message}", file=sys.stderr)
    if len(bad) > _SHOWN:
        print(f"warning: {file}: {len(bad)} bad rows in all", file=sys.stderr)
    labelled = [example for example in examples if example.label is not None]
    if len(labelled) < len(examples):
        unlabelled = len(examples) - len(labelled)
        print(f"warning: {file}: {unlabelled} rows without a label", file=sys.stderr)
    if not labelled:
        raise UserError(f"{file} holds no text with a label")
    return labelled


def _tokenizer(
    config: ConfigDict, workdir: pathlib.Path, train: Sequence[Example]
) -> Tokenizer:
    if name := config.data.tokenizer or config.init:
        return Tokenizer.load(name)
    texts = [text for e in train for text in (e.text, e.text_pair) if text]
    return train_tokenizer(texts, config.data.vocab_size, workdir / "tokenizer")
