"""A model's files: whole, in shards, pickled, damaged, missing, or from the hub."""

import json
import shutil
import sys

import jax
import numpy as np
import pytest

from elbert_jax.errors import UserError
from elbert_jax.hub import pretrained
from tests.hugging_face import TINY, hugging_face, torch


def test_shards_equal_the_whole(hf_saved, tmp_path):
    hugging_face(**TINY).save_pretrained(tmp_path, max_shard_size="3KB")
    assert len([*tmp_path.glob("model-*.safetensors")]) > 2
    whole, shards = pretrained.load(hf_saved), pretrained.load(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, whole.params, shards.params)
    assert whole.mapped == shards.mapped

    next(tmp_path.glob("model-00002*")).unlink()
    with pytest.raises(UserError, match="model-00002-of-.*No such file"):
        pretrained.load(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    for shard in ("../model.safetensors", 3):
        index.write_text(json.dumps({"weight_map": {"classifier.bias": shard}}))
        with pytest.raises(UserError, match="names no files here"):
            pretrained.load(tmp_path)


def test_pickle_is_read_only_when_asked_for(hf_saved, tmp_path, monkeypatch):
    model = hugging_face(**TINY)
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="is a pickle.*allow_pickle"):
        pretrained.load(tmp_path)
    got, want = pretrained.load(tmp_path, allow_pickle=True), pretrained.load(hf_saved)
    jax.tree.map(np.testing.assert_array_equal, got.params, want.params)

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="needs torch"):
        pretrained.load(tmp_path, allow_pickle=True)


def test_pickle_that_would_run_code_is_refused(hf_saved, tmp_path):
    class Exploit:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    shutil.copy(hf_saved / "config.json", tmp_path)
    torch.save({"albert.pooler.weight": Exploit()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot read .*pytorch_model.bin"):
        pretrained.load(tmp_path, allow_pickle=True)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_or_damaged_file_is_named(name, hf_copy):
    for damage in (b"", b"[]", b"not a header, not an object"):
        (hf_copy / name).write_bytes(damage)
        with pytest.raises(UserError, match=name) as raised:
            pretrained.load(hf_copy)
        assert "\n" not in str(raised.value)
    (hf_copy / name).unlink()
    with pytest.raises(UserError, match=f"{name}: No such file"):
        pretrained.load(hf_copy)


def test_truncated_weights_are_named(hf_copy):
    data = (hf_copy / "model.safetensors").read_bytes()
    (hf_copy / "model.safetensors").write_bytes(data[:-10])
    with pytest.raises(UserError, match="cannot read .*model.safetensors"):
        pretrained.load(hf_copy)


def test_source_that_is_no_directory(hf_copy):
    for source in (
        hf_copy / "nowhere",
        hf_copy / "config.json",
        "./nowhere",
        "~no-such-user/x",
        "a/b/c",
        "a" * 300,
    ):
        with pytest.raises(UserError, match="is not a directory"):
            pretrained.load(source)
    with pytest.raises(UserError, match="only the hub has revisions"):
        pretrained.load(hf_copy, revision="main")


@pytest.fixture
def hub_cache(hf_saved, tmp_path, monkeypatch):
    """The hub's local cache, holding one model."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789abcdef0123456789abcdef01234567"
    model = tmp_path / "models--someone--tiny"
    shutil.copytree(hf_saved, model / "snapshots" / commit)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)
    return constants


def test_hub_model_comes_from_the_cache(hf_saved, hub_cache, monkeypatch):
    want = pretrained.load(hf_saved)
    got = pretrained.load("someone/tiny", local_files_only=True)
    jax.tree.map(np.testing.assert_array_equal, got.params, want.params)
    with pytest.raises(UserError, match="someone/other is no directory.*not give it"):
        pretrained.load("someone/other", local_files_only=True)
    with pytest.raises(UserError, match="not give it"):
        pretrained.load("someone/tiny", revision="v2", local_files_only=True)

    monkeypatch.setattr(hub_cache, "HF_HUB_OFFLINE", True)
    assert pretrained.load("someone/tiny").mapped == want.mapped
    with pytest.raises(UserError, match="HF_HUB_OFFLINE"):
        pretrained.load("someone/other")
    with pytest.raises(UserError, match="HFValidationError"):
        pretrained.load("no model is called so")
