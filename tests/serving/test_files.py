"""Files of texts answered: every format, and every fault of rows, files and names."""

import gzip
import io
import json
import os
import pathlib
import signal
import sys

import jax
import pyarrow
import pyarrow.parquet
import pytest

from elbert_jax import interruption
from elbert_jax.errors import UserError
from elbert_jax.inference.classifier import Classifier
from elbert_jax.serving import files
from tests.text_files import (
    TEXTS,
    WORDS,
    expected,
    read_json,
    read_rows,
    write,
    write_rows,
)

pytestmark = pytest.mark.usefixtures("small_chunks")

ANSWER = ["id", "label", "score", "exit_layer", "rule"]


@pytest.mark.parametrize("output", ["a.jsonl", "a.csv", "a.tsv", "a.parquet"])
@pytest.mark.parametrize(
    "input", ["in.jsonl", "in.csv", "in.tsv", "in.parquet", "in.txt", "in.jsonl.gz"]
)
def test_formats_keep_ids_and_order(tmp_path, answerer, input, output, capsys):
    source, target = write_rows(tmp_path / input), tmp_path / output
    files.predict(answerer, source, str(target))
    ids = [f"k{i}" for i in range(len(TEXTS))]
    if input == "in.txt":  # they have none, and so go by their numbers
        ids = list(range(len(TEXTS)))
        ids = list(map(str, ids)) if output in ("a.csv", "a.tsv") else ids
    got = read_rows(target)
    assert [list(row) for row in got] == [ANSWER] * len(TEXTS)
    assert got == expected(answerer, ids=ids)
    assert len({row["exit_layer"] for row in got}) > 1  # or the test says little
    assert {path.name for path in tmp_path.iterdir()} == {input, output}
    assert capsys.readouterr().out == f"50 of 50 rows are answered in {target}\n"


def test_standard_input_and_output(tmp_path, answerer, monkeypatch, capsysbinary):
    lines = io.BytesIO("".join(f"{text}\n" for text in TEXTS).encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(lines))
    files.predict(answerer, "-", "-", with_text=True)
    got = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert list(got[0]) == ["id", "text", *ANSWER[1:]]
    assert [row.pop("text") for row in got] == TEXTS
    assert got == expected(answerer)


def test_a_stream_is_answered_chunk_by_chunk(answerer, monkeypatch, capsysbinary):
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
    files.predict(answerer, "-", "-")
    assert taken == 50
    assert [files._chunk_size(done, 16) for done in (0, 4, 8, 16, 32)] == [
        *(4, 4, 8, 16, 16)
    ]


