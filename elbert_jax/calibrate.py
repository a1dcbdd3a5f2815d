"""Chooses a model's exit threshold: the fastest with a bound on accuracy or speed.

Run:    python -m elbert_jax.calibrate --model=DIR --file=held_out.tsv \
            --max_accuracy_drop=0.01 --confidence=0.9

Training must not have seen the texts. The choice and its guarantees are written to the
model's operating_point.json, which stays unchanged where nothing qualifies.
"""

import functools
import os
import pathlib

import orjson
from absl import flags

from elbert_jax import machine
from elbert_jax.cli import app, dataset_flags
from elbert_jax.data import corpus
from elbert_jax.errors import UserError
from elbert_jax.evaluation import calibration, timing
from elbert_jax.exits import registry
from elbert_jax.hub import operating_point
from elbert_jax.inference.classifier import Classifier

_MODEL = flags.DEFINE_string("model", None, "Model directory.")
_FILE = flags.DEFINE_string("file", None, "Labelled .tsv .csv .jsonl or .parquet.")
_TASK = flags.DEFINE_string("task", None, "A named task instead of a file.")
flags.adopt_module_key_flags(dataset_flags)
_DROP = flags.DEFINE_float(
    "max_accuracy_drop", None, "From full depth; 0.01 is one point."
)
_CONFIDENCE = flags.DEFINE_float("confidence", 0.9, "Of the bound on the drop.")
_P99 = flags.DEFINE_float("target_p99_ms", None, "Latency of single texts.")
_RATE = flags.DEFINE_float("min_texts_per_second", None, "Throughput of many texts.")
_EXIT = flags.DEFINE_string(
    "exit", None, "Exit to calibrate, as JSON; default: the model's."
)
_SLOTS = flags.DEFINE_string("slots", None, "Texts of 16 tokens per batch, or auto.")


def main(argv):
    del argv
    machine.enable_compilation_cache()
    goal = calibration.Goal(_DROP.value, _CONFIDENCE.value, _P99.value, _RATE.value)
    directory = pathlib.Path(_MODEL.value or "").expanduser()
    if not (_MODEL.value and directory.is_dir() and os.access(directory, os.W_OK)):
        raise UserError("give --model=DIR, a directory that can be written to")
    classifier = Classifier.from_pretrained(directory, exit=_exit(), slots=_SLOTS.value)
    name, examples = dataset_flags.read(_FILE.value, _TASK.value)
    encoded = corpus.encode(
        classifier.tokenizer, examples, classifier.labels, classifier.max_length
    )
    points = calibration.measure(classifier, encoded, goal)
    print(calibration.render(points, goal))
    texts = [example.input for example in examples]
    clock = functools.partial(timing.latency_and_throughput, classifier, texts)
    point, timed = calibration.choose(points, goal, clock)
    source = pathlib.Path(name).name if _FILE.value else name
    data = calibration.describe(examples, source)
    grounds = calibration.grounds(point, goal, timed, data, classifier.slots)
    file = operating_point.save(directory, point.criterion, point.measured, **grounds)
    print(f"{calibration.sentence(point, goal, timed)}; {file} says so")


def _exit():
    if _EXIT.value is None:
        return None
    try:
        return registry.from_dict(orjson.loads(_EXIT.value))
    except ValueError as error:
        raise UserError(f"--exit: {error}") from error


if __name__ == "__main__":
    app.run(main)
