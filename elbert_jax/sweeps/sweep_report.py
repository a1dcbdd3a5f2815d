"""The files of a sweep: rows, tables, pictures."""

import pathlib
import re
from collections.abc import Sequence

import orjson

from elbert_jax import filesystem
from elbert_jax.data import writers
from elbert_jax.errors import warn
from elbert_jax.sweeps import lineage, sweep_plots, trade_off
from elbert_jax.sweeps.replay import DETAILS, Row, Run


def write(
    folder: pathlib.Path, runs: Sequence[Run], rows: Sequence[Row], window: int
) -> str:
    """Writes rows.csv, rows.json, table.md and the pictures of `sweeping.sweep`.

    Returns:
      The tables of every method with its own criterion, and of what criteria gain.

    Raises:
      UserError: a file cannot be written.
    """
    nested = (*DETAILS, "exit")
    flat = [{k: v for k, v in row.items() if k not in nested} for row in rows]
    writers.write(str(folder / "rows.csv"), lambda: iter(flat), ())
    own, early = _own(runs, rows, window), lineage.early(rows)
    gains = f"{trade_off.gains(early)}\n" if early else ""
    summary = (
        f"Every method with its own exit: {trade_off.table(own, rows)}\n"
        f"{trade_off.NOTE}\n{gains}"
    )
    every = f"Every exit: {trade_off.table(rows, rows)}\n"
    tables = f"{summary}{every}{trade_off.confirmed(rows)}".rstrip() + "\n"
    with filesystem.writing(folder):
        json = orjson.dumps(rows, option=orjson.OPT_INDENT_2)
        (folder / "rows.json").write_bytes(json)
        (folder / "table.md").write_text(tables)
        sweep_plots.methods(folder / "methods.png", own, rows)
        if early:
            sweep_plots.tasks(folder / "tasks.png", own, early)
            _draw_sets(folder, runs, lineage.early(own), early, window)
    return f"{summary}{trade_off.confirmed(own)}".rstrip()


def _own(runs: Sequence[Run], rows: Sequence[Row], window: int) -> list[Row]:
    """Returns the rows of each method's own criterion; the last model's decides."""
    criteria = {(run.set, run.method): run.own for run in runs}
    for run in runs:
        if run.own != (shown := criteria[run.set, run.method]):
            warn(f"{run.model} exits by {run.own}; {run.method} is shown with {shown}")
    return [
        row
        for row in rows
        if row["criterion"] == criteria[row["set"], row["method"]]
        and row["window"] in (None, window)
    ]


def _draw_sets(
    folder: pathlib.Path,
    runs: Sequence[Run],
    own: Sequence[Row],
    rows: Sequence[Row],
    window: int,
) -> None:
    """Draws a set's pictures, named after it where there are several sets."""
    sets = list(dict.fromkeys(row["set"] for row in rows))
    for name in sets:
        tail = re.sub(r"[^A-Za-z0-9]+", "-", f"-{name}") if len(sets) > 1 else ""
        here, ours = (trade_off.select(each, set=name) for each in (rows, own))
        members = [run for run in runs if run.set == name]
        sweep_plots.criteria(folder / f"criteria{tail}.png", here, window)
        sweep_plots.exit_layers(folder / f"exit_layers{tail}.png", members, ours)
