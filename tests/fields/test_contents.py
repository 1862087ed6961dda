"""The content of a data set: counts against known truths, and parts against their limits."""

from itertools import groupby

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.fields.contents import last_part, longest_run, quality_flags
from fieldcast.fields.selection import satisfying

GHRSST = "no_data bad_data worst_quality low_quality acceptable_quality best_quality"
ARGO = "no_qc good_data probably_good_data bad_data"


def dataset(times: int = 12, y: int = 6, x: int = 8) -> xr.Dataset:
    values = np.arange(times * y * x, dtype="f4").reshape(times, y, x)
    coords = {
        "time": pd.date_range("2001-01-01", periods=times),
        "lat": ("lat", np.arange(y, dtype=float), {"units": "degrees_north"}),
        "lon": ("lon", np.arange(x, dtype=float), {"units": "degrees_east"}),
    }
    return xr.Dataset({"sst": (("time", "lat", "lon"), values, {"units": "degC"})}, coords)


def with_flags(flags: np.ndarray, **attrs: object) -> xr.Dataset:
    given = dataset(*flags.shape)
    return given.assign(quality=(("time", "lat", "lon"), flags, attrs))


@pytest.mark.parametrize("values", [1, 5, 40, 48, 100, 300, 575, 576, 10**6])
@pytest.mark.parametrize("fewest", [1, 4, 100])
@pytest.mark.parametrize("cost", [0, 7])
def test_a_part_is_the_last_times_that_fit(values: int, fewest: int, cost: int) -> None:
    """A search over all n shows that the smallest one is taken, and that one time more would not fit."""
    given = dataset()
    part = last_part(given, values, fewest, cost)
    cut = part.of(given)
    size, number = cut.sizes["lat"] * cut.sizes["lon"] + cost, cut.sizes["time"]
    fits = [-(-6 // n) * -(-8 // n) + cost for n in range(1, 9)]
    least = min(12, fewest)
    assert size == next((each for each in fits if each * least <= values), fits[-1])
    assert number == 1 or number * size <= values
    assert number == 12 or (number + 1) * size > values
    assert cut["time"].equals(given["time"][12 - number :])
    assert bool(part.text) == (cut.sizes != given.sizes)
    backwards = given.isel(time=slice(None, None, -1))
    xr.testing.assert_equal(last_part(backwards, values, fewest, cost).of(backwards).sortby("time"), cut)


def test_the_longest_gap_is_that_of_a_search() -> None:
    missing = np.random.default_rng(0).random((50, 30)) < 0.7
    runs = [len(list(run)) for cell in missing.T for absent, run in groupby(cell) if absent]
    assert longest_run(missing) == max(runs)
    assert longest_run(np.zeros((3, 2), bool)) == 0


@pytest.mark.parametrize(
    ("meanings", "good"), [(GHRSST, {4, 5}), (ARGO, {1}), ("water land", set()), ("best", {0})]
)
def test_values_of_a_flag_are_counted_and_the_condition_keeps_good_ones(
    meanings: str, good: set[int]
) -> None:
    number = len(meanings.split())
    flags = np.random.default_rng(0).integers(0, number, (12, 6, 8)).astype("i1")
    given = with_flags(flags, flag_values=np.arange(number, dtype="i1"), flag_meanings=meanings)
    (quality,) = quality_flags(given, whole=False)
    assert bool(quality_flags(given)[0].where) == (0 < len(good) < number)
    assert quality.counts["count"].tolist() == np.bincount(flags.ravel()).tolist()
    assert quality.counts["meaning"].tolist() == meanings.split()
    assert bool(quality.where) == (0 < len(good) < number)
    if quality.where:
        kept = satisfying(given, quality.where)["sst"].notnull().values
        np.testing.assert_array_equal(kept, np.isin(flags, list(good)))


@pytest.mark.parametrize(
    ("meanings", "present", "where"),
    [
        ("best good questionable bad", (0, 1, 2, 3), "quality <= 1"),  # MODIS: the smallest are the best ones
        (GHRSST, (0, 1, 2, 3, 4), "quality >= 4"),  # the best one occurs elsewhere in the file
        ("good bad acceptable bad_sensor", (0, 1, 2), "quality != 1 and quality != 3"),
        ("good bad", (0, 1, 7), "quality == 0"),  # 7 is not declared
    ],
)
def test_a_condition_holds_for_all_values_that_are_declared(
    meanings: str, present: tuple[int, ...], where: str
) -> None:
    flags = np.random.default_rng(0).choice(np.array(present, "i1"), (12, 6, 8))
    values = np.arange(len(meanings.split()), dtype="i1")
    given = with_flags(flags, flag_values=values, flag_meanings=meanings)
    assert quality_flags(given)[0].where == where


def test_a_flag_that_belongs_to_one_of_several_variables_names_it() -> None:
    """The name of the flag tells, or their `ancillary_variables`; the deviation of an error is no other variable."""
    flags = np.zeros((12, 6, 8), "i1")
    given = with_flags(flags, flag_values=np.arange(2, dtype="i1"), flag_meanings="good bad")
    assert quality_flags(given)[0].variables == ()
    salt = given.assign(sss=given["sst"])
    assert quality_flags(salt)[0].variables == ()
    assert quality_flags(salt.rename(quality="sst_qc"))[0].variables == ("sst",)
    assert quality_flags(given.rename(quality="sst_qc"))[0].variables == ()
    salt["sss"].attrs["ancillary_variables"] = "quality"
    assert quality_flags(salt)[0].variables == ("sss",)
    error = given.assign(sst_error=given["sst"])
    error["sst"].attrs["ancillary_variables"] = "quality sst_error"
    assert quality_flags(error)[0].variables == ()


def test_a_condition_is_there_only_if_it_excludes_a_value() -> None:
    flags = np.random.default_rng(0).integers(0, 3, (12, 6, 8)).astype("i1")
    meanings = {"flag_values": np.arange(3, dtype="i1"), "flag_meanings": "bad low_quality good"}
    given = with_flags(flags, **meanings)
    assert quality_flags(given)[0].where == "quality == 2"
    masked = given.assign(sst=given["sst"].where(flags == 2))  # as in a file that leaves bad values out
    assert quality_flags(masked)[0].where == ""


def test_bits_of_bad_values_are_excluded_if_they_occur() -> None:
    flags = np.random.default_rng(0).integers(0, 8, (12, 6, 8)).astype("i4")
    masks, meanings = np.array([1, 2, 4, 8], "i4"), "LAND PRODWARN CLDICE HIGLINT"
    (quality,) = quality_flags(with_flags(flags, flag_masks=masks, flag_meanings=meanings))
    assert quality.counts["count"].tolist() == [int(((flags & m) > 0).sum()) for m in masks]
    assert quality.where == "quality without LAND CLDICE"
    free = quality_flags(
        with_flags(flags, flag_masks=masks, flag_meanings="cloud_free valid_service island no_ice")
    )
    assert free[0].where == ""
    kept = satisfying(with_flags(flags, flag_masks=masks, flag_meanings=meanings), quality.where)["sst"]
    np.testing.assert_array_equal(kept.notnull().values, (flags & 5) == 0)


def test_a_data_set_without_a_grid_has_no_flags_and_no_part() -> None:
    plain = xr.Dataset({"x": ("n", np.arange(5))})
    assert quality_flags(plain) == [] and last_part(plain, 1).of(plain).identical(plain)
