"""The command `python -m elbert_jax.predict`, and signals, pipes and mistakes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from elbert_jax.exits import Patience
from elbert_jax.hub import operating_point
from elbert_jax.serving import files
from tests.text_files import TEXTS, write_rows

pytestmark = pytest.mark.slow


def start(model, *flags):
    """Starts the command as a user does."""
    return subprocess.Popen(
        [sys.executable, "-m", "elbert_jax.predict", f"--model={model}", *flags],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1"},
    )


def lines_of(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_stopped_by_signals(tmp_path, answering_model, answerer):
    source, target = write_rows(tmp_path / "in.tsv", TEXTS * 240), tmp_path / "a.tsv"
    journal = tmp_path / "a.tsv.partial"
    flags = f"--input={source}", f"--output={target}", "--delta=0.6", "--slots=8"
    for stop, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 130)):
        with start(answering_model, *flags) as process:
            before = max(lines_of(journal), 1)  # the first is its header
            while lines_of(journal) <= before:
                assert process.poll() is None, process.communicate()
                time.sleep(0.005)
            process.send_signal(stop)
            _, told = process.communicate(timeout=60)
        assert process.returncode == status, told
        assert before < lines_of(journal) < 12_001 and not target.exists()
    assert "rows are done: the same command goes on from there" in told
    with start(answering_model, *flags) as process:
        out, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == f"12000 of 12000 rows are answered in {target}\n"
    assert "row/s" in told  # the progress bar
    assert not journal.exists()

    want = tmp_path / "want.tsv"
    files.predict(answerer, source, str(want))
    assert target.read_bytes() == want.read_bytes()


def test_the_reader_of_a_pipe_leaves(tmp_path, answering_model):
    source = write_rows(tmp_path / "in.jsonl", TEXTS * 100)
    flags = f"--input={source}", "--output=-", "--slots=8"
    with start(answering_model, *flags) as process:
        assert process.stdout and process.stderr
        assert json.loads(process.stdout.readline())["id"] == "k0"
        process.stdout.close()
        told = process.stderr.read()
    assert process.returncode == 141
    assert "Traceback" not in told and "Exception" not in told


def test_a_mistake_is_one_line_and_status_2(tmp_path, answering_model, run_here):
    source = write_rows(tmp_path / "in.csv")
    shutil.copytree(answering_model, tmp_path / "patient")
    operating_point.save(tmp_path / "patient", Patience(2), {})
    flags = f"--input={source}", f"--output={tmp_path}/a.csv", "--delta=0.5"
    done = run_here("predict", f"--model={tmp_path}/patient", *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: delta: patience has no 'delta'; it has patience\n"
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "patient"}
