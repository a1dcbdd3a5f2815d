"""The commands `calibrate`, `evaluate` and `benchmark`."""

import pathlib

import orjson
import pytest

from elbert_jax import Classifier, UserError
from elbert_jax.evaluation import plots
from tests.command_line import start

pytestmark = pytest.mark.slow


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


@pytest.fixture(scope="module")
def calibrated(model):
    """How calibrate ended, and what it wrote of the model."""
    bound = "--max_accuracy_drop=0.4", "--confidence=0.6"
    done = start("calibrate", f"--model={model}", f"--file={model}/texts.tsv", *bound)
    return done, orjson.loads((model / "operating_point.json").read_bytes())


def test_calibrate(model, calibrated):
    done, point = calibrated
    assert (done.returncode, done.stderr) == (0, "")
    assert "with confidence 0.6 its accuracy is at most 0.4 below" in done.stdout
    guarantee, data = point["guarantee"], point["data"]
    assert guarantee["max_accuracy_drop"] == 0.4 and guarantee["confidence"] == 0.6
    assert guarantee["texts"] == 30 and 0 < guarantee["p_value"] <= 0.4
    assert data["name"] == "texts.tsv" and len(data["blake2b"]) == 32
    assert [file.name for file in model.glob("operating*")] == ["operating_point.json"]
    exit = Classifier.from_pretrained(model).exit
    assert exit.to_dict() == point["exit"]


def test_calibrate_where_nothing_qualifies(model, run_here):
    before = (model / "operating_point.json").read_bytes()
    flags = f"--model={model}", f"--file={model}/texts.tsv"
    done = run_here("calibrate", *flags, "--max_accuracy_drop=0.01")
    assert done.returncode == 2 and "accepted" in done.stdout
    assert done.stderr.startswith("error: no early exit keeps within a drop of 0.01")
    assert done.stderr.count("\n") == 1
    assert (model / "operating_point.json").read_bytes() == before


def test_evaluate_takes_what_calibrate_wrote(model, calibrated, tmp_path):
    done = start(
        "evaluate",
        f"--model={model}",
        f"--file={model}/texts.tsv",
        "--by=grade",
        "--repeats=1",
        f"--plot={tmp_path}/curve.png",
        f"--json={tmp_path}/card.json",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "wall-clock" in done.stdout and "30 of 30 texts" in done.stdout
    card = orjson.loads((tmp_path / "card.json").read_bytes())
    assert card["at_exit"] == calibrated[1]["measured"]
    assert card["texts"] == 30 and len(card["curve"]) == 56
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_benchmark(model, tmp_path):
    done = start(
        "benchmark",
        f"--model={model}",
        f"--file={model}/texts.tsv",
        "--parts=systems",
        "--peers=",
        "--repeats=1",
        "--max_texts=8",
        "--slots=2",
        f"--json={tmp_path}/record.json",
        f"--plots={tmp_path}/plots",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "slot refill" in done.stdout and "8 texts of file, 2 slots" in done.stdout
    record = orjson.loads((tmp_path / "record.json").read_bytes())
    assert len(record["rows"]) == 7
    assert all(0 < row["accuracy"] < 1 for row in record["rows"])
    assert record["ratios"]["refill_over_static"] > 0


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--model=nowhere", "--file=x.tsv"), "nowhere"),
        (("--modell=x",), "Unknown command line flag 'modell'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(flags, told, run_here):
    done = run_here("evaluate", *flags)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert told in done.stderr


def test_evaluate_refuses_at_once_what_it_could_not_write(run_here):
    done = run_here("evaluate", "--model=nowhere", "--plot=missing/curve.png")
    assert done.returncode == 2 and done.stdout == ""
    told = "missing/curve.png cannot be written: there is no folder missing"
    assert done.stderr == f"error: {told}\n"


def test_a_picture_of_no_known_format():
    with pytest.raises(UserError, match="curve.doc should end with .png, .svg,"):
        plots.check(pathlib.Path("curve.doc"))
    for name in ("curve.svg", "curve.PNG"):
        plots.check(pathlib.Path(name))
