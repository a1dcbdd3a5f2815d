"""Every exit criterion, replayed over the logits of one full-depth pass."""

import dataclasses
import operator
from typing import Any

import tqdm

from elbert_jax.evaluation import curve
from elbert_jax.evaluation.curve import LayerOutputs
from elbert_jax.exits import ConfidenceWindow, Criterion, FixedDepth, registry
from elbert_jax.model import flops
from elbert_jax.model.config import AlbertConfig
from elbert_jax.sweeps import confirmation, lineage

_WINDOWS = (2, 3, 4, 6, 8, 10, 12, 16, 20, 24)
_COSTS = ("mean_exit_layer", "layer_ratio", "flops_ratio")
DETAILS = ("exit_histogram", "rule_counts")
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A model's outputs on a labelled set, after every layer."""

    model: str
    method: str
    seed: int | None
    set: str
    metric: str
    own: str  # the variant of the criterion that the model recommends
    outputs: LayerOutputs

    @property
    def config(self) -> AlbertConfig:
        return self.outputs.config

    def cost(self, config: AlbertConfig) -> float:
        """Returns the FLOPs of a model of this shape for all texts at full depth."""
        return float(flops.full_text(config, self.outputs.lengths).sum())


def criteria(window: int) -> list[Criterion]:
    """Returns every variant of every criterion, with this window length if any."""
    return [each for kind in registry.CRITERIA for each in kind.variants(window)]


def other_windows(window: int, depth: int) -> list[Criterion]:
    """Returns ELBERT's own criterion with other window lengths, up to the depth."""
    lengths = [each for each in _WINDOWS if each <= depth and each != window]
    return [ConfidenceWindow(window=each) for each in lengths]


def grid(criterion: Criterion, config: AlbertConfig) -> list[Criterion]:
    """Returns the operating points of a criterion, its threshold rising."""
    depth = config.num_hidden_layers
    points = [*criterion.grid(depth, config.num_labels).values()]
    if isinstance(criterion, FixedDepth):
        points.append(FixedDepth(depth))
    return sorted(points, key=operator.attrgetter(criterion.varies))


def replay(run: Run, window: int) -> list[Row]:
    """Returns a row for every criterion at every point of its grid.

    A plain model has one point, its last layer. A fixed depth costs what a model of
    that depth does, with one head at its end.
    """
    depth = run.config.num_hidden_layers
    points: list[Criterion] = [FixedDepth(depth)]
    if not lineage.is_plain(run.method):
        each_kind = criteria(window) + other_windows(window, depth)
        points = [point for kind in each_kind for point in grid(kind, run.config)]
    bar = tqdm.tqdm(points, unit="point", leave=False, disable=None)
    return [_row(run, criterion) for criterion in bar]


def _row(run: Run, criterion: Criterion) -> Row:
    at_exit = curve.at_exit(run.outputs, criterion, [run.metric])
    if isinstance(criterion, FixedDepth):
        shape = {"num_hidden_layers": criterion.depth, "exit_heads": "shared"}
        short = dataclasses.replace(run.config, **shape)
        at_exit["flops_ratio"] = run.cost(short) / run.cost(run.config)
    variant, window = criterion.variant
    return {
        "set": run.set,
        "model": run.model,
        "method": run.method,
        "seed": run.seed,
        "criterion": variant,
        "window": window,
        "parameter": criterion.varies,  # by its grid
        "value": getattr(criterion, criterion.varies),
        "metric": run.metric,
        "score": at_exit[run.metric],
        **{cost: at_exit[cost] for cost in _COSTS},
        **dict.fromkeys(confirmation.FACTS),  # for what the engine tells
        **{detail: at_exit[detail] for detail in DETAILS},
        "exit": criterion.to_dict(),
    }
