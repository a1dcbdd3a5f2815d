"""What users would run instead: transformers on PyTorch, and ONNX Runtime.

A peer gets length-sorted batches of the best of several sizes, and all cores. Except
for torch.compile, which compiles every shape, batches are padded to their longest text.

Letters: B texts of a batch, L tokens, C classes.
"""

import dataclasses
import functools
import importlib
import logging
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from elbert_jax import machine
from elbert_jax.benchmarking import onnx_export
from elbert_jax.benchmarking.suite import Suite
from elbert_jax.benchmarking.workload import Workload
from elbert_jax.data import batching
from elbert_jax.data.batching import Batch
from elbert_jax.data.encoded import Encoded
from elbert_jax.hub import pretrained
from elbert_jax.inference.predictions import Predictions
from elbert_jax.model.config import AlbertConfig

PEERS = {  # the systems, as rows name them
    "eager": "transformers, eager",
    "sdpa": "transformers, sdpa",
    "compile": "transformers, sdpa, torch.compile",
    "onnx_fp32": "ONNX Runtime, float32",
    "onnx_int8": "ONNX Runtime, int8",
}


class Unavailable(Exception):
    """Why a peer cannot be measured here."""


@dataclasses.dataclass(frozen=True)
class Peer:
    """A model of another library, which predicts all texts at full depth."""

    config: AlbertConfig
    forward: Callable[[Batch], Any]  # to logits [B, C], perhaps not yet computed
    collect: Callable[[Any], np.ndarray]  # waits for them
    lengths: Sequence[int]  # to which batches are padded
    rows: int = 1  # see `batching.max_batch_size`
    full_batches: bool = False  # whether short batches are filled up

    def __call__(self, encoded: Encoded) -> Predictions:
        predictions, outputs = Predictions.empty(self.config, len(encoded)), []
        depth, most = self.config.num_hidden_layers, batching.max_batch_size(self.rows)
        for rows, length in batching.cut(encoded.lengths, self.lengths, most):
            size = int(most(np.array(length))) if self.full_batches else len(rows)
            output = self.forward(batching.pad(encoded, rows, length, size))
            outputs.append((rows, output))
            predictions.add_steps(depth * size, depth * len(rows), length)
        for rows, output in outputs:
            predictions.logits[rows] = self.collect(output)[: len(rows)]
        predictions.layers[:] = depth
        return predictions


