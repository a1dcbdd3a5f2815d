"""Labels as found in the data, mapped to class names and class indices."""

from collections.abc import Iterable, Sequence

import numpy as np

from elbert_jax.data.example import Example
from elbert_jax.errors import UserError


def label_names(
    examples: Iterable[Example], given: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Returns class names by class index: the given ones, else the sorted labels.

    Integer labels are sorted as numbers and name themselves. Rows without a label are
    ignored.

    Raises:
      UserError: No row has a label, labels are both names and integers, or a given
        name is repeated.
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
    examples: Sequence[Example],
    names: Sequence[str],
    beside: Sequence[Example] = (),
) -> np.ndarray:
    """Returns class indices, int32 [M]; -1 where a row has no label.

    Labels are class names or indices; an integer is a name where the names are integers
    themselves. Indices count from 0; or from 1, as in the files of AG News, if all
    labels, those of `beside` included, lie in 1 .. C and C is among them.

    Raises:
      UserError: A label is not a class; the message names the row.
    """
    index: dict[str | int | None, int] = {name: i for i, name in enumerate(names)}
    try:
        index |= {int(name): i for i, name in enumerate(names)}
    except ValueError:
        count = len(names)
        found = {row.label for row in beside if isinstance(row.label, int)}
        found |= {row.label for row in examples} - {None}
        first = int(count in found and found <= {*range(1, count + 1)})
        index |= {i + first: i for i in range(count)}
    index[None] = -1
    for example in examples:
        if example.label not in index:
            raise UserError(
                f"row {example.id!r} has the label {example.label!r}; "
                f"the classes are {', '.join(names)}"
            )
    return np.array([index[example.label] for example in examples], np.int32)
