"""Strict JAX settings, hypothesis profiles, and the fixtures that tests share."""

import functools
import os
import pathlib
import runpy
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator

import absl.app
import huggingface_hub
import hypothesis
import jax
import pytest
from absl import flags
from absl.testing import flagsaver

from elbert_jax import Classifier, ConfidenceWindow, interruption, machine
from elbert_jax.data.vocabulary import train_tokenizer
from elbert_jax.hub import operating_point, pretrained
from elbert_jax.model import albert
from elbert_jax.model.config import AlbertConfig
from elbert_jax.serving import files
from tests import text_files

# Compiling the tests' tiny programs takes longer than running them. So LLVM optimises
# little, and XLA emits loops in its older, faster way and matmuls without YNNPACK.
# Commands that tests start inherit this. `make test` runs the tests marked `exactness`
# with 0, that is with all optimisations, as users run the programs.
UNOPTIMISED = os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1") != "0"
jax.config.update("jax_disable_most_optimizations", UNOPTIMISED)
if UNOPTIMISED and jax.__version_info__ < (0, 11):  # a later XLA aborts at this flag
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_cpu_use_fusion_emitters=false --xla_cpu_experimental_ynn_fusion_type=",
    )
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
flags.FLAGS.mark_as_parsed()  # grain reads absl flags when it starts

# The same examples at every run, or random ones (`make fuzz`). Tests that take fewer
# than 100 examples scale theirs by the profile: tests/properties.py.
hypothesis.settings.register_profile("fixed", deadline=None, derandomize=True)
hypothesis.settings.register_profile(
    "random", deadline=None, max_examples=500, print_blob=True
)
hypothesis.settings.load_profile("fixed")

# Compiled programs are cached for the other pytest worker, the commands that tests
# start, and the next run of the tests; so are measured token budgets.
os.environ["XDG_CACHE_HOME"] = str(pathlib.Path(__file__).parents[1] / ".pytest_cache")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
machine.enable_compilation_cache()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)

# Training measures it at every start, for seconds.
machine.peak_flops = functools.cache(machine.peak_flops)

SHARED_DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and jax.default_backend() != "gpu":
        pytest.skip("JAX sees no GPU")


@pytest.fixture
def listening() -> Iterator[None]:
    """Installs the commands' signal handlers, and pytest's again after the test."""
    numbers = signal.SIGINT, signal.SIGTERM
    handlers = [signal.getsignal(number) for number in numbers]
    interruption.listen()
    yield
    interruption.listen()  # clears a signal that was received
    for number, handler in zip(numbers, handlers):
        signal.signal(number, handler)


@pytest.fixture
def run_here(
    listening, monkeypatch, capsys
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command that exits early in this process, which saves its imports."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(
        absl.app, "run", lambda main, flags_parser: main(flags_parser(sys.argv))
    )

    def run(command: str, *words: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(warnings, "showwarning", None)  # a command replaces it
        monkeypatch.setattr(sys, "argv", [command, *words])
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as ending:
            runpy.run_module(f"elbert_jax.{command}", run_name="__main__")
        status = ending.value.code
        assert isinstance(status, int)
        return subprocess.CompletedProcess(words, status, *capsys.readouterr())

    return run


@pytest.fixture
def shared_data() -> pathlib.Path:
    """The folder of real data beside the checkout; skips the test without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder ../shared/data of real data is not here")
    return SHARED_DATA


def _tiny(tokenizer, layers: int, positions: int) -> AlbertConfig:
    return AlbertConfig(
        vocab_size=len(tokenizer),
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=positions,
        num_labels=3,
        initializer_range=0.4,
    )


@pytest.fixture(scope="session")
def random_model(tmp_path_factory):
    """Configuration, parameters and tokenizer of 5 layers and 3 classes."""
    words = ["although sales fell in the first quarter, operating profit rose", "bank"]
    tokenizer = train_tokenizer(words, 60, tmp_path_factory.mktemp("tokenizer"))
    config = _tiny(tokenizer, layers=5, positions=40)
    params = albert.init(config, jax.random.key(5))
    params["classifier"]["kernel"] *= 3
    return config, params, tokenizer


@pytest.fixture(scope="module")
def classifier(random_model) -> Classifier:
    """The random model, with a criterion that exits at many different layers."""
    config, params, tokenizer = random_model
    return Classifier(
        config,
        params,
        ("negative", "neutral", "positive"),
        tokenizer,
        ConfidenceWindow(0.1, 3),
        slots=3,
        devices=jax.devices()[:2],
    )


@pytest.fixture(scope="module")
def answering_model(tmp_path_factory) -> pathlib.Path:
    """The directory of a tiny random model that knows the words of text_files."""
    directory = tmp_path_factory.mktemp("model")
    tokenizer = train_tokenizer(text_files.TEXTS, 60, directory)
    config = _tiny(tokenizer, layers=4, positions=16)
    params = albert.init(config, jax.random.key(1))
    pretrained.save(directory, config, params, ("bad", "fair", "good"))
    exit = ConfidenceWindow(delta=0.4, window=2, criterion="label")
    operating_point.save(directory, exit, {})
    return directory


@pytest.fixture(scope="module")
def answerer(answering_model) -> Classifier:
    """That model, with a criterion that exits at several different layers."""
    exit = ConfidenceWindow(delta=0.6, window=2, criterion="label")
    return Classifier.from_pretrained(
        answering_model, exit=exit, slots=8, devices=jax.devices()[:1]
    )


@pytest.fixture
def small_chunks(monkeypatch) -> None:
    """Makes `files.predict` take few rows at a time: 4, 4, 8, then 16 (of 8 slots)."""
    monkeypatch.setattr(files, "_FIRST_CHUNK", 4)
    monkeypatch.setattr(files, "_ROWS_PER_SLOT", 2)


@pytest.fixture(scope="module")
def hf_saved(tmp_path_factory) -> pathlib.Path:
    """A tiny sequence classifier as transformers saves it; tests must not edit it."""
    from tests import hugging_face  # skips the test without PyTorch

    directory = tmp_path_factory.mktemp("saved")
    hugging_face.hugging_face(**hugging_face.TINY).save_pretrained(directory)
    return directory


@pytest.fixture
def hf_copy(hf_saved, tmp_path) -> pathlib.Path:
    """A copy of that directory, which a test may edit."""
    return shutil.copytree(hf_saved, tmp_path / "copy")


@pytest.fixture(scope="module")
def optax_promotes():
    """Allows mixed dtypes: optax's Adam raises a float to an integer power."""
    with jax.numpy_dtype_promotion("standard"):
        yield