class Peers:
    """Opens the peers of a workload."""

    def __init__(self, folder: str | os.PathLike[str], load: Workload, suite: Suite):
        """Keeps what the peers share; `folder` is for their model files."""
        self.folder, self.load, self.suite = pathlib.Path(folder), load, suite
        self.config, self.gpu = load.config, jax.default_backend() == "gpu"
        self._best: dict[str, int] = {}

    @functools.cached_property
    def directory(self) -> pathlib.Path:
        """The model as a Hugging Face directory; ONNX graphs are added."""
        load = self.load
        pretrained.save(self.folder, load.config, load.params, load.labels)
        return self.folder

    def available(self, names: Sequence[str]) -> tuple[dict[str, Peer], dict[str, str]]:
        """Returns the peers that run here, and why others do not, by system name."""
        opened, unavailable = {}, {}
        for name in names:
            try:
                opened[PEERS[name]] = self.open(name)
            except Unavailable as error:
                unavailable[PEERS[name]] = str(error)
        return opened, unavailable

    def open(self, name: str) -> Peer:
        """Returns a peer by its key in `PEERS`, warm, at its best batch size.

        Raises:
          Unavailable: a package is missing, or it fails here; in one line.
        """
        try:
            peer = self._onnx(name) if name.startswith("onnx") else self._torch(name)
            return self._at_its_best(name, peer)
        except Unavailable:
            raise
        except ImportError as error:
            raise Unavailable(f"{error.name or error} is not installed") from error
        except Exception as error:  # other libraries raise anything
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Unavailable(f"it fails here: {reason}") from error

    def _at_its_best(self, name: str, peer: Peer) -> Peer:
        if name == "compile":  # as every size compiles: the best without compiling
            peer = dataclasses.replace(peer, rows=self._best.get("sdpa", peer.rows))
            peer(self._sample(peer))
            return peer
        rates = {}
        for rows in self.suite.peer_sizes:
            sized = dataclasses.replace(peer, rows=rows)
            sample = self._sample(sized)
            sized(sample)
            start = time.perf_counter()
            sized(sample)
            rates[rows] = sample.lengths.sum() / (time.perf_counter() - start)
        self._best[name] = max(rates, key=rates.__getitem__)
        return dataclasses.replace(peer, rows=self._best[name])

    def _sample(self, peer: Peer) -> Encoded:
        """Returns some whole batches of a peer's, with the padding of them all."""
        texts = self.load.texts(self.load.mixes[0], self.suite.texts)
        most = batching.max_batch_size(peer.rows)
        cut = [rows for rows, _ in batching.cut(texts.lengths, peer.lengths, most)]
        return batching.some_batches(texts, cut, -(-self.suite.few // peer.rows))

    def _module(self, attention: str) -> Any:
        import torch
        import transformers

        transformers.utils.logging.disable_progress_bar()
        torch.set_num_threads(machine.cores())
        torch.set_float32_matmul_precision("high")  # TF32 on a GPU, as in JAX
        return transformers.AutoModelForSequenceClassification.from_pretrained(
            self.directory, attn_implementation=attention
        ).eval()

    def _torch(self, name: str) -> Peer:
        import torch

        compiled = name == "compile"
        module = self._module("eager" if name == "eager" else "sdpa")
        if self.gpu and not torch.cuda.is_available():
            raise Unavailable("PyTorch sees no GPU")
        device = torch.device("cuda" if self.gpu else "cpu")
        module = module.to(device, getattr(torch, self.config.dtype))
        lengths: Sequence[int] = self._every_length
        if compiled:  # the shared layer, whose graph compiles once for each shape
            dynamo: Any = torch._dynamo
            dynamo.config.recompile_limit = 1000
            module.albert.encoder.albert_layer_groups[0].compile(dynamic=False)
            lengths = batching.bucket_lengths(self.config.max_position_embeddings)

        def forward(batch: Batch) -> Any:
            with torch.inference_mode():
                given = {
                    name: torch.from_numpy(array).to(device)
                    for name, array in _inputs(batch).items()
                }
                return module(**given).logits

        def collect(logits: Any) -> np.ndarray:
            return logits.float().cpu().numpy()

        rows = self.suite.peer_sizes[-1]
        return Peer(self.config, forward, collect, lengths, rows, full_batches=compiled)

    def _onnx(self, name: str) -> Peer:
        onnxruntime: Any = importlib.import_module("onnxruntime")
        if self.gpu:
            raise Unavailable("it is measured on CPUs only")
        graph = self.directory / "float32.onnx"
        if not graph.exists():
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            onnx_export.export(self._module("eager"), graph)
        if name == "onnx_int8":
            layers, groups = self.config.num_hidden_layers, self.config.inner_group_num
            graph, float32 = self.directory / "int8.onnx", graph
            onnx_export.quantise(float32, graph, layers, groups)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = machine.cores()
        # Its threads must not spin while other systems are timed.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )

        def forward(batch: Batch) -> Any:
            return session.run(["logits"], _inputs(batch))[0]

        return Peer(self.config, forward, np.asarray, self._every_length)

    @property
    def _every_length(self) -> range:
        return range(1, self.config.max_position_embeddings + 1)


def _inputs(batch: Batch) -> dict[str, np.ndarray]:
    arrays = batch.tokens, batch.mask, batch.types
    return {n: x.astype(np.int64) for n, x in zip(onnx_export.INPUTS, arrays)}
