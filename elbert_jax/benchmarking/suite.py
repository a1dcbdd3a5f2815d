"""How much a benchmark measures: sizes of its workloads, batches and peers."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Suite:
    """The settings of a benchmark. Sizes are numbers of texts unless stated."""

    shape: str  # of the random model
    dtype: str  # of its matmuls
    texts: int  # of the parts systems, raw and exits
    alone: int  # of these, predicted one at a time
    queues: tuple[tuple[str, int], ...]  # mixes ("": the usual one) and their texts
    mixes: tuple[tuple[str, int], ...]  # likewise, also timed in PyTorch
    few: int  # for choosing a peer's batch size
    large: tuple[str, int, int]  # mix, texts in all, and batches timed of these
    slots: int | str  # texts of 16 tokens, or "auto"; see `capacity.choose`
    sizes: tuple[int, ...]  # slots and batch sizes of the curves
    ratios: tuple[float, ...]  # compute ratios of the curve
    peers: tuple[str, ...]  # keys of `peers.PEERS`
    peer_sizes: tuple[int, ...]  # batch sizes that are tried
    minutes: float  # after which no part begins
    compute_ratio: float = 1 / 3  # mean exit layer over depth
    repeats: int = 5  # timed runs, after a warm-up

    def changed(self, **changes: Any) -> "Suite":
        """Returns the suite with those of the changes that are not None."""
        given = {name: value for name, value in changes.items() if value is not None}
        return dataclasses.replace(self, **given)


_SMALL_SETS = (("fpb_balanced", 291), ("fpb", 969))
SUITES = {
    "quick": Suite(  # within 5 minutes on 2 cores
        shape="small",
        dtype="float32",
        texts=320,
        alone=16,
        queues=(("", 512),),
        mixes=(),
        few=64,
        large=("fpb", 30000, 1),
        slots=64,
        sizes=(1, 8, 32),
        ratios=(0.3, 0.5),
        peers=("sdpa", "onnx_fp32", "onnx_int8"),
        peer_sizes=(16, 64),
        minutes=4,
    ),
    "cpu": Suite(  # two hours on 2 cores; one of them is the queue
        shape="base",
        dtype="float32",
        texts=768,
        alone=64,
        queues=(*_SMALL_SETS, ("", 32), ("", 128), ("", 20000)),
        mixes=(("imdb", 16),),
        few=96,
        large=("fpb", 30000, 3),
        slots=32,  # 512 tokens: larger batches leave the cache
        sizes=(1, 4, 16, 32, 64),
        ratios=(0.2, 0.4, 0.7),
        peers=("eager", "sdpa", "compile", "onnx_fp32", "onnx_int8"),
        peer_sizes=(16, 32, 64),
        minutes=150,
    ),
    "gpu": Suite(
        shape="large",
        dtype="bfloat16",
        texts=20000,
        alone=128,
        queues=(*_SMALL_SETS, ("", 4096), ("", 20000), ("", 32000)),
        mixes=(("fpb", 20000), ("imdb", 4096)),
        few=4096,
        large=("fpb", 30000, 100),
        slots=1024,
        sizes=(1, 8, 32, 128, 512, 2048),
        ratios=(0.15, 0.25, 0.35, 0.5, 0.75),
        peers=("eager", "sdpa", "compile"),
        peer_sizes=(256, 1024),
        minutes=8,
    ),
}
