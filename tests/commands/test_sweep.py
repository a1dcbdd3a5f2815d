"""The sweep as a user starts it."""

import csv
import pathlib
import subprocess
import sys

import jax
import orjson
import pytest

from elbert_jax import Classifier
from elbert_jax.data import corpus
from elbert_jax.sweeps import sweeping, trade_off
from elbert_jax.sweeps.sweeping import LabelledSet, Plan

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
# The command with few criteria, as each compiles; test_replay.py takes them all.
FEW = """
import dataclasses
from elbert_jax import *
from elbert_jax import sweep
from elbert_jax.cli import app
from elbert_jax.sweeps import replay, sweeping
sweeping._IN_TURN = 3
def few(window):
    alone = ConfidenceWindow(window=1, criterion="none")
    return [ConfidenceWindow(window=window), alone, Patience(), FixedDepth()]
replay.criteria = few
replay.other_windows = lambda *_: []
run = Classifier.run
def wrong(classifier, encoded):
    answers = run(classifier, encoded)
    return dataclasses.replace(answers, layers=answers.layers % 5 + 1)
"""
RUN = "app.run(sweep.main)"


@pytest.fixture(scope="module")
def folder(classifier, tmp_path_factory):
    """Two seeds of a model, one of another method, a plain one, and texts."""
    folder = tmp_path_factory.mktemp("runs")
    models = ("elbert", 1), ("elbert", 2), ("plain", 1), ("pabee", 1)
    for number, (name, (method, seed)) in enumerate(zip("abcd", models)):
        params = jax.tree.map(lambda x: x, classifier.params)
        params["classifier"]["kernel"] *= 1 + number / 10
        parts = classifier.config, params, classifier.labels, classifier.tokenizer
        Classifier(*parts, classifier.exit).save_pretrained(folder / name)
        config = folder / name / "config.json"
        record = {"elbert": {"method": method, "seed": seed}}
        config.write_bytes(orjson.dumps(orjson.loads(config.read_bytes()) | record))
    lines = ["text\tlabel"]
    for number in range(24):
        lines.append(f"{['bank', 'rose', 'in'][number % 3]}\t{number % 3}")
    (folder / "texts.tsv").write_text("\n".join(lines) + "\n")
    return folder


def start(code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", code, *flags]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_the_command_and_a_second_start(folder, capsys):
    models, output = [f"{folder}/{name}" for name in "abcd"], folder / "sweep"
    named = [*models[:3], f"theirs={models[3]}"]
    source = folder / "one_is_long.tsv"
    source.write_text((folder / "texts.tsv").read_text() + f"{'bank ' * 40}\t0\n")
    flags = [f"--models={','.join(named)}", f"--file={source}"]
    flags += [f"--output={output}", "--window=3", "--confirm=2", "--repeats=1"]
    done = start(FEW + RUN, *flags, "--slots=8")
    assert done.returncode == 0
    assert done.stderr == "warning: 1 of 25 texts are cut to 40 (head)\n"
    assert "the logits of" not in done.stdout
    table = (output / "table.md").read_text()
    summary, every = table.split("Every exit:")
    assert summary.strip() in done.stdout and "monotone, W = 3" in summary
    own, gains = summary.split("What an exit gains")
    assert "patience" not in own and "patience" in gains and "patience" in every
    assert "fixed_depth" in own and "fixed_depth" not in gains

    rows = orjson.loads((output / "rows.json").read_bytes())
    with open(output / "rows.csv", newline="") as file:
        flat = list(csv.DictReader(file))
    assert [float(row["score"]) for row in flat] == [row["score"] for row in rows]
    timed = [row for row in rows if row["texts_per_second"]]
    keys = ("method", "seed", "criterion", "window")
    assert list(dict(trade_off.groups(timed, *keys))) == [
        ("elbert", 1, "monotone", 3),  # of the two seeds, the first
        ("elbert", 1, "stage_1", None),
        ("elbert", 1, "patience", None),
        ("elbert", 1, "fixed_depth", None),
        ("plain", 1, "fixed_depth", None),  # of further methods, their own
        ("pabee theirs", 1, "monotone", 3),
    ]
    assert all(row["moved_texts"] <= row["edge_texts"] for row in timed)
    for name in ("methods", "tasks", "criteria", "exit_layers"):
        picture = (output / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG") and len(picture) > 10_000

    texts = corpus.read_file(str(source))
    plan = Plan(window=3, speed_ups=(), repeats=1, slots=8, cache=output / "cache")
    _, again = sweeping.sweep(
        [models[2]], [LabelledSet("texts", "accuracy", texts)], plan, [""]
    )
    assert "the logits of 25 texts are in" in capsys.readouterr().out
    before = trade_off.select(rows, method="plain")
    assert [row["score"] for row in again] == [row["score"] for row in before]
    assert again[0]["texts_per_second"] is None


def test_an_engine_that_does_otherwise_fails_the_command(folder, tmp_path):
    flags = (f"--models={folder}/a", f"--file={folder}/texts.tsv", "--repeats=1")
    code = FEW + "Classifier.run = wrong\n" + RUN
    done = start(code, *flags, f"--output={tmp_path}", "--confirm=2", "--slots=8")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: the engine and the replay disagree on ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("*.*"))


def test_a_mistake_is_one_line_and_status_2(tmp_path, run_here):
    flags = ("--models=a,b,c", "--file=x,y", f"--output={tmp_path}/out")
    done = run_here("sweep", *flags)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "3 models take one set for all, or one each" in done.stderr
