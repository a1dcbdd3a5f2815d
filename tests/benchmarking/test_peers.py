"""Peers answer as this library does at full depth, or say why they cannot."""

import sys

import numpy as np
import pytest

from elbert_jax.benchmarking import onnx_export
from elbert_jax.benchmarking.peers import PEERS, Peers
from elbert_jax.benchmarking.suite import SUITES
from elbert_jax.benchmarking.workload import Workload
from elbert_jax.data.encoded import Encoded

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def encoded(classifier):
    texts = ["profit rose", "sales fell in the first quarter", "bank", "", "rose"] * 3
    return Encoded.build(classifier.tokenizer, texts)


class Few(Workload):
    """A classifier and some texts of one kind."""

    mixes = ("few",)

    def __init__(self, classifier, encoded):
        self.config, self.params = classifier.config, classifier.params
        self.labels, self.encoded = classifier.labels, encoded

    def texts(self, mix, count):
        return self.encoded

    strings = exit_at = None  # pyright: ignore


@pytest.fixture(scope="module")
def opener(classifier, encoded, tmp_path_factory):
    suite = SUITES["quick"].changed(peer_sizes=(2, 4), few=4)
    return Peers(tmp_path_factory.mktemp("peers"), Few(classifier, encoded), suite)


@pytest.fixture(scope="module")
def full(classifier, encoded):
    return classifier.full_depth(encoded)


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["eager", "sdpa"])
def test_pytorch(opener, encoded, full, name):
    peer = opener.open(name)
    answers = peer(encoded)
    np.testing.assert_allclose(answers.logits, full.logits, atol=1e-4)
    assert (answers.layers == 5).all() and peer.rows in (2, 4)
    # Batches are as long as their longest text, and hold no filler.
    lengths, size = sorted(encoded.lengths.tolist()), peer.rows
    batches = [lengths[i : i + size] for i in range(0, len(lengths), size)]
    tokens = 5 * sum(len(batch) * batch[-1] for batch in batches)
    assert answers.slot_tokens == answers.busy_tokens == tokens


def test_onnx_runtime(opener, encoded, full):
    pytest.importorskip("onnx", reason="onnx, of the extra bench, is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    answers = opener.open("onnx_fp32")(encoded)
    np.testing.assert_allclose(answers.logits, full.logits, atol=1e-4)
    answers = opener.open("onnx_int8")(encoded)
    off = np.abs(answers.logits - full.logits).max()
    assert 1e-3 < off < 2  # integers, but not nonsense
    graph, target = (opener.directory / name for name in ("float32.onnx", "x.onnx"))
    with pytest.raises(onnx_export.NotQuantised, match="of 54 matmuls"):
        onnx_export.quantise(graph, target, layers=9)


def test_what_is_missing_is_named(opener, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    reasons = {PEERS["onnx_fp32"]: "onnxruntime is not installed"}
    assert opener.available(["onnx_fp32"]) == ({}, reasons)


def test_what_fails_is_told_in_a_line(opener, monkeypatch):
    def fail(self, attention):
        raise RuntimeError("out of memory\nat length")

    monkeypatch.setattr(Peers, "_module", fail)
    reasons = {PEERS["sdpa"]: "it fails here: out of memory"}
    assert opener.available(["sdpa"]) == ({}, reasons)
