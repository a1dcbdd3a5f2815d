"""Training: it learns, it can be killed, and it leaves a whole model directory."""

import errno
import itertools
import pathlib

import chex
import jax
import numpy as np
import optax
import orjson
import pytest

from elbert_jax import Classifier
from elbert_jax.data import training_data
from elbert_jax.data.batching import Batch
from elbert_jax.errors import UserError
from elbert_jax.evaluation import metrics
from elbert_jax.hub import pretrained
from elbert_jax.model import albert
from elbert_jax.model.config import AlbertConfig
from elbert_jax.training import config as configs
from elbert_jax.training import (
    finetuning,
    losses,
    run_directory,
    train_step,
    trainer,
)
from elbert_jax.training.checkpoints import Checkpoints
from elbert_jax.training.methods import ExitLoss
from elbert_jax.training.metric_writer import MetricWriter
from tests import runs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("optax_promotes")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = runs.fine_tuning(folder)
    finetuning.train(config, folder / "work")
    return config, folder / "work"


def test_a_run_learns_and_logs_every_layer(finished):
    config, workdir = finished
    rows = runs.rows_of(workdir)
    steps = [row for row in rows if "loss" in row]
    assert [row["step"] for row in steps] == list(range(1, 37))
    assert steps[-1]["loss"] < 0.5 * steps[0]["loss"]
    for name in ("layer_loss", "layer_accuracy", "layer_weight"):
        assert len(steps[0][name]) == 2
    np.testing.assert_allclose(np.sum([r["layer_weight"] for r in steps], 1), 2, 1e-5)
    assert steps[0]["layer_weight"] != steps[-1]["layer_weight"]
    ends = [row for row in rows if "epoch" in row]
    assert [row["step"] for row in ends] == list(range(6, 37, 6))
    assert ends[-1]["validation_accuracy"] > 0.9
    assert len(ends[-1]["validation_layer_accuracy"]) == 2
    assert list((workdir / "tensorboard").iterdir())


def test_the_model_directory_answers_as_measured(finished):
    config, workdir = finished
    classify = Classifier.from_pretrained(workdir / "model")
    assert classify.labels == ("bad", "good")
    assert classify("the bank shares win")["label"] == "good"
    point = orjson.loads((workdir / "model" / "operating_point.json").read_bytes())
    lines = pathlib.Path(config.data.validation_file).read_text().splitlines()[1:]
    texts, labels = zip(*(line.split("\t") for line in lines))
    results = classify(list(texts))
    right = np.mean([r["label"] == label for r, label in zip(results, labels)])
    assert right == pytest.approx(point["measured"]["accuracy"])
    layers = np.mean([result["exit_layer"] for result in results])
    assert layers == pytest.approx(point["measured"]["mean_exit_layer"])
    card = (workdir / "model" / "README.md").read_text()
    assert "from scratch" in card and f"{right:.4f}" in card


def test_a_finished_run_does_nothing_and_another_configuration_is_refused(
    finished, capsys
):
    config, workdir = finished
    before = (workdir / "metrics.jsonl").read_bytes()
    finetuning.train(config, workdir)
    assert "nothing to do" in capsys.readouterr().out
    assert (workdir / "metrics.jsonl").read_bytes() == before
    other = config.copy_and_resolve_references()
    other.learning_rate = 1.0
    with pytest.raises(UserError, match=r"config\.learning_rate differs"):
        finetuning.train(other, workdir)


def test_a_second_process_in_a_folder_is_refused(finished, tmp_path):
    config, _ = finished
    with run_directory.claimed(tmp_path):
        with pytest.raises(UserError, match="another process trains in"):
            finetuning.train(config, tmp_path)
    assert not (tmp_path / "tokenizer").exists()


