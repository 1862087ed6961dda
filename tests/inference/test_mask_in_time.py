"""A mask in time, such as open water where an ice edge moves: nothing is filled where it is 0, nor learned there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import fieldcast
from fieldcast.errors import InputError
from fieldcast.fields.domain import SEA
from fieldcast.fields.ingest import ingest_source
from fieldcast.fields.options import Source
from fieldcast.models.gaps.fillers import FILLERS
from fieldcast.training import fill_gaps

pytestmark = pytest.mark.usefixtures("few_selections")

DAYS, ROWS, COLUMNS = 66, 6, 8
OPEN = "open_water"


@pytest.fixture(scope="module")
def gappy() -> xr.Dataset:
    """Two red patterns and a little noise; two fifths are missing in windows, one cell is land."""
    rng = np.random.default_rng(0)
    y, x = np.linspace(0, np.pi, ROWS)[:, None], np.linspace(0, 2 * np.pi, COLUMNS, endpoint=False)
    patterns, z = np.stack([np.sin(y) * np.cos(x), np.cos(y) + 0 * x]), np.zeros((DAYS, 2))
    for day in range(1, DAYS):
        z[day] = 0.9 * z[day - 1] + 0.4 * rng.standard_normal(2)
    field = 10 + np.tensordot(z, patterns, 1) + 0.2 * rng.standard_normal((DAYS, ROWS, COLUMNS))
    for day in field:
        i, j = rng.integers(ROWS), rng.integers(COLUMNS)
        day[np.ix_((i + np.arange(4)) % ROWS, (j + np.arange(5)) % COLUMNS)] = np.nan
    field[:, 2, 3] = np.nan
    axes = {"time": pd.date_range("2001-01-01", periods=DAYS), "lat": np.linspace(75, 50, ROWS)}
    axes["lon"] = np.arange(COLUMNS) * 5.0 - 20
    return xr.Dataset({"sst": (("time", "lat", "lon"), field, {"units": "degC"})}, axes)


@pytest.fixture(scope="module")
def mask(gappy: xr.Dataset) -> xr.DataArray:
    """Ice from the north, whose edge moves south and back again, twice."""
    edge = 3.5 * np.sin(np.pi * np.arange(DAYS) / 20).clip(min=0)
    ice = np.arange(ROWS)[None, :, None] < edge[:, None, None]
    dims = ("time", "lat", "lon")
    return xr.DataArray(~np.broadcast_to(ice, gappy["sst"].shape), dims=dims, coords=gappy.coords, name=OPEN)


@pytest.fixture(scope="module")
def filled(gappy: xr.Dataset, mask: xr.DataArray) -> xr.Dataset:
    return fieldcast.fill_gaps(gappy, mask=mask, members=2, quantities="none", method="local_kriging")


def test_a_mask_that_is_true_everywhere_changes_nothing(
    gappy: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = {name: FILLERS[name] for name in ("local_kriging", "red_noise")}
    monkeypatch.setattr(fill_gaps, "FILLERS", methods)
    everywhere = gappy.assign({OPEN: xr.ones_like(gappy["sst"], dtype="i1").drop_attrs()})
    plain = fieldcast.fill_gaps(gappy, quantities="none")
    same = fieldcast.fill_gaps(everywhere, mask=OPEN, quantities="none")
    assert list(same) == list(plain)
    for name, array in plain.data_vars.items():
        np.testing.assert_array_equal(same[name], array)
    assert same.attrs["comment"] == plain.attrs["comment"]


def test_masked_values_stay_missing_with_a_flag_of_their_own(
    gappy: xr.Dataset, mask: xr.DataArray, filled: xr.Dataset
) -> None:
    flag, values = filled["sst_flag"], filled["sst"]
    land = np.zeros(gappy["sst"].shape, dtype=bool)
    land[:, 2, 3] = True
    free = mask.values
    assert (flag.values[~free] == 4).all() and (flag.values[free & land] == 3).all()
    assert np.isin(flag.values[free & ~land], (0, 1, 2)).all()
    for name in ("sst", "sst_mean", "sst_spread", "sst_members"):
        present = filled[name].notnull()
        present = present.all("member") if "member" in present.dims else present
        np.testing.assert_array_equal(present.transpose("time", "lat", "lon"), free & ~land)
    observed = gappy["sst"].notnull().values & free
    np.testing.assert_array_equal(flag.values == 0, observed)
    np.testing.assert_array_equal(values.values[observed], gappy["sst"].values[observed])
    assert flag.attrs["flag_meanings"].split()[4] == "masked" and flag.attrs["flag_values"].tolist() == [
        *range(5)
    ]
    share = (free & ~land & ~observed).sum() / (free & ~land).sum()
    assert f"{100 * share:.1f}" in filled.attrs["comment"].split("missing [%]")[1].splitlines()[1]


@pytest.mark.parametrize("quantities", ["none", "log"])
def test_values_under_the_mask_do_not_matter(
    gappy: xr.Dataset, mask: xr.DataArray, filled: xr.Dataset, quantities: str
) -> None:
    """Wild values there leave the filled ones, their scores, the members and the report as they are."""
    rng = np.random.default_rng(5)
    wild = gappy["sst"].where(mask, 12 + 3 * np.abs(rng.standard_normal(mask.shape)))
    record = gappy.assign(sst=wild.assign_attrs(gappy["sst"].attrs), **{OPEN: mask.astype("f4")})
    options: dict[str, Any] = {"quantities": quantities}
    if quantities == "none":
        again, before = (
            fieldcast.fill_gaps(record, mask=OPEN, members=2, method="local_kriging", **options),
            filled,
        )
    else:
        options["method"] = "low_rank"
        again = fieldcast.fill_gaps(record, mask=OPEN, **options)
        before = fieldcast.fill_gaps(gappy, mask=mask, **options)
    for name, array in before.data_vars.items():
        np.testing.assert_array_equal(again[name], array)
    assert again.attrs["comment"] == before.attrs["comment"]


def test_a_longest_gap_is_counted_between_masked_times(gappy: xr.Dataset, mask: xr.DataArray) -> None:
    sst = gappy["sst"].copy()
    sst[30:60, 4, 4] = np.nan
    cut = mask.copy()
    cut[40, 4, 4], cut[50, 4, 4] = False, False  # three gaps of at most ten times each
    options: dict[str, Any] = {"max_gap": 12, "method": "red_noise"}
    one, three = (
        fieldcast.fill_gaps(gappy.assign(sst=sst), mask=each, **options)["sst"][:, 4, 4]
        for each in (mask, cut)
    )
    assert one[30:60].isnull().all() and int(three[30:60].isnull().sum()) == 2


def test_a_mask_without_time_is_that_of_the_land(gappy: xr.Dataset) -> None:
    """A variable `mask`, whose name says so, is one without being named."""
    land = np.ones((ROWS, COLUMNS), "i1")
    land[0], land[2, 3] = 0, 1  # the land of the fixture as a sea that was never observed
    sst = gappy["sst"].where(xr.DataArray(land == 1, dims=("lat", "lon"))).assign_attrs(units="degC")
    record, options = gappy.assign(sst=sst), {"method": "red_noise"}
    by_name, by_option = (
        fieldcast.fill_gaps(record.assign({name: (("lat", "lon"), land)}), **more, **options)
        for name, more in (("mask", {}), ("sea_cells", {"mask": "sea_cells"}))
    )
    for name, array in by_name.data_vars.items():
        np.testing.assert_array_equal(by_option[name], array)
    assert (by_option["sst_flag"][:, 0] == 3).all() and (by_option["sst_flag"][:, 2, 3] == 2).all()


def test_missing_values_of_a_mask_are_false_and_missing_dates_have_the_mask_before(
    gappy: xr.Dataset, mask: xr.DataArray, tmp_path: Path
) -> None:
    with_holes = mask.astype("f4").where(np.random.default_rng(0).random(mask.shape) > 0.1)
    record = gappy.assign({OPEN: with_holes}).isel(time=[*range(30), *range(33, DAYS)])
    record.to_netcdf(tmp_path / "record.nc")
    source = Source(path=str(tmp_path / "record.nc"), mask=OPEN, gaps="insert", missing="train")
    fields, quality = ingest_source(source)
    expected = (with_holes == 1).copy()
    expected[30:33] = expected[29]
    assert list(fields) == ["sst"] and fields.sizes["time"] == DAYS
    np.testing.assert_array_equal(fields[SEA], expected.isel(lat=slice(None, None, -1)))
    sentence = quality.query("check == 'mask'")["sentence"].item()
    assert "observed there were dropped. 3 missing dates have the mask of the date before." in sentence


def test_a_mask_may_be_in_a_file_of_its_own_and_a_condition_leaves_it_as_it_is(
    gappy: xr.Dataset, mask: xr.DataArray, tmp_path: Path
) -> None:
    level = gappy["sst"].notnull() & (xr.DataArray(np.arange(COLUMNS), dims="lon") > 1)
    level = level.astype("i1").assign_attrs(flag_values=np.array([0, 1], "i1"), flag_meanings="bad good")
    gappy.assign(level=level).to_netcdf(tmp_path / "sst.nc")
    mask.astype("f4").to_dataset().to_netcdf(tmp_path / "ice.nc")
    apart = Source(path=str(tmp_path / "*.nc"), mask=OPEN, gaps="insert", missing="train")
    gappy.assign(level=level, **{OPEN: mask.astype("f4")}).to_netcdf(tmp_path / "both.nc4")
    both = Source(
        path=str(tmp_path / "both.nc4"), mask=OPEN, gaps="insert", missing="train", where="level == 1"
    )
    of_two, of_one = ingest_source(apart)[0], ingest_source(both)[0]
    for fields in (of_two, of_one):
        np.testing.assert_array_equal(fields[SEA], mask.isel(lat=slice(None, None, -1)))
    assert (
        of_one["sst"].isel(longitude=[0, 1]).isnull().all()
        and not of_two["sst"].isel(longitude=0).isnull().all()
    )


def other_name(record: xr.Dataset, mask: xr.DataArray) -> dict[str, Any]:
    return {"dataset": record.assign({OPEN: mask}), "mask": "ice_free"}


def other_dims(record: xr.Dataset, mask: xr.DataArray) -> dict[str, Any]:
    return {"dataset": record, "mask": mask.isel(lat=0, drop=True)}


def other_times(record: xr.Dataset, mask: xr.DataArray) -> dict[str, Any]:
    return {"dataset": record, "mask": mask.assign_coords(time=mask["time"] + np.timedelta64(1, "D"))}


def other_cells(record: xr.Dataset, mask: xr.DataArray) -> dict[str, Any]:
    return {"dataset": record, "mask": mask.isel(lon=slice(1, None))}


def other_values(record: xr.Dataset, mask: xr.DataArray) -> dict[str, Any]:
    return {"dataset": record, "mask": mask * 0.5}


def nothing(record: xr.Dataset, mask: xr.DataArray) -> dict[str, Any]:
    return {"dataset": record, "mask": record["sst"].isnull()}


def text(record: xr.Dataset, mask: xr.DataArray) -> dict[str, Any]:
    return {"dataset": record, "mask": mask.astype(str)}


def coordinate(record: xr.Dataset, mask: xr.DataArray) -> dict[str, Any]:
    return {"dataset": record, "mask": "lat"}


def only_variable(record: xr.Dataset, mask: xr.DataArray) -> dict[str, Any]:
    return {"dataset": record, "mask": "sst"}


def all_observed(record: xr.Dataset, mask: xr.DataArray) -> dict[str, Any]:
    return {"dataset": record, "mask": record["sst"].notnull()}


REFUSALS: dict[str, tuple[Callable[[xr.Dataset, xr.DataArray], dict[str, Any]], str]] = {
    "a wrong name": (
        other_name,
        r"^mask: there is no variable 'ice_free' in the data set, only 'sst', 'open_water': name one of these\.$",
    ),
    "wrong dimensions": (
        other_dims, r"^mask 'open_water' of the data set is on \(time, lon\): give a mask on \(time, lat, lon\), or "
    ),
    "other times": (other_times, "^mask 'open_water' has other times than the data set: give a mask for the same"),
    "other cells": (other_cells, "^mask 'open_water' has other cells than the data set: give a mask for the same"),
    "other values": (other_values, r"^the mask of the data set holds 0\.5, not only 0 and 1: give a variable that"),
    "no value": (nothing, "^the mask of the data set is 0 wherever a value is observed: it must be 1 where"),
    "text": (text, "^mask 'open_water' of the data set does not hold numbers"),
    "a coordinate": (
        coordinate, r"^mask 'lat' of the data set is a coordinate: name a variable that is 1 where values are",
    ),
    "the only variable": (
        only_variable, r"besides its mask 'sst': name another variable as the mask, one that is 1 where values are",
    ),
    "no gap": (all_observed, "or by the mask: there is nothing to fill"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_mask_that_cannot_be_used_is_refused(kind: str, gappy: xr.Dataset, mask: xr.DataArray) -> None:
    given, sentence = REFUSALS[kind]
    options = given(gappy, mask)
    with pytest.raises(InputError, match=sentence):
        fieldcast.fill_gaps(options.pop("dataset"), **options)


def test_a_file_without_the_mask_and_a_record_without_gaps_are_refused(
    gappy: xr.Dataset, tmp_path: Path
) -> None:
    gappy.to_netcdf(tmp_path / "record.nc")
    path = str(tmp_path / "record.nc")
    with pytest.raises(
        InputError, match=r"^ingestion.mask: there is no variable 'ice' in '.*', only 'sst': name one"
    ):
        ingest_source(Source(path=path, mask="ice", gaps="insert", missing="train"))
    with pytest.raises(
        InputError, match=r"^ingestion\.mask is for records with gaps: set ingestion\.missing=train"
    ):
        gappy.assign(ice=gappy["sst"].notnull()).to_netcdf(tmp_path / "both.nc")
        ingest_source(Source(path=str(tmp_path / "both.nc"), mask="ice"))


def test_a_mask_and_that_of_the_land_both_hold(gappy: xr.Dataset, mask: xr.DataArray, tmp_path: Path) -> None:
    land = np.ones((ROWS, COLUMNS), "i1")
    land[2, 3] = 0
    gappy.assign({OPEN: mask.astype("f4"), "mask": (("lat", "lon"), land)}).to_netcdf(tmp_path / "both.nc")
    source = Source(path=str(tmp_path / "both.nc"), mask=OPEN, gaps="insert", missing="train")
    expected = (mask.values & (land == 1))[:, ::-1]
    np.testing.assert_array_equal(ingest_source(source)[0][SEA], expected)


@pytest.mark.parametrize("times", [slice(0, 50), slice(10, 40), slice(10, DAYS)])
def test_a_mask_in_a_file_of_its_own_at_other_times_is_refused_by_its_name(
    times: slice, gappy: xr.Dataset, mask: xr.DataArray, tmp_path: Path
) -> None:
    gappy.to_netcdf(tmp_path / "a.nc")
    mask.astype("i1").to_dataset().isel(time=times).to_netcdf(tmp_path / "b.nc")
    source = Source(path=str(tmp_path / "*.nc"), mask=OPEN, gaps="insert", missing="train")
    sentence = "has other times than '.*', and only one of them has the mask 'open_water': give the mask at the times"
    with pytest.raises(InputError, match=sentence):
        ingest_source(source)


def test_a_mask_among_the_selected_variables_is_left_out_of_them(
    gappy: xr.Dataset, mask: xr.DataArray, tmp_path: Path
) -> None:
    gappy.assign({OPEN: mask.astype("f4")}).to_netcdf(tmp_path / "both.nc")
    options: dict[str, Any] = {"mask": OPEN, "gaps": "insert", "missing": "train"}
    one, two = (
        ingest_source(Source(path=str(tmp_path / "both.nc"), variables=names, **options))[0]
        for names in (["sst"], ["sst", OPEN])
    )
    xr.testing.assert_identical(one, two)


@pytest.mark.parametrize("fitted", [True, False])
def test_new_times_need_a_mask_and_are_filled_by_it(
    fitted: bool, gappy: xr.Dataset, mask: xr.DataArray, tmp_path: Path
) -> None:
    """Masked values of earlier and later times stay so, with the stored fit and without it."""
    old, new = slice(45), slice(45, 50)
    record, fit = gappy.assign({OPEN: mask}), tmp_path / "fit"
    whole = fieldcast.fill_gaps(record.isel(time=slice(50)), mask=OPEN, method="low_rank", fit=fit)
    before = whole.isel(time=old)
    if not fitted:
        fit.unlink()
    options: dict[str, Any] = {"append": before, "fit": fit} | ({} if fitted else {"method": "low_rank"})
    with pytest.raises(
        InputError, match="lacks the mask, and the filled record was filled with one in time: give that"
    ):
        fieldcast.fill_gaps(gappy.isel(time=new), **options)
    if not fitted:
        options["mask"] = OPEN
    longer = fieldcast.fill_gaps(record.isel(time=new), **options)
    np.testing.assert_array_equal(longer["sst_flag"] == 4, ~mask.values[:50])
    observed = gappy["sst"].isel(time=slice(50)).notnull().values & mask.values[:50]
    np.testing.assert_array_equal(longer["sst_flag"] == 0, observed)
    np.testing.assert_array_equal(longer["sst"].notnull().values[:, 2, 3], False)
    tolerance = 1e-6 if fitted else 1e-4
    for name in ("sst_mean", "sst_spread"):
        np.testing.assert_allclose(longer[name], whole[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("fitted", [True, False])
def test_later_times_keep_the_mask_in_cells_without_a_value(
    fitted: bool, gappy: xr.Dataset, mask: xr.DataArray, tmp_path: Path
) -> None:
    """A cell is masked at all times of the first record, and opens; the last variable never has a value in two rows."""
    salinity = (30 + gappy["sst"] ** 2 / 50).where(gappy["lat"] < 70).assign_attrs(units="psu")
    cut = mask.copy()
    cut[:45, 4, 4], cut[45:, 4, 4] = False, True
    record, fit = gappy.assign({"salinity": salinity, OPEN: cut}).isel(time=slice(50)), tmp_path / "fit"
    options: dict[str, Any] = {"method": "red_noise", "mask": OPEN, "quantities": "none"}
    before = fieldcast.fill_gaps(record.isel(time=slice(45)), fit=fit, **options)
    more = {"fit": fit} if fitted else {}
    longer = fieldcast.fill_gaps(record.isel(time=slice(45, None)), append=before, **options, **more)
    for name in ("sst", "salinity"):
        for result in (before, longer):
            nowhere = ~cut[: result.sizes["time"]].values
            np.testing.assert_array_equal(result[f"{name}_flag"] == 4, nowhere)
            assert not result[name].notnull().values[nowhere].any()
        opened = longer[name][45:, 4, 4]
        observed = record[name][45:, 4, 4].notnull().values
        assert observed.any() and opened.notnull().values[observed].all()


@pytest.mark.parametrize("fitted", [True, False])
def test_new_times_with_another_mask_than_the_record_are_refused(
    fitted: bool, gappy: xr.Dataset, mask: xr.DataArray, tmp_path: Path
) -> None:
    """The sentence is the same with the stored fit and without it; the mask of the record is taken by any name."""
    old, new, fit = gappy.isel(time=slice(45)), gappy.isel(time=slice(45, 50)), tmp_path / "fit"
    land = gappy["sst"].notnull().any("time").rename("land")
    before = fieldcast.fill_gaps(old, mask=land, method="red_noise", quantities="none", fit=fit)
    options: dict[str, Any] = {"append": before, "method": "red_noise", "quantities": "none"}
    options |= {"fit": fit} if fitted else {}
    in_time = (
        "^the data set has a mask in time, and the filled record was filled without one: leave it out, or"
    )
    with pytest.raises(InputError, match=in_time):
        fieldcast.fill_gaps(new, mask=mask.isel(time=slice(45, 50)), **options)
    with pytest.raises(
        InputError, match=r"^the mask of the data set is not that of the filled record, whose"
    ):
        fieldcast.fill_gaps(new, mask=land & (land["lon"] > -20), **options)
    with pytest.raises(
        InputError, match=r"^mask: there is no variable 'ice' in the data set, only 'sst': name"
    ):
        fieldcast.fill_gaps(new, mask="ice", **options)
    plain, named = (
        fieldcast.fill_gaps(new, mask=each, **options) for each in (land, land.rename("of the sea"))
    )
    np.testing.assert_array_equal(plain["sst"], named["sst"])
