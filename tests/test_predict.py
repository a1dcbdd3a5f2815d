"""Files of texts answered: every format, every fault, and every kind of stop."""

import csv
import dataclasses
import gzip
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import jax
import pyarrow
import pyarrow.parquet
import pytest

from elbert_jax import albert, answers, hf, operating_point, prediction
from elbert_jax.albert import AlbertConfig
from elbert_jax.classifier import Classifier
from elbert_jax.confidence_window import ConfidenceWindow
from elbert_jax.data import vocabulary
from elbert_jax.errors import UserError
from elbert_jax.exits import Patience

WORDS = 'good bad film plot dull naïve 数据 , "quoted" it\'s slow fine'.split()
TEXTS = [" ".join(WORDS[i % 12 : i % 12 + 1 + i % 3]) for i in range(50)]
ANSWER = ["id", "label", "score", "exit_layer", "rule"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The directory of a tiny random model."""
    directory = tmp_path_factory.mktemp("model")
    tokenizer = vocabulary.train_tokenizer(TEXTS, 60, directory)
    config = AlbertConfig(
        vocab_size=len(tokenizer),
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        initializer_range=0.4,
        num_labels=3,
    )
    params = albert.init(config, jax.random.key(1))
    hf.save(directory, config, params, ("bad", "fair", "good"))
    exit = ConfidenceWindow(delta=0.4, window=2, criterion="label")
    operating_point.save(directory, exit, {})
    return directory


@pytest.fixture(scope="module")
def classifier(model):
    """The model, with a criterion by which its texts leave at several layers."""
    exit = ConfidenceWindow(delta=0.6, window=2, criterion="label")
    return Classifier.from_pretrained(
        model, exit=exit, slots=8, devices=jax.devices()[:1]
    )


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(prediction, "_FIRST_CHUNK", 4)
    monkeypatch.setattr(prediction, "_ROWS_PER_SLOT", 2)


def write(path, content):
    content = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def write_rows(path, texts=TEXTS, ids=None):
    """Writes a file that has an "id" and a "text", or the bare lines of a .txt."""
    ids = ids or [f"k{i}" for i in range(len(texts))]
    rows = [{"id": id, "text": text} for id, text in zip(ids, texts, strict=True)]
    kind = path.name.split(".")[1]
    if kind == "txt":
        return write(path, "".join(f"{text}\n" for text in texts))
    if kind == "jsonl":
        return write(path, "".join(json.dumps(row) + "\n" for row in rows))
    if kind == "tsv":
        lines = ["id\ttext", *(f"{row['id']}\t{row['text']}" for row in rows)]
        return write(path, "\n".join(lines))
    if kind == "csv":
        file = io.StringIO()
        table = csv.DictWriter(file, ["id", "text"])
        table.writeheader()
        table.writerows(rows)
        return write(path, file.getvalue())
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return str(path)


def read_json(path):
    return [json.loads(line) for line in pathlib.Path(path).read_bytes().splitlines()]


def read_rows(path):
    """Returns an output's rows with numbers as numbers, and leaves the ids alone."""
    suffix = pathlib.Path(path).suffix
    if suffix == ".parquet":
        return pyarrow.parquet.read_table(path).to_pylist()
    if suffix == ".jsonl":
        return read_json(path)
    with open(path, encoding="utf-8", newline="") as file:
        quoting = csv.QUOTE_MINIMAL if suffix == ".csv" else csv.QUOTE_NONE
        delimiter = "," if suffix == ".csv" else "\t"
        rows = list(csv.DictReader(file, delimiter=delimiter, quoting=quoting))
    return [
        row
        | {"score": float(row["score"]) if row["score"] else None}
        | {"exit_layer": int(row["exit_layer"])}
        for row in rows
    ]


def expected(classifier, texts=TEXTS, ids=None):
    """Returns the answers, each text alone in its chunk."""
    ids = range(len(texts)) if ids is None else ids
    return [{"id": id} | classifier(text) for id, text in zip(ids, texts, strict=True)]


def same(got, want):
    """Asserts that answers agree, the scores within float noise."""
    scores = [row["score"] for row in want]
    assert [row["score"] for row in got] == pytest.approx(scores, abs=1e-5)
    assert [row | {"score": 0} for row in got] == [row | {"score": 0} for row in want]


@pytest.mark.parametrize("output", ["a.jsonl", "a.csv", "a.tsv", "a.parquet"])
@pytest.mark.parametrize(
    "input", ["in.jsonl", "in.csv", "in.tsv", "in.parquet", "in.txt", "in.jsonl.gz"]
)
def test_formats_keep_ids_and_order(tmp_path, classifier, input, output, capsys):
    source, target = write_rows(tmp_path / input), tmp_path / output
    prediction.predict(classifier, source, str(target))
    ids = [f"k{i}" for i in range(len(TEXTS))]
    if input == "in.txt":  # they have none, and so go by their numbers
        ids = list(range(len(TEXTS)))
        ids = list(map(str, ids)) if output in ("a.csv", "a.tsv") else ids
    got = read_rows(target)
    assert [list(row) for row in got] == [ANSWER] * len(TEXTS)
    same(got, expected(classifier, ids=ids))
    assert len({row["exit_layer"] for row in got}) > 1  # or the test says little
    assert {path.name for path in tmp_path.iterdir()} == {input, output}
    assert capsys.readouterr().out == f"50 of 50 rows are answered in {target}\n"


def test_standard_input_and_output(tmp_path, classifier, monkeypatch, capsysbinary):
    lines = io.BytesIO("".join(f"{text}\n" for text in TEXTS).encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(lines))
    prediction.predict(classifier, "-", "-", with_text=True)
    got = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert list(got[0]) == ["id", "text", *ANSWER[1:]]
    assert [row.pop("text") for row in got] == TEXTS
    same(got, expected(classifier))


def test_a_stream_is_answered_chunk_by_chunk(classifier, monkeypatch, capsysbinary):
    taken = written = 0

    def lines():
        nonlocal taken, written
        for text in TEXTS:
            written += len(capsysbinary.readouterr().out.splitlines())
            assert taken - written < 16  # no more is held than the largest chunk
            taken += 1
            yield f"{text}\n".encode()

    class Stdin:
        buffer = lines()

    monkeypatch.setattr(sys, "stdin", Stdin)
    prediction.predict(classifier, "-", "-")
    assert taken == 50
    assert [prediction._chunk_size(done, 16) for done in (0, 4, 8, 16, 32)] == [
        *(4, 4, 8, 16, 16)
    ]


def test_pairs_and_columns_by_name(tmp_path, classifier):
    source = write(tmp_path / "in", "q1,good film,dull plot\nq2,bad,fine\n")
    target = tmp_path / "a.csv"
    prediction.predict(
        classifier,
        source,
        str(target),
        with_text=True,
        format="csv",
        columns=["key", "a", "b"],
        text="a",
        text_pair="b",
        id="key",
    )
    got = read_rows(target)
    assert list(got[0]) == ["id", "text", "text_pair", *ANSWER[1:]]
    pairs = [(row.pop("text"), row.pop("text_pair")) for row in got]
    assert pairs == [("good film", "dull plot"), ("bad", "fine")]
    same(got, expected(classifier, pairs, ["q1", "q2"]))


@pytest.mark.parametrize(
    "ids, kind",
    [
        ([2, -(2**63)], pyarrow.int64()),
        ([2, 2**63], pyarrow.string()),
        ([2, "b"], pyarrow.string()),
    ],
)
def test_ids_of_parquet_keep_their_type(tmp_path, classifier, ids, kind):
    source = write_rows(tmp_path / "in.jsonl", TEXTS[:2], ids)
    prediction.predict(classifier, source, str(tmp_path / "a.parquet"))
    got = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert got.schema.field("id").type == kind
    assert [str(id) for id in got["id"].to_pylist()] == [str(id) for id in ids]


@pytest.mark.parametrize("output", ["a.csv", "a.tsv"])
def test_texts_that_tables_must_guard(tmp_path, classifier, output):
    texts = ['say "no"', "a,b", "a\tb\nc\rd", "\r", '"', " x "]
    source, target = write_rows(tmp_path / "in.jsonl", texts), tmp_path / output
    prediction.predict(classifier, source, str(target), with_text=True)
    if output == "a.tsv":
        texts[2:4] = "a b c d", " "
    assert [row["text"] for row in read_rows(target)] == texts


BAD_ROWS = {
    "in.jsonl": [
        b'{"text": "cut',
        b"[1]",
        b'{"body": "no text"}',
        b'{"text": null}',
        b'{"text": "\\ud800"}',
        b'{"text": "\xff"}',
        b'{"text": "a\\u0000b"}',
    ],
    "in.tsv": [b"one\ttoo\tmany", b"\xff\t1", b"a\0b\t1"],
    "in.csv": [b'"never closed,1', b"\xff,1", b"a\0b,1", b"one cell"],
}


@pytest.mark.parametrize("input", BAD_ROWS)
def test_bad_rows_are_told_and_the_rest_answered(tmp_path, classifier, input, capsys):
    good, glue = {
        "in.jsonl": (b'{"text": "%s"}', b""),
        "in.tsv": (b"%s\t0", b"text\tlabel\n"),
        "in.csv": (b"%s,0", b"text,label\n"),
    }[input]
    lines, bad = [good % b"fine"] * 5, BAD_ROWS[input]
    for line in bad:
        lines += [line, good % b"dull"]
    source = write(tmp_path / input, glue + b"\n".join(lines) + b"\n")
    target = str(tmp_path / "a.jsonl")
    mistake = f"{len(bad)} of {len(lines)} rows cannot be answered: see {target}.errors"
    with pytest.raises(UserError, match=mistake):
        prediction.predict(classifier, source, target)
    first = 6 + bool(glue)
    numbers = [first + 2 * i for i in range(len(bad))]
    told = read_json(f"{target}.errors.jsonl")
    assert [row["line"] for row in told] == numbers
    assert all(row["error"] and "\n" not in row["error"] for row in told)
    ids = [*range(5), *(6 + 2 * i for i in range(len(bad)))]
    texts = ["fine"] * 5 + ["dull"] * len(bad)
    same(read_rows(target), expected(classifier, texts, ids))

    capsys.readouterr()
    with pytest.raises(UserError, match="rows cannot be answered: see above"):
        prediction.predict(classifier, source, "-")
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == len(ids)
    for number in numbers:
        assert f"line {number}: " in printed.err


def test_no_row_is_good(tmp_path, classifier):
    source = write(tmp_path / "in.jsonl", b"{\n" * 30)
    with pytest.raises(UserError, match="30 of 30 rows cannot be answered"):
        prediction.predict(classifier, source, str(tmp_path / "a.csv"))
    assert (tmp_path / "a.csv").read_text() == ",".join(ANSWER) + "\n"
    assert len((tmp_path / "a.csv.errors.jsonl").read_bytes().splitlines()) == 30


@pytest.mark.parametrize(
    "output, content",
    [
        ("a.jsonl", b""),
        ("a.csv", b"id,label,score,exit_layer,rule\n"),
        ("a.tsv", b"id\tlabel\tscore\texit_layer\trule\n"),
    ],
)
def test_an_empty_file_has_an_empty_answer(tmp_path, classifier, output, content):
    source = write(tmp_path / "in.jsonl", b"")
    write(tmp_path / f"{output}.errors.jsonl", "of an earlier job")
    prediction.predict(classifier, source, str(tmp_path / output))
    assert (tmp_path / output).read_bytes() == content
    assert not (tmp_path / f"{output}.errors.jsonl").exists()


def test_an_empty_file_has_an_empty_parquet_answer(tmp_path, classifier):
    source = write(tmp_path / "in.txt", b"")
    prediction.predict(classifier, source, str(tmp_path / "a.parquet"))
    got = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert (got.num_rows, got.column_names) == (0, ANSWER)


@pytest.mark.filterwarnings("ignore:texts are cut")
def test_a_huge_line(tmp_path, classifier):
    texts = ["fine", "good film " * 50_000, "dull"]
    source = write_rows(tmp_path / "in.tsv", texts)
    prediction.predict(classifier, source, str(tmp_path / "a.jsonl"))
    same(
        read_rows(tmp_path / "a.jsonl"), expected(classifier, texts, "k0 k1 k2".split())
    )


def test_a_damaged_file_is_answered_as_far_as_it_goes(tmp_path, classifier):
    lines = "".join(f'{{"text": "{text} {i}"}}\n' for i, text in enumerate(WORDS * 9))
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(lines.encode().replace(b'"quoted"', b"q"))[:-60])
    target = str(tmp_path / "a.jsonl")
    with pytest.raises(UserError, match="cannot be read.*; the .* rows before that"):
        prediction.predict(classifier, str(path), target)
    rows = read_rows(target)
    assert 10 < len(rows) < 108 and [row["id"] for row in rows] == [*range(len(rows))]


