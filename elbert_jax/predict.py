"""Predicts labels for the texts of a file.

    python -m elbert_jax.predict --model=runs/sst2/model --input=new.csv --output=-

"-" is standard input or output. A job that was stopped resumes when started again.
"""

import os

from absl import flags

from elbert_jax import machine
from elbert_jax.cli import app
from elbert_jax.data import readers
from elbert_jax.errors import UserError
from elbert_jax.inference.classifier import Classifier
from elbert_jax.serving import files

_MODEL = flags.DEFINE_string("model", None, "Model directory, or hub id.")
_INPUT = flags.DEFINE_string(
    "input", None, "JSONL, CSV, TSV, Parquet or text file; or -."
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "New JSONL, CSV, TSV or Parquet file; or -."
)
_FORMAT = flags.DEFINE_enum(
    "input_format",
    None,
    readers.FORMATS,
    "By default as its name says.",
)
_TEXT = flags.DEFINE_string("text_column", None, "By default a usual name.")
_PAIR = flags.DEFINE_string("text_pair_column", None, "Column of a second text.")
_ID = flags.DEFINE_string("id_column", None, "By default id, or the row's number.")
_COLUMNS = flags.DEFINE_list("columns", None, "Of CSV or TSV without a header line.")
_WITH_TEXT = flags.DEFINE_bool("with_text", False, "Repeat the texts in the output.")
_DELTA = flags.DEFINE_float("delta", None, "Threshold of stage 1; 0: off.")
_SLOTS = flags.DEFINE_string(
    "slots", None, "Batch size in texts of 16 tokens, or auto."
)
_LENGTH = flags.DEFINE_integer("max_length", None, "Maximum sequence length.", 4)
_DTYPE = flags.DEFINE_enum("dtype", "float32", ("float32", "bfloat16"), "Of matmuls.")
_LOCAL = flags.DEFINE_bool("local_files_only", False, "Do not connect to the hub.")


def main(argv):
    del argv
    machine.enable_compilation_cache()
    if not (_MODEL.value and _INPUT.value and _OUTPUT.value):
        raise UserError("--model, --input and --output are all needed")
    input, output = map(os.path.expanduser, (_INPUT.value, _OUTPUT.value))
    files.check(input, output)
    classifier = Classifier.from_pretrained(
        _MODEL.value,
        slots=_SLOTS.value,
        max_length=_LENGTH.value,
        dtype=_DTYPE.value,
        local_files_only=_LOCAL.value,
    )
    if _DELTA.value is not None:
        classifier.set_delta(_DELTA.value)
    columns = {"text": _TEXT.value, "text_pair": _PAIR.value, "id": _ID.value}
    reading = {"format": _FORMAT.value, "columns": _COLUMNS.value, **columns}
    files.predict(classifier, input, output, with_text=_WITH_TEXT.value, **reading)


if __name__ == "__main__":
    app.run(main)