def test_pairs_and_columns_by_name(tmp_path, answerer):
    source = write(tmp_path / "in", "q1,good film,dull plot\nq2,bad,fine\n")
    target = tmp_path / "a.csv"
    files.predict(
        answerer,
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
    assert got == expected(answerer, pairs, ["q1", "q2"])


@pytest.mark.parametrize(
    "ids, kind",
    [
        ([2, -(2**63)], pyarrow.int64()),
        ([2, 2**63], pyarrow.string()),
        ([2, "b"], pyarrow.string()),
    ],
)
def test_ids_of_parquet_keep_their_type(tmp_path, answerer, ids, kind):
    source = write_rows(tmp_path / "in.jsonl", TEXTS[:2], ids)
    files.predict(answerer, source, str(tmp_path / "a.parquet"))
    got = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert got.schema.field("id").type == kind
    assert [str(id) for id in got["id"].to_pylist()] == [str(id) for id in ids]


@pytest.mark.parametrize("output", ["a.csv", "a.tsv"])
def test_texts_that_tables_must_guard(tmp_path, answerer, output):
    texts = ['say "no"', "a,b", "a\tb\nc\rd", "\r", '"', " x "]
    source, target = write_rows(tmp_path / "in.jsonl", texts), tmp_path / output
    files.predict(answerer, source, str(target), with_text=True)
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
def test_bad_rows_are_told_and_the_rest_answered(tmp_path, answerer, input, capsys):
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
        files.predict(answerer, source, target)
    first = 6 + bool(glue)
    numbers = [first + 2 * i for i in range(len(bad))]
    told = read_json(f"{target}.errors.jsonl")
    assert [row["line"] for row in told] == numbers
    assert all(row["error"] and "\n" not in row["error"] for row in told)
    ids = [*range(5), *(6 + 2 * i for i in range(len(bad)))]
    texts = ["fine"] * 5 + ["dull"] * len(bad)
    assert read_rows(target) == expected(answerer, texts, ids)

    capsys.readouterr()
    with pytest.raises(UserError, match="rows cannot be answered: see above"):
        files.predict(answerer, source, "-")
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == len(ids)
    for number in numbers:
        assert f"line {number}: " in printed.err


def test_no_row_is_good(tmp_path, answerer):
    source = write(tmp_path / "in.jsonl", b"{\n" * 30)
    with pytest.raises(UserError, match="30 of 30 rows cannot be answered"):
        files.predict(answerer, source, str(tmp_path / "a.csv"))
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
def test_an_empty_file_has_an_empty_answer(tmp_path, answerer, output, content):
    source = write(tmp_path / "in.jsonl", b"")
    write(tmp_path / f"{output}.errors.jsonl", "of an earlier job")
    files.predict(answerer, source, str(tmp_path / output))
    assert (tmp_path / output).read_bytes() == content
    assert not (tmp_path / f"{output}.errors.jsonl").exists()


def test_an_empty_file_has_an_empty_parquet_answer(tmp_path, answerer):
    source = write(tmp_path / "in.txt", b"")
    files.predict(answerer, source, str(tmp_path / "a.parquet"))
    got = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert (got.num_rows, got.column_names) == (0, ANSWER)


@pytest.mark.filterwarnings("ignore:texts are cut")
def test_a_huge_line(tmp_path, answerer):
    texts = ["fine", "good film " * 50_000, "dull"]
    source, target = write_rows(tmp_path / "in.tsv", texts), tmp_path / "a.jsonl"
    files.predict(answerer, source, str(target))
    assert read_rows(target) == expected(answerer, texts, ["k0", "k1", "k2"])


def test_a_damaged_file_is_answered_as_far_as_it_goes(tmp_path, answerer):
    lines = "".join(f'{{"text": "{text} {i}"}}\n' for i, text in enumerate(WORDS * 9))
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(lines.encode().replace(b'"quoted"', b"q"))[:-60])
    target = str(tmp_path / "a.jsonl")
    with pytest.raises(UserError, match="cannot be read.*; the .* rows before that"):
        files.predict(answerer, str(path), target)
    rows = read_rows(target)
    assert 10 < len(rows) < 108 and [row["id"] for row in rows] == [*range(len(rows))]


def test_scores_that_are_not_finite_become_null(tmp_path, answerer, capsys):
    broken = jax.tree.map(lambda x: x * float("nan"), answerer.params)
    parts = answerer.labels, answerer.tokenizer, answerer.exit
    nan = Classifier(answerer.config, broken, *parts, slots=8)
    source = write_rows(tmp_path / "in.txt")
    for output in ("a.jsonl", "a.csv", "a.parquet"):
        files.predict(nan, source, str(tmp_path / output))
        assert {row["score"] for row in read_rows(tmp_path / output)} == {None}
        told = capsys.readouterr().err.splitlines()[-1]
        assert told.startswith("warning: 50 of 50 answers have no score")


@pytest.mark.usefixtures("listening")
def test_a_signal_whose_exception_was_dropped_stops_after_the_chunk(
    tmp_path, answerer, capsys
):
    source, target = write_rows(tmp_path / "in.tsv"), str(tmp_path / "a.tsv")
    with pytest.raises(KeyboardInterrupt):  # as in a callback, which drops it
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        files.predict(answerer, source, target)
    assert "4 rows are done: the same command goes on" in capsys.readouterr().err
    interruption.listen()
    files.predict(answerer, source, target)
    assert "rows are answered" in capsys.readouterr().out


def test_mistakes_are_told_before_anything_is_written(tmp_path, answerer):
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
            files.predict(answerer, input, f"{tmp_path}/{output}")
        assert "\n" not in str(raised.value)
    for own in ("partial", "errors.jsonl", "tmp"):
        journal = write(tmp_path / f"c.jsonl.{own}", '{"text": "x"}\n')
        with pytest.raises(UserError, match="would overwrite the input"):
            files.predict(answerer, journal, f"{tmp_path}/c.jsonl")
        os.remove(journal)
    with pytest.raises(UserError, match="no column 'body'; there are id, text"):
        files.predict(answerer, source, f"{tmp_path}/a.csv", text="body")
    assert sorted(tmp_path.rglob("*")) == before
    assert pathlib.Path(there).read_text() == "precious"
