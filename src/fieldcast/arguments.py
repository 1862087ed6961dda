"""Arguments of the public functions, checked before anything is computed.

Each function returns the argument, as a plain number where it is one, or raises an InputError of one sentence: its
name, what was given, and what to give.
"""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fieldcast.errors import InputError

MAX_WHOLE_NUMBER = 2**31 - 1  # largest seed or count
ALTERNATIVE = re.compile(
    r"str|int|float|bool|none|(finite|constrained)-\w+|(list|dict|tuple|set|literal|nullable|function-[\w-]+)\[.*"
)
MAX_SHOWN_CHARACTERS = 60  # largest number of characters of a value in a message


def whole_number(value: object, name: str, least: int = 0, most: int = MAX_WHOLE_NUMBER) -> int:
    """A whole number from `least` to `most`, of Python or NumPy; raises an InputError for any other value."""
    number = None
    if not _is_truth_value(value):
        try:
            number = operator.index(value)  # type: ignore[arg-type]  # whatever was given
        except TypeError:
            number = None
    if number is None or not least <= number <= most:
        raise InputError(f"{name} {as_given(value)}: give a whole number from {least} to {most}.")
    return number


def seed_number(value: object, name: str = "seed") -> int:
    """A seed, a whole number of the default range; raises an InputError for any other value."""
    return whole_number(value, name)


def real_number(value: object, name: str, least: float = 0.0, below: float = math.inf) -> float:
    """A finite number of at least `least`, and less than `below`; raises an InputError for any other value."""
    number = _number(value)
    if not math.isfinite(number) or not least <= number < below:
        end = f" and below {below:g}" if below < math.inf else ""
        raise InputError(f"{name} {as_given(value)}: give a finite number of at least {least:g}{end}.")
    return number


def positive_number(value: object, name: str) -> float:
    """A finite number above zero; raises an InputError for any other value."""
    number = _number(value)
    if not math.isfinite(number) or number <= 0:
        raise InputError(f"{name} {as_given(value)}: give a finite number above 0.")
    return number


def truth_value(value: object, name: str) -> bool:
    """True or False, of Python or NumPy; raises an InputError for any other value."""
    if not _is_truth_value(value):
        raise InputError(f"{name} {as_given(value)}: give True or False.")
    return bool(value)


def choice(value: object, name: str, choices: Sequence[str]) -> str:
    """One of `choices`; raises an InputError for any other value."""
    if not isinstance(value, str) or value not in choices:
        listed = " or ".join(f'"{choice}"' for choice in choices)
        raise InputError(f"{name} {as_given(value)}: give {listed}.")
    return value


def text(value: object, name: str, example: str) -> str:
    """A string, such as `example`; raises an InputError for any other value."""
    if not isinstance(value, str):
        raise InputError(f'{name} {as_given(value)}: give a string, such as "{example}".')
    return value


def mapping(value: object, name: str, example: str) -> Mapping[str, Any]:
    """A mapping whose keys are strings, such as `example`; raises an InputError for any other value."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{name} {as_given(value)}: give a dictionary such as {example}.")
    return value


def path(value: object, name: str, example: str) -> str:
    """The name of a file or folder, such as `example`; raises an InputError for any other value."""
    given = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(given, str) or not given.strip() or "\0" in given:
        raise InputError(f'{name} {as_given(value)}: give the name of a file or folder, such as "{example}".')
    return given


def option_path(location: Sequence[int | str]) -> list[str]:
    """Pydantic's location of a value without the names of alternatives, such as `str` and `list[str]` of a path."""
    return [str(part) for part in location if not ALTERNATIVE.fullmatch(str(part))]


def as_given(value: object) -> str:
    """A value as the predicate of a sentence: "= 1.5", or "is a Dataset"."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        written = repr(value)
        return (
            f"= {written}"
            if len(written) <= MAX_SHOWN_CHARACTERS
            else f"= {written[:MAX_SHOWN_CHARACTERS]}..."
        )
    try:
        return f"= {_number(value):g}" if not math.isnan(_number(value)) else f"is a {type(value).__name__}"
    except OverflowError:
        return f"is a {type(value).__name__}"


def _number(value: object) -> float:
    """The value as a number; NaN if it is none."""
    if _is_truth_value(value) or isinstance(value, str | bytes | bytearray | complex):
        return math.nan
    try:
        return float(value)  # type: ignore[arg-type]  # whatever was given
    except (TypeError, ValueError, RuntimeError, OverflowError):  # several numbers, or one beyond all floats
        return math.nan


def _is_truth_value(value: object) -> bool:
    return isinstance(value, bool) or type(value).__name__ == "bool"  # NumPy's, too
