"""Every configuration, as a command would load it."""

import dataclasses
import importlib
import pathlib
import sys

import pytest
from absl import flags
from ml_collections import config_flags

from elbert_jax.data import tasks, tokenization
from elbert_jax.evaluation import metrics
from elbert_jax.exits import registry
from elbert_jax.model.config import AlbertConfig
from elbert_jax.training import methods

# The loader of ml_collections is older than Python 3.12.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
FOLDER = pathlib.Path(__file__).parents[2] / "configs"
PATHS = {path.stem: path for path in sorted(FOLDER.glob("*.py"))}
SHARED = {"albert_large", "pretrain_default"}  # not made to be run as they are
# What the ALBERT paper's Table 14 says: rate, batch, dropout, steps, warm-up steps.
TABLE_14 = {
    "sst2": (1e-5, 32, 0.0, 20935, 1256),
    "mrpc": (2e-5, 32, 0.0, 800, 200),
    "rte": (3e-5, 32, 0.1, 800, 200),
    "qnli": (1e-5, 32, 0.0, 33112, 1986),
    "mnli": (3e-5, 128, 0.0, 10000, 1000),
    "qqp": (5e-5, 128, 0.1, 14000, 1000),
    "cola": (1e-5, 16, 0.0, 5336, 320),
}


def load(name, monkeypatch, *overrides):
    """Returns the configuration that a command gets."""
    line = ["train", f"--config={PATHS[name]}", *overrides]
    monkeypatch.setattr(sys, "argv", line)  # where overrides are looked for
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values)
    values(line)
    return values.config


def keys(config):
    return {
        f"{name}.{key}" if key else name
        for name, value in config.items()
        for key in (value if hasattr(value, "items") else [""])
        if name not in ("model", "exit")  # of AlbertConfig; of the criterion's name
    }


@pytest.mark.parametrize("name", PATHS)
def test_every_configuration_holds_known_values(name, monkeypatch):
    config = load(name, monkeypatch, "--config.seed=3")
    assert config.seed == 3
    bases = {"phases": "pretrain_default", "teacher": "distil"}
    base = next((bases[key] for key in bases if key in config), "default")
    assert keys(config) == keys(load(base, monkeypatch))
    assert {*config.model} <= {f.name for f in dataclasses.fields(AlbertConfig)}
    shape = {name: value for name, value in config.model.items() if value is not None}
    AlbertConfig(**shape)
    if base == "default":
        exit = methods.find(config.method, config.weighting).exit(12)
        registry.chosen(config.exit.to_dict(), exit)
        assert config.metric in ("", *metrics.NAMES)
        assert config.data.truncation in tokenization.TRUNCATIONS
        assert not config.data.task or tasks.find(config.data.task)


@pytest.mark.parametrize("name", sorted(PATHS.keys() - SHARED))
def test_its_docstring_holds_the_command_and_what_to_expect(name):
    text = importlib.import_module(f"configs.{name}").__doc__ or ""
    assert "\nRun:    " in text and "\nExpect: " in text
    if name not in ("quickstart", "pretrain_base"):  # which have a script of their own
        assert f"--config=configs/{name}.py" in text and "--workdir=" in text


@pytest.mark.parametrize("name", TABLE_14)
def test_glue_is_trained_as_the_albert_paper_says(name, monkeypatch):
    config = load(name, monkeypatch)
    rate, batch, dropout, steps, warmup = TABLE_14[name]
    assert (config.learning_rate, config.batch_size) == (rate, batch)
    assert config.steps == steps and config.accumulate == 1
    assert config.warmup_ratio * steps == pytest.approx(warmup, rel=1e-12)
    model = config.model
    assert model.hidden_dropout_prob == model.attention_probs_dropout_prob == dropout
    assert model.classifier_dropout_prob == 0.1
    assert config.data.max_seq_length == 512
    assert config.data.task == f"glue/{name}"


@pytest.mark.parametrize("name", ["ag_news", "imdb"])
def test_the_others_are_trained_as_the_elbert_paper_says(name, monkeypatch):
    config = load(name, monkeypatch)
    assert (config.learning_rate, config.batch_size) == (3e-5, 32)
    assert config.init == load("sst2", monkeypatch).init == "albert/albert-large-v2"
