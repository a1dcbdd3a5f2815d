"""Named tasks: columns, labels and metric; and how labels become class indices."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from elbert_jax.errors import UserError


class Labelled(Protocol):
    """What the functions below read of an `Example`."""

    @property
    def id(self) -> str | int: ...

    @property
    def label(self) -> str | int | None: ...


@dataclasses.dataclass(frozen=True)
class Task:
    """A data set that a name stands for.

    Columns, label names and their order are those of TensorFlow Datasets.
    """

    name: str
    text: str
    text_pair: str | None
    labels: tuple[str, ...]
    metric: str = "accuracy"  # or "f1", "matthews"
    label: str = "label"
    train: str = "train"
    validation: tuple[str, ...] = ("validation",)
    test: tuple[str, ...] = ("test",)
    host: str = "dl.fbaipublicfiles.com"  # where TFDS downloads it from


_ENTAILMENT = ("entailment", "not_entailment")
_ALL = (
    Task("glue/sst2", "sentence", None, ("negative", "positive")),
    Task("glue/cola", "sentence", None, ("unacceptable", "acceptable"), "matthews"),
    Task("glue/mrpc", "sentence1", "sentence2", ("not_equivalent", "equivalent"), "f1"),
    Task("glue/qqp", "question1", "question2", ("not_duplicate", "duplicate"), "f1"),
    Task("glue/rte", "sentence1", "sentence2", _ENTAILMENT),
    Task("glue/wnli", "sentence1", "sentence2", _ENTAILMENT[::-1]),
    Task("glue/qnli", "question", "sentence", _ENTAILMENT),
    Task(
        "glue/mnli",
        "premise",
        "hypothesis",
        ("entailment", "neutral", "contradiction"),
        validation=("validation_matched", "validation_mismatched"),
        test=("test_matched", "test_mismatched"),
    ),
    Task(
        "imdb_reviews",
        "text",
        None,
        ("neg", "pos"),
        validation=("test",),  # it has no other labelled split
        host="ai.stanford.edu",
    ),
    Task(
        "ag_news_subset",
        "description",
        None,
        ("World", "Sports", "Business", "Sci/Tech"),
        validation=("test",),
        host="drive.google.com",
    ),
    Task("synthetic", "text", None, ("negative", "neutral", "positive"), host=""),
)
TASKS = {task.name: task for task in _ALL}


def find(name: str) -> Task:
    """Returns the task called `name`; UserError lists the names there are."""
    if name not in TASKS:
        raise UserError(f"no task {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name]


def label_names(
    examples: Iterable[Labelled], given: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Returns the name of every class, by class index.

    Names found in the data are sorted; integers are sorted too, and name themselves.
    Rows without a label are passed over.

    Args:
      examples: rows of the training set.
      given: names that the user or the task lays down; they win.

    Raises:
      UserError: no row has a label, or names and integers stand side by side, or a
        given name comes twice.
    """
    if given:
        called = tuple(map(str, given))
        if len({*called}) < len(called):
            raise UserError(f"two classes have the same name: {', '.join(called)}")
        return called
    labels = {example.label for example in examples} - {None}
    names = sorted(label for label in labels if isinstance(label, str))
    numbers = sorted(label for label in labels if isinstance(label, int))
    if not labels:
        raise UserError("no row has a label: name the column that holds them")
    if names and numbers:
        raise UserError(
            f"labels are both names ({names[0]!r}) and integers ({numbers[0]}): "
            "make them one or the other"
        )
    return tuple(map(str, names or numbers))


def label_ids(
    examples: Sequence[Labelled],
    names: Sequence[str],
    beside: Sequence[Labelled] = (),
) -> np.ndarray:
    """Returns int32 [M]: the class index of every row, -1 where it has no label.

    Args:
      examples: M rows, whose labels are names or class indices. Where the names
        themselves are integers, an integer is a name. Indices count from 0; or from
        1, as in the files of AG News, where all are from 1 to C and one is C.
      names: the C classes, by index.
      beside: other rows of the same set, whose indices count likewise.

    Raises:
      UserError: a label is no class; the message names the row.
    """
    index: dict[str | int | None, int] = {name: i for i, name in enumerate(names)}
    try:
        index |= {int(name): i for i, name in enumerate(names)}
    except ValueError:
        others = {each.label for each in beside if isinstance(each.label, int)}
        found, count = {each.label for each in examples} - {None} | others, len(names)
        first = int(count in found and found <= {*range(1, count + 1)})
        index |= {i + first: i for i in range(count)}
    index[None] = -1
    ids = []
    for example in examples:
        if example.label not in index:
            raise UserError(
                f"row {example.id!r} has the label {example.label!r}; "
                f"the classes are {', '.join(names)}"
            )
        ids.append(index[example.label])
    return np.array(ids, np.int32)
