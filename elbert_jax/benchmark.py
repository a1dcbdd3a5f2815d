"""Times slot refill beside everything that it could replace, all in one run.

    python -m elbert_jax.benchmark --json=quick.json
    python -m elbert_jax.benchmark --suite=cpu --json=cpu.json --plots=FOLDER
    python -m elbert_jax.benchmark --model=DIR --file=texts.tsv --parts=systems

Without a model, weights and texts are random, in the shapes and lengths of real ones.
What was stopped goes on where its file ends.
"""

import pathlib
import sys
import tempfile

from absl import flags

from elbert_jax import filesystem, machine
from elbert_jax.benchmarking import drawn, parts, speed_plots, workload
from elbert_jax.benchmarking.bench import Bench
from elbert_jax.benchmarking.benchmark_record import Record
from elbert_jax.benchmarking.suite import SUITES, adapt
from elbert_jax.cli import app
from elbert_jax.errors import UserError

_SUITE = flags.DEFINE_enum("suite", "quick", list(SUITES), "How much is timed.")
_PARTS = flags.DEFINE_list("parts", None, f"All, or some of {','.join(parts.PARTS)}.")
_MODEL = flags.DEFINE_string("model", None, "Model directory, or hub id.")
_FILE = flags.DEFINE_string("file", None, "Labelled .tsv .csv .jsonl or .parquet.")
_SHAPE = flags.DEFINE_enum("shape", None, list(drawn.SHAPES), "Without --model.")
_MIX = flags.DEFINE_enum("mix", "sst2", list(drawn.MIXES), "Lengths, without --file.")
_TOKENIZER = flags.DEFINE_string("tokenizer", None, "Of raw text, without --model.")
_DTYPE = flags.DEFINE_enum("dtype", None, ("float32", "bfloat16"), "To compute.")
_TEXTS = flags.DEFINE_integer("max_texts", None, "For the comparison of systems.", 1)
_RATIO = flags.DEFINE_float("compute_ratio", None, "Of early exit; by default 1/3.")
_SLOTS = flags.DEFINE_string("slots", None, "Texts in a batch, of 16 tokens; or auto.")
_REPEATS = flags.DEFINE_integer("repeats", None, "Runs that are timed.", lower_bound=1)
_PEERS = flags.DEFINE_list("peers", None, f"Of {','.join(parts.PEERS)}; may be empty.")
_MINUTES = flags.DEFINE_float("minutes", None, "After these no part begins.")
_JSON = flags.DEFINE_string("json", None, "File for every number.")
_PLOTS = flags.DEFINE_string("plots", None, "Folder for the curves.")


def main(argv):
    del argv
    machine.enable_compilation_cache()
    if _PLOTS.value:
        with filesystem.writing(_PLOTS.value):
            pathlib.Path(_PLOTS.value).mkdir(parents=True, exist_ok=True)
    changes = (_PARTS, _SHAPE, _DTYPE, _RATIO, _SLOTS, _REPEATS, _PEERS, _MINUTES)
    suite = adapt(
        SUITES[_SUITE.value], texts=_TEXTS.value, **{f.name: f.value for f in changes}
    )
    if str(suite.slots).isdigit():
        suite = adapt(suite, slots=int(suite.slots))  # a flag is a string
    parts.check(suite)
    if _MODEL.value and _FILE.value:
        load = workload.Labelled(_MODEL.value, _FILE.value, suite.dtype, _TEXTS.value)
        suite = suite.of_one_file(len(load.encoded), drawn.shape_name(load.config))
    elif _MODEL.value or _FILE.value:
        raise UserError("--model=DIR and --file=FILE go together")
    else:
        load = drawn.Drawn(suite.shape, suite.dtype, _MIX.value, _TOKENIZER.value)
    source = {flag.name: flag.value for flag in (_MODEL, _FILE, _MIX, _TOKENIZER)}
    record = Record(_JSON.value, source, suite, machine.describe())
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(load, suite, folder)
        print(f"{record.title}; a large product: {bench.peak / 1e9:,.0f} GFLOP/s")
        whole = parts.run(bench, record)
    print(f"\n{record.ratios()}")
    if _PLOTS.value:
        speed_plots.draw(_PLOTS.value, record.data["rows"], record.title)
    sys.exit(not whole)


if __name__ == "__main__":
    app.run(main)