def test_scores_that_are_not_finite_become_null(tmp_path, classifier, capsys):
    broken = jax.tree.map(lambda x: x * float("nan"), classifier.params)
    parts = classifier.labels, classifier.tokenizer, classifier.exit
    nan = Classifier(classifier.config, broken, *parts, slots=8)
    source = write_rows(tmp_path / "in.txt")
    for output in ("a.jsonl", "a.csv", "a.parquet"):
        prediction.predict(nan, source, str(tmp_path / output))
        assert {row["score"] for row in read_rows(tmp_path / output)} == {None}
        told = capsys.readouterr().err.splitlines()[-1]
        assert told.startswith("warning: 50 of 50 answers have no score")


def test_mistakes_are_told_before_anything_is_written(tmp_path, classifier):
    source = write_rows(tmp_path / "in.jsonl")
    there = write(tmp_path / "there.csv", "precious")
    write(tmp_path / "file", "")
    write(tmp_path / "odd", "x")
    os.symlink(source, tmp_path / "link.jsonl")
    (tmp_path / "b.jsonl.partial").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for input, output, message in (
        (f"{tmp_path}/missing.csv", "a.csv", "missing.csv: there is no such file"),
        (f"{tmp_path}/odd", "a.csv", "the name should end with"),
        (f"{tmp_path}", "a.csv", "the name should end with"),
        (source, "a.txt", "should end with .jsonl, .csv, .tsv, .parquet, or be -"),
        (source, "a.jsonl.gz", "should end with"),
        (source, "no/folder/a.csv", "there is no folder"),
        (source, "file/a.csv", "there is no folder"),
        (source, "there.csv", "is there already"),
        (source, "in.jsonl", "would overwrite the input"),
        (source, "link.jsonl", "would overwrite the input"),
        (source, "b.jsonl", "b.jsonl.partial cannot be written: Is a directory"),
    ):
        with pytest.raises(UserError, match=message) as raised:
            prediction.predict(classifier, input, f"{tmp_path}/{output}")
        assert "\n" not in str(raised.value)
    for own in ("partial", "errors.jsonl", "tmp"):
        journal = write(tmp_path / f"c.jsonl.{own}", '{"text": "x"}\n')
        with pytest.raises(UserError, match="would overwrite the input"):
            prediction.predict(classifier, journal, f"{tmp_path}/c.jsonl")
        os.remove(journal)
    with pytest.raises(UserError, match="no column 'body'; there are id, text"):
        prediction.predict(classifier, source, f"{tmp_path}/a.csv", text="body")
    assert sorted(tmp_path.rglob("*")) == before
    assert pathlib.Path(there).read_text() == "precious"


