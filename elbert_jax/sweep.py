"""Compares every exit criterion on models, from one full-depth pass of each.

    python -m elbert_jax.sweep --models=DIR,DIR --file=dev.tsv --output=runs/sweep

The engine confirms chosen operating points. Another run on the same models and texts
takes the logits from the cache. Models that differ only in their seed share a line;
name others that belong together: --models=old=DIR,old=DIR,new=DIR,new=DIR.
"""

import functools
import pathlib
import sys

from absl import flags

from elbert_jax import filesystem, machine
from elbert_jax.cli import app, dataset_flags
from elbert_jax.data import tasks
from elbert_jax.errors import UserError
from elbert_jax.sweeps import sweep_report, sweeping
from elbert_jax.sweeps.confirmation import Disagreement
from elbert_jax.sweeps.sweeping import LabelledSet, Plan

_MODELS = flags.DEFINE_list("models", None, "Directories, or hub ids: [NAME=]DIR.")
_FILE = flags.DEFINE_list(
    "file", None, "Labelled file: one for all models, or one each."
)
_TASK = flags.DEFINE_list("task", None, "Named tasks instead of files.")
flags.adopt_module_key_flags(dataset_flags)
_METRIC = flags.DEFINE_enum(
    "metric", None, ("accuracy", "f1", "matthews"), "Default: the task's, or accuracy."
)
_WINDOW = flags.DEFINE_integer("window", 8, "Window length of the criteria.", 1)
_CONFIRM = flags.DEFINE_multi_float(
    "confirm", [1.5, 2, 4], "Speed-ups to confirm; 0: none."
)
_REPEATS = flags.DEFINE_integer(
    "repeats", 5, "Timed runs of each point.", lower_bound=1
)
_SLOTS = flags.DEFINE_string("slots", None, "Texts of 16 tokens per batch, or auto.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for rows, tables and pictures.")
_CACHE = flags.DEFINE_string(
    "cache_dir", None, "Folder of cached logits; default: OUTPUT/cache."
)


def main(argv):
    del argv
    machine.enable_compilation_cache()
    named, names = _MODELS.value or [], _FILE.value or _TASK.value or []
    groups, models = zip(*map(_split, named)) if named else ((), ())
    if not (models and _OUTPUT.value) or bool(_FILE.value) == bool(_TASK.value):
        raise UserError("give --models=DIR,..., --output=DIR, and --file or --task")
    if len(names) not in (1, len(models)):
        raise UserError(f"{len(models)} models take one set for all, or one each")
    folder = pathlib.Path(_OUTPUT.value).expanduser()
    with filesystem.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    cache = pathlib.Path(_CACHE.value or folder / "cache").expanduser()
    speed_ups = [each for each in _CONFIRM.value if each > 0]
    plan = Plan(_WINDOW.value, speed_ups, _REPEATS.value, _SLOTS.value, cache)
    sets = [_read(name) for name in names] * (len(models) // len(names))
    try:
        runs, rows = sweeping.sweep(models, sets, plan, groups)
    except Disagreement as error:
        sys.exit(f"error: {error}")
    print(sweep_report.write(folder, runs, rows, _WINDOW.value))
    print(f"{len(rows):,} rows, tables of every exit and pictures are in {folder}")


def _split(model: str) -> tuple[str, str]:
    """Returns a model's group, "" if it has no name, and where the model is."""
    group, _, directory = model.rpartition("=")
    if not directory:
        raise UserError(f"--models: {model!r} names no directory")
    whole = pathlib.Path(model).expanduser().exists()  # a name that has a "="
    return ("", model) if whole else (group, directory)


@functools.cache
def _read(name: str) -> LabelledSet:
    file, task = (None, name) if _TASK.value else (name, None)
    called, examples = dataset_flags.read(file, task)
    metric = tasks.find(task).metric if task else "accuracy"
    return LabelledSet(called, _METRIC.value or metric, examples)


if __name__ == "__main__":
    app.run(main)
