"""Strict globals, set before the first JAX operation, and what tests share."""

import os
import pathlib
import shutil
import signal
from collections.abc import Iterator

import jax
import pytest
from absl import flags

from elbert_jax import Classifier, ConfidenceWindow, interruption, machine
from elbert_jax.data.vocabulary import train_tokenizer
from elbert_jax.hub import operating_point, pretrained
from elbert_jax.model import albert
from elbert_jax.model.albert import AlbertConfig
from elbert_jax.serving import files
from tests import text_files

# Compilers work on tiny programs for longer than these run: it was half of the tests'
# time. So LLVM optimises little, and XLA emits loops in its older, quicker way; its
# passes are as ever. Of commands that tests start, too; 0 has all of it back.
NOT_OPTIMISED = os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1") != "0"
jax.config.update("jax_disable_most_optimizations", NOT_OPTIMISED)
if NOT_OPTIMISED and jax.__version_info__ < (0, 11):  # XLA dies of a flag it lost
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
flags.FLAGS.mark_as_parsed()  # grain reads absl flags when it starts

# Programs and measurements that commands keep, and the tests' own programs beside them:
# for the other worker, a step that is traced anew, and the next run of the tests.
os.environ["XDG_CACHE_HOME"] = str(pathlib.Path(__file__).parents[1] / ".pytest_cache")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
machine.enable_compilation_cache()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)

SHARED_DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def listening() -> Iterator[None]:
    """Signals stop a job as they stop a command, and pytest as ever after it."""
    numbers = signal.SIGINT, signal.SIGTERM
    handlers = [signal.getsignal(number) for number in numbers]
    interruption.listen()
    yield
    interruption.listen()  # and no job after it is asked to stop
    for number, handler in zip(numbers, handlers):
        signal.signal(number, handler)


@pytest.fixture
def shared_data() -> pathlib.Path:
    """The folder of real data, which lies beside the checkout; skips without it."""
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
    """The random model, whose texts leave at many layers."""
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
    """That model, with a criterion by which its texts leave at several layers."""
    exit = ConfidenceWindow(delta=0.6, window=2, criterion="label")
    return Classifier.from_pretrained(
        answering_model, exit=exit, slots=8, devices=jax.devices()[:1]
    )


@pytest.fixture
def small_chunks(monkeypatch) -> None:
    """Has files answered a few rows at a time: 4, 4, 8, and 16 of 8 slots."""
    monkeypatch.setattr(files, "_FIRST_CHUNK", 4)
    monkeypatch.setattr(files, "_ROWS_PER_SLOT", 2)


@pytest.fixture(scope="module")
def hf_saved(tmp_path_factory) -> pathlib.Path:
    """A tiny sequence classifier as transformers saves it; not to be changed."""
    import hugging_face  # wants PyTorch

    directory = tmp_path_factory.mktemp("saved")
    hugging_face.hugging_face(**hugging_face.TINY).save_pretrained(directory)
    return directory


@pytest.fixture
def hf_copy(hf_saved, tmp_path) -> pathlib.Path:
    """A copy of it, to be changed."""
    return shutil.copytree(hf_saved, tmp_path / "copy")


@pytest.fixture(scope="module")
def optax_promotes():
    """Lets types mix, as optax's Adam does: a float to the power of an integer."""
    with jax.numpy_dtype_promotion("standard"):
        yield
