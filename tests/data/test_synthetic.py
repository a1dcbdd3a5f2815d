"""The embedded set: fixed, disjoint, balanced, and harder by grade."""

import collections
import itertools

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from elbert_jax.data import synthetic

SIGNS = {label: sign for sign, label in synthetic.LABELS.items()}


def splits():
    return {split: synthetic.examples(split) for split in synthetic.SIZES}


def of_grade(split, grade):
    """Returns the texts and the labels of one grade."""
    kept = [each for each in splits()[split] if each.row["grade"] == grade]
    return [each.text for each in kept], [each.row["label"] for each in kept]


def movement(clause):
    """Returns the sign of the one movement that a clause names."""
    words = {word.strip(",") for word in clause.split()}
    signs = {
        sign
        for sign, form in itertools.product(SIGNS.values(), ("move", "moved"))
        if words & {words.split()[0] for words in synthetic._RULES[form + sign]}
    }
    assert len(signs) == 1, clause
    return signs.pop()


def test_the_set_is_fixed():
    assert synthetic._splits.__wrapped__() == splits()


def test_the_splits_are_disjoint():
    texts = [each.text for split in splits().values() for each in split]
    assert len(set(texts)) == len(texts) == sum(synthetic.SIZES.values())


@pytest.mark.parametrize("split", synthetic.SIZES)
def test_grades_and_labels_are_balanced(split):
    cells = collections.Counter((e.row["grade"], e.label) for e in splits()[split])
    shares = dict(zip(synthetic.GRADES, synthetic._SHARES[split]))
    each = synthetic.SIZES[split] // (3 * sum(shares.values()))
    want = {(g, label): each * n for g, n in shares.items() for label in SIGNS}
    assert cells == want and sum(want.values()) == synthetic.SIZES[split]


def test_rows_hold_what_a_file_would():
    for each in itertools.chain(*splits().values()):
        assert each.row["text"] == each.text
        assert each.row["label"] == each.label
        assert "{" not in each.text and "  " not in each.text


def test_an_unknown_split_names_those_there_are():
    with pytest.raises(ValueError, match="test, validation, train"):
        synthetic.examples("dev")


def test_plain_labels_are_their_one_movement():
    for text, label in zip(*of_grade("test", "plain")):
        announced = any(f" {verb} " in text for verb in ("named", "published", "moved"))
        assert (announced and label == "neutral") or movement(text) == SIGNS[label]


def test_contrast_labels_are_the_clause_that_counts():
    for text, label in zip(*of_grade("test", "contrast")):
        if "but" in text.split():
            clause = text.split(" but ")[1]
        elif "though" in text.split(",")[0].lower():
            clause = text.split(", ")[1]
        else:
            clause = text.split(", ")[0]
        assert movement(clause) == SIGNS[label], text


def test_distant_labels_are_the_company_s_own():
    for text, label in zip(*of_grade("test", "distant")):
        clause = text.split(" its own ")[1].split(",")[0]
        assert movement(clause) == SIGNS[label], text


def test_texts_are_short_and_grow_with_the_grade():
    lengths = [
        sum(len(text.split()) for text in of_grade("test", grade)[0]) / 300
        for grade in synthetic.GRADES
    ]
    assert lengths == sorted(lengths)
    assert lengths[0] < 9 and lengths[-1] < 28


def test_a_bag_of_words_reads_plain_texts_but_not_the_order_of_clauses():
    accuracy = {}
    for grade in synthetic.GRADES:
        reader = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=500))
        reader.fit(*of_grade("train", grade))
        accuracy[grade] = reader.score(*of_grade("test", grade))
    print(accuracy)
    assert accuracy["plain"] > 0.97
    assert accuracy["contrast"] < 0.6
    assert accuracy["distant"] < 0.75
