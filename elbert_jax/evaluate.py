"""Measures a model directory on labelled texts: scores, exits and time.

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
_DELTA = flags.DEFINE_float("delta", None, "Stage 1's threshold, in place of its own.")
_BY = flags.DEFINE_string("by", None, "Column that groups the texts.")
_SLOTS = flags.DEFINE_string("slots", None, "Texts in a batch, of 16 tokens; or auto.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Runs that are timed.", lower_bound=1)
_PLOT = flags.DEFINE_string("plot", None, "Picture of the exit curve to write.")
_JSON = flags.DEFINE_string("json", None, "File for every number.")


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
    card = report.measure(classifier, examples, _REPEATS.value, by=by)
    print(f"{_MODEL.value} on {name}")
    print(report.render(card))
    if record:
        with filesystem.writing(str(record)):
            record.write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2))
    if plot:
        with filesystem.writing(str(plot)):
            plots.exit_curve(
                plot,
                card["curve"],
                card["layer_accuracy"],
                metric="accuracy",
                title=f"{card['texts']:,} texts, {len(card['layer_accuracy'])} layers",
            )
        print(f"the curve is drawn in {plot}")


if __name__ == "__main__":
    app.run(main)
