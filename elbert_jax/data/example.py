"""One labelled or unlabelled text."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Example:
    """One row of a data set: text or pair, label as found, and all columns."""

    id: str | int
    text: str
    text_pair: str | None = None
    label: str | int | None = None
    row: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def input(self) -> str | tuple[str, str]:
        """Input of a classifier: the text, or the pair."""
        return self.text if self.text_pair is None else (self.text, self.text_pair)
