"""Texts as a user gives them: checked, and taken in chunks from any iterable."""

import itertools
from collections.abc import Iterable
from typing import Any

from elbert_jax.data.tokenization import is_text
from elbert_jax.errors import UserError

Text = str | tuple[str, str]  # a text, or a pair of texts


class TextChunks:
    """An iterable of texts in chunks; an error ends it, after what came before."""

    def __init__(self, texts: Iterable[Text], size: int):
        self._texts, self._size = enumerate(texts), size
        self.error: Exception | None = None

    def read(self) -> tuple[list[Text], bool]:
        """Returns the next chunk, and whether it is the last; it may be empty."""
        chunk = []
        try:
            for number, text in itertools.islice(self._texts, self._size):
                check(text, number)
                chunk.append(text)
        except Exception as error:
            self.error = error
        return chunk, len(chunk) < self._size


def check(text: Any, number: int) -> None:
    """Raises a UserError where that is no text; `number` is its place."""
    parts = text if isinstance(text, tuple) and len(text) == 2 else (text,)
    if not all(map(is_text, parts)):
        raise UserError(
            f"text {number} is neither a string of valid Unicode nor a tuple of two"
        )
