"""Plain-text tables and bars for a terminal, and Markdown tables for files."""

from collections.abc import Iterable, Sequence
from typing import Any

_BAR = 40  # characters of the longest bar


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Returns aligned columns: numbers to the right, text to the left."""
    numeric = [isinstance(value, int | float) for value in rows[0]]
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric)
        ).rstrip()
        for line in cells
    )


def markdown(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Returns a Markdown table, aligned so that it also reads in a terminal."""
    lines = [list(header), *([str(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths))} |"
        for line in lines
    )


def histogram(counts: Sequence[int]) -> str:
    """Returns one line per number, from 1 on, with its count and a bar."""
    longest = max(counts)
    return "\n".join(
        f"{number:>4} {count:>7}  {'#' * round(_BAR * count / longest)}".rstrip()
        for number, count in enumerate(counts, start=1)
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if value >= 1000 else f"{value:.4g}"
    return str(value)
