"""Documents of every kind of file, and their tokens on disk."""

import gzip
import json
import lzma
import tracemalloc

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from elbert_jax.data import documents, readers
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.data.vocabulary import train_tokenizer
from elbert_jax.errors import UserError

TEXT = "A first line.\nIts second, naïve.\n\nAnother document: 数据\n"
DOCUMENTS = [["A first line.", "Its second, naïve."], ["Another document: 数据"]]
PACK = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return train_tokenizer([TEXT] * 3, 60, tmp_path_factory.mktemp("tokenizer"))


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize("packed", PACK)
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.removesuffix("\n"),
        lambda text: "\n \n" + text.replace("\n\n", "\n\n \t\n\n") + "\n\n",
        lambda text: text.replace("\n", "  \n  "),
    ],
    ids=["plain", "crlf", "bom", "no last line end", "blank lines", "spaces"],
)
def test_a_blank_line_ends_a_document(tmp_path, packed, change):
    content = PACK[packed](change(TEXT).encode())
    file = write(tmp_path / f"a.txt{packed}", content)
    assert list(documents.read([file])) == DOCUMENTS
    assert list(documents.read([file, file])) == DOCUMENTS * 2
    assert (2, {"text": ""}) in readers.read(write(tmp_path / "b.txt", "a\n\nb"), "txt")


@pytest.mark.parametrize("packed", PACK)
def test_a_row_is_a_document(tmp_path, packed):
    texts = [TEXT, "", " \n", "one\r\n \r\ntwo"]  # a blank line is no end here
    lines = "".join(json.dumps({"body": text}) + "\n" for text in texts)
    file = write(tmp_path / f"a.jsonl{packed}", PACK[packed](lines.encode()))
    want = [[*DOCUMENTS[0], *DOCUMENTS[1]], ["one", "two"]]
    assert list(documents.read([file], "body")) == want
    parquet = str(tmp_path / "a.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"body": texts}), parquet)
    assert list(documents.read([parquet], "body")) == want


def test_a_bad_line_is_told_and_left_out(tmp_path, capsys):
    file = write(tmp_path / "a.txt", b"one\n\xff\ntwo\n\nthree\n")
    assert list(documents.read([file])) == [["one", "two"], ["three"]]
    assert capsys.readouterr().err == f"warning: {file}:2: not valid UTF-8\n"


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.txt.gz", gzip.compress(TEXT.encode() * 99)[:-9], "a.txt.gz cannot be read"),
        ("a.txt.xz", lzma.compress(TEXT.encode() * 99)[:-9], "a.txt.xz cannot be read"),
        ("a.txt.xz", b"no xz at all", "a.txt.xz cannot be read"),
        ("a.txt", None, "a.txt cannot be read: No such file"),
        ("a.jsonl", '{"body": "b"}', "no text in .*a.jsonl"),
        ("a.csv", "text\n", "no text in .*a.csv"),
        ("a.pdf", "%PDF", "the name should end with"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, tokenizer, name, content, message):
    if content is not None:
        write(tmp_path / name, content)
    for _ in range(2):  # what the first try leaves behind must not pass for text
        with pytest.raises(UserError, match=message):
            documents.tokenise([str(tmp_path / name)], tokenizer, tmp_path / "tokens")


def test_the_tokens_are_those_of_the_paragraphs(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(documents, "_CHUNK", 2)  # a document in two chunks
    texts = [*DOCUMENTS, ["\u200b"], [f"line {i}" for i in range(5)]]
    joined = "\n\n".join("\n".join(document) for document in texts)
    file = write(tmp_path / "a.txt", joined)
    store = documents.tokenise([file], tokenizer, tmp_path)
    assert len(store) == 4 and store.offsets.dtype == np.int64
    assert isinstance(store.tokens, np.memmap) and store.tokens.dtype == np.uint16
    for m, document in enumerate(texts):
        got = store.tokens[store.offsets[m] : store.offsets[m + 1]]
        assert got.tolist() == sum(tokenizer.token_ids(document), [])


def test_text_is_tokenised_once(tmp_path, tokenizer, monkeypatch):
    file, tokens = write(tmp_path / "a.txt", TEXT), tmp_path / "tokens"
    first = documents.tokenise([file], tokenizer, tokens)
    again = Tokenizer.load(tokenizer.directory)
    monkeypatch.setattr(Tokenizer, "token_ids", None)
    second = documents.tokenise([file], again, tokens)
    np.testing.assert_array_equal(first.tokens, second.tokens)
    np.testing.assert_array_equal(first.offsets, second.offsets)


def test_other_text_is_tokenised_anew(tmp_path, tokenizer):
    def build(name, text, tokenizer=tokenizer, column="text"):
        documents.tokenise(
            [write(tmp_path / name, text)], tokenizer, tmp_path / "tokens", column
        )
        return len(list((tmp_path / "tokens").iterdir()))

    assert build("a.txt", TEXT) == build("b.txt", TEXT) == 1
    assert build("a.txt", TEXT + "!") == 2
    assert build("a.txt", TEXT, train_tokenizer([TEXT], 50, tmp_path / "new")) == 3
    row = '{"text": "a", "body": "b"}'
    assert build("a.jsonl", row) == 4
    assert build("a.jsonl", row, column="body") == 5
    assert build("a.txt", row) == 6  # read line by line, not as JSON


def test_what_a_killed_run_leaves_is_no_obstacle(tmp_path, tokenizer, monkeypatch):
    file, tokens = write(tmp_path / "a.txt", TEXT), tmp_path / "tokens"
    with monkeypatch.context() as patch, pytest.raises(TypeError):
        patch.setattr(np, "save", None)
        documents.tokenise([file], tokenizer, tokens)
    assert not list(tokens.iterdir())
    store = documents.tokenise([file], tokenizer, tokens)
    killed = tokens / f".{store.digest}.tmp"
    (tokens / store.digest).rename(killed)
    (killed / "offsets.npy").unlink()
    assert len(documents.tokenise([file], tokenizer, tokens)) == 2
    (folder,) = tokens.iterdir()
    assert sorted(p.name for p in folder.iterdir()) == ["offsets.npy", "tokens.npy"]


def test_memory_does_not_grow_with_the_text(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(documents, "_CHUNK", 8)

    def build(lines):
        """Returns the peak of memory, and the tokens' bytes on disk."""
        file = write(tmp_path / "a.txt", ("A first line. " * 20 + "\n") * lines)
        tracemalloc.start()
        store = documents.tokenise([file], tokenizer, tmp_path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert store.offsets.tolist() == [0, len(store.tokens)]
        path = tmp_path / store.digest / "tokens.npy"
        np.testing.assert_array_equal(store.tokens, np.load(path))
        return np.array([peak, path.stat().st_size])

    peak, size = build(3000) - build(100)
    assert peak < size / 4
