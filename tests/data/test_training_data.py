"""What a run learns from: files and tasks, their labels, their held-out parts."""

import numpy as np
import pytest

from configs import ag_news, default, mnli, mrpc
from elbert_jax.data import sources, training_data
from elbert_jax.data.example import Example
from elbert_jax.data.training_data import DataConfig
from elbert_jax.data.vocabulary import train_tokenizer
from elbert_jax.errors import UserError
from elbert_jax.settings import section


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabulary")
    train_tokenizer(["shares rose, and sales fell at the bank"], 60, folder)
    return folder


@pytest.fixture
def load(vocabulary, tmp_path, monkeypatch):
    """Returns a function that loads the data of a configuration, from these files."""
    monkeypatch.chdir(tmp_path)

    def load(config, files=(), **data):
        for name, lines in dict(files).items():
            (tmp_path / name).write_text("\n".join(lines) + "\n")
        config.data.update(data | {"tokenizer": str(vocabulary)})
        parsed = section(DataConfig, config.data, "config.data")
        return training_data.load(parsed, tmp_path)

    return load


def test_both_held_out_splits_of_a_task(load, monkeypatch):
    def read_task(task, split, data_dir):
        count = {"train": 5, "validation_matched": 2, "validation_mismatched": 3}[split]
        return [Example(i, split, "b", i % 3) for i in range(count)]

    monkeypatch.setattr(sources, "read_task", read_task)
    got = load(mnli.get_config())
    assert got.labels == ("entailment", "neutral", "contradiction")
    assert got.metric == "accuracy" and len(got.train) == 5
    assert got.parts == {
        "validation_matched": slice(0, 2),
        "validation_mismatched": slice(2, 5),
    }
    np.testing.assert_array_equal(got.validation.labels, [0, 1, 0, 1, 2])
    assert got.train_name == "glue/mnli, train"
    assert got.validation_name == (
        "glue/mnli, validation_matched and validation_mismatched"
    )


FILES = {
    "train.tsv": ["sentence1\tsentence2\tlabel", "a\tb\t1", "b\tc\t0", "c\td\t1"],
    "dev.tsv": ["sentence1\tsentence2\tlabel", "a\tb\t0"],
    "dev_other.tsv": ["sentence1\tsentence2\tlabel", "b\tb\t1", "b\ta\t1"],
}


def test_files_in_place_of_a_tasks(load):
    files = {"train_file": "train.tsv", "validation_file": "dev.tsv,dev_other.tsv"}
    got = load(mrpc.get_config(), FILES, **files)
    assert got.labels == ("not_equivalent", "equivalent") and got.metric == "f1"
    assert got.parts == {"dev": slice(0, 1), "dev_other": slice(1, 3)}
    np.testing.assert_array_equal(got.validation.labels, [0, 1, 1])
    assert got.validation_name == "dev.tsv, dev_other.tsv"
    own = load(default.get_config(), FILES, **files | {"validation_file": "dev.tsv"})
    assert own.labels == ("0", "1") and own.metric == "accuracy" and not own.parts
    with pytest.raises(UserError, match="validation_file have the same name"):
        load(default.get_config(), **files | {"validation_file": "dev.tsv,./dev.tsv"})


def test_ag_news_as_names_here_and_as_numbers_there(load, capsys):
    train = ["rates, up\tBusiness", "goal\tSports", "war\tWorld", "atoms\tSci/Tech"]
    test = ['"4","Title","chips"', '"3","Title","rates, up"', '"1","Title","peace"']
    got = load(
        ag_news.get_config(),
        {"train.tsv": train, "test.csv": test},
        train_file="train.tsv",
        columns="text,label",
        validation_file="test.csv",
        validation_columns="label,title,text",
    )
    assert got.labels == ("World", "Sports", "Business", "Sci/Tech")
    np.testing.assert_array_equal(got.train.labels, [1, 0, 3])
    np.testing.assert_array_equal(got.validation.labels, [3, 2, 0])
    assert "train.tsv: dropped 1 texts that are held out too" in capsys.readouterr().err


