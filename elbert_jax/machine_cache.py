"""What is worth keeping on a machine between commands: programs and measurements."""

import hashlib
import os
import pathlib
import platform

import jax


def folder() -> pathlib.Path:
    """Returns the user's cache folder for machines like this one; it may be absent."""
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    machine = [platform.machine(), str(os.cpu_count()), jax.__version__, *_features()]
    name = hashlib.blake2b(" ".join(machine).encode(), digest_size=6).hexdigest()
    return pathlib.Path(home) / "elbert_jax" / name


def keep_programs() -> None:
    """Lets compiled programs outlive the command, so that the next one starts at once.

    A folder that the user has set with JAX_COMPILATION_CACHE_DIR stays.
    """
    if not getattr(jax.config, "jax_compilation_cache_dir"):
        jax.config.update("jax_compilation_cache_dir", str(folder() / "programs"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _features() -> list[str]:
    # A program compiled for a newer CPU would crash on an older one in the same home.
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    return [line for line in lines if line.startswith(("flags", "Features"))][:1]
