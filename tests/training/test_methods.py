"""Training methods: what each stage minimises, trains, and freezes."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from elbert_jax.data.batching import Batch
from elbert_jax.errors import UserError
from elbert_jax.exits import Entropy, FixedDepth
from elbert_jax.hub import operating_point, pretrained
from elbert_jax.model import albert
from elbert_jax.model.config import AlbertConfig
from elbert_jax.training import finetuning, methods, optimizer, train_step
from elbert_jax.training.checkpoints import Checkpoints
from elbert_jax.training.methods import METHODS, ExitLoss
from tests import runs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("optax_promotes")]

CONFIG = AlbertConfig(
    vocab_size=20,
    embedding_size=4,
    hidden_size=8,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=8,
    initializer_range=0.3,
)


def shaped(heads: str) -> AlbertConfig:
    return AlbertConfig(**{**vars(CONFIG), "exit_heads": heads})


def variables(config: AlbertConfig):
    params = albert.init(config, jax.random.key(0))
    return {"model": params, "t": jnp.array([0.5, -0.5], jnp.float32)}


def batch(seed: int = 0) -> Batch:
    """Six texts, the last of which is filler."""
    draw = np.random.default_rng(seed)
    return Batch(
        tokens=draw.integers(0, 20, (6, 4), np.int32),
        types=np.zeros((6, 4), np.int32),
        mask=np.arange(4) < draw.integers(1, 5, (6, 1)),
        labels=draw.integers(0, 2, 6, np.int32),
        weight=np.array([1, 1, 1, 1, 1, 0], np.float32),
        index=np.arange(6, dtype=np.int32),
    )


SIGMOID = 1 / (1 + np.exp(-np.array([0.5, -0.5])))
WEIGHTS = {  # by method, of its first loss
    "elbert": [*SIGMOID, 3 - SIGMOID.sum()],
    "plain": [0, 0, 1],
    "pabee": np.array([1, 2, 3]) / 6,
    "deebert": [0, 0, 1],
    "sustainable_count": [1, 1, 1],
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_first_loss_is_a_weighted_sum_of_cross_entropies(name):
    method = METHODS[name]
    config = shaped(method.exit_heads)
    loss = jax.jit(method.losses[0].bind(config))
    total, measured = loss(variables(config), batch(), jax.random.key(1))
    want = np.dot(WEIGHTS[name], measured["layer_loss"])
    assert total == pytest.approx(want, rel=1e-5)


def run(config, loss, steps, *, function=None, name="adamw", clip_norm=1.0):
    """Returns the variables before and after some steps, and the last metrics."""
    tx = optimizer.build(
        name=name,
        weight_decay=0.1,
        clip_norm=clip_norm,
        accumulate=1,
        t_learning_rate=0.01,
        stacked=loss.heads_only,
    )
    function = function or loss.bind(config)
    step = train_step.make_train_step(function, tx, loss.trainable)
    before = variables(config)
    state = train_step.initial_state(before, tx, loss.trainable)
    for number in range(steps):
        state, measured = step(
            state, batch(number), jax.random.key(2), np.float32(0.01)
        )
    return before, state.params, measured


@pytest.mark.parametrize(
    "loss",
    [
        ExitLoss("backbone", "last"),
        ExitLoss("heads"),
        ExitLoss("heads", distilled=True),
    ],
)
def test_what_is_frozen_keeps_its_bits_and_the_rest_moves(loss):
    before, after, _ = run(shaped("mlp"), loss, 2)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for path, old in jax.tree.leaves_with_path(before):
        new = after
        for key in path:
            new = new[key.key]
        keys = tuple(key.key for key in path)
        is_head = keys[:2] == ("model", "exit_heads")
        frozen = is_head != loss.heads_only or keys == ("t",)
        assert np.array_equal(old, new) == frozen, keys


@pytest.mark.parametrize("name", ["adamw", "lamb"])
def test_heads_learn_together_what_each_learns_alone(name):
    """So it is the same to train them from top to bottom, one after the other."""
    config, loss = shaped("mlp"), ExitLoss("heads", distilled=True)
    settings = {"name": name, "clip_norm": 1e-2}  # small, so that clipping matters
    _, together, _ = run(config, loss, 4, **settings)
    whole = loss.bind(config)
    for head in (1, 0):

        def alone(variables, batch, key):
            _, measured = whole(variables, batch, key)
            return measured["layer_loss"][head], measured

        _, after, _ = run(config, loss, 4, function=alone, **settings)
        got, want = (
            ravel_pytree(jax.tree.map(lambda x: x[head], v["model"]["exit_heads"]))[0]
            for v in (after, together)
        )
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


def test_every_method_has_exit_heads_and_a_criterion():
    assert {method.exit_heads for method in METHODS.values()} == {
        "shared", "linear", "pooler", "attention", "mlp",
    }  # fmt: skip
    for method in METHODS.values():
        assert method.exit(7).rules
    assert METHODS["plain"].exit(7) == FixedDepth(7)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two stages, the second with text that has no labels."""
    folder = tmp_path_factory.mktemp("run")
    config = runs.fine_tuning(folder)
    config.method = "sustainable_kl"
    config.epochs, config.head_epochs = 3, 4
    config.head_learning_rate = 5e-3
    lines = runs.write_texts(folder / "more.tsv", 40, 2).read_text().splitlines()
    texts = [line.partition("\t")[0] for line in lines[1:]]
    (folder / "more.txt").write_text("\n".join(texts))
    config.data.unlabelled_file = str(folder / "more.txt")
    finetuning.train(config, folder / "work")
    return config, folder / "work"


