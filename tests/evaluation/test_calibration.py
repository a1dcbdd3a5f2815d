"""Calibration: its promise holds as often as it says, and it is worth having."""

import functools
import math

import jax
import numpy as np
import pytest

from elbert_jax import (
    AnyOf,
    ConfidenceWindow,
    Count,
    Elbert2021,
    Entropy,
    FixedDepth,
    Patience,
    UserError,
    exits,
)
from elbert_jax.data import corpus
from elbert_jax.data.example import Example
from elbert_jax.evaluation import calibration, significance, timing
from elbert_jax.evaluation.calibration import Goal, Point
from elbert_jax.exits import Criterion
from elbert_jax.hub import operating_point
from elbert_jax.model.config import AlbertConfig

CONFIG = AlbertConfig(vocab_size=10, num_hidden_layers=6, num_labels=3)
SIZE = CONFIG.num_hidden_layers, CONFIG.num_labels
RESAMPLES = 1000
p_value = functools.cache(significance.p_value)


class Population:
    """20,000 texts and the points of a criterion, whose accuracy drops are known.

    Every layer sees more of a text's label, and adds noise of its own: leaving early
    costs some texts and saves others.
    """

    def __init__(self):
        draw, texts = np.random.default_rng(0), 20_000
        labels = draw.integers(3, size=texts)
        signal = np.eye(3)[labels] * draw.normal(2.5, 1.5, (texts, 1))
        seen = 1 - 0.5 ** np.arange(1, 7)[:, None, None]
        logits = 2 * seen * signal + draw.normal(0, 1, (6, texts, 3))
        points = ConfidenceWindow(criterion="none").grid(*SIZE)
        self.names, self.criteria = list(points), list(points.values())
        leave = [exits.exit_layer(c, logits.astype("f")) for c in self.criteria]
        full = logits[-1].argmax(-1) == labels
        early = np.stack([x.logits.argmax(-1) == labels for x in leave])
        self.lost, self.gained = full & ~early, early & ~full  # [points, texts]
        self.drops = self.lost.mean(1) - self.gained.mean(1)
        self.ratios = np.stack([x.layer for x in leave]).mean(1) / 6

    def calibrations(self, goal: Goal, texts: int):
        """Yields the points as each of many samples of the texts shows them."""
        draw = np.random.default_rng(1)
        rows = draw.integers(self.lost.shape[1], size=(RESAMPLES, texts))
        lost, gained = (
            np.stack([each[rows].sum(1) for each in of], axis=1).tolist()
            for of in (self.lost, self.gained)
        )
        for counts in zip(lost, gained):
            points = [point("full depth", 1.0)]
            for number, (a, b) in enumerate(zip(*counts)):
                p = p_value(a, b, texts, goal.max_accuracy_drop, goal.level)
                points.append(point(self.names[number], self.ratios[number], p, a, b))
            yield points


def point(name, ratio, p=0.0, lost=0, gained=0, depth=6):
    measured = {"flops_ratio": ratio, "lost": lost, "gained": gained}
    return Point(name, FixedDepth(depth), measured | {"exit_histogram": [500]}, p)


@pytest.fixture(scope="module")
def population():
    return Population()


@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize("edge", ["delta 0.75", "delta 0.85"])
def test_the_bound_is_broken_no_more_often_than_promised(population, edge, confidence):
    # A point stands just beyond the bound, where it is easiest to accept wrongly.
    bound = population.drops[population.names.index(edge)] - 1e-9
    goal, broken, naive = Goal(bound, confidence), 0, 0
    for points in population.calibrations(goal, 500):
        # None that might be chosen may break it, not only the one that is.
        count = len(calibration.accepted(points, goal)) - 1
        broken += (population.drops[:count] > bound).any()
        seen = [p.measured["lost"] - p.measured["gained"] for p in points[1:]]
        fastest = max(i for i, drop in enumerate(seen) if drop <= bound * 500)
        naive += population.drops[fastest] > bound
    assert 0 < broken <= (1 - confidence) * RESAMPLES
    assert naive > 0.4 * RESAMPLES  # to read a bound off the curve is to break it


