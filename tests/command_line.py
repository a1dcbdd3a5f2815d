"""Commands as a user starts them."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def start(command: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m elbert_jax.COMMAND` with flags to its end."""
    line = [sys.executable, "-m", f"elbert_jax.{command}", *flags]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
