"""What a time was measured on: hardware, versions, commit."""

import importlib.metadata
import os
import pathlib
import platform
import subprocess
from typing import Any

import jax

_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "torch", "transformers", "onnxruntime")


def cores() -> int:
    """Returns how many cores this process may use: threads, for those who choose."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe() -> dict[str, Any]:
    """Returns the machine, as JSON; `commit` ends with + where files differ from it."""
    device = jax.devices()[0]
    return {
        "processor": _processor(),
        "cores": cores(),
        "backend": device.platform,
        "device": device.device_kind,
        "devices": jax.device_count(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "commit": _commit(),
    }


def _processor() -> str:
    lines = pathlib.Path("/proc/cpuinfo")
    if lines.exists():
        for line in lines.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Returns the checkout's commit; None where there is no checkout, or no git."""
    folder = pathlib.Path(__file__).parent

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + "+" * bool(git("diff", "HEAD"))
    except (OSError, subprocess.CalledProcessError):
        return None