def test_a_full_disk(tmp_path, classifier, monkeypatch):
    source, target = write_rows(tmp_path / "in.jsonl"), tmp_path / "a.jsonl"
    fsync = os.fsync

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="partial cannot be written: No space left"):
        prediction.predict(classifier, source, str(target))
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="a.jsonl cannot be written: No space left"):
        prediction.predict(classifier, source, str(target))
    monkeypatch.undo()
    assert {p.name for p in tmp_path.iterdir()} == {"in.jsonl", "a.jsonl.partial"}
    prediction.predict(classifier, source, str(target))
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
        prediction.predict(classifier, source, str(target))
    names = target, target.with_name(f"{target.name}.errors.jsonl")
    return [path.read_bytes() for path in names]


def test_interrupted_jobs_go_on(tmp_path, classifier, with_faults, capsys):
    want = finished(classifier, with_faults, tmp_path / "want.csv")
    target = tmp_path / "a.csv"
    for call, done in ((1, 0), (3, 8), (2, 16), (1, 16), (2, 32)):
        with pytest.raises(KeyboardInterrupt):
            stopping = Stopping(classifier, call)
            prediction.predict(stopping, with_faults, str(target))
        told = capsys.readouterr().err.splitlines()[-1]
        advice = ": the same command goes on from there" if done else ""
        assert told == f"{done} rows are done{advice}"
        assert not target.exists()
    assert finished(classifier, with_faults, target) == want
    assert not list(tmp_path.glob("*.partial"))


