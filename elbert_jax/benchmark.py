"""Times slot refill beside full-depth and static batches, all in one run.

Run:    python -m elbert_jax.benchmark --model=DIR --file=texts.tsv
"""

import pathlib

import numpy as np
import orjson
from absl import flags

from elbert_jax import errors, evaluation, machine_cache, tables, throughput
from elbert_jax.classifier import Classifier
from elbert_jax.data import batching, corpus
from elbert_jax.errors import UserError

_MODEL = flags.DEFINE_string("model", None, "Model directory, or hub id.")
_FILE = flags.DEFINE_string("file", None, "Labelled .tsv .csv .jsonl or .parquet.")
_TEXTS = flags.DEFINE_integer("max_texts", None, "Takes this many, drawn at random.")
_RATIO = flags.DEFINE_float("compute_ratio", 0.5, "Sets delta for this FLOPs ratio.")
_SLOTS = flags.DEFINE_string("slots", None, "Texts in a batch, of 16 tokens; or auto.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "Runs that are timed.", lower_bound=1)
_JSON = flags.DEFINE_string("json", None, "File for every number.")
_SAMPLE = 2000  # texts that delta is set on


def main(argv):
    del argv
    machine_cache.keep_programs()
    if not _MODEL.value or not _FILE.value:
        raise UserError("give --model=DIR and --file=FILE")
    classifier = Classifier.from_pretrained(_MODEL.value, slots=_SLOTS.value)
    examples = corpus.read_file(_FILE.value)
    order = np.random.default_rng(0).permutation(len(examples))[: _TEXTS.value]
    encoded, sample = (
        corpus.encode(
            classifier.tokenizer,
            [examples[row] for row in rows],
            classifier.labels,
            classifier.max_length,
        )
        for rows in (order, order[:_SAMPLE])
    )
    buckets = batching.bucket_lengths(classifier.max_length)
    batches = batching.eval_batches(sample, classifier.slots, buckets)
    config, params = classifier.config, classifier.params
    logits = evaluation.every_layer(config, params, batches, len(sample))
    delta = evaluation.delta_for(
        config, logits, sample.lengths, classifier.exit, _RATIO.value
    )
    classifier.set_delta(delta)
    timed = throughput.measure(throughput.SYSTEMS, classifier, encoded, _REPEATS.value)
    rows = throughput.compare(timed, config, encoded)
    print(f"{len(encoded):,} texts, {classifier.slots} slots, {classifier.exit}")
    print(tables.table(list(rows[0]), [list(row.values()) for row in rows]))
    if _JSON.value:
        pathlib.Path(_JSON.value).write_bytes(
            orjson.dumps(rows, option=orjson.OPT_INDENT_2)
        )


if __name__ == "__main__":
    errors.run(main)
