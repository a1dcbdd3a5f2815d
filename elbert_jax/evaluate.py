"""Measures a model on labelled texts: scores, exit layers and speed.

Run:    python -m elbert_jax.evaluate --model=DIR --file=dev.tsv
"""

import orjson
from absl import flags

from elbert_jax import filesystem, machine
from elbert_jax.cli import app, dataset_flags
from elbert_jax.errors import UserError
from elbert_jax.evaluation import plots, report
from elbert_jax.inference.classifier import Classifier

_MODEL = flags.DEFINE_string("model", None, "Model directory, or hub id.")
_FILE = flags.DEFINE_string("file", None, "Labelled .tsv .csv .jsonl or .parquet.")
_TASK = flags.DEFINE_string("task", None, "A named task instead of a file.")
flags.adopt_module_key_flags(dataset_flags)
_DELTA = flags.DEFINE_float("delta", None, "Stage 1 threshold; else the model's.")
_BY = flags.DEFINE_string("by", None, "Column; its values get scores too.")
_SLOTS = flags.DEFINE_string("slots", None, "Slots for texts of 16 tokens, or auto.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Timed runs.", lower_bound=1)
_PLOT = flags.DEFINE_string("plot", None, "File for a plot of the exit curve.")
_JSON = flags.DEFINE_string("json", None, "File for all numbers.")


def main(argv):
    del argv
    machine.enable_compilation_cache()
    if not _MODEL.value:
        raise UserError("give --model=DIR, and --file=FILE or --task=NAME")
    plot, record = map(filesystem.target, (_PLOT.value, _JSON.value))
    plots.check(plot)
    classifier = Classifier.from_pretrained(_MODEL.value, slots=_SLOTS.value)
    if _DELTA.value is not None:
        classifier.set_delta(_DELTA.value)
    name, examples = dataset_flags.read(_FILE.value, _TASK.value)
    several = bool(_TASK.value) and len({e.row.get("split") for e in examples}) > 1
    by = _BY.value or ("split" if several else None)
    measured = report.measure(classifier, examples, _REPEATS.value, by=by)
    print(f"{_MODEL.value} on {name}")
    print(report.render(measured))
    if record:
        with filesystem.replacing(record) as file:
            file.write(orjson.dumps(measured, option=orjson.OPT_INDENT_2))
    if plot:
        with filesystem.writing(plot):
            plots.exit_curve(plot, measured)
        print(f"exit curve: {plot}")


if __name__ == "__main__":
    app.run(main)
