"""How models were trained: their method, seed and shape."""

import collections
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from elbert_jax.hub import download

PLAIN = "plain"  # the method of models without early exits


class Origin(NamedTuple):
    """What the config.json of a model directory says of its training."""

    method: str  # and the weighting, if one was set; by default ELBERT's
    seed: int | None
    settings: dict[str, Any]  # all others


def read(directory: pathlib.Path) -> Origin:
    """Returns the origin of a model directory; raises UserError if it has none."""
    settings = download.read_json(directory / download.CONFIG)
    record = settings.pop("elbert", {})
    method, weighting = record.get("method", "elbert"), record.get("weighting")
    name = f"{method} ({weighting})" if weighting else method
    return Origin(name, record.get("seed"), settings)


def methods(
    models: Sequence[str],
    sets: Sequence[str],
    origins: Sequence[Origin],
    groups: Sequence[str],
) -> list[str]:
    """Returns a name for the method of each model on its set.

    Models of one method that differ only in their seed share its name, and so do plain
    models of several depths. Where they differ in more, or not even in their seed, the
    model's own name is added; and so is the user's name for its group, if not "".
    """
    names = [f"{o.method} {name}".strip() for o, name in zip(origins, groups)]
    alike_but_seeds = collections.defaultdict(list)
    for number, (origin, where) in enumerate(zip(origins, sets, strict=True)):
        plain = origin.method == PLAIN
        size = origin.settings.get("num_hidden_layers") if plain else None
        alike_but_seeds[where, names[number], size].append(number)
    for group in alike_but_seeds.values():
        members = [origins[number] for number in group]
        seeds = {member.seed for member in members}
        alike = all(member.settings == members[0].settings for member in members)
        if len(seeds) < len(group) or not alike:
            for number in group:
                names[number] += f" {models[number]}"
    return names


def is_plain(method: str) -> bool:
    """Returns whether `methods` gave this name to a plain model."""
    return method.split(" ")[0] == PLAIN


def early(rows: Sequence[Any]) -> list[Any]:
    """Returns the rows of a sweep whose models have early exits."""
    return [row for row in rows if not is_plain(row["method"])]
