"""Tokenizer files of ALBERT checkpoints, opened as ALBERT itself read them."""

import base64
import json
import pathlib
from typing import Any

from transformers import AlbertTokenizer, BertTokenizer, PreTrainedTokenizerFast

from elbert_jax.errors import UserError


def load(directory: pathlib.Path) -> PreTrainedTokenizerFast:
    """Opens the tokenizer of a directory; any exception may tell that it is damaged."""
    files = {path.name for path in directory.iterdir()}
    kind: Any = AlbertTokenizer
    if "tokenizer.json" in files:
        if files & {"tokenizer_config.json", "config.json"}:  # name its class
            kind = _named_class(directory / "tokenizer_config.json")
    elif "spiece.model" in files:
        return _as_pretrained(kind.from_pretrained(directory))
    elif "vocab.txt" in files:
        kind = BertTokenizer
    else:  # transformers would silently build a vocabulary of five tokens
        raise UserError(f"{directory} has no tokenizer.json and no spiece.model")
    return kind.from_pretrained(directory, split_special_tokens=True)


def _named_class(config: pathlib.Path) -> Any:
    if config.exists():
        name = json.loads(config.read_text("utf-8")).get("tokenizer_class")
        if name in {"AlbertTokenizer", "AlbertTokenizerFast"}:
            return AlbertTokenizer
    # Imported here, as it imports torch if installed, which doubles start-up time.
    from transformers import AutoTokenizer

    return AutoTokenizer


def _as_pretrained(hf: Any) -> AlbertTokenizer:
    """Returns a bare spiece.model's tokenizer with ALBERT's original behaviour.

    transformers 5 splits texts at user-defined symbols ("-", "." and so on) before
    SentencePiece, so that "e-mail" gains a space; and it keeps tokens such as "2010,",
    which ALBERT splits before the comma.
    """
    state = json.loads(hf.backend_tokenizer.to_str())
    last = state["normalizer"]["normalizers"][-1]
    charsmap: Any = base64.b64decode(last.get("precompiled_charsmap", "")) or None
    vocabulary = [
        (token, score - 100 if token[-1] == "," and token[-2:-1].isdigit() else score)
        for token, score in state["model"]["vocab"]
    ]
    return AlbertTokenizer(
        vocab=vocabulary,
        do_lower_case=hf.do_lower_case,
        keep_accents=hf.keep_accents,
        _spm_precompiled_charsmap=charsmap,
        split_special_tokens=True,
    )