def test_heads_are_taught_by_the_frozen_rest_on_all_texts(finished):
    _, workdir = finished
    rows = runs.rows_of(workdir)
    steps = [row for row in rows if "loss" in row]
    first, second = steps[:18], steps[18:]
    # 6 batches of labelled texts; 9 of them with the 40 that have no label.
    assert len(second) == 4 * 9
    assert all("layer_accuracy" in row for row in first)
    assert all("layer_agreement" in row for row in second)
    assert [row["epoch"] for row in rows if "epoch" in row] == list(range(1, 8))
    # Each stage's learning rate rises from 0 and falls.
    for stage_rows, peak in ((first, 5e-3), (second, 5e-3)):
        rates = [row["learning_rate"] for row in stage_rows]
        assert rates[0] == 0 and max(rates) == pytest.approx(peak)
        assert rates[-1] < 0.2 * peak
    # Divergence from the teacher falls; the teacher's own is 0.
    assert np.sum(second[-1]["layer_loss"]) < 0.2 * np.sum(second[0]["layer_loss"])
    assert second[-1]["layer_loss"][-1] == 0
    full_depth = {row["validation_accuracy"] for row in rows[-36:] if "epoch" in row}
    assert len(full_depth) == 1


def test_heads_start_from_the_best_backbone_which_keeps_its_bits(finished):
    _, workdir = finished
    loaded = pretrained.load(workdir / "model")
    folder = Checkpoints(workdir / "checkpoints" / "best_0", keep=1)
    shapes = jax.eval_shape(lambda: variables(loaded.config) | {"model": loaded.params})
    stored = folder.restore(folder.latest() or 0, shapes)
    folder.close()
    heads = loaded.params.pop("exit_heads"), stored["model"].pop("exit_heads")
    jax.tree.map(np.testing.assert_array_equal, loaded.params, stored["model"])
    kernels = [each["classifier"]["kernel"] for each in heads]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-2


def test_the_directory_says_the_method_and_its_exit(finished):
    config, workdir = finished
    settings = json.loads((workdir / "model" / "config.json").read_text())
    assert settings["elbert"] == {
        "exit_heads": "mlp",
        "method": "sustainable_kl",
        "seed": 0,
    }
    assert operating_point.load(workdir / "model") == Entropy(0.1, normalised=True)
    card = (workdir / "model" / "README.md").read_text()
    assert "method sustainable_kl" in card and "and 40 without labels" in card
    assert "name = entropy, threshold = 0.1, normalised = True" in card


