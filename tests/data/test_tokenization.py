"""Tokenizers, against transformers and sentencepiece."""

import copy
import json
import math
import pathlib

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers
from transformers import AutoTokenizer

from elbert_jax.data.sources import Example, read_file
from elbert_jax.data.tokenization import TRUNCATIONS, Tokenizer
from elbert_jax.data.vocabulary import train_tokenizer
from elbert_jax.errors import UserError

CORPUS = [
    "A gripping film, well-made (and short).",
    "Il n'y a qu'un café naïve here; it cost £5.50 in 2010, or 3.0, say.",
    "the mask of [MASK] and [CLS] is no mask",
    "profit rose to EUR 13.1 mn from EUR 8.7 mn in 2009, up 10%",
    "``never'' say \"never\" again --- e-mail me",
] * 3
CLEAN = normalizers.Sequence(  # Google's ALBERT does this in Python
    [
        normalizers.Replace("``", '"'),
        normalizers.Replace("''", '"'),
        normalizers.NFKD(),
        normalizers.StripAccents(),
        normalizers.Lowercase(),
    ]
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_tokenizer(CORPUS, 120, tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture
def english(shared_data):
    return Tokenizer.load(shared_data / "albert-tokenizer")


def pieces(tokenizer, text):
    (encoding,) = tokenizer.encode([text])
    return tokenizer.hf.convert_ids_to_tokens(encoding.tokens.tolist())


def sentencepiece_ids(tokenizer, texts):
    model = str(tokenizer.directory / "spiece.model")
    processor = sentencepiece.SentencePieceProcessor(model_file=model)  # pyright: ignore
    return processor.encode([CLEAN.normalize_str(text) for text in texts])


def test_trained_vocabulary_has_alberts_special_ids(trained):
    special = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    assert trained.hf.convert_ids_to_tokens(range(5)) == special
    hf = trained.hf
    ids = (hf.pad_token_id, hf.unk_token_id, hf.cls_token_id, hf.sep_token_id)
    assert ids == (0, 1, 2, 3)
    assert 60 < len(trained) <= 120


def test_trained_vocabulary_agrees_with_sentencepiece(trained):
    got = [e.tokens[1:-1].tolist() for e in trained.encode(CORPUS)]
    assert got == sentencepiece_ids(trained, CORPUS)
    assert not any(1 in ids for ids in got)


def test_training_is_deterministic(trained, tmp_path):
    again = train_tokenizer(iter(CORPUS), 120, tmp_path / "new")
    first, second = (t.directory / "spiece.model" for t in (trained, again))
    assert first.read_bytes() == second.read_bytes()


def test_a_small_corpus_gives_fewer_pieces(tmp_path):
    assert len(train_tokenizer(["hello world"] * 3, 1000, tmp_path)) < 30


@pytest.mark.parametrize(
    "texts, size, message",
    [([], 100, "corpus is empty"), (["a b c"], 3, "smaller than required_chars")],
)
def test_vocabularies_that_cannot_be(tmp_path, texts, size, message):
    with pytest.raises(UserError, match=message):
        train_tokenizer(texts, size, tmp_path)


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), UserError("damaged")])
def test_a_fault_of_the_texts_is_not_one_of_the_vocabulary(tmp_path, fault):
    def texts():
        yield "hello world"
        raise fault

    with pytest.raises(type(fault)):
        train_tokenizer(texts(), 60, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_that_embeds_fewer_pieces(trained):
    trained.check_fits("it", len(trained))
    with pytest.raises(UserError, match="tokens, but it embeds 5: take"):
        trained.check_fits("it", 5)


def test_real_vocabulary(english):
    assert len(english) == 30000
    assert pieces(english, "Hello, Wörld!") == [
        *("[CLS]", "▁hello", ",", "▁world", "!", "[SEP]")
    ]


def test_pieces_are_those_of_albert_not_of_transformers_5(english):
    assert pieces(english, "e-mail (now)")[1:-1] == [
        *("▁", "e", "-", "mail", "▁", "(", "now", ")")
    ]
    assert pieces(english, "in 2010, or")[1:-1] == ["▁in", "▁2010", ",", "▁or"]


def test_real_vocabulary_agrees_with_sentencepiece(english, shared_data):
    texts = []
    for name in ("glue/SST-2/dev.tsv", "glue/RTE/dev.tsv"):
        rows = read_file(shared_data / name)
        texts += [row.text for row in rows if isinstance(row, Example)]
    got = [e.tokens[1:-1].tolist() for e in english.encode(texts)]
    comma = english.hf.convert_tokens_to_ids(",")
    for text, mine, theirs in zip(texts, got, sentencepiece_ids(english, texts)):
        # ALBERT splits "2010," before the comma, after SentencePiece.
        names = english.hf.convert_ids_to_tokens(theirs)
        if not any(n[-1] == "," and n[-2:-1].isdigit() for n in names):
            assert mine == theirs, text
        else:
            assert comma in mine


def test_special_pieces_in_a_text_are_text(trained):
    got = pieces(trained, "[MASK] of [CLS][SEP]")
    assert got[0] == "[CLS]" and got[-1] == "[SEP]"
    assert not {"[CLS]", "[SEP]", "[MASK]"} & set(got[1:-1])


def test_an_empty_text_is_cls_sep(trained):
    for encoding in trained.encode(["", "  \n"]):
        np.testing.assert_array_equal(encoding.tokens, [2, 3])
        np.testing.assert_array_equal(encoding.types, [0, 0])
        assert not encoding.truncated
    (pair,) = trained.encode([""], [""])
    np.testing.assert_array_equal(pair.tokens, [2, 3, 3])
    np.testing.assert_array_equal(pair.types, [0, 0, 1])
    assert trained.encode([]) == []


words = st.lists(st.sampled_from("film café 3.0, e-mail [MASK]数".split())).map(
    " ".join
)


def limited(tokenizer, max_length, truncation):
    """Returns a copy that was told how to cut."""
    copied = Tokenizer(copy.deepcopy(tokenizer.hf), tokenizer.directory)
    copied.limit(max_length, truncation)
    return copied


@pytest.fixture(scope="module", params=["head", "tail"])
def cutting(request, trained):
    return limited(trained, 40, request.param)


@given(words, words, st.integers(4, 40))
def test_pieces_types_and_truncation_are_transformers(cutting, text, pair, length):
    for second in (None, [pair]):
        (got,) = cutting.encode([text], second, length)
        want = cutting.hf([text], second, return_token_type_ids=True, verbose=False)
        cut = cutting.hf(
            [text],
            second,
            truncation="longest_first",
            max_length=length,
            return_token_type_ids=True,
        )
        assert got.tokens.tolist() == cut["input_ids"][0]
        assert got.types.tolist() == cut["token_type_ids"][0]
        assert got.truncated == (len(want["input_ids"][0]) > length)
        assert got.tokens.dtype == np.int32 and got.types.dtype == np.int8


def keep_both_ends(pieces, count):
    """The reference: a quarter of what is kept is from the head, rounded up."""
    head = math.ceil(count / 4)
    far = len(pieces) - (count - head)
    return [piece for i, piece in enumerate(pieces) if i < head or i >= far]


@pytest.fixture(scope="module")
def both_ends(trained):
    return limited(trained, 512, "head+tail")


@given(words, words, st.integers(4, 40))
def test_head_and_tail_keeps_both_ends(trained, both_ends, text, pair, length):
    first, second = trained.token_ids([text, pair])
    for pairs in (None, [pair]):
        (head,) = trained.encode([text], pairs, length)
        (got,) = both_ends.encode([text], pairs, length)
        np.testing.assert_array_equal(got.types, head.types)
        assert got.truncated == head.truncated
        in_second = max(0, int(head.types.sum()) - 1)
        in_first = len(head.tokens) - in_second - (3 if pairs else 2)
        want = [2, *keep_both_ends(first, in_first), 3]
        want += [*keep_both_ends(second, in_second), 3] if pairs else []
        assert got.tokens.tolist() == want


def test_head_and_tail_of_a_long_text(both_ends):
    text = "film " * 100 + "café " * 1000
    (pieces,) = both_ends.token_ids([text])
    (got,) = both_ends.encode([text], max_length=512)
    assert got.truncated and len(got.tokens) == 512
    assert got.tokens[1:129].tolist() == pieces[:128]
    assert got.tokens[129:-1].tolist() == pieces[-382:]


@pytest.mark.parametrize("truncation", TRUNCATIONS)
def test_how_texts_are_cut_is_saved(trained, tmp_path, truncation):
    limited(trained, 12, truncation).save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert (again.max_length, again.truncation) == (12, truncation)
    again.save(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").truncation == truncation
    auto = AutoTokenizer.from_pretrained(tmp_path)
    assert auto.truncation_side == ("left" if truncation == "tail" else "right")
    assert auto.model_max_length == 12


def test_how_others_say_that_texts_are_cut(trained, tmp_path):
    trained.save(tmp_path)
    assert Tokenizer.load(tmp_path).truncation == "head"
    path = tmp_path / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"truncation_side": "left"}))
    assert Tokenizer.load(tmp_path).truncation == "tail"
    path.write_text(json.dumps(config | {"elbert_truncation": "middle"}))
    with pytest.raises(UserError, match="elbert_truncation .* is 'middle'; it may be"):
        Tokenizer.load(tmp_path)
    with pytest.raises(UserError, match="truncation is 'both'; it may be head, tail"):
        trained.limit(12, "both")