def test_a_journal_cut_anywhere_gives_the_same_output(
    tmp_path, classifier, with_faults, monkeypatch
):
    want = finished(classifier, with_faults, tmp_path / "want.jsonl")
    target, journal = tmp_path / "a.jsonl", tmp_path / "a.jsonl.partial"

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(answers.AnswerFile, "finish", killed)
        prediction.predict(classifier, with_faults, str(target))
    whole = journal.read_bytes()
    header = whole.index(b"\n") + 1
    rows = len(whole) - header
    for cut in [0, *(header + rows * i // 20 for i in range(21)), len(whole) - 1]:
        for tail in (b"", b"\0" * 9):  # which some file systems leave
            if cut or not tail:
                journal.write_bytes(whole[:cut] + tail)
                assert finished(classifier, with_faults, target) == want
                target.unlink()


def test_a_journal_of_another_job_is_left_alone(tmp_path, classifier):
    source, target = write_rows(tmp_path / "in.jsonl"), str(tmp_path / "a.jsonl")
    with pytest.raises(KeyboardInterrupt):
        prediction.predict(Stopping(classifier, 3), source, target)
    journal = tmp_path / "a.jsonl.partial"
    before = journal.read_bytes()
    other = Stopping(classifier, 0)
    other.exit = dataclasses.replace(classifier.exit, delta=0.5)
    cases: list[tuple[Classifier, dict[str, Any], str]] = [
        (other, {}, "model"),
        (classifier, {"with_text": True}, "with_text"),
        (classifier, {"id": "text", "text": "id"}, "id and text"),
    ]
    for model, options, differ in cases:
        with pytest.raises(UserError, match=f"another {differ}: remove it"):
            prediction.predict(model, source, target, **options)
    os.utime(source, (1, 1))
    with pytest.raises(UserError, match="another input"):
        prediction.predict(classifier, source, target)
    assert journal.read_bytes() == before
    journal.write_text("my own notes\n")
    with pytest.raises(UserError, match="another model and input"):
        prediction.predict(classifier, source, target)
    assert journal.read_text() == "my own notes\n"


def test_two_processes_do_not_write_one_output(tmp_path, classifier):
    source, target = write_rows(tmp_path / "in.jsonl"), str(tmp_path / "a.jsonl")

    class Again(Stopping):
        def __call__(self, texts):
            with pytest.raises(UserError, match="another process is writing"):
                prediction.predict(classifier, source, target)
            return super().__call__(texts)

    prediction.predict(Again(classifier, 0), source, target)
    assert len(read_rows(target)) == 50


def test_standard_input_cannot_be_read_again(tmp_path, classifier, monkeypatch, capsys):
    lines = "".join(f"{text}\n" for text in TEXTS).encode()
    target = str(tmp_path / "a.jsonl")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    with pytest.raises(KeyboardInterrupt):
        prediction.predict(Stopping(classifier, 3), "-", target)
    told = capsys.readouterr().err.splitlines()[-1]
    assert (
        told == f"8 rows are done, in {target}.partial: the input cannot be read again"
    )
    kept = read_json(f"{target}.partial")[1:]
    same(kept, expected(classifier, TEXTS[:8]))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    with pytest.raises(UserError, match="another input: remove it"):
        prediction.predict(classifier, "-", target)


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


def test_stopped_by_signals(tmp_path, model, classifier, monkeypatch):
    monkeypatch.undo()  # the chunks are those of the command
    source, target = write_rows(tmp_path / "in.tsv", TEXTS * 500), tmp_path / "a.tsv"
    journal = tmp_path / "a.tsv.partial"
    flags = f"--input={source}", f"--output={target}", "--delta=0.6", "--slots=8"
    for stop, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 130)):
        with start(model, *flags) as process:
            before = max(lines_of(journal), 1)  # the first is its header
            while lines_of(journal) <= before:
                assert process.poll() is None, process.communicate()
                time.sleep(0.005)
            process.send_signal(stop)
            _, told = process.communicate(timeout=60)
        assert process.returncode == status
        assert before < lines_of(journal) < 25_001 and not target.exists()
    assert "rows are done: the same command goes on from there" in told
    with start(model, *flags) as process:
        out, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == f"25000 of 25000 rows are answered in {target}\n"
    assert "row/s" in told  # the progress bar
    assert not journal.exists()

    want = tmp_path / "want.tsv"
    prediction.predict(classifier, source, str(want))
    assert target.read_bytes() == want.read_bytes()


def test_the_reader_of_a_pipe_leaves(tmp_path, model):
    source = write_rows(tmp_path / "in.jsonl", TEXTS * 100)
    with start(model, f"--input={source}", "--output=-", "--slots=8") as process:
        assert process.stdout and process.stderr
        assert json.loads(process.stdout.readline())["id"] == "k0"
        process.stdout.close()
        told = process.stderr.read()
    assert process.returncode == 141
    assert "Traceback" not in told and "Exception" not in told


def test_a_mistake_is_one_line_and_status_2(tmp_path, model):
    source = write_rows(tmp_path / "in.csv")
    shutil.copytree(model, tmp_path / "patient")
    operating_point.save(tmp_path / "patient", Patience(2), {})
    flags = f"--input={source}", f"--output={tmp_path}/a.csv", "--delta=0.5"
    with start(tmp_path / "patient", *flags) as process:
        out, told = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert told == "error: delta: patience has no 'delta'; it has patience\n"
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "patient"}
