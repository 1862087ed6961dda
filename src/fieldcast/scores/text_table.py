"""Tables as plain text, in lines that fit a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil

LINE_WIDTH = 110  # characters of a line, at most


def text_table(
    corner: str, headings: Sequence[str], table: Mapping[str, Sequence[str]], min_width: int
) -> Iterator[str]:
    """Lines of named rows, cells right-aligned in columns of at least `min_width` characters.

    Columns that do not fit into LINE_WIDTH characters continue below the others, in blocks of equal width; a block
    lists only the rows that have a cell in it.
    """
    width = max(len(name) for name in (corner, *table)) + 2
    cell = max(min_width, 2 + max(len(text) for cells in (headings, *table.values()) for text in cells))
    blocks = ceil(len(headings) / max(1, (LINE_WIDTH - width) // cell))
    columns = ceil(len(headings) / blocks)
    for start in range(0, len(headings), columns):
        for name, cells in ((corner, headings), *table.items()):
            part = cells[start : start + columns]
            if any(part):
                yield f"{name:<{width}}{''.join(f'{text:>{cell}}' for text in part)}".rstrip()
