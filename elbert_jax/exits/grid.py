"""The operating points of a criterion, in an order that no data chose."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from elbert_jax.errors import UserError
from elbert_jax.exits import (
    AnyOf,
    ConfidenceWindow,
    Count,
    Criterion,
    Elbert2021,
    Entropy,
    FixedDepth,
    Patience,
)
from elbert_jax.model.albert import AlbertConfig

# Thresholds on uncertainty, as shares of the largest there is: 1, 2, 5 a decade where a
# model is sure, then twentieths.
SHARES = (
    *(digit / 10**places for places in (4, 3, 2) for digit in (1, 2, 5)),
    *(step / 20 for step in range(2, 21)),
)


def grid(criterion: Criterion, config: AlbertConfig) -> dict[str, Criterion]:
    """Returns the criterion with its threshold moved from careful to fast, by name.

    Full depth, which comes before them all, is not among them. Of `AnyOf` the first
    criterion moves and the others stay, as the window does while delta moves.

    Raises:
      UserError: no threshold of it is known to move, or the model has one layer.
    """
    if config.num_hidden_layers == 1:
        raise UserError("a model of one layer has no early exit")
    if isinstance(criterion, AnyOf):
        first, *others = criterion.criteria
        moved = grid(first, config).items()
        return {name: AnyOf((each, *others)) for name, each in moved}
    field, values = _path(criterion, config)
    kind: Any = criterion
    return {
        f"{field} {value:g}": dataclasses.replace(kind, **{field: value})
        for value in values
    }


def _path(criterion: Criterion, config: AlbertConfig) -> tuple[str, Iterable[float]]:
    depth = config.num_hidden_layers
    match criterion:
        case ConfidenceWindow(criterion="none"):
            return "delta", SHARES
        case ConfidenceWindow() | Elbert2021():
            return "delta", (0.0, *SHARES)  # 0: the window alone
        case Entropy(normalised=True):
            return "threshold", SHARES
        case Entropy():
            most = math.log(config.num_labels)
            return "threshold", [float(f"{share * most:.3g}") for share in SHARES]
        case Patience():
            return "patience", range(depth - 2, -1, -1)
        case Count():
            return "count", range(depth - 2, -1, -1)
        case FixedDepth():
            return "depth", range(depth - 1, 0, -1)
    raise UserError(
        f"{type(criterion).__name__} has no threshold that is known to move"
    )
