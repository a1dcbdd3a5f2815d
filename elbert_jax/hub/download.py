"""The files of a model directory or a model on the hub, read as JSON and arrays."""

import os
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import orjson
import safetensors.numpy

from elbert_jax.errors import UserError, reason

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
TOKENIZER = (
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",  # Chinese ALBERTs often use BERT's WordPiece
)
_INDEX = "model.safetensors.index.json"
_SHARDS = "model-*.safetensors"
_PICKLE = "pytorch_model.bin"
_WANTED = [CONFIG, WEIGHTS, _INDEX, _SHARDS, "operating_point.json", *TOKENIZER]


def directory(
    source: str | os.PathLike[str],
    revision: str | None = None,
    local_files_only: bool = False,
    allow_pickle: bool = False,
) -> Path:
    """Returns the directory `source`, or that of the hub's model, downloaded."""
    name = os.fspath(source)
    try:
        path = Path(source).expanduser()
        is_directory = path.is_dir()
    except (OSError, RuntimeError) as error:  # too long a name, or no such user's home
        raise UserError(f"{name} is not a directory: {error}") from error
    if is_directory:
        if revision:
            raise UserError(f"{name} is a directory; only the hub has revisions")
        return path
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(f"{name} is not a directory")
    try:
        download = huggingface_hub.snapshot_download(
            name,
            revision=revision,
            local_files_only=local_files_only,
            allow_patterns=[*_WANTED, *[_PICKLE] * allow_pickle],
        )
    except Exception as error:  # including any error of the HTTP client
        told = f"{name} is no directory, and the hub does not give it"
        raise UserError(f"{told}: {type(error).__name__}: {reason(error)}") from error
    return Path(download)


def read_json(path: Path) -> dict[str, Any]:
    """Returns a file's JSON object; a UserError names a file without one."""
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object")
    return value


def read_tensors(directory: Path, allow_pickle: bool) -> dict[str, np.ndarray]:
    """Returns a model directory's weights by name, in the file's dtypes."""
    files = {WEIGHTS}
    if not (directory / WEIGHTS).exists():
        if (directory / _INDEX).exists():
            files = _shards(directory / _INDEX)
        elif (directory / _PICKLE).exists():
            return _read_pickle(directory / _PICKLE, allow_pickle)
    tensors = {}
    for name in sorted(files):
        try:
            tensors |= safetensors.numpy.load_file(directory / name)
        except (OSError, safetensors.SafetensorError) as error:
            raise _unreadable(directory / name, error) from error
    return tensors


def _shards(index: Path) -> set[str]:
    names = read_json(index).get("weight_map")
    names = list(names.values()) if isinstance(names, dict) else []
    inside = [n for n in names if isinstance(n, str) and Path(n).name == n]
    if not names or inside != names:
        raise UserError(f"{index}: weight_map names no files here")
    return {*inside}


def _read_pickle(path: Path, allow_pickle: bool) -> dict[str, np.ndarray]:
    if not allow_pickle:
        raise UserError(
            f"{path} is a pickle, which can run code: set allow_pickle to read it, "
            "if you trust its author"
        )
    try:
        import torch
    except ImportError as error:
        raise UserError(f"reading {path} needs torch: pip install torch") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {  # numpy has no bfloat16
            name: (x.float() if x.is_floating_point() else x).detach().numpy()
            for name, x in state.items()
        }
    except Exception as error:  # a damaged pickle fails in any way
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"cannot read {path}: {reason(error)}")