def test_texts_that_change_under_a_run_are_refused(tmp_path, monkeypatch):
    config = runs.fine_tuning(tmp_path)
    config.clip_norm = np.inf  # no JSON value, and yet it is read again
    write = MetricWriter.write

    def full(writer, step, row):
        if step == 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(writer, step, row)

    monkeypatch.setattr(MetricWriter, "write", full)
    with pytest.raises(UserError, match="work cannot be written: No space left"):
        finetuning.train(config, tmp_path / "work")
    monkeypatch.undo()
    text = (tmp_path / "dev.tsv").read_text()
    (tmp_path / "dev.tsv").write_text(f"{text}shares gain\tgood\n")
    with pytest.raises(UserError, match="have changed since it began"):
        finetuning.train(config, tmp_path / "work")
    (tmp_path / "dev.tsv").write_text(text)
    finetuning.train(config, tmp_path / "work")
    assert (tmp_path / "work" / "model").exists()


@pytest.fixture(scope="module")
def two_files(tmp_path_factory):
    """A run of 8 steps with two held-out files, before its first step."""
    folder = tmp_path_factory.mktemp("two_files")
    config = runs.fine_tuning(folder)
    runs.write_texts(folder / "other.tsv", 9, 2)
    config.data.validation_file += f",{folder}/other.tsv"
    config.data.max_seq_length = 8
    config.data.truncation = "tail"
    config.metric = "f1"
    config.steps = 8
    return finetuning.prepare(configs.fine_tuning(config), folder), folder


def test_a_run_of_so_many_steps(two_files):
    run, _ = two_files
    assert [stage.steps for stage in run.stages] == [8]
    assert len(list(run.batches())) == 8


def test_every_held_out_file_is_reported(two_files):
    run, folder = two_files
    row, score, sentence = run.evaluate(run.variables(), 8)
    assert row["epoch"] == 1.33 and sentence.startswith("epoch 1.33: f1")
    assert row["validation_f1"] == score
    for name, exit in itertools.product(metrics.NAMES, ("", "exit_")):
        assert {f"validation_{exit}{name}{p}" for p in ("", "/dev", "/other")} <= {*row}
    by_part = [row[f"validation_accuracy{part}"] for part in ("/dev", "/other")]
    both = np.average(by_part, weights=[24, 9])
    assert row["validation_accuracy"] == pytest.approx(both)

    run.export(folder / "model", run.variables(), 8, trainer.Effort(0, 0.0))
    card = (folder / "model" / "README.md").read_text()
    cells = [[cell.strip() for cell in line.split("|")] for line in card.splitlines()]
    accuracies = {cell[1]: cell[2] for cell in cells if len(cell) > 3}
    assert "step by f1" in card and "other: early exit" in accuracies
    full_depth = f"{row['validation_accuracy/other']:.4f}"
    assert accuracies["other: full depth"] == full_depth
    classify = Classifier.from_pretrained(folder / "model")  # cuts as the run did
    assert (classify.max_length, classify.tokenizer.truncation) == (8, "tail")


def test_a_checkpoint_gets_the_depth_and_dropouts_of_the_configuration(finished):
    config, workdir = finished
    config = config.copy_and_resolve_references()
    config.init = str(workdir / "model")
    config.model.hidden_dropout_prob = 0.25  # of the layers, which have none there
    config.model.num_hidden_layers = 5
    parsed = configs.fine_tuning(config)
    data = training_data.load(parsed.data, workdir)
    start, params = finetuning.initial_model(parsed, data)
    assert (start.hidden_dropout_prob, start.classifier_dropout_prob) == (0.25, 0.1)
    assert start.num_hidden_layers == 5
    saved = pretrained.load(config.init)
    assert saved.config.num_hidden_layers == 2
    chex.assert_trees_all_equal(params, saved.params)


def test_killed_at_any_moment_it_gives_the_same_losses(tmp_path, finished):
    config, whole = finished
    kills = (19,)  # not where a checkpoint lies
    runs.assert_killed_or_not_is_the_same(
        "train", "default", config, whole, tmp_path, kills
    )


