"""Which columns of a file are the texts, and sets that TFDS prepared."""

import shutil
import sys

import pytest

from elbert_jax.data import sources, tasks
from elbert_jax.data.example import Example
from elbert_jax.data.readers import BadRow
from elbert_jax.data.sources import read_file
from elbert_jax.errors import UserError
from tests.text_files import examples, write


@pytest.mark.parametrize(
    "header, first, second",
    [
        ("index sentence1 sentence2 label", "sentence1", "sentence2"),
        ("premise hypothesis", "premise", "hypothesis"),
        ("question sentence label", "question", "sentence"),
        ("question1 question2", "question1", "question2"),
        ("sentence1 text sentence2", "text", None),
        ("sentence hypothesis", "sentence", None),
        ("sentence2 sentence1x question", "question", None),
    ],
)
def test_columns_by_default(tmp_path, header, first, second):
    names = header.split()
    lines = ["\t".join(names), "\t".join(f"<{name}>" for name in names)]
    (got,) = examples(write(tmp_path / "a.tsv", "\n".join(lines)))
    assert got.text == f"<{first}>"
    assert got.text_pair == (f"<{second}>" if second else None)
    assert got.label == ("<label>" if "label" in names else None)
    assert got.id == ("<index>" if "index" in names else 0)


def test_columns_by_name(tmp_path):
    path = write(tmp_path / "a.csv", "sentence1,sentence2,gold,key\na,b,yes,k1\n")
    (got,) = examples(path, text="sentence2", label="gold", id="key")
    assert (got.id, got.text, got.text_pair, got.label) == ("k1", "b", None, "yes")
    (got,) = examples(path, text="sentence2", text_pair="sentence1")
    assert (got.text, got.text_pair) == ("b", "a")


def test_columns_of_a_file_without_a_header(tmp_path):
    path = write(tmp_path / "a.csv", '"3","Title","De""scription, long"\n')
    (got,) = examples(path, columns=["label", "title", "text"])
    assert got == Example(
        0,
        'De"scription, long',
        None,
        3,
        {"label": "3", "title": "Title", "text": 'De"scription, long'},
    )


@pytest.mark.parametrize(
    "cell, label",
    [("0", 0), ("-1", -1), ("12", 12), ("", None), ("01", "01"), ("1.0", "1.0")],
)
def test_cells_that_spell_integers(tmp_path, cell, label):
    (got,) = examples(write(tmp_path / "a.tsv", f"text\tlabel\nx\t{cell}\n"))
    assert got.label == label
    (got,) = examples(write(tmp_path / "a.jsonl", f'{{"text":"x","label":"{cell}"}}'))
    assert got.label == (cell or None)


def test_a_bad_first_object_does_not_hide_the_columns(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"n": 1}\n{"body": "x"}\n')
    assert list(read_file(path, text="body")) == [
        BadRow(1, "the text 'body' is missing"),
        Example(1, "x", row={"body": "x"}),
    ]


def test_a_named_column_that_is_not_there(tmp_path):
    path = write(tmp_path / "a.tsv", "text\tlabel\nx\t1\n")
    with pytest.raises(UserError, match="no column 'gold'; there are text, label"):
        list(read_file(path, label="gold"))


@pytest.fixture(scope="session")
def tfds_dir(tmp_path_factory):
    """A small glue/sst2, prepared by TFDS itself and without TensorFlow."""
    tfds = pytest.importorskip("tensorflow_datasets")
    from tensorflow_datasets.text import glue

    def generators(self, manager):
        def rows(count, labelled):
            for i in range(count):
                label = i % 2 if labelled else -1
                yield i, {"idx": i, "sentence": f"naïve {i}", "label": label}

        return {"train": rows(20, True), "test": rows(3, False)}

    folder = tmp_path_factory.mktemp("tfds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glue.Glue, "_split_generators", generators)
        builder = tfds.builder("glue/sst2", data_dir=folder, file_format="array_record")
        builder.download_and_prepare()
    return folder


def test_tfds_split(tfds_dir):
    got = sources.read_task(tasks.find("glue/sst2"), "train", tfds_dir)
    assert sorted(e.id for e in got) == list(range(20))  # TFDS shuffles
    for e in got:
        row = {"idx": e.id, "sentence": f"naïve {e.id}", "label": e.label}
        row |= {"split": "train"}
        assert e == Example(e.id, f"naïve {e.id}", None, int(e.id) % 2, row)
    assert "tensorflow" not in sys.modules


def test_tfds_split_without_labels(tfds_dir):
    got = sources.read_task(tasks.find("glue/sst2"), "test", tfds_dir)
    assert [e.label for e in got] == [None] * 3


def test_tfds_split_that_is_not_there(tfds_dir):
    with pytest.raises(UserError, match="no split 'dev'; there are train, test"):
        sources.read_task(tasks.find("glue/sst2"), "dev", tfds_dir)


def test_tfds_set_that_is_not_there(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    with pytest.raises(UserError, match="not prepared.*--config.data.train_file"):
        sources.read_task(tasks.find("glue/rte"), "train", str(tmp_path))


def test_tfds_download_that_fails(tmp_path, monkeypatch):
    from tensorflow_datasets.text import glue

    def refuse(self, manager):
        raise ConnectionError("refused\nfor good")

    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "proxy"})
    monkeypatch.setattr(glue.Glue, "_split_generators", refuse)
    with pytest.raises(UserError, match=r"cannot be downloaded.*\(refused\)"):
        sources.read_task(tasks.find("glue/rte"), "train", str(tmp_path))


def test_tfrecord_folder(tfds_dir, tmp_path):
    shutil.copytree(tfds_dir, tmp_path, dirs_exist_ok=True)
    (info,) = tmp_path.rglob("dataset_info.json")
    info.write_text(info.read_text().replace('"array_record"', '"tfrecord"'))
    with pytest.raises(UserError, match="TFRecord"):
        sources.read_task(tasks.find("glue/sst2"), "train", str(tmp_path))


def test_synthetic_task():
    task = tasks.find("synthetic")
    examples = sources.read_task(task, "validation")
    assert set(task.labels) == {e.label for e in examples}
    with pytest.raises(UserError, match="no split 'dev'; there are test, valid"):
        sources.read_task(task, "dev")
