"""Small training runs, and what they leave when they are killed or interrupted."""

import pathlib
import pprint
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson
import pytest

from configs import default
from elbert_jax.training.metric_writer import MetricWriter

ROOT = pathlib.Path(__file__).parents[1]
_SPEEDS = {"hours", "tokens_per_second", "mfu"}
WORDS = {"good": ["gain", "rise", "win"], "bad": ["loss", "fall", "drop"]}


def shrink(config: Any, layers: int) -> None:
    """Makes the model of a run tiny, and logs every step."""
    config.model.num_hidden_layers = layers
    config.model.hidden_size = 16
    config.model.embedding_size = 8
    config.model.intermediate_size = 32
    config.model.num_attention_heads = 2
    config.model.max_position_embeddings = 32
    config.model.initializer_range = 0.2
    config.log_every = 1


def write_texts(path: pathlib.Path, count: int, seed: int) -> pathlib.Path:
    """Writes texts of at most 8 tokens whose label depends on one word."""
    draw = np.random.default_rng(seed)
    lines = ["sentence\tlabel"]
    for _ in range(count):
        label = str(draw.choice(list(WORDS)))
        filler = draw.choice(["the", "bank", "shares", "of"])
        lines.append(f"{filler} {draw.choice(WORDS[label])}\t{label}")
    path.write_text("\n".join(lines) + "\n")
    return path


def fine_tuning(folder: pathlib.Path) -> Any:
    """Returns a small run on such texts, with 6 batches an epoch."""
    config = default.get_config()
    shrink(config, layers=2)
    config.data.train_file = str(write_texts(folder / "train.tsv", 96, 0))
    config.data.validation_file = str(write_texts(folder / "dev.tsv", 24, 1))
    config.data.vocab_size = 60
    config.data.max_seq_length = 16
    config.exit.window = 2
    config.batch_size = 16
    config.epochs = 6
    config.learning_rate = 5e-3
    config.checkpoint_every = 4
    return config


def rows_of(workdir: pathlib.Path) -> list[dict]:
    """Returns the logged rows of a run."""
    lines = (workdir / "metrics.jsonl").read_bytes().splitlines()
    return [orjson.loads(line) for line in lines]


def assert_killed_or_not_is_the_same(
    command: str,
    base: str,
    config: Any,
    whole: pathlib.Path,
    folder: pathlib.Path,
    kills: Sequence[int],
) -> None:
    """Repeats a run as a command that is killed, and started again until it ends.

    It must leave the same weights, and the same logged rows except for their times.

    Args:
      command: its name, such as "train".
      base: the module of configs/ that `config` was made from.
      config: configuration of the run.
      whole: workdir of the uninterrupted run.
      folder: where the killed run's workdir is made.
      kills: for each killed start, the number of logged rows at which it is.
    """
    source = folder / "config.py"
    source.write_text(
        f"from configs import {base}\n"
        "def get_config():\n"
        f"    config = {base}.get_config()\n"
        f"    config.update({pprint.pformat(config.to_dict())})\n"
        "    return config\n"
    )
    killed = folder / "killed"

    def start() -> subprocess.Popen:
        flags = [f"--config={source}", f"--workdir={killed}"]
        return subprocess.Popen(
            [sys.executable, "-m", f"elbert_jax.{command}", *flags],
            cwd=ROOT,
            stderr=subprocess.PIPE,
        )

    for rows in kills:
        process = start()
        log = killed / "metrics.jsonl"
        while process.poll() is None:
            if log.exists() and log.read_bytes().count(b"\n") >= rows:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
    process = start()
    _, complaint = process.communicate()
    assert process.returncode == 0, complaint.decode()
    _assert_same(killed, whole)


def interrupt() -> None:
    raise KeyboardInterrupt


def assert_interrupted_or_not_is_the_same(
    start: Callable[[Any, pathlib.Path], None],
    config: Any,
    whole: pathlib.Path,
    workdir: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: Sequence[int],
    stop: Callable[[], None] = interrupt,
) -> None:
    """Repeats a run in this process, interrupted and started again until it ends.

    Args:
      start: trains a configuration in a workdir.
      config: configuration of the run.
      whole: workdir of the uninterrupted run.
      workdir: that of the interrupted run.
      monkeypatch: the test's.
      rows: for each interrupted start, the number of logged rows at which it is.
      stop: interrupts it; by default as Ctrl-C does.
    """
    write = MetricWriter.write

    def interrupted(self: Any, *row: Any) -> None:
        if len(rows_of(workdir)) == count:
            stop()
        write(self, *row)

    monkeypatch.setattr(MetricWriter, "write", interrupted)
    for count in rows:
        with pytest.raises(KeyboardInterrupt):
            start(config, workdir)
    monkeypatch.undo()
    start(config, workdir)
    _assert_same(workdir, whole)


def _assert_same(one: pathlib.Path, other: pathlib.Path) -> None:
    assert _untimed(rows_of(one)) == _untimed(rows_of(other))
    weights = [run / "model" / "model.safetensors" for run in (one, other)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def _untimed(rows: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in _SPEEDS} for row in rows]
