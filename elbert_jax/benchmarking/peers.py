"""What users would run instead: transformers on PyTorch, and ONNX Runtime.

A peer gets length-sorted batches, of the best of several sizes, and all cores. But for
torch.compile, which compiles every shape, its batches are padded to their longest text.

Letters: B texts of a batch, L tokens, C classes.
"""

import dataclasses
import importlib
import logging
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from elbert_jax import machine
from elbert_jax.benchmarking import onnx_export
from elbert_jax.data import batching
from elbert_jax.data.batching import Batch, Encoded
from elbert_jax.inference.predictions import Predictions
from elbert_jax.model.albert import AlbertConfig


class Unavailable(Exception):
    """Why a peer cannot be measured here."""


@dataclasses.dataclass(frozen=True)
class Peer:
    """A model that answers all texts at full depth."""

    config: AlbertConfig
    forward: Callable[[Batch], Any]  # to logits [B, C], perhaps not yet computed
    collect: Callable[[Any], np.ndarray]
    buckets: Sequence[int]  # padded lengths
    rows: int = 1  # texts of a batch, see `batching.room`
    fixed: bool = False  # whether every batch has as many as it has room for

    def __call__(self, encoded: Encoded) -> Predictions:
        answers, outputs = Predictions.empty(self.config, len(encoded)), []
        depth = self.config.num_hidden_layers
        room = batching.room(self.rows)
        for rows, length in batching.cut(encoded.lengths, self.buckets, room):
            size = int(room(np.array(length))) if self.fixed else len(rows)
            output = self.forward(batching.pad(encoded, rows, length, size))
            outputs.append((rows, output))
            answers.add_steps(depth * size, depth * len(rows), length)
        for rows, output in outputs:
            answers.logits[rows] = self.collect(output)[: len(rows)]
        answers.layers[:] = depth
        return answers


class Peers:
    """Opens peers on one exported model directory."""

    def __init__(
        self,
        directory: pathlib.Path,
        config: AlbertConfig,
        gpu: bool,
        sizes: Sequence[int],
        texts: Encoded,
        few: int,
    ):
        """Says what the peers share.

        Args:
          directory: of a Hugging Face model; gets the ONNX graphs.
          config: its shape, and the dtype to compute in.
          gpu: whether PyTorch computes on the first GPU.
          sizes: B that are tried.
          texts: that they will answer.
          few: how many of these, about, they are tried on.
        """
        self.directory, self.config, self.gpu = directory, config, gpu
        self.sizes, self.texts, self.few = sizes, texts, few
        self._best: dict[str, int] = {}

    def open(self, name: str) -> Peer:
        """Returns a peer by its name in `bench.PEERS`, warm, at its best batch size.

        Raises:
          Unavailable: a package is missing, or it fails here; in one line.
        """
        try:
            kind = "onnx" if name.startswith("onnx") else "torch"
            peer = self._onnx(name) if kind == "onnx" else self._torch(name)
            return self._at_its_best(name, peer)
        except Unavailable:
            raise
        except ImportError as error:
            raise Unavailable(f"{error.name or error} is not installed") from error
        except Exception as error:  # of other libraries: they raise anything
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Unavailable(f"it fails here: {reason}") from error

    def _at_its_best(self, name: str, peer: Peer) -> Peer:
        if name == "compile":  # every size would compile: that of the same kernels
            peer = dataclasses.replace(peer, rows=self._best.get("sdpa", peer.rows))
            peer(self._sample(peer))
            return peer
        rates = {}
        for rows in self.sizes:
            sized = dataclasses.replace(peer, rows=rows)
            sample = self._sample(sized)
            sized(sample)
            start = time.perf_counter()
            sized(sample)
            rates[rows] = sample.lengths.sum() / (time.perf_counter() - start)
        self._best[name] = max(rates, key=rates.__getitem__)
        return dataclasses.replace(peer, rows=self._best[name])

    def _sample(self, peer: Peer) -> Encoded:
        """Returns some whole batches of a peer's, as much padded as they all are."""
        room, lengths = batching.room(peer.rows), self.texts.lengths
        cut = [rows for rows, _ in batching.cut(lengths, peer.buckets, room)]
        return batching.some_batches(self.texts, cut, -(-self.few // peer.rows))

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
            raise Unavailable("PyTorch sees no GPU")
        device = torch.device("cuda" if self.gpu else "cpu")
        module = module.to(device, getattr(torch, self.config.dtype))
        buckets = self._every_length
        if name == "compile":
            # The one layer, as every depth runs it: its graph compiles once a shape.
            dynamo: Any = torch._dynamo
            dynamo.config.recompile_limit = 1000
            module.albert.encoder.albert_layer_groups[0].compile(dynamic=False)
            buckets = batching.bucket_lengths(self.config.max_position_embeddings)

        def forward(batch: Batch) -> Any:
            arrays = zip(onnx_export.INPUTS, _inputs(batch))
            with torch.inference_mode():
                given = {n: torch.from_numpy(array).to(device) for n, array in arrays}
                return module(**given).logits

        return Peer(
            self.config,
            forward,
            lambda logits: logits.float().cpu().numpy(),
            buckets,
            self.sizes[-1],
            fixed=name == "compile",
        )

    def _onnx(self, name: str) -> Peer:
        onnxruntime: Any = importlib.import_module("onnxruntime")
        if self.gpu:
            raise Unavailable("it is measured on CPUs only")
        graph = self.directory / "float32.onnx"
        if not graph.exists():
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            onnx_export.export(self._module("eager"), graph)
        if name == "onnx_int8":
            graph, full = self.directory / "int8.onnx", graph
            onnx_export.quantise(
                full, graph, self.config.num_hidden_layers, self.config.inner_group_num
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = machine.cores()
        # Between runs its threads must not take turns from those who are timed then.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )

        def forward(batch: Batch) -> Any:
            given = dict(zip(onnx_export.INPUTS, _inputs(batch)))
            return session.run(["logits"], given)[0]

        return Peer(self.config, forward, np.asarray, self._every_length)

    @property
    def _every_length(self) -> range:
        return range(1, self.config.max_position_embeddings + 1)


def _inputs(batch: Batch) -> tuple[np.ndarray, ...]:
    return tuple(x.astype(np.int64) for x in (batch.tokens, batch.mask, batch.types))
