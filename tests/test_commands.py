"""The measuring commands, as a user starts them."""

import pathlib
import subprocess
import sys

import orjson
import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def model(classifier, tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    classifier.save_pretrained(directory)
    lines = ["text\tlabel\tgrade"]
    for number in range(30):
        text = " ".join(["bank", "sales fell", "profit rose"][number % 3 :])
        lines.append(f"{text}\t{number % 3}\t{'ab'[number % 2]}")
    (directory / "texts.tsv").write_text("\n".join(lines) + "\n")
    return directory


def start(command: str, *flags: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", f"elbert_jax.{command}", *flags]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_evaluate(model, tmp_path):
    done = start(
        "evaluate",
        f"--model={model}",
        f"--file={model}/texts.tsv",
        "--by=grade",
        "--repeats=1",
        "--delta=0.2",
        f"--plot={tmp_path}/curve.png",
        f"--json={tmp_path}/card.json",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "wall-clock" in done.stdout and "30 of 30 texts" in done.stdout
    card = orjson.loads((tmp_path / "card.json").read_bytes())
    assert card["texts"] == 30 and len(card["curve"]) == 56
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_benchmark(model, tmp_path):
    done = start(
        "benchmark",
        f"--model={model}",
        f"--file={model}/texts.tsv",
        "--repeats=1",
        "--max_texts=20",
        "--slots=4",
        f"--json={tmp_path}/rows.json",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "20 texts, 4 slots" in done.stdout
    rows = orjson.loads((tmp_path / "rows.json").read_bytes())
    assert [row["system"].split(",")[0] for row in rows] == [
        "full depth",
        "early exit",
        "early exit",
    ]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--model=nowhere", "--file=x.tsv"), "nowhere"),
        (("--modell=x",), "Unknown command line flag 'modell'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(flags, told, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = start("evaluate", *flags)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert told in done.stderr
