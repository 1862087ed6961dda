from __future__ import annotations

import io
from collections.abc import Callable

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast import calendars
from fieldcast.scores.statistics import POWER
from fieldcast.scores.statistics_table import (
    error_over_time,
    name_rows,
    scored_digest,
    scored_initial_times,
    scored_samples,
    with_origin,
)


def test_times_are_text_whatever_the_calendar() -> None:
    moments = [cftime.DatetimeNoLeap(2001, 2, 28, 18), cftime.DatetimeNoLeap(2001, 3, 1)]
    expected = ["2001-02-28T18:00:00", "2001-03-01T00:00:00"]
    assert calendars.iso(xr.DataArray(moments, dims="time")).tolist() == expected
    standard = xr.DataArray(np.array(expected, "datetime64[ns]"), dims="time")
    assert calendars.iso(standard).tolist() == expected


def test_a_row_is_one_value_and_survives_text(scene: Callable) -> None:
    evaluation = scene(times=9)
    scores = name_rows(with_origin(evaluation.score()[0], 3, "d" * 12, "s" * 12), "nearest")
    count = (
        2 * 3 * 9 * (2 * len(POWER) - 1)
    )  # cases, variables and "all", times; one statistic has one kind of cells
    assert len(scores) == count
    key = ["pattern", "k", "cells", "variable", "statistic", "time"]
    assert not scores.duplicated(key).any()
    assert list(scores)[:4] == ["experiment", "seed", "data_digest", "case_digest"]
    assert (
        scores.groupby("time")["mask"].first().to_numpy() == evaluation.observations.mask.to_numpy()
    ).all()
    text = scores.to_csv(index=False)
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(text)), scores, check_dtype=False)


def changed_mask(data: xr.Dataset) -> xr.Dataset:
    data = data.copy(deep=True)
    data["z"][0, 0, 0, 0] = 1.0 if np.isnan(data["z"][0, 0, 0, 0]) else np.nan
    return data


@pytest.mark.parametrize(
    "change",
    [
        changed_mask,
        lambda data: data.isel(time=slice(1, None)),
        lambda data: data.isel(case=[0]),
        lambda data: data.assign_attrs(digest="another"),
        lambda data: data.assign(z=data["z"].assign_attrs(units="km")),
        lambda data: data.assign_coords(time=data.time + np.timedelta64(6, "h")),
    ],
)
def test_the_digest_tells_other_selections(scene: Callable, change: Callable) -> None:
    observations = scene(times=9).observations
    before = scored_digest(observations, 19)
    assert before == scored_digest(observations.copy(deep=True).chunk(), 19)
    assert len(before) == 12
    assert scored_digest(change(observations), 19) != before
    assert scored_digest(observations, 10) != before


def test_error_over_time_is_the_root_of_each_time(scene: Callable) -> None:
    evaluation = scene(times=9)
    scores, _ = evaluation.score()
    error_by_k = error_over_time(scores, variable="z", cells="all", pattern="random")
    error = (evaluation.reconstructions.z.mean("member") - evaluation.truth.z) ** 2
    expected = np.sqrt(error.weighted(evaluation.area).mean(("latitude", "longitude")))
    np.testing.assert_allclose(error_by_k[0.3], expected.isel(case=1), rtol=1e-5)
    assert list(error_over_time(scores)) == [("random", 0.1), ("random", 0.3)]


def test_the_digest_of_forecasts_tells_what_is_scored_apart() -> None:
    initial_times = {
        "data": "d",
        "train": ["2000", "2000"],
        "step_hours": 24.0,
        "scored": ["2001-01-01T00:00:00"],
        "leads": 15,
        "stability": [],
    }
    units = {"z": "m", "t": "K"}
    digest = scored_initial_times(initial_times, units, 10)
    assert len(digest) == 12
    assert digest == scored_initial_times(
        {**initial_times, "stability": ["2001-01-01T00:00:00"]}, dict(reversed(units.items())), 10
    )
    others = [
        scored_initial_times({**initial_times, "scored": ["2001-01-02T00:00:00"]}, units, 10),
        scored_initial_times({**initial_times, "leads": 14}, units, 10),
        scored_initial_times({**initial_times, "train": ["1999", "2000"]}, units, 10),
        scored_initial_times({**initial_times, "data": "e"}, units, 10),
        scored_initial_times(initial_times, {**units, "z": "km"}, 10),
        scored_initial_times(initial_times, units, 9),
    ]
    assert len({digest, *others}) == 7


def test_the_digest_of_samples_tells_what_is_scored_apart() -> None:
    digest = scored_samples("d", 256, 128, 64, "w")
    assert len(digest) == 12
    assert digest == scored_samples("d", 256, 128, 64, "w")
    others = [
        scored_samples("e", 256, 128, 64, "w"),
        scored_samples("d", 25, 128, 64, "w"),
        scored_samples("d", 256, 12, 64, "w"),
        scored_samples("d", 256, 128, 6, "w"),
        scored_samples("d", 256, 128, 64, "v"),
        scored_samples("d", 128, 256, 64, "w"),
    ]
    assert len({digest, *others}) == 7
