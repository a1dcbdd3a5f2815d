"""The benchmark's parts on a tiny workload, and its record on file."""

import math

import jax.numpy as jnp
import numpy as np
import orjson
import pytest

from elbert_jax import UserError, machine
from elbert_jax.benchmarking import bench, parts, speed_plots, workload
from elbert_jax.benchmarking.bench import Bench, Part
from elbert_jax.benchmarking.peers import Peers
from elbert_jax.benchmarking.record import TARGETS, Record
from elbert_jax.benchmarking.suite import SUITES
from elbert_jax.exits import FixedDepth

KEYS = """refill_over_ideal refill_over_static refill_over_shrinking
refill_over_batch1_exit refill_over_batch1_full full_over_torch full_over_onnx_fp32
refill_over_onnx_best raw_over_tokenized mfu_full mfu_refill_over_full""".split()
PARTS = "systems", "queue", "large", "raw", "exits"
TINY = SUITES["quick"].changed(
    texts=12,
    alone=2,
    queues=(("imdb", 5), ("", 12)),
    few=5,
    large=("", 12, 1),
    slots=4,
    ratios=(0.4,),
    peers=("sdpa",),
    repeats=1,
)
MACHINE = {"backend": "cpu", "processor": "abacus", "device": "cpu"}


class Short(workload.Workload):
    """Texts of 7 and 8 tokens, so that few shapes compile."""

    mixes = ("short", "imdb")

    def __init__(self, classifier):
        self.config, self.params = classifier.config, classifier.params
        self.labels, self.tokenizer = classifier.labels, classifier.tokenizer

    def texts(self, mix, count):
        offsets = np.cumsum([0, *np.random.default_rng(0).integers(7, 9, count)])
        vocabulary, random = self.config.vocab_size, np.random.default_rng(1)
        tokens = random.integers(5, vocabulary, offsets[-1], np.int32)
        types, labels = np.zeros(len(tokens), np.int8), np.arange(count) % 3
        return workload.Encoded(tokens, types, offsets, labels.astype(np.int32), 0)

    def strings(self, count):
        return ["bank", "", ("a", "b")][:count]

    def exit_at(self, ratio):
        depths = np.random.default_rng(2).integers(1, 5, 64)
        return FixedDepth(jnp.asarray(depths, jnp.int32))


@pytest.fixture(scope="module", autouse=True)
def slow_machine():
    with pytest.MonkeyPatch.context() as patch:  # large products take their time
        patch.setattr(machine, "peak_flops", lambda dtype: 1e9)
        yield


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmark") / "record.json"


@pytest.fixture(scope="module")
def record(classifier, path):
    record = Record(path, {"mix": "short"}, TINY, MACHINE)
    the_bench = Bench(Short(classifier), TINY, path.parent)
    the_bench.peers = NoPeers(path.parent, the_bench.load, TINY)
    assert parts.run(the_bench, record, PARTS)
    return record


class NoPeers(Peers):
    def open(self, name):
        raise RuntimeError("a test has none")


def test_the_record_holds_every_part(record, path):
    on_file = orjson.loads(path.read_bytes())
    assert on_file == record.data
    assert set(on_file["parts"]) == set(PARTS)
    rows = {part: [] for part in PARTS}
    for row in on_file["rows"]:
        rows[row["part"]].append(row)
        assert len(row["seconds"]) == 1
        assert row["slowest"] <= row["texts_per_second"] <= row["fastest"]
    assert {part: len(each) for part, each in rows.items()} == {
        "systems": 7,
        "queue": 4,
        "large": 1,
        "raw": 2,
        "exits": 3,
    }
    for row in rows["systems"] + rows["queue"]:
        assert row["logit_difference"] < 1e-5
        product = row["padding"] * row["slots"] * row["kernels"]
        assert math.isclose(product, row["useful_mfu"])
    assert [row["texts"] for row in rows["queue"]] == [5, 5, 12, 12]
    assert [row["mix"] for row in rows["queue"]] == ["imdb", "imdb", "short", "short"]


