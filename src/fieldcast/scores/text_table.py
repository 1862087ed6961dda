"""Tables as plain text, in lines that fit a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil

LINE = 110  # characters of a line at most


def grid(
    corner: str, headings: Sequence[str], table: Mapping[str, Sequence[str]], narrowest: int
) -> Iterator[str]:
    """Lines of named rows, cells right-aligned in columns of at least `narrowest` characters.

    Columns that do not fit into LINE characters continue below the others, in blocks of equal width; a block lists only
    the rows that have a cell in it.
    """
    width = max(len(name) for name in (corner, *table)) + 2
    cell = max(narrowest, 2 + max(len(text) for cells in (headings, *table.values()) for text in cells))
    lines = ceil(len(headings) / max(1, (LINE - width) // cell))
    each = ceil(len(headings) / lines)
    for start in range(0, len(headings), each):
        for name, cells in ((corner, headings), *table.items()):
            part = cells[start : start + each]
            if any(part):
                yield f"{name:<{width}}{''.join(f'{text:>{cell}}' for text in part)}".rstrip()
