"""A filled record grows by days: as if it had been filled with them, by the parameters of its first fit."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import fieldcast
from fieldcast.errors import InputError
from fieldcast.inference.gaps.stored_fit import StoredFit
from fieldcast.models.gaps.fillers import FILLERS

pytestmark = pytest.mark.usefixtures("few_selections")

DAYS, ROWS, COLUMNS, MORE = 130, 8, 10, 5
FIT = "filled.nc.fit.safetensors"
Appended = tuple[xr.Dataset, Path]


def gaussian_record(days: int, seed: int = 0) -> xr.Dataset:
    """Three red patterns and a little noise, in double precision; latitudes descend."""
    rng = np.random.default_rng(seed)
    y, x = np.linspace(0, np.pi, ROWS)[:, None], np.linspace(0, 2 * np.pi, COLUMNS, endpoint=False)
    patterns = np.stack([np.sin(y) * np.cos(x), np.cos(y) + 0 * x, np.sin(2 * y) * np.sin(x)])
    z = np.zeros((days, 3))
    for day in range(1, days):
        z[day] = 0.9 * z[day - 1] + 0.4 * rng.standard_normal(3)
    field = 10 + np.tensordot(z, patterns, 1) + 0.2 * rng.standard_normal((days, ROWS, COLUMNS))
    axes = {
        "time": pd.date_range("2001-01-01", periods=days),
        "lat": np.linspace(35, -35, ROWS),
        "lon": np.arange(COLUMNS) * 5.0 - 20,
    }
    return xr.Dataset({"sst": (("time", "lat", "lon"), field, {"units": "degC"})}, axes)


def with_gaps(record: xr.Dataset, seed: int = 1) -> xr.Dataset:
    """Half of each field is missing in a window that moves; a day has no value, and a cell never has one."""
    rng = np.random.default_rng(seed)
    missing = np.zeros(record["sst"].shape, dtype=bool)
    for field in missing:
        i, j = rng.integers(ROWS), rng.integers(COLUMNS)
        field[np.ix_((i + np.arange(6)) % ROWS, (j + np.arange(7)) % COLUMNS)] = True
    missing[60], missing[:, 2, 3] = True, True
    return record.assign(sst=record["sst"].where(~missing))


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    return gaussian_record(DAYS)


@pytest.fixture(scope="module")
def gappy(truth: xr.Dataset) -> xr.Dataset:
    return with_gaps(truth)


def first(record: xr.Dataset, days: int) -> xr.Dataset:
    return record.isel(time=slice(days))


def rest(record: xr.Dataset, days: int) -> xr.Dataset:
    return record.isel(time=slice(days, None))


def positive(gappy: xr.Dataset) -> xr.Dataset:
    return gappy.assign(sst=np.exp(gappy["sst"] / 5).assign_attrs(units="mg m-3"))


def censored(gappy: xr.Dataset) -> xr.Dataset:
    values = gappy["sst"] - 9.5
    return gappy.assign(sst=values.clip(min=0).where(values.notnull()).assign_attrs(units="mm"))


KINDS: dict[str, tuple[Callable[[xr.Dataset], xr.Dataset], dict[str, Any], float]] = {
    **{name: (lambda x: x, {"method": name}, 0.0) for name in ("red_noise", "low_rank")},
    # windows of kriging begin with the record, and the iterations of DINEOF turn its axes; the filter forgets
    "local_kriging": (lambda x: x, {"method": "local_kriging"}, 1e-6),
    "dineof": (lambda x: x, {"method": "dineof"}, 0.05),
    "modal_smoother": (lambda x: x, {"method": "modal_smoother"}, 1e-4),
    "log": (positive, {"method": "low_rank", "quantities": "log"}, 1e-6),
    "root": (censored, {"method": "low_rank", "quantities": "root"}, 1e-3),
    "noise": (lambda x: x, {"method": "low_rank", "noise": "0.2 degC"}, 1e-6),
    "limits": (lambda x: x, {"method": "red_noise", "max_gap": 3, "max_spread": 0.8}, 0.0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_days_of_the_fitted_record_are_appended_as_the_fit_fills_them(
    kind: str, gappy: xr.Dataset, tmp_path: Path
) -> None:
    """The parameters are those of the whole: nothing but what a method remembers of earlier times can differ."""
    change, options, tolerance = KINDS[kind]
    record, fit = change(gappy), tmp_path / "fit"
    whole = fieldcast.fill_gaps(record, fit=fit, members=2, **options)
    shorter = first(whole, DAYS - MORE)
    longer = fieldcast.fill_gaps(rest(record, DAYS - MORE), append=shorter, fit=fit)
    spread = float(whole["sst_spread"].mean())
    assert list(longer.data_vars) == list(whole.data_vars)
    for name, array in whole.data_vars.items():
        assert longer[name].dims == array.dims and longer[name].dtype == array.dtype
        assert np.array_equal(longer[name].isnull(), array.isnull()), name
        if tolerance == 0 or name == "sst_flag":
            np.testing.assert_array_equal(longer[name], array)
        else:
            difference = (longer[name] - array).astype(float)
            assert float(np.sqrt((difference**2).mean())) <= tolerance * spread, name


@pytest.fixture(scope="module")
def filled(gappy: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Appended:
    """A filled record without its last days, and the folder of its file and its fit."""
    folder = tmp_path_factory.mktemp("filled")
    result = fieldcast.fill_gaps(first(gappy, DAYS - MORE), method="low_rank", fit=folder / FIT)
    result.to_netcdf(folder / "filled.nc")
    return result, folder


@pytest.mark.parametrize(("method", "days"), [("low_rank", 300), ("red_noise", 200)])
def test_an_appended_day_differs_from_a_fit_of_the_whole_by_a_tenth_of_the_spread(
    method: str, days: int, tmp_path: Path
) -> None:
    gappy = with_gaps(gaussian_record(days))
    before = fieldcast.fill_gaps(
        first(gappy, days - 1), method=method, quantities="none", fit=tmp_path / "fit"
    )
    appended = fieldcast.fill_gaps(rest(gappy, days - 1), append=before, fit=tmp_path / "fit")
    whole = fieldcast.fill_gaps(gappy, method=method, quantities="none")
    difference, spread = (
        x.isel(time=-1).astype(float) for x in (appended["sst_mean"] - whole["sst_mean"], whole["sst_spread"])
    )
    missing = whole["sst_flag"].isel(time=-1).isin([1, 2])
    ratio = np.sqrt(float((difference.where(missing) ** 2).sum() / (spread.where(missing) ** 2).sum()))
    assert 0 < ratio <= 0.1


def test_observed_values_are_kept_and_earlier_days_do_not_change(filled: Appended, gappy: xr.Dataset) -> None:
    before, folder = filled
    longer = fieldcast.fill_gaps(rest(gappy, DAYS - MORE), append=folder / "filled.nc")
    observed = gappy["sst"].notnull()
    assert np.array_equal(longer["sst"].values[observed], gappy["sst"].values[observed])
    assert np.array_equal(longer["sst_flag"] == 0, observed) and longer["sst"].dtype == np.float64
    np.testing.assert_array_equal(longer["time"], gappy["time"])
    fit = StoredFit.unpacked((folder / FIT).read_bytes(), "the fit", torch.device("cpu"))
    kept = DAYS - MORE - 2 * fit.lengths[0][1]
    xr.testing.assert_identical(first(longer, kept).drop_attrs(), first(before, kept).drop_attrs())
    for name, array in before.data_vars.items():
        assert str(longer[name].attrs) == str(array.attrs)
    assert longer.attrs["comment"].startswith(f"{MORE} times (2001-05-06 to 2001-05-10) were appended")
    assert (
        "revised, by at most 0 degC (sst)." in longer.attrs["comment"]
    )  # the low-rank Gaussian knows no time
    assert longer.attrs["time_coverage_end"].startswith("2001-05-10")
    assert longer.attrs["fieldcast_fit"] == FIT and "low_rank" in longer.attrs["comment"]


def test_days_within_two_e_folding_times_are_revised_and_no_others(gappy: xr.Dataset, tmp_path: Path) -> None:
    """New observations change what a smoother says of the days before."""
    fit = tmp_path / "fit"
    before = fieldcast.fill_gaps(first(gappy, 95), method="modal_smoother", quantities="none", fit=fit)
    longer = fieldcast.fill_gaps(gappy.isel(time=slice(95, 97)), append=before, fit=fit)
    steps = StoredFit.unpacked(fit.read_bytes(), "the fit", torch.device("cpu")).lengths[0][1]
    changed = (first(longer, 95)["sst_mean"] != before["sst_mean"]) & before["sst_flag"].isin([1, 2])
    days = np.flatnonzero(changed.any(["lat", "lon"]))
    assert 94 in days and days.min() >= 95 - 2 * steps
    assert f"{2 * steps} times before, from " in longer.attrs["comment"]
    change = np.nanmax(abs(first(longer, 95)["sst"].values - before["sst"].values))
    (largest,) = re.findall(r"revised, by at most (\S+) degC \(sst\)\.", longer.attrs["comment"])
    assert float(largest) == pytest.approx(change, rel=0.01) and change > 0


def test_days_one_by_one_are_the_days_at_once(filled: Appended, gappy: xr.Dataset) -> None:
    """The low-rank Gaussian takes each day by itself."""
    one, folder = filled
    at_once = fieldcast.fill_gaps(rest(gappy, DAYS - MORE), append=one, fit=folder / FIT)
    for day in range(DAYS - MORE, DAYS):
        one = fieldcast.fill_gaps(gappy.isel(time=slice(day, day + 1)), append=one, fit=folder / FIT)
    xr.testing.assert_equal(one, at_once)


def test_a_day_without_any_value_and_days_that_are_left_out_are_filled(
    filled: Appended, gappy: xr.Dataset
) -> None:
    before, folder = filled
    later = rest(gappy, DAYS - MORE).isel(time=[0, 3])
    later["sst"][0] = np.nan
    longer = fieldcast.fill_gaps(later, append=before, fit=folder / FIT)
    np.testing.assert_array_equal(longer["time"], gappy["time"][: DAYS - 1])
    assert longer["sst_flag"].isel(time=slice(DAYS - MORE, DAYS - 2)).isin([1, 2, 3]).all()
    assert longer["sst_mean"].isel(lat=0).notnull().all()


def test_a_value_where_there_never_was_one_is_kept(filled: Appended, gappy: xr.Dataset) -> None:
    before, folder = filled
    later = rest(gappy, DAYS - MORE).copy(deep=True)
    later["sst"][1, 2, 3] = 11.5
    longer = fieldcast.fill_gaps(later, append=before, fit=folder / FIT)
    new = longer.isel(lat=2, lon=3, time=slice(DAYS - MORE, None))
    assert new["sst"][1] == 11.5 and new["sst_flag"].values.tolist() == [3, 0, 3, 3, 3]
    next_days = later.assign_coords(time=pd.date_range("2001-05-11", periods=MORE))
    again = fieldcast.fill_gaps(next_days, append=longer, fit=folder / FIT)
    assert again["sst"].sel(time="2001-05-07").values[2, 3] == 11.5


def test_an_old_fit_is_said_to_be_old(filled: Appended, gappy: xr.Dataset) -> None:
    before, folder = filled
    later = rest(gappy, DAYS - 20).assign_coords(time=pd.date_range("2001-05-06", periods=20))
    longer = fieldcast.fill_gaps(later, append=before, fit=folder / FIT)
    assert "older than a tenth of the record" in longer.attrs["comment"]
    assert "older" not in fieldcast.fill_gaps(later.isel(time=[0]), append=before, fit=folder / FIT).comment


def test_the_whole_is_fitted_again_where_its_fit_is_missing(
    filled: Appended, gappy: xr.Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before, fit = filled[0], tmp_path / FIT
    longer = fieldcast.fill_gaps(rest(gappy, DAYS - MORE), append=before, fit=fit, method="low_rank")
    assert "No file of the fit lies beside" in caplog.text
    whole = fieldcast.fill_gaps(gappy, method="low_rank")
    for name in ("sst_mean", "sst_spread", "sst_flag"):
        np.testing.assert_allclose(longer[name], whole[name], rtol=1e-4, atol=1e-4)
    later = gappy.isel(time=[-1]).assign_coords(time=pd.date_range("2001-05-11", periods=1))
    assert "was appended" in fieldcast.fill_gaps(later, append=longer, fit=fit).comment


def renamed(later: xr.Dataset) -> xr.Dataset:
    return later.rename(sst="chlorophyll")


def shifted(later: xr.Dataset) -> xr.Dataset:
    return later.assign_coords(lat=later["lat"] + 1)


def in_kelvin(later: xr.Dataset) -> xr.Dataset:
    return later.assign(sst=(later["sst"] + 273.15).assign_attrs(units="K"))


def overlapping(later: xr.Dataset) -> xr.Dataset:
    return later.assign_coords(time=later["time"] - np.timedelta64(1, "D"))


REFUSALS: dict[str, tuple[Callable[[xr.Dataset], xr.Dataset], dict[str, Any], str]] = {
    "other variables": (renamed, {}, "lacks sst, which .* has: give a file with the same variables"),
    "another grid": (shifted, {}, "give files on the same grid"),
    "other units": (in_kelvin, {}, "is in .degC. in .* and is in .K. in .*: convert one of them"),
    "an overlap": (overlapping, {}, "begins on 2001-05-05, and .* ends on 2001-05-05: give times after"),
    "another condition": (lambda x: x, {"where": "sst > 3"}, "where is sst > 3, and .* was filled with None"),
    "another method": (lambda x: x, {"method": "dineof"}, "method is dineof, .* with low_rank: leave it out"),
    "other members": (lambda x: x, {"members": 3}, "members is 3, and .* was filled with 0"),
    "other errors": (lambda x: x, {"noise": 0.1}, r"noise is 0\.1, and .* was filled with None"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_times_that_do_not_continue_the_record_are_refused(
    kind: str, filled: Appended, gappy: xr.Dataset
) -> None:
    change, options, sentence = REFUSALS[kind]
    with pytest.raises(InputError, match=sentence):
        fieldcast.fill_gaps(change(rest(gappy, DAYS - MORE)), append=filled[1] / "filled.nc", **options)


def test_a_file_that_is_damaged_or_of_another_record_is_refused(
    filled: Appended, gappy: xr.Dataset, tmp_path: Path
) -> None:
    before, folder = filled
    later, content = rest(gappy, DAYS - MORE), (folder / FIT).read_bytes()
    (tmp_path / "damaged").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (tmp_path / "text").write_text("no fit")
    fieldcast.fill_gaps(first(gappy, DAYS - 40), method="low_rank", fit=tmp_path / "other")
    for name, sentence in (
        ("damaged", "changed after it was written"), ("text", "is damaged or was not written by Fieldcast"),
        ("other", "is the fit of another record: fill the whole record again"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=sentence):
            fieldcast.fill_gaps(later, append=before, fit=tmp_path / name)
    with pytest.raises(InputError, match="was not written by `fieldcast fill-gaps`"):
        fieldcast.fill_gaps(later, append=first(gappy, DAYS - MORE), fit=folder / FIT)


def test_errors_that_are_variables_of_the_file_grow_with_the_record(
    truth: xr.Dataset, gappy: xr.Dataset, tmp_path: Path
) -> None:
    """The last days are filled as the fit of the whole fills them, though only the filled record has earlier errors.

    A quarter of the values has errors of 2 degC, the others of .1, so that wrong errors would change the last days.
    """
    rng, fit = np.random.default_rng(2), tmp_path / "fit"
    error = rng.choice([0.1, 0.1, 0.1, 2.0], truth["sst"].shape).astype(np.float32)
    record = gappy.assign(
        sst=(gappy["sst"] + error * rng.standard_normal(error.shape) + 0.5).assign_attrs(units="degC")
    )
    record["sses_standard_deviation"] = gappy["sst"].dims, error, {"units": "K"}
    record["sses_bias"] = gappy["sst"].dims, np.full_like(error, 0.5), {"units": "K"}
    whole = fieldcast.fill_gaps(record, noise="sses_standard_deviation", method="low_rank", fit=fit)
    np.testing.assert_array_equal(whole["sst_observed_error"], error)
    assert whole.title == "Reconstruction of sst" and whole["sst_observed_bias"].attrs["units"] == "degC"
    shorter, later = first(whole, DAYS - MORE), rest(record, DAYS - MORE)
    longer = fieldcast.fill_gaps(later, append=shorter, fit=fit)
    assert list(longer.data_vars) == list(whole.data_vars)
    for name, array in whole.data_vars.items():
        np.testing.assert_allclose(
            longer[name].astype(float), array.astype(float), atol=1e-4, err_msg=str(name)
        )
    again = fieldcast.fill_gaps(later, append=shorter)  # with the method and the errors of the first fill
    np.testing.assert_allclose(again["sst"], whole["sst"], atol=1e-4)
    with pytest.raises(
        InputError, match="no variable 'sses_standard_deviation', which gives the errors of sst"
    ):
        fieldcast.fill_gaps(later[["sst"]], append=shorter, fit=fit)
    with pytest.raises(InputError, match=r"has the mean error 'sses_bias', and .* was filled without one"):
        fieldcast.fill_gaps(later, append=shorter.drop_vars("sst_observed_bias"), fit=fit)
    older = shorter.drop_vars(["sst_observed_error", "sst_observed_bias"]).assign_attrs(
        fieldcast_options="{}"
    )
    for stored in ({"fit": fit}, {"noise": "sses_standard_deviation"}):
        with pytest.raises(InputError, match="does not hold the errors of its observed values"):
            fieldcast.fill_gaps(later, append=older, **stored)


@pytest.mark.parametrize("key", ["sst", "sea_surface_temperature"])
def test_variables_with_gaps_of_their_own_may_share_errors(
    key: str, gappy: xr.Dataset, tmp_path: Path
) -> None:
    fit = tmp_path / "fit"
    record = gappy.assign(t2=(gappy["sst"].roll(time=40) + 273.15).assign_attrs(units="K"))
    record["sst_error"] = gappy["sst"].dims, np.full(gappy["sst"].shape, np.float32(0.3)), {"units": "K"}
    options = {"noise": {key: "sst_error", "t2": "sst_error"}, "method": "low_rank"}
    whole = fieldcast.fill_gaps(record, **options, fit=fit)
    longer = fieldcast.fill_gaps(rest(record, DAYS - MORE), append=first(whole, DAYS - MORE), fit=fit)
    for name, array in whole.data_vars.items():
        np.testing.assert_allclose(
            longer[name].astype(float), array.astype(float), atol=1e-4, err_msg=str(name)
        )


def test_a_new_fit_has_the_options_of_the_first_one_unless_others_are_given(gappy: xr.Dataset) -> None:
    """Half of the new values are bad by a flag; they must not become observed when the file of the fit is gone."""
    bad = xr.zeros_like(gappy["sst"]).drop_attrs()
    bad[-MORE:, :4] = 1
    record = gappy.assign(quality=(1 - bad).astype(np.int8))
    filled = fieldcast.fill_gaps(
        first(record, DAYS - MORE), where="quality >= 1", method="red_noise", max_gap=30
    )
    later, given = rest(record, DAYS - MORE), gappy["sst"][-MORE:].notnull()
    again = fieldcast.fill_gaps(later, append=filled)
    assert again.attrs["fieldcast_method"] == "red_noise" and again["sst"][-MORE:].isnull().any()
    np.testing.assert_array_equal(again["sst_flag"][-MORE:] == 0, given & (bad[-MORE:] == 0))
    other = fieldcast.fill_gaps(later, append=filled, where="quality >= 0", method="low_rank")
    assert other.attrs["fieldcast_method"] == "low_rank"
    np.testing.assert_array_equal(other["sst_flag"][-MORE:] == 0, given)
    with pytest.raises(InputError, match="fieldcast_options of the filled record was changed"):
        fieldcast.fill_gaps(later, append=filled.assign_attrs(fieldcast_options="?"))


def test_levels_of_a_variable_are_appended(gappy: xr.Dataset, tmp_path: Path) -> None:
    """Each level is a variable of the record; the new times have them along a dimension."""
    both = xr.concat(
        [gappy["sst"], gappy["sst"] - 20], xr.IndexVariable("level", [500, 850], {"units": "hPa"})
    )
    record, fit = both.transpose("time", ...).rename("t").to_dataset(), tmp_path / "fit"
    record["t"].attrs["units"] = "K"
    whole = fieldcast.fill_gaps(record, method="red_noise", fit=fit)
    longer = fieldcast.fill_gaps(rest(record, DAYS - MORE), append=first(whole, DAYS - MORE), fit=fit)
    np.testing.assert_array_equal(longer["t500"], whole["t500"])


@pytest.mark.parametrize("name", FILLERS)
def test_a_stored_fit_is_the_fit(name: str, gappy: xr.Dataset, tmp_path: Path) -> None:
    fieldcast.fill_gaps(first(gappy, 60), method=name, fit=tmp_path / "fit")
    content = (tmp_path / "fit").read_bytes()
    assert StoredFit.unpacked(content, "", torch.device("cpu")).packed() == content