def test_it_finds_the_speed_up_that_there_is(population):
    goal, found = Goal(0.01, 0.9), []
    for points in population.calibrations(goal, 1000):
        chosen, _ = calibration.choose(points, goal, time=None)  # pyright: ignore
        found.append(chosen.measured["flops_ratio"])
    allowed = population.ratios[population.drops <= 0.01].min()
    assert np.mean(np.array(found) < 0.35) > 0.95  # of the compute
    assert np.median(found) < 1.15 * allowed


CRITERIA = [
    ConfidenceWindow(window=2),
    ConfidenceWindow(criterion="none"),
    Elbert2021(window=3),
    Entropy(),
    Entropy(normalised=True),
    Patience(),
    Count(),
    FixedDepth(),
    AnyOf((Patience(), ConfidenceWindow(0.05, 3))),
]


@pytest.mark.parametrize("criterion", CRITERIA, ids=repr)
def test_a_path_leads_from_careful_to_fast(criterion):
    logits = np.random.default_rng(2).normal(size=(6, 50, 3)).astype("f").cumsum(0)
    points = criterion.grid(*SIZE)
    layers = np.stack([exits.exit_layer(c, logits).layer for c in points.values()])
    assert (np.diff(layers, axis=0) <= 0).all()  # for every text
    assert layers[0].mean() > 3 and layers[-1].mean() < 1.1
    assert len(set(points.values())) == len(points)


class Own(Criterion):
    """A criterion without a threshold."""

    name = "own"

    def init(self, ids, num_classes):
        return ()

    def __call__(self, state, logits):
        return state, np.zeros(len(logits), np.int32)


def test_a_criterion_without_a_path():
    with pytest.raises(UserError, match="Own has no threshold to vary"):
        Own().grid(*SIZE)
    with pytest.raises(UserError, match="one layer"):
        Patience().grid(1, 3)


POINTS = [
    point("full depth", 1.0),
    point("a", 0.8, 0.01, depth=5),
    point("b", 0.5, 0.05, lost=1, depth=4),
    point("c", 0.3, 0.3, lost=4, gained=2, depth=3),
    point("d", 0.2, 0.01, depth=2),
]
UNTESTED = [each._replace(p_value=0.0) for each in POINTS]  # no bound is asked for
# A layer takes 10 ms, and a text that leaves at the first goes at 600 a second.
SPEEDS = {
    each: {"p99_ms": 10.0 * each, "texts_per_second": 600 / each}
    for each in range(1, 7)
}


def chosen(points, *goal):
    """Returns the name of the point, its speed, and the depths that were timed."""
    asked = []

    def time(criterion):
        asked.append(criterion.depth)
        return SPEEDS[criterion.depth]

    point, speed = calibration.choose(points, Goal(*goal), time)
    return point.name, speed, asked


def test_the_cheapest_point_before_the_first_refusal_is_chosen():
    assert chosen(POINTS, 0.01, 0.9) == ("b", None, [])
    assert chosen(POINTS, 0.01, 0.97) == ("a", None, [])
    assert chosen(POINTS, 0.01, 0.5) == ("d", None, [])


def test_the_most_careful_point_that_is_fast_enough_is_chosen():
    assert chosen(UNTESTED, None, 0.9, 45.0)[:2] == ("b", SPEEDS[4])
    assert chosen(UNTESTED, None, 0.9, 99.0)[0] == "full depth"
    assert chosen(UNTESTED, None, 0.9, None, 150.0)[0] == "b"
    assert chosen(UNTESTED, None, 0.9, 45.0, 200.0)[0] == "c"
    assert chosen(POINTS, 0.01, 0.9, 55.0)[0] == "a"
    many = [point(str(depth), 1.0, depth=depth) for depth in range(6, 0, -1)]
    name, _, asked = chosen(many, None, 0.9, 20.0)
    assert name == "2" and len(asked) == len(set(asked)) <= 3


