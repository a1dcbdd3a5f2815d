"""config.json of a model directory: Hugging Face's settings and this library's own.

The entry `elbert`, which their library passes over, holds `exit_heads` (see
`AlbertConfig`) and the training method, weighting and seed.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from elbert_jax.model.config import AlbertConfig

TRAINING = {"method": str, "weighting": str, "seed": int}  # in the entry `elbert`
# Hugging Face's defaults where AlbertConfig has others.
_DEFAULTS = {"hidden_size": 4096, "num_attention_heads": 64, "intermediate_size": 16384}
_SUPPORTED = {"num_hidden_groups": 1, "position_embedding_type": "absolute"}
# Not read from the file's own settings: id2label's length, the computation's dtype
# (the file's is that of its weights), and what is in the entry `elbert`.
_NOT_SETTINGS = {"num_labels", "dtype", "exit_heads"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Contents of config.json."""

    config: AlbertConfig
    labels: tuple[str, ...]  # class names, by class index
    training: dict[str, Any]  # method, weighting and seed, as far as they are there
    problem_type: str | None  # Hugging Face's entry of that name
    architectures: str  # Hugging Face's classes that wrote the file

    def replace(self, num_labels: int | None, **changes: Any) -> "Settings":
        """Returns settings with other values of `AlbertConfig`; None keeps one.

        Another number of labels gives them new names.
        """
        labels = self.labels
        if num_labels and num_labels != len(labels):
            labels = tuple(f"LABEL_{i}" for i in range(num_labels))
        changes = {k: v for k, v in changes.items() if v is not None}
        config = dataclasses.replace(self.config, num_labels=len(labels), **changes)
        return dataclasses.replace(self, config=config, labels=labels)


def parse(entries: Mapping[str, Any]) -> Settings:
    """Reads the entries of a config.json; a ValueError names the one that is wrong."""
    given: dict[str, Any] = {k: v for k, v in entries.items() if v is not None}
    given = _DEFAULTS | given
    if given.get("model_type") != "albert":
        raise ValueError(f"model_type is {given.get('model_type')!r}, not 'albert'")
    for name, only in _SUPPORTED.items():
        if given.get(name, only) != only:
            raise ValueError(f"{name} is {given[name]!r}; only {only!r} is supported")
    labels = _labels(given.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"}))
    own = given.get("elbert", {})
    if not isinstance(own, dict) or any(
        not isinstance(own.get(name, kind()), kind) for name, kind in TRAINING.items()
    ):
        raise ValueError(f"elbert is {own!r}")
    fields: dict[str, Any] = {"exit_heads": own.get("exit_heads", "shared")}
    for field in dataclasses.fields(AlbertConfig):
        if field.name in given.keys() - _NOT_SETTINGS:
            value, kind = given[field.name], type(field.default)
            value = float(value) if kind is float and type(value) is int else value
            if type(value) is not kind:
                raise ValueError(f"{field.name} is {value!r}")
            fields[field.name] = value
    return Settings(
        AlbertConfig(**fields, num_labels=len(labels)),
        labels,
        {name: value for name, value in own.items() if name != "exit_heads"},
        given.get("problem_type"),
        str(given.get("architectures")),
    )


def render(
    config: AlbertConfig,
    labels: Sequence[str],
    architecture: str,
    training: Mapping[str, Any],
    dtype: str,
) -> dict[str, Any]:
    """Returns the entries of a config.json; see `pretrained.save`."""
    own = {"exit_heads": config.exit_heads, **training}
    entries = {
        **dataclasses.asdict(config),
        "architectures": [architecture],
        "model_type": "albert",
        "num_hidden_groups": 1,
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "dtype": dtype,
        "elbert": {k: value for k, value in own.items() if value not in ("", None)},
    }
    del entries["num_labels"], entries["exit_heads"]
    return entries


def _labels(names: Any) -> tuple[str, ...]:
    if not isinstance(names, dict) or {*names} != {str(i) for i in range(len(names))}:
        raise ValueError(f"id2label is {names!r}; it must name the classes 0, 1, ...")
    return tuple(str(names[str(i)]) for i in range(len(names)))
