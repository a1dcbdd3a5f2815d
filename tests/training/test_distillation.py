"""Distillation: initial parameters, training, resuming, and the model directory."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import distil as distil_config
from elbert_jax.data.sentence_batches import TextBatch
from elbert_jax.errors import UserError
from elbert_jax.hub import pretrained, teacher
from elbert_jax.model import albert
from elbert_jax.training import distillation, distillation_loss, student
from elbert_jax.training.distillation_loss import Maps, TaughtBatch
from elbert_jax.training.distillation_targets import Targets
from tests import runs
from tests.hub import bert_teachers

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("optax_promotes")]


@pytest.fixture(scope="module")
def teacher_directory(tmp_path_factory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("tiny-bert")
    bert_teachers.save(directory)
    return directory


def write_text(path: pathlib.Path, seed: int = 0) -> pathlib.Path:
    draw = np.random.default_rng(seed)
    words = bert_teachers.WORDS[:-3]
    lines = [
        line
        for _ in range(8)
        for line in [*(" ".join(draw.choice(words, 6)) + " ." for _ in range(30)), ""]
    ]
    path.write_text("\n".join(lines))
    return path


def tiny_config(folder: pathlib.Path, teacher_directory: pathlib.Path):
    config = distil_config.get_config()
    config.teacher = str(teacher_directory)
    config.data.files = str(write_text(folder / "text.txt"))
    config.data.held_out = 0.2
    config.model.embedding_size = 8
    config.lengths = ((8, 1.0),)
    config.batch_tokens = 64
    config.steps = 40
    config.learning_rate = 5e-3
    config.warmup_ratio = 0.1
    config.eval_every = 20
    config.eval_tokens = 512
    config.checkpoint_every = 10
    config.log_every = 1
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory, teacher_directory):
    folder = tmp_path_factory.mktemp("run")
    config = tiny_config(folder, teacher_directory)
    distillation.distil(config, folder / "work")
    return config, folder / "work"


def test_a_run_learns_and_logs_its_speed(finished):
    _, workdir = finished
    rows = runs.rows_of(workdir)
    steps = [row for row in rows if "loss" in row]
    assert [row["step"] for row in steps] == list(range(1, 41))
    losses = [row["loss"] for row in steps]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    assert all(row["tokens_per_second"] > 0 and row["mfu"] > 0 for row in steps)
    held_out = [row for row in rows if "validation_hidden_error_2" in row]
    assert [row["step"] for row in held_out] == [20, 40]
    for name in ("validation_hidden_error_2", "validation_vector_error_2"):
        assert held_out[1][name] < held_out[0][name] < 1.1
    rates = [row["learning_rate"] for row in steps]
    assert rates[4:36] == [pytest.approx(5e-3)] * 32 and rates[-1] < 1e-2


def test_a_run_that_is_stopped_gives_the_same_losses(tmp_path, finished, monkeypatch):
    config, whole = finished
    runs.assert_interrupted_or_not_is_the_same(
        distillation.distil, config, whole, tmp_path / "work", monkeypatch, (13,)
    )


def test_fewer_steps_bring_the_decay_forward(tmp_path, finished, monkeypatch):
    config, _ = finished
    config = config.copy_and_resolve_references()
    config.steps = 400

    def start(config, workdir):
        distillation.distil(config, workdir)

    write = runs.MetricWriter.write

    def interrupted(self, step, row):
        write(self, step, row)
        if step == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(runs.MetricWriter, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start(config, tmp_path / "work")
    monkeypatch.undo()
    config.steps = 24
    start(config, tmp_path / "work")
    rows = [row for row in runs.rows_of(tmp_path / "work") if "loss" in row]
    assert [row["step"] for row in rows] == list(range(1, 25))
    assert rows[-1]["learning_rate"] < rows[-4]["learning_rate"]
    config.learning_rate = 1e-3
    with pytest.raises(UserError, match="config.learning_rate differs"):
        start(config, tmp_path / "work")


def test_transformers_opens_the_student(finished):
    config, workdir = finished
    directory = workdir / "model"
    transformers, torch = bert_teachers.transformers, bert_teachers.torch
    model = transformers.AutoModel.from_pretrained(directory, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    assert type(model).__name__ == "AlbertModel"
    assert (model.config.bos_token_id, model.config.eos_token_id) == (2, 3)
    theirs = transformers.AutoTokenizer.from_pretrained(config.teacher)
    text = "the bank lent money twice ."
    assert tokenizer(text)["input_ids"] == theirs(text)["input_ids"]
    inputs = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        wanted = model.eval()(**inputs)

    ours = pretrained.load(directory)
    assert set(ours.initialised) == {"classifier.weight", "classifier.bias"}
    tokens = inputs["input_ids"].numpy().astype(np.int32)
    batch = TextBatch(tokens, np.ones_like(tokens, bool))
    bound = albert.bind(ours.config, ours.params)
    last = distillation_loss.hidden_states(bound, batch)[-1]
    np.testing.assert_allclose(last, wanted.last_hidden_state.numpy(), atol=1e-5)
    pooled = jnp.tanh(bound.pooler(last[:, 0]))
    np.testing.assert_allclose(pooled, wanted.pooler_output.numpy(), atol=1e-5)


def test_the_card_names_teacher_text_and_cost(finished):
    config, workdir = finished
    card = (workdir / "model" / "README.md").read_text()
    seen = [row for row in runs.rows_of(workdir) if "loss" in row][-1]["tokens_seen"]
    assert f"distilled from {pathlib.Path(config.teacher).name}" in card
    assert "text.txt: 8 documents" in card
    assert f"{seen:,} tokens seen in 40 steps" in card
    assert re.findall(r"^\| (\d) +\| 0\.\d{4} +\| 0\.", card, re.M) == ["1", "2"]


def test_a_run_continues_from_a_student(finished, tmp_path):
    config, workdir = finished
    config = config.copy_and_resolve_references()
    config.init = str(workdir / "model")
    config.steps, config.learning_rate, config.weight_decay = 1, 1e-30, 0.0
    distillation.distil(config, tmp_path / "work")
    one, other = (
        pretrained.load(folder / "model").params
        for folder in (workdir, tmp_path / "work")
    )
    for name in ("embeddings", "albert_layers", "pooler"):
        jax.tree.map(np.testing.assert_array_equal, one[name], other[name])
    before, after = (
        [r for r in runs.rows_of(f) if "validation_hidden_error_2" in r][-1]
        for f in (workdir, tmp_path / "work")
    )
    # Its maps are fitted anew, so it starts near where it ended.
    for name in ("validation_hidden_error_2", "validation_vector_error_2"):
        assert after[name] < 1.2 * before[name]


@pytest.mark.parametrize(("inner", "layers"), [(1, 2), (2, 1)])
def test_the_start_is_the_teachers_mean_layer_and_fitted_embeddings(
    teacher_directory, inner, layers
):
    source = teacher.load(teacher_directory)
    shape = {**vars(source.config), "embedding_size": 16, "inner_group_num": inner}
    config = albert.AlbertConfig(**{**shape, "num_hidden_layers": layers})
    draw = np.random.default_rng(0)
    sample = [
        TextBatch(draw.integers(5, 21, (8, 16), np.int32), np.ones((8, 16), bool))
        for _ in range(4)
    ]
    counts = np.ones(config.vocab_size, np.int64)
    params = student.initial_params(source, config, counts, sample, jax.random.key(0))
    for n in range(inner):
        kernels = [
            np.asarray(source.params["layers"][k]["ffn"]["kernel"])
            for k in range(n, 2, inner)
        ]
        got = params["albert_layers"][n]["ffn"]["kernel"]
        np.testing.assert_allclose(got, np.mean(kernels, 0), atol=1e-6)
    # E = H loses nothing but LayerNorm's mean; the fit makes most of it good.
    types = jnp.zeros((8, 16), jnp.int32)
    bert_model = student.bert.bind(source.config, source.params)
    wanted = bert_model.embeddings(sample[0].tokens, types)
    got = albert.bind(config, params).embed(sample[0].tokens, types)
    assert np.square(got - wanted).mean() < 0.2 * np.var(wanted)


def test_targets_are_standardised(teacher_directory):
    source = teacher.load(teacher_directory)
    draw = np.random.default_rng(0)
    batch = TextBatch(draw.integers(5, 21, (64, 8), np.int32), np.ones((64, 8), bool))
    taught = Targets(source, (1, 2), [batch])(batch)
    assert len(taught.hidden) == 2 and taught.vectors.shape == (64, 4 * 16)
    for x in (*(h[:, 1:].reshape(-1, 16) for h in taught.hidden), taught.vectors):
        np.testing.assert_allclose(x.mean(0), 0, atol=1e-4)
        np.testing.assert_allclose(x.std(0), 1, atol=1e-3)


def test_errors_by_hand():
    config = albert.AlbertConfig(vocab_size=9, embedding_size=2, hidden_size=2,
                                 num_hidden_layers=2, num_attention_heads=1,
                                 intermediate_size=2)  # fmt: skip
    params = albert.init(config, jax.random.key(0))
    params["pooler"] = {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}
    model = albert.bind(config, params)
    mask = np.array([[True, True, True], [True, True, False]])
    states = [jnp.full((2, 3, 2), 1.0), jnp.full((2, 3, 2), 3.0)]
    target = jnp.zeros((2, 3, 2)).at[0, 1].set(7.0)  # 2 * 3 + 1
    vectors = jnp.concatenate([jnp.zeros((2, 2)), jnp.ones((2, 1))], -1)
    batch = TaughtBatch(
        np.zeros((2, 3), np.int32), jnp.asarray(mask), (target,), vectors
    )
    maps = Maps(jnp.full((1, 2), 2.0), jnp.ones((1, 2)), jnp.ones((2, 1)), jnp.zeros(1))
    hidden, foretold = distillation_loss.errors(model, maps, batch, states, [2])
    np.testing.assert_allclose(hidden, [(0 + 49 + 49) / 3], rtol=1e-6)
    wanted = [(2**2 + 2**2 + 1) / 3, (6**2 + 6**2 + 5**2) / 3]
    np.testing.assert_allclose(foretold, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("student_depth", "teacher_depth", "pairs"),
    [
        (6, 6, {n: n for n in range(1, 7)}),
        (12, 6, {2 * n: n for n in range(1, 7)}),
        (3, 6, {1: 2, 2: 4, 3: 6}),
        (4, 6, {2: 3, 4: 6}),
    ],
)
def test_matched_depths(student_depth, teacher_depth, pairs):
    assert distillation_loss.matched(student_depth, teacher_depth) == pairs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(teacher=""), "config.teacher"),
        (lambda c: c.update(teacher="no/such/model"), "no/such/model"),
        (lambda c: c.data.update(files=""), "name text files in config.data.files"),
        (lambda c: c.data.update(held_out=1.5), "config.data.held_out"),
        (lambda c: c.update(lengths=((4, 1.0),)), "config.lengths"),
        (lambda c: c.update(lengths=((16,),)), "config.lengths"),
        (lambda c: c.update(lengths=((64, 1.0),)), "has 24 positions"),
        (lambda c: c.update(decay_ratio=1.5), "config.decay_ratio"),
        (lambda c: c.update(hidden_weight=-1.0), "config.hidden_weight"),
        (lambda c: c.update(steps=0), "config.steps"),
        (lambda c: c.update(export_dtype="fp16"), "config.export_dtype"),
        (lambda c: c.model.update(embedding_size=0), "config.model: embedding_size"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(
    tmp_path, teacher_directory, monkeypatch, change, message
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = tiny_config(tmp_path, teacher_directory)
    change(config)
    with pytest.raises(UserError, match=message):
        distillation.distil(config, tmp_path / "work")
    assert not (tmp_path / "work" / "config.json").exists()