def test_many_texts_keep_their_order(trained):
    texts = [f"film {i}" for i in range(2500)]
    all_at_once = trained.encode(texts)
    for i in (0, 1023, 1024, 2499):
        (alone,) = trained.encode([texts[i]])
        np.testing.assert_array_equal(all_at_once[i].tokens, alone.tokens)


def test_saved_tokenizer_opens_with_transformers(trained, tmp_path):
    trained.save(tmp_path / "model")
    auto = AutoTokenizer.from_pretrained(tmp_path / "model")
    again = Tokenizer.load(tmp_path / "model")
    want = [e.tokens.tolist() for e in trained.encode(CORPUS, CORPUS[::-1])]
    assert auto(CORPUS, CORPUS[::-1])["input_ids"] == want
    assert [e.tokens.tolist() for e in again.encode(CORPUS, CORPUS[::-1])] == want
    model = pathlib.Path("spiece.model")
    copied, first = tmp_path / "model" / model, trained.directory / model
    assert copied.read_bytes() == first.read_bytes()
    again.save(tmp_path / "model")  # over itself


def test_tokenizer_json_alone(trained, tmp_path):
    trained.save(tmp_path)
    for path in tmp_path.iterdir():
        if path.name != "tokenizer.json":
            path.unlink()
    again = Tokenizer.load(tmp_path)
    assert pieces(again, CORPUS[0]) == pieces(trained, CORPUS[0])
    again.save(tmp_path)
    assert not (tmp_path / "spiece.model").exists()


