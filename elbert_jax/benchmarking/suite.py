"""How much a benchmark measures: numbers of texts, batch sizes and peers."""

import dataclasses
from typing import Any

_SMALL = (("fpb_balanced", 291), ("fpb", 969))


@dataclasses.dataclass(frozen=True)
class Suite:
    """The settings of a benchmark, by default for two hours on 2 cores.

    Sizes are numbers of texts unless stated.
    """

    shape: str = "base"  # of the random model
    dtype: str = "float32"  # of its matmuls
    compute_ratio: float = 1 / 3  # mean exit layer over depth
    texts: int = 768  # of the parts systems, raw and exits
    alone: int = 64  # of these, predicted one at a time
    # Mixes ("": the usual one) and texts; half of the time is the longest queue's.
    queues: tuple[tuple[str, int], ...] = (*_SMALL, ("", 32), ("", 128), ("", 20000))
    large: tuple[str, int, int] = ("fpb", 30000, 3)  # mix, texts, batches timed of them
    slots: int | str = 32  # texts of 16 tokens, or "auto"; see `capacity.choose`
    ratios: tuple[float, ...] = (0.2, 0.4, 0.7)  # compute ratios of the part exits
    peers: tuple[str, ...] = ("eager", "sdpa", "compile", "onnx_fp32", "onnx_int8")
    peer_sizes: tuple[int, ...] = (16, 32, 64)  # batch sizes that are tried
    few: int = 96  # for choosing among these
    minutes: float = 150  # after which no part begins
    repeats: int = 5  # timed runs, after a warm-up

    def changed(self, **changes: Any) -> "Suite":
        """Returns the suite with those of the changes that are not None."""
        given = {name: value for name, value in changes.items() if value is not None}
        return dataclasses.replace(self, **given)


SUITES = {
    "quick": Suite(  # within 5 minutes on 2 cores
        shape="small",
        texts=320,
        alone=16,
        queues=(("", 512),),
        large=("fpb", 30000, 1),
        slots=64,
        ratios=(0.3, 0.5),
        peers=("sdpa", "onnx_fp32", "onnx_int8"),
        peer_sizes=(16, 64),
        few=64,
        minutes=4,
    ),
    "cpu": Suite(),
    "gpu": Suite(
        shape="large",
        dtype="bfloat16",
        texts=20000,
        alone=128,
        queues=(*_SMALL, ("", 4096), ("", 20000), ("", 32000)),
        large=("fpb", 30000, 100),
        slots=1024,
        ratios=(0.15, 0.25, 0.35, 0.5, 0.75),
        peers=("eager", "sdpa", "compile"),
        peer_sizes=(256, 1024),
        few=4096,
        minutes=8,
    ),
}
