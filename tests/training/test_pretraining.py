"""Pretraining: it learns, it can be killed, and others can go on from its model."""

import pathlib
import signal

import jax
import numpy as np
import pytest

from configs import default, pretrain_default
from elbert_jax import interruption
from elbert_jax.data import pretraining_text
from elbert_jax.errors import UserError
from elbert_jax.hub import pretrained, weight_table
from elbert_jax.training import finetuning, pretraining
from tests import runs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("optax_promotes")]


def write_books(path: pathlib.Path, books: int, seed: int = 0) -> pathlib.Path:
    """Writes documents that repeat one word each: any token reveals the masked ones."""
    draw = np.random.default_rng(seed)
    words = ["bank", "lent", "money", "farmer", "paid", "back", "twice", "over"]
    lines = [
        line
        for word in draw.choice(words, books)
        for line in [*[" ".join([word] * 40)] * 4, ""]
    ]
    path.write_text("\n".join(lines))
    return path


def tiny_config(folder: pathlib.Path):
    config = pretrain_default.get_config()
    config.data.files = str(write_books(folder / "books.txt", 12))
    config.data.vocab_size = 40
    config.data.held_out = 0.2
    runs.shrink(config, layers=2)
    config.phases = ((1, 16, 0.5), (0, 24, 0.5))  # 0: the depth of the model, 2
    config.batch_tokens = 256
    config.steps = 60
    config.learning_rate = 2e-2
    config.eval_every = 25
    config.eval_tokens = 512
    config.checkpoint_every = 10
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = tiny_config(folder)
    pretraining.pretrain(config, folder / "work")
    return config, folder / "work"


def test_a_run_learns_and_logs_its_speed(finished):
    _, workdir = finished
    rows = runs.rows_of(workdir)
    steps = [row for row in rows if "loss" in row]
    assert [row["step"] for row in steps] == list(range(1, 61))
    assert steps[-1]["mlm_loss"] < 0.6 * steps[0]["mlm_loss"]
    assert (
        steps[-1]["tokens_seen"]
        == sum(
            row["tokens_seen"] - before["tokens_seen"]
            for before, row in zip(steps, steps[1:])
        )
        + steps[0]["tokens_seen"]
    )
    assert all(row["tokens_per_second"] > 0 and row["mfu"] > 0 for row in steps)
    ends = [row for row in rows if "depth" in row]
    assert [(row["step"], row["depth"]) for row in ends] == [(25, 1), (50, 2), (60, 2)]
    last = ends[-1]
    assert last["validation_mlm_accuracy"] > 0.25  # of eight words one is an eighth
    perplexity = np.exp(last["validation_mlm_loss"])
    assert last["validation_mlm_perplexity"] == pytest.approx(perplexity)


@pytest.mark.usefixtures("listening")
def test_a_signal_makes_it_keep_the_step_and_gives_the_same_losses(
    tmp_path, finished, monkeypatch, capsys
):
    def start(config, workdir):
        interruption.listen()
        pretraining.pretrain(config, workdir)

    def stop():
        signal.raise_signal(signal.SIGTERM)

    config, whole = finished
    runs.assert_interrupted_or_not_is_the_same(
        start, config, whole, tmp_path / "work", monkeypatch, (33,), stop
    )
    told = capsys.readouterr()
    assert "saved step 34 of 60; the same command resumes" in told.err
    assert "resuming from step 34 of 60" in told.out


def test_killed_at_any_moment_it_gives_the_same_losses(tmp_path, finished):
    config, whole = finished
    kills = (27,)  # after a change of phase, two steps after an evaluation
    runs.assert_killed_or_not_is_the_same(
        "pretrain", "pretrain_default", config, whole, tmp_path, kills
    )


def test_the_card_says_what_was_seen(finished):
    _, workdir = finished
    card = (workdir / "model" / "README.md").read_text()
    seen = [row for row in runs.rows_of(workdir) if "loss" in row][-1]["tokens_seen"]
    assert "from random weights" in card and "books.txt" in card
    assert f"{seen:,} tokens seen in 60 steps" in card
    assert "held-out documents, at depth 2: accuracy on masked tokens" in card.lower()
    assert card.count("\n| ") == 2 + 2  # a row for each phase


