"""Every exit criterion, replayed over the logits of one full-depth pass.

Letters: D layers, M texts, C classes, W window.
"""

import dataclasses
import operator
from typing import Any

import numpy as np
import tqdm
from jaxtyping import Float, Int

from elbert_jax.evaluation import curve
from elbert_jax.evaluation.curve import LayerOutputs
from elbert_jax.exits import ConfidenceWindow, Criterion, FixedDepth, registry
from elbert_jax.model import flops
from elbert_jax.model.albert import AlbertConfig
from elbert_jax.sweeps import confirmation, lineage

_WINDOWS = (2, 3, 4, 6, 8, 10, 12, 16, 20, 24)
_COSTS = ("mean_exit_layer", "layer_ratio", "flops_ratio")
DETAILS = ("exit_histogram", "rule_counts")
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A model on a set, at all depths."""

    model: str
    method: str
    seed: int | None
    set: str
    metric: str
    own: str  # the name of the criterion that the model recommends
    config: AlbertConfig
    logits: Float[np.ndarray, "D M C"]
    labels: Int[np.ndarray, " M"]
    lengths: Int[np.ndarray, " M"]

    @property
    def cost(self) -> float:
        """FLOPs of all texts at full depth."""
        return float(flops.full_text(self.config, self.lengths).sum())


def criteria(window: int) -> list[Criterion]:
    """Returns every variant of every criterion, with this window length if any."""
    return [each for kind in registry.CRITERIA for each in kind.variants(window)]


def other_windows(window: int, depth: int) -> list[Criterion]:
    """Returns ELBERT's own criterion with other windows, up to the model's depth."""
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

    A row tells the run (`set`, `model`, `method`, `seed`), the criterion (`criterion`,
    its `window`, the `parameter` that its grid moves along, that `value`), the `score`
    and its `metric`, and the costs of `evaluation.at_exit`. There is room for what
    `confirmation.confirm` tells; `exit` is the criterion in full.

    A plain model has one point, its last layer. A fixed depth costs what a model of
    that depth does, with one head at its end.
    """
    depth = run.config.num_hidden_layers
    points: list[Criterion] = [FixedDepth(depth)]
    if not lineage.is_plain(run.method):
        kinds = criteria(window) + other_windows(window, depth)
        points = [point for kind in kinds for point in grid(kind, run.config)]
    bar = tqdm.tqdm(points, unit="point", leave=False, disable=None)
    return [_row(run, criterion) for criterion in bar]


def _row(run: Run, criterion: Criterion) -> Row:
    outputs = LayerOutputs(run.config, run.logits, run.labels, run.lengths)
    at_exit = curve.at_exit(outputs, criterion, [run.metric])
    if isinstance(criterion, FixedDepth):
        short = dataclasses.replace(
            run.config, num_hidden_layers=criterion.depth, exit_heads="shared"
        )
        cost = flops.full_text(short, run.lengths).sum()
        at_exit["flops_ratio"] = float(cost) / run.cost
    variant, window = criterion.variant
    return {
        "set": run.set,
        "model": run.model,
        "method": run.method,
        "seed": run.seed,
        "criterion": variant,
        "window": window,
        "parameter": criterion.varies,
        "value": getattr(criterion, criterion.varies),
        "metric": run.metric,
        "score": at_exit[run.metric],
        **{cost: at_exit[cost] for cost in _COSTS},
        **dict.fromkeys(confirmation.FACTS),
        **{detail: at_exit[detail] for detail in DETAILS},
        "exit": criterion.to_dict(),
    }