def test_a_loss_that_is_not_finite_stops_the_run_and_says_the_step(tmp_path):
    config = runs.fine_tuning(tmp_path)
    config.learning_rate = 1e30
    config.log_every = 5
    config.clip_norm = 1e30
    with pytest.raises(UserError, match=r"not finite at step [23]\b"):
        finetuning.train(config, tmp_path / "work")
    assert not (tmp_path / "work" / "model").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.exit.update(delta=-1.0), "config.exit: .*delta"),
        (lambda c: c.model.update(num_attention_heads=3), "config.model: hidden_size"),
        (lambda c: c.data.update(train_file=""), "go together"),
        (lambda c: c.data.update(train_file="no.tsv"), "no.tsv"),
        (lambda c: c.data.update(label_column="grade"), "no column 'grade'"),
        (lambda c: c.data.update(labels=("up", "down")), "the classes are up, down"),
        (lambda c: c.update(init="no/such/model"), "no/such/model"),
        (lambda c: c.update(weighting="heavy"), "config.weighting"),
        (lambda c: c.update(metric="f2"), "config.metric is 'f2'; it may be accuracy"),
        (lambda c: c.update(steps=-1), "config.steps is -1"),
        (lambda c: c.update(accumulate=999), "accumulate is 999, and there are only"),
        (lambda c: c.update(seed=-1), "config.seed is -1; it must be at least 0"),
        (lambda c: c.update(dtype="float16"), "config.dtype is 'float16'; it may be"),
        (lambda c: c.update(warmup_ratio=2.0), "config.warmup_ratio is 2.0"),
        (
            lambda c: c.data.update(max_train_samples=-5),
            "max_train_samples is -5; it must be",
        ),
        (lambda c: c.model.update(num_attention_heads=0), "heads is 0; it must be at"),
        (lambda c: c.model.update(num_hidden_layers=0), "layers is 0; it must be at"),
        (lambda c: c.data.update(labels=("a", "a")), "two classes have the same name"),
        (lambda c: c.data.update(truncation="middle"), "truncation is 'middle'"),
        (lambda c: c.data.update(max_seq_length=99), "is 99, more than the model's 32"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(
    tmp_path, monkeypatch, change, message
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = runs.fine_tuning(tmp_path)
    with config.unlocked():
        change(config)
    with pytest.raises(UserError, match=message):
        finetuning.train(config, tmp_path / "work")
    assert not (tmp_path / "work" / "config.json").exists()


def test_accumulated_batches_are_one_large_batch():
    config = AlbertConfig(
        vocab_size=20,
        embedding_size=4,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=8,
        classifier_dropout_prob=0.0,
    )
    draw = np.random.default_rng(0)
    rows = 8
    whole = Batch(
        tokens=draw.integers(0, 20, (rows, 4), np.int32),
        types=np.zeros((rows, 4), np.int32),
        mask=np.ones((rows, 4), bool),
        labels=draw.integers(0, 2, rows, np.int32),
        weight=np.ones(rows, np.float32),
        index=np.arange(rows, dtype=np.int32),
    )
    halves = [
        Batch(*(leaf[part] for leaf in whole)) for part in np.split(np.arange(8), 2)
    ]
    moved = []
    for batches in ([whole], halves):
        tx = optax.MultiSteps(optax.sgd(0.1), len(batches)).gradient_transformation()
        params = {
            "model": albert.init(config, jax.random.key(0)),
            "t": losses.initial_t(2),
        }
        state = train_step.initial_state(params, tx)
        step = train_step.make_train_step(ExitLoss("all", "elbert").bind(config), tx)
        for batch in batches:
            state, _ = step(state, batch, jax.random.key(0), np.float32(1))
        moved.append(state.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *moved)


def test_a_workdir_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    config = runs.fine_tuning(tmp_path)
    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        finetuning.train(config, tmp_path / "file" / "work")


def test_a_full_disk_is_told_in_one_line(tmp_path, monkeypatch):
    def save(step, args):
        raise ValueError("EXHAUSTED: d/a: No space left on device [os_error_code='28']")

    checkpoints = Checkpoints(tmp_path / "steps", keep=1)
    monkeypatch.setattr(checkpoints._manager, "save", save)
    with pytest.raises(UserError, match="steps cannot be written: No space left on d"):
        checkpoints.save(1, {"a": np.zeros(2)}, {})
    checkpoints.close()
