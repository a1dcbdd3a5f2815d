"""Texts as users give them: checked, and read in chunks from any iterable."""

from collections.abc import Callable, Iterable
from typing import Any

from elbert_jax.data.tokenization import is_text
from elbert_jax.errors import UserError

Text = str | tuple[str, str]  # a text, or a pair of texts


class TextChunks:
    """Reads an iterable of texts in chunks; an error ends it, after what came before.

    Attributes:
      ended: whether all texts have been read.
      error: what ended them too early.
    """

    def __init__(self, texts: Iterable[Text], size: int):
        self._texts, self._size = enumerate(texts), size
        self.ended, self.error = False, None

    def read(self, stop: Callable[[], bool] | None = None) -> list[Text]:
        """Returns the next chunk; it is short if texts end, or `stop()` is true."""
        chunk: list[Text] = []
        try:
            for number, text in self._texts:
                check(text, number)
                chunk.append(text)
                if len(chunk) == self._size or (stop and stop()):
                    return chunk
        except Exception as error:
            self.error = error
        self.ended = True
        return chunk


def check(text: Any, number: int) -> None:
    """Raises a UserError if this is no text; `number` is its place."""
    parts = text if isinstance(text, tuple) and len(text) == 2 else (text,)
    if not all(map(is_text, parts)):
        raise UserError(
            f"text {number} is neither a string of valid Unicode nor a tuple of two"
        )
