"""The data in a few facts, read from coordinates and attributes alone."""

from __future__ import annotations

import cftime
import dask.array
import numpy as np
import pandas as pd
import xarray as xr

from fieldcast.report import Forecast, Reconstruct, Sample, report
from fieldcast.report.data import DataSummary, describe, short_time
from fieldcast.report.page import background


def test_a_region_on_another_calendar_with_gaps_is_described_without_reading_it():
    def refuse(block):
        raise AssertionError("the fields were read")

    lazy = dask.array.zeros((4, 2, 3)).map_blocks(refuse, dtype="f4", meta=np.zeros((0, 0, 0), "f4"))
    fields = xr.Dataset(
        {
            "z": (("time", "latitude", "longitude"), lazy, {"units": "m"}),
            "land": (("latitude", "longitude"), np.ones((2, 3))),
        },
        {
            "time": [cftime.DatetimeNoLeap(2001, 1, day, 6) for day in (1, 2, 8, 9)],
            "segment": ("time", [0, 0, 1, 1]),
            "latitude": [40.0, 42.5],
            "longitude": [-10.0, -7.5, -5.0],
        },
        {"wraps": 0, "step_hours": 24.0},
    )
    result = describe(fields, {"test": ["2001-01-08T06:00:00", "2001-01-09T06:00:00"]})
    expected = dict(result.facts)
    assert expected["Period"] == (
        "2001-01-01 06:00 to 2001-01-09 06:00: 4 times, every 24 hours, in 2 contiguous segments"
    )
    assert expected["Grid"] == "2 latitudes (40 to 42.5 °N) × 3 longitudes (−10 to −5 °E)"
    assert expected["Split: test"] == "2001-01-08 06:00 to 2001-01-09 06:00: 2 times"
    assert result.variables == [("z", "m", "", "changes in time"), ("land", "", "", "static")]
    assert "Climatology" not in expected


def test_repairs_are_open_and_passed_checks_are_folded():
    records = [("gaps", "", "time", 2, "repaired", "Two."), ("NaN", "z", "", 0, "fine", "None.")]
    quality = pd.DataFrame(records, columns=["check", "variable", "where", "count", "action", "sentence"])
    displayed = next(
        item.body for item in background([], DataSummary(quality=quality), {}, {}) if "quality" in item.title
    )
    opened, closed = displayed.split("<details>")
    assert "Two." in opened
    assert "None." in closed
    assert "No quality report" in report({}, DataSummary())


def test_midnight_needs_no_hour():
    assert short_time("2001-01-01T00:00:00") == "2001-01-01"
    assert short_time("2001-01-01T12:30:00") == "2001-01-01 12:30"


def test_images_are_described_without_reading_them():
    def refuse(block):
        raise AssertionError("the images were read")

    lazy = dask.array.zeros((6, 8, 7)).map_blocks(refuse, dtype="f4", meta=np.zeros((0, 0, 0), "f4"))
    images = xr.Dataset(
        {"image": (("sample", "y", "x"), lazy, {"units": "1", "long_name": "grey value"})},
        {"label": ("sample", [0, 1, 2, 0, 1, 2])},
        {"source": "digits", "digest": "0123456789ab", "levels": 17},
    )
    splits = {"train": [0, 2], "validation": [3, 3], "test": [4, 5]}
    result = describe(images, splits, xr.Dataset())
    expected = dict(result.facts)
    assert expected["Images"] == "6 images of 8 × 7 cells, 17 grey values, 3 labels"
    assert expected["Split: train"] == "3 images, 0 to 2"
    assert expected["Split: test"] == "2 images, 4 to 5"
    assert result.variables == [("image", "1", "grey value", "images")]
    bare = describe(images.drop_vars("label").assign_attrs({}), {})
    assert "without labels" in dict(bare.facts)["Images"]
    page = report({"sample": Sample(), "forecast": Forecast(), "reconstruct": Reconstruct()}, result)
    assert "Sampling, forecasts and reconstruction; digits; 6 images of 8 × 7 cells" in page


def test_a_record_without_an_annual_cycle_is_a_reason_to_doubt():
    coordinates = {"time": [cftime.DatetimeNoLeap(2001, 1, 1)], "latitude": [0.0], "longitude": [0.0]}
    fields = xr.Dataset({"z": (("time", "latitude", "longitude"), np.zeros((1, 1, 1)))}, coordinates)
    data = describe(fields, {}, xr.Dataset(attrs={"kind": "training mean"}))
    assert "no annual cycle could be estimated" in data.doubts[0].meaning
    assert not describe(fields, {}, xr.Dataset(attrs={"kind": "harmonics"})).doubts
    assert "no annual cycle could be estimated, so every score looks better" in report({}, data)
