"""What a sweep leaves in its folder: rows, a table, pictures."""

import pathlib
import re
from collections.abc import Sequence

import orjson

from elbert_jax import filesystem
from elbert_jax.data import writers
from elbert_jax.errors import warn
from elbert_jax.sweeps import (
    criterion_plots,
    exit_plots,
    lineage,
    trade_off,
    trade_off_plots,
)
from elbert_jax.sweeps.replay import DETAILS, Row, Run


def write(
    folder: pathlib.Path, runs: Sequence[Run], rows: Sequence[Row], window: int
) -> str:
    """Writes rows.csv, rows.json, table.md and the pictures.

    Returns the tables of every method with its own exit, and of what exits gain.

    Args:
      folder: is there.
      runs: see `sweeping.sweep`.
      rows: see there.
      window: W of the criteria that are compared.

    Raises:
      UserError: a file cannot be written.
    """
    nested = (*DETAILS, "exit")
    flat = [{k: v for k, v in row.items() if k not in nested} for row in rows]
    writers.write(str(folder / "rows.csv"), lambda: iter(flat), ())
    criteria = {(run.set, run.method): run.own for run in runs}
    for run in runs:
        if run.own != (shown := criteria[run.set, run.method]):
            warn(f"{run.model} leaves by {run.own}; {run.method} is shown with {shown}")
    own = [
        row
        for row in rows
        if row["criterion"] == criteria[row["set"], row["method"]]
        and row["window"] in (None, window)
    ]
    early = [row for row in rows if not lineage.is_plain(row["method"])]
    gains = f"{trade_off.gains(early)}\n" if early else ""
    summary = (
        f"Every method with its own exit: {trade_off.table(own, rows)}\n"
        f"{trade_off.NOTE}\n{gains}"
    )
    every = f"Every exit: {trade_off.table(rows, rows)}\n"
    with filesystem.writing(str(folder)):
        (folder / "rows.json").write_bytes(
            orjson.dumps(rows, option=orjson.OPT_INDENT_2)
        )
        (folder / "table.md").write_text(
            f"{summary}{every}{trade_off.confirmed(rows)}".rstrip() + "\n"
        )
        _draw(folder, runs, own, rows, window)
    return f"{summary}{trade_off.confirmed(own)}".rstrip()


def _draw(
    folder: pathlib.Path,
    runs: Sequence[Run],
    own: Sequence[Row],
    rows: Sequence[Row],
    window: int,
) -> None:
    trade_off_plots.methods(folder / "methods.png", own, rows)
    early = [run for run in runs if not lineage.is_plain(run.method)]
    if early:
        trade_off_plots.tasks(folder / "tasks.png", own, rows)
    sets = list(dict.fromkeys(run.set for run in early))
    for name in sets:
        tail = re.sub(r"[^A-Za-z0-9]+", "-", f"-{name}") if len(sets) > 1 else ""
        here = [run for run in early if run.set == name]
        ours, those = (
            [r for r in each if r["set"] == name and not lineage.is_plain(r["method"])]
            for each in (rows, own)
        )
        criterion_plots.criteria(folder / f"criteria{tail}.png", ours, window)
        criterion_plots.windows(folder / f"windows{tail}.png", ours)
        exit_plots.exit_layers(folder / f"exit_layers{tail}.png", here, those)
        exit_plots.puzzlement(folder / f"puzzlement{tail}.png", here)