def test_fine_tuning_goes_on_from_it(finished, tmp_path, capsys):
    _, workdir = finished
    lines = ["the bank lent money\tgood\na farmer paid back\tbad" for _ in range(8)]
    texts = tmp_path / "texts.tsv"
    texts.write_text("\n".join(["text\tlabel", *lines]))
    config = default.get_config()
    config.init = str(workdir / "model")
    config.data.train_file = config.data.validation_file = str(texts)
    config.data.max_seq_length = 16
    config.exit.window = 2
    config.epochs = 1
    config.learning_rate = 1e-30
    finetuning.train(config, tmp_path / "work")
    said = capsys.readouterr().out
    assert "initialised afresh: classifier.bias, classifier.weight" in said
    tuned = pretrained.load(tmp_path / "work" / "model").params
    encoder = pretrained.load(workdir / "model", num_labels=2).params
    for name in ("embeddings", "albert_layers", "pooler"):
        jax.tree.map(np.testing.assert_array_equal, tuned[name], encoder[name])


def test_pretraining_goes_on_from_any_checkpoint_on_other_text(finished, tmp_path):
    config, workdir = finished
    config = config.copy_and_resolve_references()
    config.init = str(workdir / "model")
    config.data.files = str(write_books(tmp_path / "other.txt", 6, seed=1))
    config.steps, config.learning_rate = 2, 1e-30
    pretraining.pretrain(config, tmp_path / "work")
    assert runs.rows_of(tmp_path / "work")[-1]["validation_mlm_loss"] < 1.5
    one = pretrained.load(workdir / "model", model=weight_table.PRETRAINING).params
    other = pretrained.load(
        tmp_path / "work" / "model", model=weight_table.PRETRAINING
    ).params
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.data.update(files=""), "name text files in config.data.files"),
        (lambda c: c.data.update(files="no.txt"), "no.txt"),
        (lambda c: c.data.update(files="no.pdf"), "should end with"),
        (lambda c: c.data.update(held_out=1.5), "config.data.held_out"),
        (lambda c: c.update(phases=((12,),)), "config.phases"),
        (lambda c: c.update(phases=((2, "16", 1.0),)), "config.phases"),
        (lambda c: c.update(phases=((2.0, 16, 1.0),)), "config.phases"),
        (lambda c: c.update(phases=((2, 16, float("inf")),)), "config.phases"),
        (lambda c: c.update(export_dtype="fp16"), "config.export_dtype is 'fp16'"),
        (lambda c: c.update(phases=((4, 64, 1.0),)), "32 positions"),
        (lambda c: c.update(phases=((5, 16, 1.0),)), "has 2 layers"),
        (lambda c: c.update(optimizer="sgd"), "config.optimizer"),
        (lambda c: c.update(steps=0), "config.steps is 0; it must be at least 1"),
        (lambda c: c.model.update(num_attention_heads=3), "config.model: hidden_size"),
        (lambda c: c.update(init="no/such/model"), "no/such/model"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(
    tmp_path, monkeypatch, change, message
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = tiny_config(tmp_path)
    with config.unlocked():
        change(config)
    with pytest.raises(UserError, match=message):
        pretraining.pretrain(config, tmp_path / "work")
    assert not (tmp_path / "work" / "config.json").exists()


def test_a_tokenizer_is_trained_once_a_text(tmp_path, monkeypatch):
    config, trained = tiny_config(tmp_path), []
    train = pretraining_text.train_tokenizer

    def counted(*args):
        trained.append(args)
        return train(*args)

    monkeypatch.setattr(pretraining_text, "train_tokenizer", counted)
    config.phases = ((9, 16, 1.0),)  # too deep: it ends before the first step
    for books in (12, 12, 11):
        write_books(tmp_path / "books.txt", books)
        with pytest.raises(UserError, match="has 2 layers"):
            pretraining.pretrain(config, tmp_path / "work")
    assert len(trained) == 2


def test_one_document_is_too_few(tmp_path):
    config = tiny_config(tmp_path)
    config.data.files = str(write_books(tmp_path / "one.txt", 1))
    with pytest.raises(UserError, match="blank line between documents"):
        pretraining.pretrain(config, tmp_path / "work")
