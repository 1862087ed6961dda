"""The one error that a user can cause: a sentence saying what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence


class InputError(ValueError):
    """Bad input, configuration or environment; shown as its one sentence, without a traceback."""


# Numbers with their nouns, 1 time, 2 times, and the first entries of long lists, for messages.


MAX_LISTED = 5  # entries that a message lists


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun; the plural has an s more unless it is given: `counted(2, "date is", "dates are")`."""
    return f"{number} {singular if number == 1 else plural or f'{singular}s'}"


def listed(texts: Sequence[str], number: int) -> str:
    """The first `MAX_LISTED` texts of `number`, and how many more there are; `texts` may hold these alone."""
    more = f", and {number - MAX_LISTED} more" if number > MAX_LISTED else ""
    return "; ".join(texts[:MAX_LISTED]) + more
