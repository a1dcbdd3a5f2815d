"""Files of every format, sound and broken, row by row."""

import gzip
import io
import itertools
import json
import sys

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbert_jax.data.example import Example
from elbert_jax.data.readers import BadRow
from elbert_jax.data.sources import read_file
from elbert_jax.errors import UserError
from tests.text_files import examples, write

TEXTS = ["good film", "", "naïve , 'quoted' \"film\"", "数据"]
LABELS = [1, 0, 1, 0]


def quoted(text):
    return '"' + text.replace('"', '""') + '"'


CONTENTS = {
    "a.tsv": "sentence\tlabel\n"
    + "".join(f"{t}\t{y}\n" for t, y in zip(TEXTS, LABELS)),
    "a.csv": "sentence,label\n"
    + "".join(f"{quoted(t)},{y}\n" for t, y in zip(TEXTS, LABELS)),
    "a.jsonl": "".join(
        json.dumps({"sentence": t, "label": y}) + "\n" for t, y in zip(TEXTS, LABELS)
    ),
}
CONTENTS |= {f"{name}.gz": content for name, content in CONTENTS.items()}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("change", ["", "crlf", "bom", "no last line end"])
def test_formats_agree(tmp_path, name, change):
    content = CONTENTS[name]
    if change == "crlf":
        content = content.replace("\n", "\r\n")
    if change == "bom":
        content = "\ufeff" + content
    if change == "no last line end":
        content = content.removesuffix("\n")
    got = examples(write(tmp_path / name, content))
    assert [(e.id, e.text, e.text_pair, e.label) for e in got] == [
        (i, text, None, label) for i, (text, label) in enumerate(zip(TEXTS, LABELS))
    ]
    assert got[0].row["sentence"] == TEXTS[0]


def test_parquet(tmp_path):
    table = pyarrow.table(
        {"text": TEXTS * 300, "label": LABELS * 300, "n": [2.5] * 1200}
    )
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    got = examples(tmp_path / "a.parquet")
    assert [e.text for e in got] == TEXTS * 300
    assert got[1199] == Example(
        1199, "数据", None, 0, {"text": "数据", "label": 0, "n": 2.5}
    )


def test_parquet_rows_that_cannot_be_read(tmp_path):
    raw = pyarrow.array([b"a", b"\xff", None, b"b"], pyarrow.binary())
    text = pyarrow.Array.from_buffers(pyarrow.string(), 4, raw.buffers())
    table = pyarrow.table({"text": text, "label": [0.0, 1.0, 1.0, float("nan")]})
    pyarrow.parquet.write_table(table.select(["text"]), tmp_path / "a.parquet")
    got = list(read_file(tmp_path / "a.parquet"))
    assert [e.text for e in got if isinstance(e, Example)] == ["a", "b"]
    assert got[1:3] == [
        BadRow(2, "not valid UTF-8"),
        BadRow(3, "the text 'text' is of type NoneType"),
    ]
    pyarrow.parquet.write_table(table.slice(3), tmp_path / "b.parquet")
    assert list(read_file(tmp_path / "b.parquet")) == [
        BadRow(1, "the label nan is neither a string nor an integer")
    ]


def test_parquet_values_that_python_cannot_hold(tmp_path):
    when = pyarrow.array([1, 2000], pyarrow.timestamp("ns"))  # Python has microseconds
    table = pyarrow.table({"text": ["a", "b"], "when": when})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    got = examples(tmp_path / "a.parquet")
    assert [e.text for e in got] == ["a", "b"]
    assert [*got[0].row] == ["text"] and [*got[1].row] == ["text", "when"]


def test_labels_that_nobody_asks_for_lose_no_row(tmp_path):
    lines = '{"text": "a", "label": true}\n{"text": "b", "label": [0.5]}\n'
    path = write(tmp_path / "a.jsonl", lines)
    assert all(isinstance(each, BadRow) for each in read_file(path))
    got = examples(path, labelled=False)
    assert [(e.text, e.label) for e in got] == [("a", None), ("b", None)]


def test_ids_as_they_are_found(tmp_path):
    ids = ["17.0", "0.5", "null", '"x"', "123456789012345678901234567890"]
    lines = (f'{{"text": "a", "id": {id}}}\n' for id in ids)
    path = write(tmp_path / "a.jsonl", "".join(lines))
    assert [e.id for e in examples(path)] == [
        17,
        "0.5",
        2,
        "x",
        "1.2345678901234568e+29",
    ]


def test_plain_lines(tmp_path):
    path = write(tmp_path / "a.txt", "one\n\ntwo\tthree\n")
    assert [e.text for e in examples(path)] == ["one", "", "two\tthree"]
    assert not list(read_file(write(tmp_path / "b.txt", "")))


@pytest.mark.parametrize("format, text", [(None, '{"text": "a"}'), ("jsonl", "a")])
def test_standard_input(monkeypatch, format, text):
    stdin = io.TextIOWrapper(io.BytesIO(b'{"text": "a"}\n'))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert [e.text for e in examples("-", format=format)] == [text]


def test_standard_input_is_not_read_ahead(monkeypatch):
    def lines():
        yield b'{"text": "a"}\n'
        raise AssertionError("asked for a second line")

    class Stdin:
        buffer = lines()

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert next(read_file("-", format="jsonl")).text == "a"  # pyright: ignore


