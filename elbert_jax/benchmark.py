"""Times slot refill beside the systems that it could replace, all in one run.

    python -m elbert_jax.benchmark --json=quick.json
    python -m elbert_jax.benchmark --suite=cpu --json=cpu.json --plots=FOLDER
    python -m elbert_jax.benchmark --model=DIR --file=texts.tsv --parts=systems

Without a model, weights and texts are random, with the shapes and lengths of real ones.
An interrupted run resumes from its --json file.
"""

import pathlib
import sys
import tempfile

from absl import flags

from elbert_jax import filesystem, machine
from elbert_jax.benchmarking import parts, speed_plots, workload
from elbert_jax.benchmarking.bench import Bench
from elbert_jax.benchmarking.peers import PEERS
from elbert_jax.benchmarking.record import Record
from elbert_jax.benchmarking.suite import SUITES
from elbert_jax.cli import app
from elbert_jax.errors import UserError

_SUITE = flags.DEFINE_enum("suite", "quick", list(SUITES), "How much is measured.")
_PARTS = flags.DEFINE_list("parts", list(parts.PARTS), "Which parts are measured.")
_MODEL = flags.DEFINE_string("model", None, "Model directory, or hub id.")
_FILE = flags.DEFINE_string("file", None, "Labelled .tsv .csv .jsonl or .parquet.")
_SHAPE = flags.DEFINE_enum("shape", None, list(workload.SHAPES), "Of the random model.")
_MIX = flags.DEFINE_enum(
    "mix", "sst2", list(workload.MIXES), "Lengths of random texts."
)
_TOKENIZER = flags.DEFINE_string("tokenizer", None, "Directory, for a random model.")
_DTYPE = flags.DEFINE_enum("dtype", None, ("float32", "bfloat16"), "Of matmuls.")
_TEXTS = flags.DEFINE_integer("max_texts", None, "Texts in the part systems.", 1)
_RATIO = flags.DEFINE_float("compute_ratio", None, "Mean exit layer / depth; 1/3.")
_SLOTS = flags.DEFINE_string("slots", None, "Slots for texts of 16 tokens, or auto.")
_REPEATS = flags.DEFINE_integer("repeats", None, "Timed runs.", lower_bound=1)
_PEERS = flags.DEFINE_list("peers", None, f"Of {','.join(PEERS)}; may be empty.")
_MINUTES = flags.DEFINE_float("minutes", None, "No part begins after this time.")
_JSON = flags.DEFINE_string("json", None, "File for the record.")
_PLOTS = flags.DEFINE_string("plots", None, "Folder for plots of the curves.")


def main(argv):
    del argv
    machine.enable_compilation_cache()
    if _PLOTS.value:
        with filesystem.writing(_PLOTS.value):
            pathlib.Path(_PLOTS.value).mkdir(parents=True, exist_ok=True)
    slots = _SLOTS.value
    changes = (_SHAPE, _DTYPE, _RATIO, _REPEATS, _PEERS, _MINUTES)
    suite = SUITES[_SUITE.value].changed(
        texts=_TEXTS.value,
        slots=int(slots) if slots and slots.isdigit() else slots,
        **{flag.name: flag.value for flag in changes},
    )
    parts.check_names("parts", _PARTS.value, parts.PARTS)
    parts.check_names("peers", suite.peers, PEERS)
    if _MODEL.value and _FILE.value:
        load = workload.Labelled(_MODEL.value, _FILE.value, suite.dtype, _TEXTS.value)
        count = len(load.encoded)
        suite = suite.changed(shape=_MODEL.value, texts=count, queues=(("", count),))
    elif _MODEL.value or _FILE.value:
        raise UserError("--model=DIR and --file=FILE go together")
    else:
        load = workload.Drawn(suite.shape, suite.dtype, _MIX.value, _TOKENIZER.value)
    source = {flag.name: flag.value for flag in (_MODEL, _FILE, _MIX, _TOKENIZER)}
    record = Record(_JSON.value, source, suite, machine.describe())
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(load, suite, folder)
        print(f"{record.title}; peak matmul: {bench.peak / 1e9:,.0f} GFLOP/s")
        complete = parts.run(bench, record, _PARTS.value)
    print(f"\n{record.ratios()}")
    if _PLOTS.value:
        speed_plots.draw(_PLOTS.value, record.data["rows"], record.title)
    sys.exit(not complete)


if __name__ == "__main__":
    app.run(main)
