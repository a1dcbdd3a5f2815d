"""ALBERT as ONNX graphs, in float32 and with int8 matmuls.

The packages of the extra `bench` are imported by name where they are needed, as they
may be missing.
"""

import importlib
import logging
import pathlib
import warnings
from typing import Any

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_MATMULS = 6  # with weights, of a layer: four of attention, two feed-forward


class NotQuantised(ValueError):
    """The quantiser left matmuls of the shared layer in float32."""


def export(model: Any, path: pathlib.Path) -> None:
    """Writes a transformers classifier with eager attention as a float32 graph.

    Its inputs are `INPUTS`, int64 [batch, length] of any size; its output is `logits`.
    """
    import torch

    onnx: Any = importlib.import_module("onnx")

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, token_type_ids):
            given = dict(zip(INPUTS, (input_ids, attention_mask, token_type_ids)))
            return self.model(**given).logits

    tokens = torch.ones((2, 8), dtype=torch.int64)
    mask, types = tokens.tril(5), tokens - 1  # without padding it drops the mask
    most = model.config.max_position_embeddings
    batch = torch.export.Dim("batch", max=1 << 16)
    free = {0: batch, 1: torch.export.Dim("length", min=2, max=most)}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            Logits(),
            (tokens, mask, types),
            path,
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamo=True,
            dynamic_shapes=(free,) * len(INPUTS),
            external_data=False,
            verbose=False,
        )
    graph = onnx.load(path)
    del graph.graph.value_info[:]  # the exporter's shapes contradict its weights
    onnx.save(graph, path)


def quantise(path: pathlib.Path, target: pathlib.Path, layers: int) -> None:
    """Writes the graph of `export` with int8 matmuls, quantised dynamically.

    The quantiser changes a matmul only if its weight is a constant, and the exporter
    leaves each weight as a transposition of the checkpoint's in each of the `layers`,
    so ONNX Runtime folds those first.

    Raises:
      NotQuantised: fewer matmuls are int8 than the layers have.
    """
    onnx: Any = importlib.import_module("onnx")
    quantization: Any = importlib.import_module("onnxruntime.quantization")
    preparation = importlib.import_module("onnxruntime.quantization.shape_inference")
    folded = target.with_suffix(".folded.onnx")
    no_shapes = {"skip_symbolic_shape": True, "skip_onnx_shape": True}
    preparation.quant_pre_process(path, folded, **no_shapes)
    logging.disable(logging.WARNING)  # it advises to fold constants, which is done
    try:
        integer = quantization.QuantType.QInt8
        quantization.quantize_dynamic(folded, target, weight_type=integer)
    finally:
        logging.disable(logging.NOTSET)
    folded.unlink()
    kinds = [node.op_type for node in onnx.load(target).graph.node]
    found, wanted = kinds.count("MatMulInteger"), _MATMULS * layers
    if found < wanted:
        raise NotQuantised(f"{found} of {wanted} matmuls of the layers are int8")
