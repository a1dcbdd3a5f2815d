"""The machine that code runs on: cores, description, caches, measured peak speed."""

import functools
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "torch", "transformers", "onnxruntime")
_CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16")  # decide matmul speed


def cores() -> int:
    """Returns how many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe() -> dict[str, Any]:
    """Returns hardware, versions and commit as JSON values."""
    device, flags = jax.devices()[0], _cpuinfo("flags").split()
    processor = _cpuinfo("model name").partition(":")[2].strip()
    return {
        "processor": processor or platform.processor() or platform.machine(),
        "cpu_flags": [flag for flag in _CPU_FLAGS if flag in flags],
        "cores": cores(),
        "backend": device.platform,
        "device": device.device_kind,
        "devices": jax.device_count(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "commit": _commit(),
    }


def cache_folder() -> pathlib.Path:
    """Returns the user's cache folder for machines like this one; it may be absent."""
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    # A program compiled for a newer CPU would crash on an older one in the same home.
    features = _cpuinfo("flags", "Features")  # x86, Arm
    machine = [platform.machine(), str(os.cpu_count()), jax.__version__, features]
    name = hashlib.blake2b(" ".join(machine).encode(), digest_size=6).hexdigest()
    return pathlib.Path(home) / "elbert_jax" / name


def enable_compilation_cache() -> None:
    """Keeps compiled programs in the cache folder, so that the next run starts faster.

    A folder that the user has set with JAX_COMPILATION_CACHE_DIR stays.
    """
    if not getattr(jax.config, "jax_compilation_cache_dir"):
        folder = str(cache_folder() / "programs")
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def peak_flops(dtype: str) -> float:
    """Returns the measured peak matmul FLOP/s of one device: the best of five trials.

    It is the denominator of model FLOPs utilisation (MFU), and is measured at each
    call, as a shared machine's speed changes.
    """
    (run, flops), seconds = _matmuls(dtype), []
    for _ in range(5):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return flops / min(seconds)


@functools.cache
def _matmuls(dtype: str) -> tuple[Callable[[], None], float]:
    """Returns a function that multiplies large matrices, and its FLOPs."""
    on_cpu = jax.default_backend() == "cpu"
    # Elsewhere several in a row, so that the host's launch time does not count.
    size, repeats = (2048, 1) if on_cpu else (8192, 10)
    key = jax.random.key(0)  # random: a chip may multiply zeros faster
    a = jax.random.normal(key, (size, size), jnp.dtype(dtype))
    matmul = jax.jit(jnp.matmul).lower(a, a).compile()

    def run() -> None:
        jax.block_until_ready([matmul(a, a) for _ in range(repeats)])

    run()
    return run, repeats * 2 * size**3


def _cpuinfo(*names: str) -> str:
    """Returns the first line of /proc/cpuinfo with one of these names, or ""."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(names)), "")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Returns the checkout's commit, with + where files differ; None without one."""
    command = ["git", "-C", str(pathlib.Path(__file__).parent), "describe"]
    command += ["--always", "--dirty=+", "--exclude=*"]  # no tags
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
