"""Splits by default and by date; every time in one at most; a sentence names the key that is wrong.

Partial ISO dates against pandas' own slicing.
"""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fieldcast.errors import InputError
from fieldcast.fields.options import Splits
from fieldcast.fields.splits import make, select, within
from fieldcast.kinds import state_dimension

TIMES = pd.date_range("2001-01-01", "2010-12-31")
FIELDS = xr.Dataset({"z": ("time", np.arange(TIMES.size)), "h": 1.0}, {"time": TIMES})


def test_states_are_numbered_by_sample_or_by_time() -> None:
    assert state_dimension(FIELDS) == "time"
    assert state_dimension(FIELDS.rename(time="sample")) == "sample"


def test_by_default_70_10_20_percent_of_the_times() -> None:
    splits = make(FIELDS["time"])
    sizes = [select(FIELDS, splits, name).sizes["time"] for name in ("train", "validation", "test")]
    assert sizes == [2556, 366, 730]
    assert splits["test"] == ["2009-01-01T00:00:00", "2010-12-31T00:00:00"]


@given(st.integers(10, 400))
def test_default_splits_hold_every_time_once(n: int) -> None:
    times = TIMES[:n]
    fields = xr.Dataset({"z": ("time", np.arange(n))}, {"time": times})
    splits = make(times)
    parts = [select(fields, splits, name)["z"].values for name in splits]
    assert np.array_equal(np.concatenate(parts), np.arange(n)) and all(part.size for part in parts)


def test_by_date_in_any_calendar() -> None:
    periods = Splits(train=(2001, 2002), validation=("2003-01", "2003-06"), test=("2003-07-01", "2003"))
    splits = make(TIMES, periods)
    assert splits["train"] == ["2001-01-01T00:00:00", "2002-12-31T00:00:00"]
    assert splits["test"] == ["2003-07-01T00:00:00", "2003-12-31T00:00:00"]
    noleap = xr.date_range("2001-01-01", periods=1095, calendar="noleap", use_cftime=True)
    assert make(noleap, periods) == splits
    fields = xr.Dataset({"z": ("time", np.arange(1095)), "h": 1.0}, {"time": noleap})
    assert select(fields, splits, "validation").sizes["time"] == 181 and "h" in select(fields, splits, "test")


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ((2001, 2005), (2011, 2012), "ingestion.splits.test [2011, 2012] exceeds the data"),
        ((2001, 2005), (2009, 2011), "ingestion.splits.test"),
        (
            (2001, 2007),
            (2009, 2010),
            "ingestion.splits.train and ingestion.splits.validation overlap from 2007-01-01",
        ),
        ((2005, 2001), (2009, 2010), "ingestion.splits.train ends (2001) before it begins"),
        (
            ("2001-01-01T01", "2001-01-01T02"),
            (2009, 2010),
            "ingestion.splits.train [2001-01-01T01, 2001-01-01T02] contains no time",
        ),
    ],
)
def test_wrong_splits(train: tuple, test: tuple, message: str) -> None:
    with pytest.raises(InputError) as caught:
        make(TIMES, Splits(train=train, validation=(2007, 2008), test=test))
    assert message in str(caught.value)


def test_too_few_times_and_misspelt_keys() -> None:
    with pytest.raises(InputError, match="2 times are too few"):
        make(TIMES[:2])
    with pytest.raises(ValidationError, match="tests"):
        Splits(train=(2001, 2002), validation=(2003, 2004), tests=(2005, 2006))  # type: ignore[call-arg]


HALF_DAYS = pd.date_range("2001-03-01", "2004-06-30", freq="12h")


@pytest.mark.parametrize(
    "period",
    [
        ("2001", "2002"),
        ("2001-05", "2001-05"),
        ("2002-02-03", "2003"),
        ("2002-02-03T12:00", "2002-02-03T12:00:00"),
    ],
)
def test_agrees_with_pandas(period: tuple[str, str]) -> None:
    series = pd.Series(np.arange(HALF_DAYS.size), HALF_DAYS)
    assert np.array_equal(np.flatnonzero(within(HALF_DAYS, period, "key")), series.loc[period[0] : period[1]])


def test_years_may_be_numbers_and_calendars_may_lack_29_february() -> None:
    times = xr.date_range("2000-01-01", periods=1000, calendar="noleap", use_cftime=True)
    assert within(times, (2000, 2001), "key").sum() == 730


@pytest.mark.parametrize(
    ("period", "message"),
    [
        (("1999", "2002"), "key [1999, 2002] exceeds the data: the data runs from 2001-03-01"),
        (("2001-02", "2002"), "exceeds"),
        (("2002", "2004-07"), "exceeds"),
        (("2003", "2002"), "ends (2002) before it begins (2003)"),
        (("2002-02-03T01", "2002-02-03T02"), "contains no time"),
        (("May 2002", "2003"), "'May 2002' in key is not a date"),
    ],
)
def test_a_wrong_period_is_reported_in_one_sentence(period: tuple[str, str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        within(HALF_DAYS, period, "key")
    assert message in str(caught.value) and "\n" not in str(caught.value)
