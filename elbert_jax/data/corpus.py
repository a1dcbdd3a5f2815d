"""Labelled texts from files and named tasks, and their encoding."""

from collections.abc import Sequence
from typing import Any

from elbert_jax.data import readers, sources, tasks
from elbert_jax.data.encoded import Encoded
from elbert_jax.data.example import Example
from elbert_jax.data.labels import label_ids
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.errors import UserError, warn


def read(
    file: str | None,
    task: str | None,
    split: str | None,
    data_dir: str | None,
    **columns: Any,
) -> tuple[str, list[Example]]:
    """Returns a display name and the labelled texts of a file or of a named task.

    Args:
      file: or None; see `sources.read_file`.
      task: one of `tasks.TASKS`, or None.
      split: of the task; None reads all its held-out splits.
      data_dir: see `sources.read_task`.
      **columns: of the file; keyword arguments of `sources.read_file`.

    Raises:
      UserError: not exactly one of file and task is given, or it cannot be used, or no
        text has a label.
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
    """Returns the labelled rows of a file; warns about the number of the others.

    The arguments are those of `sources.read_file`.
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


def encode(
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    labels: Sequence[str],
    max_length: int,
    beside: Sequence[Example] = (),
) -> Encoded:
    """Returns examples tokenised, their labels as indices into `labels`.

    `beside` are other examples of the same data set; see `labels.label_ids`.
    """
    encoded = Encoded.build(
        tokenizer,
        [example.text for example in examples],
        [example.text_pair for example in examples],
        label_ids(examples, labels, beside),
        max_length,
    )
    if encoded.truncated:
        limit = f"{max_length} ({tokenizer.truncation})"
        warn(f"{encoded.truncated} of {len(encoded)} texts are cut to {limit}")
    return encoded
