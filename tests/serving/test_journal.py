"""Answers in a journal: stopped anywhere, a job goes on and ends the same."""

import dataclasses
import io
import json
import os
import signal
import sys
from typing import Any

import pytest

from elbert_jax.data import writers
from elbert_jax.errors import UserError
from elbert_jax.inference.classifier import Classifier
from elbert_jax.serving import files, prediction_writer
from elbert_jax.serving.journal import Journal
from tests.text_files import TEXTS, expected, read_json, read_rows, write, write_rows

pytestmark = pytest.mark.usefixtures("small_chunks")


def test_a_full_disk(tmp_path, answerer, monkeypatch):
    source, target = write_rows(tmp_path / "in.jsonl"), tmp_path / "a.jsonl"
    fsync = os.fsync

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="partial cannot be written: No space left"):
        files.predict(answerer, source, str(target))
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="a.jsonl cannot be written: No space left"):
        files.predict(answerer, source, str(target))
    monkeypatch.undo()
    assert {p.name for p in tmp_path.iterdir()} == {"in.jsonl", "a.jsonl.partial"}
    files.predict(answerer, source, str(target))
    assert len(read_rows(target)) == 50


class Stopping(Classifier):
    """A classifier that is interrupted at its nth call."""

    def __init__(self, classifier, calls):
        vars(self).update(vars(classifier))
        self.calls = calls

    def __call__(self, texts):
        self.calls -= 1
        if self.calls == 0:
            raise KeyboardInterrupt
        return super().__call__(texts)


@pytest.fixture
def with_faults(tmp_path):
    """A file of 50 texts, with a bad row after each fifth."""
    lines = [json.dumps({"text": text}) for text in TEXTS]
    for i in range(9):
        lines.insert(6 * i + 5, '{"text": 1}')
    return write(tmp_path / "in.jsonl", "\n".join(lines))


def finished(classifier, source, target):
    """Answers a file with bad rows; returns the bytes of both outputs."""
    with pytest.raises(UserError, match="9 of 59 rows"):
        files.predict(classifier, source, str(target))
    names = target, target.with_name(f"{target.name}.errors.jsonl")
    return [path.read_bytes() for path in names]


def test_interrupted_jobs_go_on(tmp_path, answerer, with_faults, capsys):
    want = finished(answerer, with_faults, tmp_path / "want.csv")
    target = tmp_path / "a.csv"
    for call, done in ((1, 0), (3, 8), (2, 16), (1, 16), (2, 32)):
        with pytest.raises(KeyboardInterrupt):
            stopping = Stopping(answerer, call)
            files.predict(stopping, with_faults, str(target))
        told = capsys.readouterr().err.splitlines()[-1]
        advice = ": the same command goes on from there" if done else ""
        assert told == f"{done} rows are done{advice}"
        assert not target.exists()
    assert finished(answerer, with_faults, target) == want
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize("owner, step", [(writers, "write"), (Journal, "remove")])
def test_a_signal_after_the_last_row_is_too_late_to_stop_anything(
    tmp_path, answerer, capsys, monkeypatch, owner, step
):
    do = getattr(owner, step)

    def signalled(*args):
        signal.raise_signal(signal.SIGTERM)
        do(*args)

    monkeypatch.setattr(owner, step, signalled)
    source, target = write_rows(tmp_path / "in.tsv"), tmp_path / "a.tsv"
    files.predict(answerer, source, str(target))
    told = capsys.readouterr()
    assert told.out == f"50 of 50 rows are answered in {target}\n"
    assert "goes on" not in told.err
    assert len(read_rows(target)) == 50
    assert not list(tmp_path.glob("*.partial"))


def test_a_journal_cut_anywhere_gives_the_same_output(
    tmp_path, answerer, with_faults, monkeypatch
):
    want = finished(answerer, with_faults, tmp_path / "want.jsonl")
    target, journal = tmp_path / "a.jsonl", tmp_path / "a.jsonl.partial"

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(prediction_writer.PredictionFile, "finish", killed)
        files.predict(answerer, with_faults, str(target))
    whole = journal.read_bytes()
    header = whole.index(b"\n") + 1
    rows = len(whole) - header
    for cut in [0, *(header + rows * i // 20 for i in range(21)), len(whole) - 1]:
        for tail in (b"", b"\0" * 9):  # which some file systems leave
            if cut or not tail:
                journal.write_bytes(whole[:cut] + tail)
                assert finished(answerer, with_faults, target) == want
                target.unlink()


def test_a_journal_of_another_job_is_left_alone(tmp_path, answerer):
    source, target = write_rows(tmp_path / "in.jsonl"), str(tmp_path / "a.jsonl")
    with pytest.raises(KeyboardInterrupt):
        files.predict(Stopping(answerer, 3), source, target)
    journal = tmp_path / "a.jsonl.partial"
    before = journal.read_bytes()
    other = Stopping(answerer, 0)
    other.exit = dataclasses.replace(answerer.exit, delta=0.5)
    cases: list[tuple[Classifier, dict[str, Any], str]] = [
        (other, {}, "model"),
        (answerer, {"with_text": True}, "with_text"),
        (answerer, {"id": "text", "text": "id"}, "id and text"),
    ]
    for model, options, differ in cases:
        with pytest.raises(UserError, match=f"another {differ}: remove it"):
            files.predict(model, source, target, **options)
    os.utime(source, (1, 1))
    with pytest.raises(UserError, match="another input"):
        files.predict(answerer, source, target)
    assert journal.read_bytes() == before
    journal.write_text("my own notes\n")
    with pytest.raises(UserError, match="another model and input"):
        files.predict(answerer, source, target)
    assert journal.read_text() == "my own notes\n"


def test_two_processes_do_not_write_one_output(tmp_path, answerer):
    source, target = write_rows(tmp_path / "in.jsonl"), str(tmp_path / "a.jsonl")

    class Again(Stopping):
        def __call__(self, texts):
            with pytest.raises(UserError, match="another process is writing"):
                files.predict(answerer, source, target)
            return super().__call__(texts)

    files.predict(Again(answerer, 0), source, target)
    assert len(read_rows(target)) == 50


def test_standard_input_cannot_be_read_again(tmp_path, answerer, monkeypatch, capsys):
    lines = "".join(f"{text}\n" for text in TEXTS).encode()
    target = str(tmp_path / "a.jsonl")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    with pytest.raises(KeyboardInterrupt):
        files.predict(Stopping(answerer, 3), "-", target)
    told = capsys.readouterr().err.splitlines()[-1]
    assert (
        told == f"8 rows are done, in {target}.partial: the input cannot be read again"
    )
    kept = read_json(f"{target}.partial")[1:]
    assert kept == expected(answerer, TEXTS[:8])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    with pytest.raises(UserError, match="another input: remove it"):
        files.predict(answerer, "-", target)
