"""Conditions by which values are kept: comparisons of variables of a file, parsed, never evaluated as code.

    condition   comparison { and comparison }
    comparison  NAME ( >= | <= | > | < | == | = | != ) NUMBER or MEANING
                NAME ( with | without ) MEANING { , MEANING }

A meaning is a word of the variable's `flag_meanings`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fieldcast.errors import InputError

_NAME = r"[^\W\d][\w./-]*"
_COMPARISON = re.compile(rf"({_NAME})\s*(>=|<=|==|!=|=|>|<)\s*([^\s<>=!]+)")
_FLAGS = re.compile(rf"({_NAME})\s+(without|with)\s+(\S+(?:[\s,]+\S+)*)", re.IGNORECASE)
_AND = re.compile(r"\s+and\s+|\s*&&?\s*", re.IGNORECASE)
EXAMPLES = '"quality_level >= 4" or "l2_flags without CLDICE, LAND", joined by `and`'


@dataclass(frozen=True)
class Condition:
    """One comparison.

    Parameters
    ----------
    variable
        Name in the file.
    operator
        `>=`, `<=`, `>`, `<`, `==`, `!=`, `with` or `without`.
    values
        A number or a meaning; for `with` and `without` any number of meanings.
    """

    variable: str
    operator: str
    values: tuple[str, ...]

    @property
    def number(self) -> float | None:
        """The number that a variable is compared with; None for a meaning."""
        try:
            return float(self.values[0])
        except ValueError:
            return None


def conditions(text: str, key: str) -> tuple[Condition, ...]:
    """The comparisons in a text; `key` is the option that holds it."""
    return tuple(_condition(part.strip(), text, key) for part in _AND.split(text.strip()))


def _condition(part: str, text: str, key: str) -> Condition:
    if re.search(r"\s(or|not)\s|\|", f" {part} ", re.IGNORECASE):
        raise InputError(
            f"{key} '{text}' is not a list of comparisons: write {EXAMPLES}; `or` and `not` are not read"
        )
    if flags := _FLAGS.fullmatch(part):
        return Condition(flags[1], flags[2].lower(), tuple(re.split(r"[\s,]+", flags[3].strip(" ,"))))
    if comparison := _COMPARISON.fullmatch(part):
        operator = "==" if comparison[2] == "=" else comparison[2]
        return Condition(comparison[1], operator, (comparison[3].strip("'\""),))
    subject = f"'{part}' in {key} '{text}'" if part != text.strip() else f"{key} '{text}'"
    raise InputError(f"{subject} is not a comparison of a variable: write {EXAMPLES}")
