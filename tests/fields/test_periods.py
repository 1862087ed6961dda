"""Partial ISO dates against pandas' own slicing, and one sentence for each way to get a period wrong."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields.splits import within

TIMES = pd.date_range("2001-03-01", "2004-06-30", freq="12h")


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
    series = pd.Series(np.arange(TIMES.size), TIMES)
    assert np.array_equal(np.flatnonzero(within(TIMES, period, "key")), series.loc[period[0] : period[1]])


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
        within(TIMES, period, "key")
    assert message in str(caught.value) and "\n" not in str(caught.value)
