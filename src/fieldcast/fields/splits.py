"""Split data into training, validation and test: by date, or the first 70, next 10 and last 20 % of the times.

A split of images is the range of their indices (`images.split`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool

from fieldcast import calendars
from fieldcast.errors import InputError
from fieldcast.fields.options import Splits
from fieldcast.kinds import SAMPLE, are_images

NAMES = ("train", "validation", "test")
_FRACTIONS = (0.7, 0.8)
SplitRanges = Mapping[str, Sequence[str | int]]  # first and last time, or number of an image, of each split


def make(times: Any, periods: Splits | None = None) -> dict[str, list[str]]:
    """First and last time of each split, as `YYYY-MM-DDTHH:MM:SS`, both inclusive; `times` ascend."""
    iso = calendars.iso(times)
    if periods is None:
        cuts = [0, *(round(fraction * iso.size) for fraction in _FRACTIONS), iso.size]
        if any(first >= end for first, end in pairwise(cuts)):
            raise InputError(f"{iso.size} times are too few for train, validation and test: give more")
        return {name: _ends(iso[first:end]) for name, (first, end) in zip(NAMES, pairwise(cuts), strict=True)}
    splits = {}
    for name in NAMES:
        inside = within(times, getattr(periods, name), f"ingestion.splits.{name}")
        splits[name] = _ends(iso[inside])
    _check_apart(splits)
    return splits


def select(fields: xr.Dataset, splits: SplitRanges, name: str) -> xr.Dataset:
    """Fields of one split; static variables are kept."""
    first, last = splits[name]
    if are_images(fields):
        return fields.isel({SAMPLE: slice(int(first), int(last) + 1)})
    iso = calendars.iso(fields["time"])
    index = np.flatnonzero((iso >= first) & (iso <= last))
    # a slice, so that the selection remains a view
    return fields.isel(time=slice(int(index[0]), int(index[-1]) + 1) if index.size else slice(0, 0))


def _ends(iso: np.ndarray) -> list[str]:
    return [str(iso[0]), str(iso[-1])]


def _check_apart(splits: dict[str, list[str]]) -> None:
    ordered = sorted(splits, key=lambda name: splits[name])
    for before, after in pairwise(ordered):
        if splits[after][0] <= splits[before][1]:
            raise InputError(
                f"ingestion.splits.{before} and ingestion.splits.{after} overlap from {splits[after][0]}: "
                "end one before the other begins"
            )


# Periods between two ISO dates, complete or partial ("2001", "2001-05"), both inclusive, in any calendar.


_ISO = re.compile(r"\d{4}(-\d{2}(-\d{2}(T\d{2}(:\d{2}(:\d{2})?)?)?)?)?")


def within(times: Any, period: Sequence[Any], key: str, where: str = "the data") -> Bool[np.ndarray, " time"]:
    """Mask of the times in the period; ISO text is compared, so `[2001, 2001-05]` ends with the last day of May."""
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
    inside = (iso.astype(f"<U{len(first)}") >= first) & (iso.astype(f"<U{len(last)}") <= last)
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