@pytest.mark.parametrize(
    ("points", "goal", "told"),
    [
        (POINTS, (0.01, 0.995), "within a drop of 0.01.*a lost 0 and gained 0 of 500"),
        (POINTS, (0.01, 0.995), r"about 7\d\d such texts would suffice"),
        ([POINTS[0], POINTS[3]], (0.001, 0.9), "c lost 4 .*allow a larger one"),
        # Accepted, and yet no text leaves.
        ([POINTS[0], POINTS[0]], (0.01, 0.9), "no early exit"),
        (
            UNTESTED,
            (None, 0.9, 5.0),
            "d, the fastest .* has p99_ms 20, texts_per_second",
        ),
        (POINTS, (0.01, 0.9, 35.0), "b, the fastest that may be chosen, has p99_ms 40"),
    ],
)
def test_no_point_qualifies(points, goal, told):
    with pytest.raises(UserError, match=told):
        chosen(points, *goal)


@pytest.mark.parametrize(
    ("goal", "told"),
    [
        ((), "give --max_accuracy_drop, --target_p99_ms or --min_texts_per_second"),
        ((1.0,), "--max_accuracy_drop=1 is"),
        ((-0.1,), "--max_accuracy_drop=-0.1 is"),
        ((math.nan,), "--max_accuracy_drop=nan is"),
        ((0.01, 90.0), "--confidence=90 is"),
        ((0.01, 1.0), "--confidence=1 is"),
        ((0.01, math.nan), "--confidence=nan is"),
    ],
)
def test_a_goal_that_cannot_be(goal, told):
    with pytest.raises(UserError, match=told):
        Goal(*goal)


def test_data_is_known_by_its_texts_and_labels():
    def digest(*rows):
        examples = [Example(0, text, pair, label) for text, pair, label in rows]
        return calibration.describe(examples, "x.tsv")["blake2b"]

    one, other = ("a", None, 1), ("b", "c", 0)
    different = {
        digest(one, other),
        digest(other, one),
        digest(one),
        digest(("a", None, "1"), other),
        digest(("a", "", 1), other),
    }
    assert len(different) == 5
    assert digest(one, other) == digest(one, other)


def test_a_point_that_cannot_be_written(tmp_path):
    path = operating_point.save(tmp_path, Patience(2), {}, data={"texts": 3})
    assert operating_point.load(tmp_path) == Patience(2)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="operating_point.json cannot be written"):
        operating_point.save(tmp_path, Patience(2), {})
    assert list(tmp_path.iterdir()) == [path]


def test_texts_without_labels_prove_nothing(tmp_path, capsys):
    file = tmp_path / "x.tsv"
    file.write_text("text\tlabel\na\tgood\nb\t\n")
    read = functools.partial(corpus.read, split="test", data_dir=None)
    name, examples = read(str(file), None)
    assert name == str(file) and [example.text for example in examples] == ["a"]
    assert "1 rows without a label" in capsys.readouterr().err
    file.write_text("text\tlabel\nb\t\n")
    with pytest.raises(UserError, match="no text with a label"):
        read(str(file), None)
    name, examples = read(None, "synthetic")
    assert name == "synthetic, test" and len(examples) == 1200
    for neither_or_both in ((None, None), (str(file), "synthetic")):
        with pytest.raises(UserError, match="--file=FILE or --task=NAME"):
            read(*neither_or_both)


def test_speed_is_that_of_the_criterion(classifier):
    texts = ["profit rose", ("sales fell", "bank")] * 3
    got = timing.latency_and_throughput(classifier, texts, FixedDepth(2))
    assert classifier.exit == FixedDepth(2)
    assert 0 < got["p99_ms"] < 1e5 and got["texts_per_second"] > 0


def test_an_exit_without_a_path_is_refused_before_texts_are_read(
    classifier, monkeypatch
):
    monkeypatch.setattr(classifier, "exit", Own())
    with pytest.raises(UserError, match="no threshold to vary"):
        calibration.measure(classifier, None, Goal(0.1))  # pyright: ignore


def test_logits_that_are_not_finite_are_refused(classifier):
    encoded = classifier._encode(["profit rose"] * 3)
    params = classifier.params
    classifier.params = jax.tree.map(lambda leaf: leaf * np.float32(np.nan), params)
    with pytest.raises(UserError, match="not finite"):
        calibration.measure(classifier, encoded, Goal(0.1))
    classifier.params = params