def test_broken_json_lines(tmp_path):
    lines = [
        b'{"text": "first"}',
        b"",
        b'{"text": "cut',
        b"[1]",
        b'{"label": 1}',
        b'{"text": null}',
        b'{"text": 7}',
        b'{"text": "\xff"}',
        b'{"text": "\\ud800"}',
        b'{"text": "a\\u0000b"}',
        b'{"text": "x", "label": 1.5}',
        b'{"text": "x", "label": true}',
        b'{"text": "last", "label": null}',
    ]
    got = list(read_file(write(tmp_path / "a.jsonl", b"\n".join(lines))))
    assert [e.text for e in got if isinstance(e, Example)] == ["first", "last"]
    bad = [e for e in got if isinstance(e, BadRow)]
    assert [row.line for row in bad] == list(range(3, 13))
    assert all("\n" not in row.message for row in bad)
    assert bad[1].message == "not a JSON object"
    assert bad[2].message == "the text 'text' is missing"
    assert bad[4].message == "the text 'text' is of type int"


def test_broken_tsv(tmp_path):
    content = b"text\tlabel\na\t1\nb\nc\t0\t0\n\xff\t1\nn\0l\t1\n\nd\t0\n"
    got = list(read_file(write(tmp_path / "a.tsv", content)))
    assert [(e.id, e.text) for e in got if isinstance(e, Example)] == [
        (0, "a"),
        (5, "d"),
    ]
    assert got[1:5] == [
        BadRow(3, "1 columns instead of 2"),
        BadRow(4, "3 columns instead of 2"),
        BadRow(5, "not valid UTF-8"),
        BadRow(6, "the text 'text' holds a NUL character"),
    ]


def test_broken_csv(tmp_path):
    rows = [
        b"text,label",
        b'"two\nlines",1',
        b'"a "stray" quote",1',
        b"\xff,1",
        b"b,0",
        b'"never closed,1',
        b"c,0",
        b"one column",
        b"",
        b"d,1",
    ]
    got = list(read_file(write(tmp_path / "a.csv", b"\n".join(rows))))
    texts = [e.text for e in got if isinstance(e, Example)]
    assert texts == ["two\nlines", "b", "c", "d"]
    assert [e.line for e in got if isinstance(e, BadRow)] == [4, 5, 7, 9]


def test_many_stray_quotes(tmp_path):
    content = "text,label\n" + '"a "b,1\n' * 20_000 + "last,1\n"
    got = list(read_file(write(tmp_path / "a.csv", content)))
    assert len(got) == 20_001
    assert isinstance(got[-1], Example)


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.tuples(ANY_TEXT, st.integers(-5, 5)), min_size=1))
def test_any_text_survives_json_and_csv(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("any")
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    jsonl = write(folder / "a.jsonl", "\n".join(lines))
    csv = write(
        folder / "a.csv",
        "text,label\n" + "".join(f"{quoted(t)},{y}\n" for t, y in rows),
    )
    for path in (jsonl, csv):
        assert [(e.text, e.label) for e in examples(path)] == rows


@given(st.binary())
def test_any_bytes_give_rows_or_one_line(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    for name in ("a.tsv", "a.csv", "a.jsonl", "a.txt", "a.parquet"):
        path = folder / name
        path.write_bytes(content)
        try:
            for row in read_file(path):
                assert isinstance(row, Example | BadRow)
        except UserError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("missing.tsv", None, "No such file"),
        ("a.xlsx", "x", "should end with .tsv"),
        ("a", "x", "should end with .tsv"),
        ("a.tsv", "", "the first line should name the columns"),
        ("a.tsv", "body\tlabel\nx\t1\n", "no column 'text'.*; there are body, label"),
        ("a.jsonl", '{"body": "x"}\n' * 200, "no column 'text'.*; there are body"),
        ("a.parquet", "not parquet", "cannot be read"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    if content is not None:
        write(tmp_path / name, content)
    with pytest.raises(UserError, match=message) as raised:
        list(read_file(tmp_path / name))
    assert "\n" not in str(raised.value)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "a.tsv").mkdir()
    with pytest.raises(UserError, match="directory"):
        list(read_file(tmp_path / "a.tsv"))


def test_a_cut_gzip_file_gives_its_rows_first(tmp_path):
    content = "".join(f'{{"text": "{i} {i * i}"}}\n' for i in range(20_000))
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(content.encode())[:-5000])
    rows = read_file(path)
    assert len(list(itertools.islice(rows, 1000))) == 1000
    with pytest.raises(UserError, match="cannot be read"):
        list(rows)


@pytest.mark.parametrize(
    "name, count, options",
    [
        ("glue/SST-2/dev.tsv", 872, {}),
        ("glue/RTE/dev.tsv", 277, {}),
        ("ag_news/test.csv", 7600, {"columns": ["label", "title", "text"]}),
        ("ag_news/train_10k.tsv", 10_001, {"columns": ["text", "label"]}),
        ("imdb/test.jsonl.gz", 25_000, {}),
    ],
)
def test_real_files(shared_data, name, count, options):
    got = list(itertools.islice(read_file(shared_data / name, **options), 8000))
    assert len(got) == min(count, 8000)
    assert all(isinstance(row, Example) and row.label is not None for row in got)