def test_chinese_word_pieces(tmp_path):
    vocabulary = "[PAD] [UNK] [CLS] [SEP] [MASK] 你 好 a ##b [ ] mask"
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary.split()))
    tokenizer = Tokenizer.load(tmp_path)
    assert len(tokenizer) == 12
    (got,) = tokenizer.encode(["你好[MASK]"], ["ab"])
    np.testing.assert_array_equal(got.tokens, [2, 5, 6, 9, 11, 10, 3, 7, 8, 3])
    np.testing.assert_array_equal(got.types, [0] * 7 + [1] * 3)
    tokenizer.save(tmp_path / "saved")
    again = Tokenizer.load(tmp_path / "saved")
    np.testing.assert_array_equal(again.encode(["你好"])[0].tokens, [2, 5, 6, 3])


@pytest.mark.parametrize(
    "name, content, message",
    [
        (None, b"", "has no tokenizer.json and no spiece.model"),
        ("spiece.model", b"", "is damaged"),
        ("spiece.model", b"garbage", "is damaged"),
        ("tokenizer.json", b"{}", "is damaged"),
    ],
)
def test_directories_without_a_vocabulary(tmp_path, name, content, message):
    if name:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        Tokenizer.load(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["a\ud800", None, 3])
def test_what_is_no_text(trained, text):
    with pytest.raises(UserError, match="text 1 is not valid Unicode text"):
        trained.encode(["fine", text])


def test_a_length_that_holds_no_text(trained):
    with pytest.raises(UserError, match="max_length is 3"):
        trained.encode(["a"], max_length=3)