def test_ratios_are_the_named_ones_and_what_is_missing_has_a_reason(record):
    ratios, notes = record.data["ratios"], record.data["notes"]
    assert list(ratios) == list(notes) == list(TARGETS) == KEYS
    missing = {name for name, ratio in ratios.items() if ratio is None}
    assert missing == {
        "full_over_torch",
        "full_over_onnx_fp32",
        "refill_over_onnx_best",
        "mfu_full",
    }
    assert notes["mfu_full"] == "no mfu_full: all texts together are one batch"
    assert all(ratios[name] > 0 for name in set(KEYS) - missing)
    assert notes["refill_over_ideal"] == "12 texts of short"
    speed = {
        row["system"]: row["texts_per_second"]
        for row in record.data["rows"]
        if row["part"] == "systems"
    }
    assert ratios["refill_over_static"] == pytest.approx(
        speed[bench.REFILL] / speed[parts.STATIC]
    )
    text = record.ratios()
    assert all(name in text for name in KEYS)
    assert "abacus" not in text and "holds" not in text  # no target for this shape


def test_a_part_is_not_measured_twice(record, path, classifier):
    again = Record(path, {"mix": "short"}, TINY, MACHINE)
    assert all(part in again for part in PARTS) and "lunch" not in again
    the_bench = Bench(Short(classifier), TINY, path.parent)
    assert parts.run(the_bench, again, ["raw"]) and again.data == record.data
    with pytest.raises(UserError, match=r"processor \(abacus; now slide rule\)"):
        Record(path, {"mix": "short"}, TINY, MACHINE | {"processor": "slide rule"})
    with pytest.raises(UserError, match="repeats"):
        Record(path, {"mix": "short"}, TINY.changed(repeats=9), MACHINE)
    with pytest.raises(UserError, match="no folder"):
        Record(path.parent / "none" / "x.json", {}, TINY, MACHINE)
    path.with_name("other.json").write_text("[]")
    with pytest.raises(UserError, match="name another file"):
        Record(path.with_name("other.json"), {}, TINY, MACHINE)


def test_a_part_that_fails_or_has_no_time_left_is_told(classifier, monkeypatch, capsys):
    def fails(bench):
        raise ZeroDivisionError("no texts")

    monkeypatch.setitem(parts.PARTS, "systems", fails)
    monkeypatch.setitem(parts.PARTS, "raw", lambda bench: Part([], {}, "nothing"))
    record = Record(None, {}, TINY, MACHINE)
    chosen = "systems", "raw"
    assert not parts.run(Bench(Short(classifier), TINY, ""), record, chosen)
    assert "raw" in record and "systems" not in record
    note = record.data["notes"]["refill_over_static"]
    assert note == "part systems failed: ZeroDivisionError: no texts"
    hurried = TINY.changed(minutes=-1.0)
    record = Record(None, {}, hurried, MACHINE)
    assert not parts.run(Bench(Short(classifier), hurried, ""), record, ["raw"])
    assert "minutes are over" in capsys.readouterr().out


def test_a_missing_peer_is_skipped_and_said_so(record):
    part = Part(
        [], {"refill_over_static": 2.5}, "so many texts", {"PyTorch": "is away"}
    )
    fresh = Record(None, {}, TINY.changed(shape="base"), MACHINE)
    fresh.add("systems", part)
    assert fresh.data["ratios"]["full_over_torch"] is None
    assert fresh.data["notes"]["full_over_torch"] == "no PyTorch: is away"
    assert fresh.data["notes"]["mfu_full"] == "part large was not run"
    assert fresh.table("systems") == "left out: PyTorch: is away"
    (line,) = (r for r in fresh.ratios().splitlines() if "refill_over_static" in r)
    assert line.split()[1:5] == ["2.5", ">=", "2.0", "holds"]
    assert record.data["parts"]["systems"]["skipped"] == {
        "transformers, sdpa": "it fails here: a test has none"
    }


@pytest.mark.parametrize("flag", ["parts", "peers"])
def test_a_name_that_there_is_not(flag, run_here):
    done = run_here("benchmark", f"--{flag}=lunch")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"error: --{flag}: no 'lunch'; there are ")


def test_a_title_names_the_processor_and_its_vector_instructions():
    flags = {"cpu_flags": ["avx2", "avx512f"], "cores": 2}
    record = Record(None, {}, TINY, MACHINE | flags)
    assert record.title == "small, float32 on abacus, 2 cores, avx2 avx512f"


def test_pictures(record, tmp_path):
    paths = speed_plots.draw(tmp_path, record.data["rows"], "a title")
    assert [path.stem for path in paths] == ["score_by_speed", "efficiency_by_queue"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    only = [row for row in record.data["rows"] if row["part"] == "queue"]
    (path,) = speed_plots.draw(tmp_path, only, "")
    assert path.stem == "efficiency_by_queue"
