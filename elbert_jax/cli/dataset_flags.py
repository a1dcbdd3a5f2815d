"""Flags for labelled texts in a file or a task, shared by measuring commands.

A command defines `--file` and `--task` itself, and adopts these as key flags.
"""

from absl import flags

from elbert_jax.data import corpus
from elbert_jax.data.example import Example

_SPLIT = flags.DEFINE_string("split", None, "Of the task; by default all held out.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where TFDS keeps prepared sets.")
_TEXT = flags.DEFINE_string("text_column", None, "Column of the text.")
_PAIR = flags.DEFINE_string("text_pair_column", None, "Column of the second text.")
_LABEL = flags.DEFINE_string("label_column", None, "Column of the label.")
_COLUMNS = flags.DEFINE_list("columns", None, "Names for a table without a header.")


def read(file: str | None, task: str | None) -> tuple[str, list[Example]]:
    """Returns a name for the texts, and the texts; see `corpus.read`."""
    return corpus.read(
        file,
        task,
        _SPLIT.value,
        _DATA_DIR.value,
        text=_TEXT.value,
        text_pair=_PAIR.value,
        label=_LABEL.value,
        columns=_COLUMNS.value,
    )
