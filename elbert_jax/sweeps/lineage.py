"""How models came to be: by which method, from which seed, and of which shape."""

import collections
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from elbert_jax.hub import download

PLAIN = "plain"  # trained at the last layer only, so that it has no early exit


class Origin(NamedTuple):
    """What the config.json of a model directory tells."""

    method: str  # with the weighting that was set, if any; without a record ELBERT's
    seed: int | None
    settings: dict[str, Any]  # all the others


def read(directory: pathlib.Path) -> Origin:
    """Returns the origin of a model directory; a UserError says what is wrong."""
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
    """Returns what to call the method of each model, on the set that it is tried on.

    Models of one method that differ in their seed only share its name, and so do plain
    models of several depths. Where they differ in more, or not even in their seed, the
    model's own name is added.

    Args:
      models: directories, or ids of the hub.
      sets: names of theirs.
      origins: theirs.
      groups: what the user calls those that belong together, or ""; it is added too.
    """
    names = [f"{o.method} {name}".strip() for o, name in zip(origins, groups)]
    alike_but_seeds = collections.defaultdict(list)
    for number, (origin, where) in enumerate(zip(origins, sets, strict=True)):
        depth = origin.settings.get("num_hidden_layers")
        size = depth if origin.method == PLAIN else None
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
    """Whether that is what `methods` calls a plain model."""
    return method.split(" ")[0] == PLAIN
