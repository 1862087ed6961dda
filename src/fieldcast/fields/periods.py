"""Periods between two ISO dates, complete or partial ("2001", "2001-05"), both inclusive, in any calendar."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from fieldcast import calendars
from fieldcast.errors import InputError

_ISO = re.compile(r"\d{4}(-\d{2}(-\d{2}(T\d{2}(:\d{2}(:\d{2})?)?)?)?)?")


def within(times: Any, period: Sequence[Any], key: str, where: str = "the data") -> Bool[np.ndarray, " time"]:
    """Mask of the times in the period; ISO text is compared, so `[2001, 2001-05]` ends with the last day of May.

    Raises
    ------
    InputError
        For a bound that is not a date, or a period that ends before it begins, exceeds the data or is empty.
    """
    first, last = (_token(date, key) for date in period)
    iso = calendars.iso(times)
    n = min(len(first), len(last))
    if first[:n] > last[:n]:
        raise InputError(f"{key} ends ({last}) before it begins ({first}): swap the two")
    begin, end = (str(bound) for bound in np.sort(iso)[[0, -1]])
    if first > end[: len(first)] or first < begin[: len(first)] or last > end[: len(last)]:
        raise InputError(
            f"{key} [{first}, {last}] exceeds the data: {where} runs from {begin} to {end}, "
            "choose dates within"
        )
    inside = (_cut(iso, len(first)) >= first) & (_cut(iso, len(last)) <= last)
    if not inside.any():
        raise InputError(f"{key} [{first}, {last}] contains no time of {where}: choose a longer period")
    return inside


def _token(date: Any, key: str) -> str:
    text = str(date).strip().replace(" ", "T")
    if not _ISO.fullmatch(text):
        raise InputError(
            f"'{date}' in {key} is not a date: write it as 2001, 2001-05, 2001-05-17 or 2001-05-17T06:00"
        )
    return text


def _cut(iso: np.ndarray, length: int) -> np.ndarray:
    return iso.astype(f"<U{length}")