def test_texts_that_are_all_held_out(load):
    files = {"train_file": "dev.tsv", "validation_file": "dev.tsv"}
    with pytest.raises(UserError, match="dev.tsv: every text is held out too"):
        load(default.get_config(), FILES, drop_held_out=True, **files)


def test_how_long_texts_are_cut(load, capsys):
    long = {"train.tsv": ["text\tlabel", "bank " * 9 + "fell\t0", "rose\t1"]}
    files = {"train_file": "train.tsv", "validation_file": "train.tsv"}
    config = default.get_config()
    got = load(config, long, max_seq_length=8, truncation="tail", **files)
    tokenizer = got.tokenizer
    assert (tokenizer.max_length, tokenizer.truncation) == (8, "tail")
    kept = got.train.tokens[got.train.offsets[0] : got.train.offsets[1]]
    (pieces,) = tokenizer.token_ids(["bank " * 9 + "fell"])
    np.testing.assert_array_equal(kept[1:-1], pieces[-6:])
    assert capsys.readouterr().err.count("1 of 2 texts are cut to 8 (tail)") == 2
    with pytest.raises(UserError, match="truncation is 'middle'; it may be head, tail"):
        load(config, truncation="middle")


def test_labels_that_no_training_text_has(load, capsys):
    lines = ["sentence\tlabel", "shares rose\tgood", "sales fell\tbad", "bank\tfair"]
    files = {"train.tsv": lines, "dev.tsv": lines}
    names = {"train_file": "train.tsv", "validation_file": "dev.tsv"}
    labels = {"labels": ("bad", "fair", "good")}
    load(default.get_config(), files, **names, **labels)
    assert not capsys.readouterr().err
    load(default.get_config(), files, **names, **labels, max_train_samples=1)
    told = capsys.readouterr().err
    assert told == "warning: no training text has the label bad or fair\n"


def test_whether_classes_count_from_1_all_files_say_together(load):
    train = ["text\tlabel", "a\t1", "b\t2", "c\t3"]
    held_out = ["text\tlabel", "d\t2", "e\t1"]
    files = {"train.tsv": train, "dev.tsv": held_out}
    given = {"train_file": "train.tsv", "validation_file": "dev.tsv"}
    got = load(default.get_config(), files, labels=("x", "y", "z"), **given)
    np.testing.assert_array_equal(got.train.labels, [0, 1, 2])
    np.testing.assert_array_equal(got.validation.labels, [1, 0])
    few = load(
        default.get_config(), labels=("x", "y", "z"), max_train_samples=2, **given
    )
    np.testing.assert_array_equal(few.train.labels, [0, 1])
    np.testing.assert_array_equal(few.validation.labels, [1, 0])


@pytest.mark.parametrize(
    ("labels", "message"),
    [(("a", "a"), "two classes have the same name"), (("a",), "the only label is 'a'")],
)
def test_labels_that_cannot_be(load, labels, message):
    files = {"train_file": "train.tsv", "validation_file": "dev.tsv"}
    with pytest.raises(UserError, match=message):
        load(default.get_config(), FILES, labels=labels, **files)


def test_labels_may_be_given_as_numbers(load):
    files = {"train_file": "train.tsv", "validation_file": "dev.tsv"}
    assert load(default.get_config(), FILES, labels=(0, 1), **files).labels == (
        "0",
        "1",
    )


def test_what_is_held_out_is_no_unlabelled_text_either(load):
    files = {"train_file": "train.tsv", "validation_file": "dev.tsv"}
    more = FILES | {"more.jsonl": ['{"sentence1": "a", "sentence2": "b"}']}
    more["more.jsonl"] += ['{"sentence1": "x", "sentence2": "b", "label": true}']
    config = default.get_config()
    files |= {"drop_held_out": True, "unlabelled_file": "more.jsonl"}
    columns = {"text_column": "sentence1", "text_pair_column": "sentence2"}
    assert len(load(config, more, **files, **columns).unlabelled) == 1