def test_interrupted_within_and_between_stages_it_gives_the_same(
    finished, tmp_path, monkeypatch
):
    config, whole = finished
    # Before the last evaluation of the first stage is written, and its checkpoint;
    # behind them, before the second stage has a checkpoint; within the second.
    rows = (20, 21, 40)
    runs.assert_interrupted_or_not_is_the_same(
        finetuning.train, config, whole, tmp_path / "work", monkeypatch, rows
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "bert"}, r"config.method is 'bert'; it may be elbert, plain,"),
        (
            {"weighting": "heavy"},
            "config.weighting is 'heavy'; it may be elbert, equal",
        ),
        (
            {"method": "deebert", "weighting": "equal"},
            "no use to deebert; it is to elbert, pabee, sustainable_count",
        ),
        (
            {"data": {"unlabelled_file": "more.txt"}},
            "no use to elbert; it is to fastbert, sustainable_kl",
        ),
        (
            {"method": "fastbert", "data": {"unlabelled_file": "no.txt"}},
            "no.txt",
        ),
        ({"head_epochs": 0}, "config.head_epochs"),
        ({"epochs": -1}, "config.epochs is -1"),
        ({"epochs": 0}, "only deebert, fastbert, sustainable_kl can"),
        ({"epochs": 0, "steps": 9}, "only deebert, fastbert, sustainable_kl can"),
        ({"epochs": 0, "method": "deebert"}, "config.init must name it"),
        (
            {"method": "pabee", "model": {"num_hidden_layers": 1}},
            "config.model: exit_heads 'linear' needs 2 layers",
        ),
        (
            {"method": "deebert", "exit": {"threshold": -1.0}},
            "config.exit: .*threshold",
        ),
    ],
)
def test_a_mistake_in_the_configuration_is_named(tmp_path, change, message):
    config = runs.fine_tuning(tmp_path)
    config.update(change)
    with pytest.raises(UserError, match=message):
        finetuning.train(config, tmp_path / "work")
    assert not (tmp_path / "work" / "config.json").exists()


def test_a_weighting_may_be_another():
    (loss,) = methods.find("pabee", "equal").losses
    assert loss == ExitLoss("all", "equal", mean=True)


@pytest.mark.parametrize("method", ["plain", "elbert"])
def test_a_model_may_have_one_layer(tmp_path, method):
    config = runs.fine_tuning(tmp_path)
    config.method, config.model.num_hidden_layers, config.steps = method, 1, 2
    finetuning.train(config, tmp_path / "work")
    row = runs.rows_of(tmp_path / "work")[0]
    assert row["layer_weight"] == [1.0] and row["loss"] == row["layer_loss"][0]
    assert pretrained.load(tmp_path / "work" / "model").config.num_hidden_layers == 1


def test_a_fine_tuned_model_gets_exits_and_stays_as_it_is(finished, tmp_path):
    config, workdir = finished
    model = pretrained.load(workdir / "model")
    config = config.copy_and_resolve_references()
    config.init, config.method, config.epochs = str(workdir / "model"), "deebert", 0
    config.data.unlabelled_file = ""
    finetuning.train(config, tmp_path / "work")
    rows = [row for row in runs.rows_of(tmp_path / "work") if "loss" in row]
    assert len(rows) == 4 * 6
    got = pretrained.load(tmp_path / "work" / "model")
    assert (got.config.exit_heads, got.training) == (
        "pooler",
        {"method": "deebert", "seed": 0},
    )
    for params in (got.params, model.params):
        del params["exit_heads"]
    jax.tree.map(np.testing.assert_array_equal, got.params, model.params)

    config.data.labels = ("good", "bad")  # not the order that the model has them in
    with pytest.raises(UserError, match="no classifier of good, bad, which config.ep"):
        finetuning.train(config, tmp_path / "other")
