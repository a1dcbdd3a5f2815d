"""The command `python -m elbert_jax.convert`, run as a user runs it."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy

from elbert_jax.hub import pretrained, weight_table
from elbert_jax.model import albert, pretraining_heads
from elbert_jax.model.config import AlbertConfig
from tests.command_line import start

CONFIG = AlbertConfig(
    vocab_size=20,
    embedding_size=4,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A model directory with tokenizer files, and a file that is neither's."""
    directory = tmp_path_factory.mktemp("source")
    config = dataclasses.replace(CONFIG, exit_heads="linear")
    params = albert.init(config, jax.random.key(0))
    pretrained.save(
        directory, config, params, ("bad", "good"), training={"method": "pabee"}
    )
    (directory / "spiece.model").write_bytes(b"\x00pieces")
    (directory / "tokenizer_config.json").write_text("{}")
    (directory / "training_args.bin").write_bytes(b"private")
    return directory


@pytest.mark.slow
def test_converts_a_directory_and_says_what_it_did(source, tmp_path):
    to = tmp_path / "new" / "model"
    done = start("convert", f"--from={source}", f"--to={to}")
    assert (done.returncode, done.stderr) == (0, "")
    for line in (
        f"mapped {len(weight_table.weights(CONFIG)) + 2}",
        "  albert.pooler.weight",
        "  exit_heads.classifier.weight",
        "initialised 0",
        "ignored 0",
        "tokenizer 2",
        "  spiece.model",
        "labels 2",
        "  good",
    ):
        assert line in done.stdout.splitlines()
    written = {path.name for path in to.iterdir()}
    tokenizer = {"spiece.model", "tokenizer_config.json"}
    assert written == {"config.json", "model.safetensors"} | tokenizer
    assert [path.name for path in to.parent.iterdir()] == ["model"]  # nothing else left
    for name in written:
        assert (to / name).read_bytes() == (source / name).read_bytes()
    before, after = pretrained.load(source), pretrained.load(to)
    jax.tree.map(np.testing.assert_array_equal, before.params, after.params)
    assert after.labels == ("bad", "good")


@pytest.mark.slow
def test_keeps_the_pretraining_heads_when_asked_for(tmp_path):
    source, to = tmp_path / "source", tmp_path / "to"
    params = pretraining_heads.init(CONFIG, jax.random.key(0))
    pretrained.save(
        source, CONFIG, params, ("kept", "swapped"), model=weight_table.PRETRAINING
    )
    done = start("convert", f"--from={source}", f"--to={to}", "--head=pretraining")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\ninitialised 0\nignored 0\n" in done.stdout
    for name in ("config.json", "model.safetensors"):
        assert (to / name).read_bytes() == (source / name).read_bytes()


@pytest.mark.slow
def test_reports_what_was_initialised_and_ignored(source, tmp_path, run_here):
    torch = pytest.importorskip("torch")
    tensors = safetensors.numpy.load_file(source / "model.safetensors")
    words = tensors["albert.embeddings.word_embeddings.weight"]
    tensors = {k: x for k, x in tensors.items() if "pooler" not in k}
    tensors["predictions.decoder.weight"] = words
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(source / "config.json", old)
    state = {key: torch.tensor(x) for key, x in tensors.items()}
    torch.save(state, old / "pytorch_model.bin")

    flags = f"--from={old}", f"--to={tmp_path}/to"
    refused = run_here("convert", *flags)
    assert refused.returncode == 2 and "allow_pickle" in refused.stderr
    assert not (tmp_path / "to").exists()

    (tmp_path / "to").mkdir()  # an empty directory may be written
    done = start("convert", *flags, "--allow_pickle")
    assert (done.returncode, done.stderr) == (0, "")
    heads = ("classifier.bias", "classifier.weight")
    heads += ("exit_heads.classifier.bias", "exit_heads.classifier.weight")
    fresh = (*heads, "albert.pooler.bias", "albert.pooler.weight")
    useless = (*heads, "predictions.decoder.weight")
    for verb, keys in (("initialised", fresh), ("ignored", useless)):
        assert "\n  ".join((f"\n{verb} {len(keys)}", *keys)) + "\n" in done.stdout
    assert "\ntokenizer 0\n" in done.stdout
    got = pretrained.load(tmp_path / "to").params["embeddings"]["word_embeddings"][
        "embedding"
    ]
    np.testing.assert_array_equal(got, words)


def test_a_mistake_is_one_line_and_status_2(tmp_path, run_here):
    done = run_here("convert", f"--from={tmp_path}")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "error: --from and --to are both needed\n"


def test_a_mistake_changes_nothing(source, tmp_path, run_here):
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").write_text("precious")
    new = tmp_path / "new"
    for given, to, message in (
        (source, full, "exists already and is no empty"),
        ("someone/other", new, "the hub does not give it"),
        (source, full / "thesis.tex" / "x", "cannot be written"),
    ):
        done = run_here("convert", f"--from={given}", f"--to={to}")
        assert done.returncode == 2 and message in done.stderr
    assert [path.name for path in full.iterdir()] == ["thesis.tex"]
    assert not new.exists()
