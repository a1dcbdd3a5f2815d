"""Special tokens and word starts of SentencePiece and WordPiece vocabularies."""

import pytest

from elbert_jax.data.passages import Vocabulary
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.data.vocabulary import train_tokenizer
from elbert_jax.errors import UserError

CHINESE = "[PAD] [UNK] [CLS] [SEP] [MASK] 好 。 ##b".split()


def test_sentencepiece(tmp_path):
    check(train_tokenizer(['A long "day." Now so!'] * 3, 60, tmp_path), "▁now a")


def test_wordpiece(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(CHINESE))
    tokenizer = Tokenizer.load(tmp_path)
    check(tokenizer, "好 ##b")
    tokenizer.hf.mask_token = None  # pyright: ignore
    with pytest.raises(UserError, match="no .MASK."):
        Vocabulary.of(tokenizer)


def check(tokenizer, names):
    """`names` are a token that starts a word, and one that does not."""
    got, tokens = Vocabulary.of(tokenizer), tokenizer.vocabulary()
    word, other = map(tokens.index, names.split())
    assert (got.cls, got.sep, got.mask) == tuple(map(tokens.index, CHINESE[2:5]))
    assert got.ordinary.tolist() == list(range(5, len(tokenizer)))
    assert got.starts_word[word] and not got.starts_word[other]
