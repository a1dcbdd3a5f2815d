"""Training runs as a user starts them, and what is left of them."""

import os
import pathlib
import pprint
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import orjson

ROOT = pathlib.Path(__file__).parents[1]
_SPEEDS = {"hours", "tokens_per_second", "mfu"}


def rows_of(workdir: pathlib.Path) -> list[dict]:
    """Returns what a run has logged."""
    lines = (workdir / "metrics.jsonl").read_bytes().splitlines()
    return [orjson.loads(line) for line in lines]


def assert_killed_or_not_is_the_same(
    command: str, base: str, config, folder: pathlib.Path, kills: Sequence[int]
) -> None:
    """Runs a command twice, once without a stop and once killed after so many rows.

    Both must leave the same rows, but for their times, and the same weights.

    Args:
      command: a module of the package, such as "train".
      base: the module of configs/ that `config` was made from.
      config: of the run.
      folder: gets both workdirs.
      kills: rows in the log at which a start is killed.
    """
    source = folder / "config.py"
    source.write_text(
        f"from configs import {base}\n"
        "def get_config():\n"
        f"    config = {base}.get_config()\n"
        f"    config.update({pprint.pformat(config.to_dict())})\n"
        "    return config\n"
    )
    environment = os.environ | {  # compile once for all starts
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def start(workdir: pathlib.Path) -> subprocess.Popen:
        flags = [f"--config={source}", f"--workdir={workdir}"]
        return subprocess.Popen(
            [sys.executable, "-m", f"elbert_jax.{command}", *flags],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.PIPE,
        )

    whole, killed = folder / "whole", folder / "killed"
    process = start(whole)
    _, complaint = process.communicate()
    assert process.returncode == 0, complaint.decode()
    for rows in kills:
        process = start(killed)
        log = killed / "metrics.jsonl"
        while process.poll() is None:
            if log.exists() and log.read_bytes().count(b"\n") >= rows:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
    process = start(killed)
    _, complaint = process.communicate()
    assert process.returncode == 0, complaint.decode()
    assert _untimed(rows_of(killed)) == _untimed(rows_of(whole))
    weights = [run / "model" / "model.safetensors" for run in (whole, killed)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def _untimed(rows: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in _SPEEDS} for row in rows]
