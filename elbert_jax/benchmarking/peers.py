"""What users would run instead: transformers on PyTorch, and ONNX Runtime.

A peer gets length-sorted batches of the best of several sizes, and all cores. Except
for torch.compile, which compiles every shape, batches are padded to their longest text.
"""

import dataclasses
import functools
import importlib
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


@dataclasses.dataclass(frozen=True)
class Peer:
    """A model of another library, which predicts all texts at full depth."""

    config: AlbertConfig
    forward: Callable[[Batch], Any]  # to logits [B, C], perhaps not yet computed
    collect: Callable[[Any], np.ndarray] = np.asarray  # waits for them
    compiled: bool = False  # whether batches keep to few shapes
    rows: int = 1  # see `batching.max_batch_size`

    @property
    def lengths(self) -> Sequence[int]:
        """Those to which batches are padded."""
        longest = self.config.max_position_embeddings
        if self.compiled:
            return batching.bucket_lengths(longest)
        return range(1, longest + 1)

    def __call__(self, encoded: Encoded) -> Predictions:
        predictions, outputs = Predictions.empty(self.config, len(encoded)), []
        depth, most = self.config.num_hidden_layers, batching.max_batch_size(self.rows)
        for rows, length in batching.cut(encoded.lengths, self.lengths, most):
            size = int(most(np.array(length))) if self.compiled else len(rows)
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
            except ImportError as error:
                unavailable[PEERS[name]] = f"{error.name or error} is not installed"
            except Exception as error:  # other libraries raise anything
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                unavailable[PEERS[name]] = f"it fails here: {reason}"
        return opened, unavailable

    def open(self, name: str) -> Peer:
        """Returns a peer by its key in `PEERS`, warm, at its best batch size."""
        peer = self._onnx(name) if name.startswith("onnx") else self._torch(name)
        rates, sizes = {}, self.suite.peer_sizes
        if peer.compiled:  # as every size compiles: the best without compiling
            sizes = (self._best.get("sdpa", sizes[-1]),)
        for rows in sizes:
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

        module = self._module("eager" if name == "eager" else "sdpa")
        if self.gpu and not torch.cuda.is_available():
            raise RuntimeError("PyTorch sees no GPU")
        device = torch.device("cuda" if self.gpu else "cpu")
        module = module.to(device, getattr(torch, self.config.dtype))
        if compiled := name == "compile":  # the shared layer, once for each shape
            dynamo: Any = torch._dynamo
            dynamo.config.recompile_limit = 1000
            module.albert.encoder.albert_layer_groups[0].compile(dynamic=False)

        @torch.inference_mode()
        def forward(batch: Batch) -> Any:
            inputs = _inputs(batch).items()
            given = {key: torch.from_numpy(array).to(device) for key, array in inputs}
            return module(**given).logits

        def collect(logits: Any) -> np.ndarray:
            return logits.float().cpu().numpy()

        return Peer(self.config, forward, collect, compiled)

    def _onnx(self, name: str) -> Peer:
        onnxruntime: Any = importlib.import_module("onnxruntime")
        if self.gpu:
            raise RuntimeError("ONNX Runtime is measured on CPUs only")
        graph = self.directory / "float32.onnx"
        if not graph.exists():
            onnx_export.export(self._module("eager"), graph)
        if name == "onnx_int8":
            float32, graph = graph, self.directory / "int8.onnx"
            layers = self.config.num_hidden_layers * self.config.inner_group_num
            onnx_export.quantise(float32, graph, layers)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = machine.cores()
        # Its threads must not spin while other systems are timed.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        providers = ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(graph, options, providers=providers)

        def forward(batch: Batch) -> Any:
            return session.run(["logits"], _inputs(batch))[0]

        return Peer(self.config, forward)


def _inputs(batch: Batch) -> dict[str, np.ndarray]:
    arrays = batch.tokens, batch.mask, batch.types
    return {n: x.astype(np.int64) for n, x in zip(onnx_export.INPUTS, arrays)}
