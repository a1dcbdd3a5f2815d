"""Which systems are timed at which settings, and what their speeds should be.

A suite is a list of parts; `parts.PARTS` says what each one does.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple


@dataclasses.dataclass(frozen=True)
class Suite:
    """How much is measured. Numbers of texts, unless another unit is named."""

    parts: tuple[str, ...]
    shape: str  # of a drawn model
    dtype: str
    texts: int  # for the comparison of all systems, and of compute ratios
    alone: int  # of these, answered one at a time
    queues: tuple[tuple[str, int], ...]  # mixes ("": the usual), and how many
    mixes: tuple[tuple[str, int], ...]  # with PyTorch beside
    few: int  # to choose a peer's batch size
    large: tuple[str, int, int]  # a mix, a queue, and how many of its large batches
    slots: int | str  # see `budget.choose`
    sizes: tuple[int, ...]  # slots, and texts of a batch, of the curves
    ratios: tuple[float, ...]  # compute ratios of the curve
    peers: tuple[str, ...]
    peer_sizes: tuple[int, ...]  # texts of a batch that a peer may take
    minutes: float  # after which no part begins
    compute_ratio: float = 1 / 3
    repeats: int = 5  # times, after one that warms up

    def of_one_file(self, texts: int, shape: str) -> "Suite":
        """Returns the suite for so many texts of a file, and a model of that shape."""
        queues = (("", texts),)
        return dataclasses.replace(
            self, shape=shape, texts=texts, queues=queues, mixes=()
        )


_PARTS = (
    "systems",
    "queue",
    "large",
    "raw",
    "slots",
    "latency",
    "exits",
    "mixes",
)
_SMALL_SETS = (("fpb_balanced", 291), ("fpb", 969))
SUITES = {
    "quick": Suite(  # within 5 minutes on 2 cores
        parts=_PARTS[:-1],
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
        parts=_PARTS,
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
        parts=_PARTS,
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


def adapt(suite: Suite, **changes: Any) -> Suite:
    """Returns the suite with those of the changes that are not None."""
    given = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(suite, **given)


class Target(NamedTuple):
    """The least that a ratio should be; None: it is reported only."""

    part: str  # that measures it
    cpu: float | None
    gpu: float | None


# Backend, shape and dtype that a target is for, and which of its fields.
WANTED = {("cpu", "base", "float32"): "cpu", ("gpu", "large", "bfloat16"): "gpu"}
TARGETS: Mapping[str, Target] = {
    "refill_over_ideal": Target("queue", 0.92, 0.90),
    "refill_over_static": Target("systems", 2.0, 2.0),
    "refill_over_shrinking": Target("systems", 1.3, 1.9),
    "refill_over_batch1_exit": Target("systems", None, 12),
    "refill_over_batch1_full": Target("systems", None, 40),
    "full_over_torch": Target("systems", 2.0, 1.2),
    "full_over_onnx_fp32": Target("systems", 1.1, None),
    "refill_over_onnx_best": Target("systems", 2.4, None),
    "raw_over_tokenized": Target("raw", 0.9, 0.9),
    "mfu_full": Target("large", 0.75, 0.50),
    "mfu_refill_over_full": Target("queue", 0.90, 0.85),
}
