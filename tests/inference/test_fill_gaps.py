"""A record with clouds in every field: errors below those of interpolation in time, and a spread that is right."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import fieldcast
from fieldcast import runtime
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.errors import InputError
from fieldcast.fields.ingest import ingest
from fieldcast.inference.gaps import trials
from fieldcast.inference.gaps.filling import TrustLimits, percent, tail
from fieldcast.inference.gaps.trials import most_held_out_stretch
from fieldcast.models.gaps.fillers import dineof, low_rank, red_noise
from fieldcast.models.gaps.held_out import SELECTIONS
from fieldcast.models.gaps.record import Filling, Record
from fieldcast.models.random_streams import RandomStreams
from fieldcast.training import fill_gaps

DAYS, ROWS, COLUMNS = 200, 10, 12
LAND, ONCE = (2, 3), (7, 5)


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    """Drifting, fading waves in degC and double precision; latitudes descend, longitudes begin at -180."""
    rng = np.random.default_rng(0)
    latitude, longitude = np.linspace(60, -60, ROWS), np.arange(COLUMNS) * 30.0 - 180
    y, x = np.deg2rad(latitude)[:, None], np.deg2rad(longitude)
    z, field = np.zeros(4, dtype=complex), np.zeros((DAYS, ROWS, COLUMNS))
    speed = 0.95 * np.exp(1j * np.array([0.2, -0.3, 0.5, 0.1]))
    for day in range(DAYS):
        z = speed * z + 0.3 * (rng.standard_normal(4) + 1j * rng.standard_normal(4))
        waves = [c * np.exp(1j * k * x) * np.cos((k % 2 + 1) * y) for k, c in enumerate(z, start=1)]
        field[day] = sum(wave.real for wave in waves)
    field = 15 + 3 * field + 0.2 * rng.standard_normal(field.shape)
    axes = {"time": pd.date_range("2001-01-01", periods=DAYS), "lat": latitude, "lon": longitude}
    return xr.Dataset({"sst": (("time", "lat", "lon"), field, {"units": "degC"})}, axes)


@pytest.fixture(scope="module")
def gappy(truth: xr.Dataset) -> xr.Dataset:
    """60 % of every field missing in blobs; a week without any value, a cell of land, one observed three times."""
    rng = np.random.default_rng(1)
    sst = truth["sst"].values.copy()
    row, column = np.arange(ROWS)[:, None], np.arange(COLUMNS)
    for day in range(DAYS):
        held_out = np.zeros((ROWS, COLUMNS), dtype=bool)
        while held_out.mean() < 0.6:
            i, j, size = rng.integers(ROWS), rng.integers(COLUMNS), rng.uniform(1, 3)
            apart = np.minimum(abs(column - j), COLUMNS - abs(column - j))
            held_out |= (row - i) ** 2 + apart**2 < size**2
        sst[day, held_out] = np.nan
    sst[100:107], sst[(slice(None), *LAND)], sst[(slice(3, None), *ONCE)] = np.nan, np.nan, np.nan
    return truth.assign(sst=truth["sst"].copy(data=sst))


@pytest.fixture(scope="module")
def filled(gappy: xr.Dataset) -> xr.Dataset:
    return fieldcast.fill_gaps(gappy, members=3)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two quick methods and two selections, for tests of what all methods share."""
    monkeypatch.setattr(trials, "are_few", lambda selections, values: len(selections) < 2)
    monkeypatch.setattr(fill_gaps, "FILLERS", {filler.__name__: filler for filler in (dineof, red_noise)})


def test_observed_values_are_kept_bit_for_bit_in_the_layout_of_the_data(
    gappy: xr.Dataset, filled: xr.Dataset
) -> None:
    for name, coordinate in gappy.coords.items():
        assert np.array_equal(filled[name], coordinate)
    assert filled["sst"].dims == gappy["sst"].dims and filled["sst"].dtype == np.float64
    observed = gappy["sst"].notnull()
    assert np.array_equal(filled["sst"].values[observed], gappy["sst"].values[observed])
    assert np.array_equal(filled["sst_flag"] == 0, observed)
    assert not filled["sst_spread"].values[observed].any()
    assert filled["sst_members"].dims == ("time", "member", "lat", "lon")
    assert filled["sst"].attrs["units"] == filled["sst_spread"].attrs["units"] == "degC"


def test_a_condition_leaves_the_errors_of_a_record_without_its_bad_pixels(
    truth: xr.Dataset, quick: None
) -> None:
    """A third of the pixels is wrong by some 5 degC: with `where` they are as if they had never been observed."""
    rng = np.random.default_rng(0)
    observed = truth["sst"].where(rng.random(truth["sst"].shape) > 0.2)
    quality = rng.integers(0, 6, observed.shape).astype("i1")
    wrong = observed + np.where(quality < 2, 5 * rng.standard_normal(quality.shape), 0)
    flags = {"flag_values": np.arange(6, dtype="i1"), "flag_meanings": "no_data bad worst low good best"}
    record = truth.assign(sst=wrong.assign_attrs(units="degC"), quality_level=(wrong.dims, quality, flags))
    without = fieldcast.fill_gaps(truth.assign(sst=observed.where(quality >= 2).assign_attrs(units="degC")))
    kept = fieldcast.fill_gaps(record, where="quality_level >= 2")
    for name in ("sst", "sst_spread", "sst_flag"):
        np.testing.assert_array_equal(kept[name], without[name])
    assert rmse(fieldcast.fill_gaps(record), truth) > 2 * rmse(kept, truth)


@pytest.mark.parametrize("use", [fieldcast.fill_gaps, fieldcast.explore])
def test_a_variable_that_cannot_be_decoded_is_named(use, gappy: xr.Dataset, tmp_path: Path) -> None:
    path, x = tmp_path / "damaged.nc", gappy["sst"].values
    stored = {name: {"fletcher32": True, "chunksizes": (20, ROWS, COLUMNS)} for name in ("sst", "sound")}
    gappy.assign(sound=gappy["sst"] + 1)[["sound", "sst"]].to_netcdf(path, encoding=stored)
    content, place = (
        path.read_bytes(),
        x[150, np.isfinite(x[150]).all(1)][:1].tobytes() or x[150, 0].tobytes(),
    )
    assert content.count(place) == 1
    path.write_bytes(content.replace(place, bytes(len(place))))
    sentence = (
        r"^the variable 'sst' of the data set cannot be read to its end \(NetCDF: [^)]*\): copy or download its file "
        r"again, and open that\.$"
    )
    with xr.open_dataset(path) as damaged, pytest.raises(InputError, match=sentence):
        use(damaged)


def rmse(filled: xr.Dataset, truth: xr.Dataset) -> float:
    return float(np.sqrt(((filled["sst"] - truth["sst"]) ** 2).mean()))


def test_progress_counts_the_filling_after_the_trials(
    gappy: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def watched(record: Record, streams: RandomStreams | None = None) -> Filling:
        seen.append(runtime.state().partition(",")[0])
        return dineof(record, streams)

    monkeypatch.setattr(runtime, "_open", [])  # loops that other tests left before their end stay open
    monkeypatch.setattr(fill_gaps, "FILLERS", {"dineof": watched})
    fieldcast.fill_gaps(gappy.isel(time=slice(60)))
    last = len(seen) - 1  # the selections of a small record are more
    assert seen == [f"{done} of {last + 1} steps" for done in range(last + 1)] and last > SELECTIONS


def test_flags_follow_their_meaning(filled: xr.Dataset) -> None:
    flag = filled["sst_flag"]
    assert flag.dtype == np.int8 and flag.attrs["flag_values"].tolist() == [0, 1, 2, 3]
    assert flag.attrs["flag_meanings"] == "observed filled extrapolated never_observed"
    land = flag.isel(lat=LAND[0], lon=LAND[1])
    assert (land == 3).all() and (flag == 3).sum() == DAYS
    for part in ("sst", "sst_mean", "sst_spread", "sst_members"):
        assert filled[part].isel(lat=LAND[0], lon=LAND[1]).isnull().all()
    assert (flag.isel(lat=ONCE[0], lon=ONCE[1])[3:] == 2).all()
    missing = filled["sst"].isnull()
    assert np.array_equal(missing, flag == 3)


def test_fills_beat_interpolation_in_time_and_are_calibrated(
    truth: xr.Dataset, gappy: xr.Dataset, filled: xr.Dataset
) -> None:
    scored = (filled["sst_flag"].isin([1, 2])).values
    linear = gappy["sst"].interpolate_na("time").ffill("time").bfill("time")
    error = (filled["sst_mean"] - truth["sst"]).values[scored]
    spread = filled["sst_spread"].values[scored]
    assert np.sqrt((error**2).mean()) < 0.6 * np.sqrt(((linear - truth["sst"]).values[scored] ** 2).mean())
    assert 0.85 < np.sqrt((spread**2).mean() / (error**2).mean()) < 1.15
    assert (abs(error) > 5 * spread).mean() < 1e-3
    members = filled["sst_members"].transpose("member", ...).values[:, scored]
    assert np.sqrt(members.var(0, ddof=1).mean()) == pytest.approx(np.sqrt((spread**2).mean()), rel=0.1)


def test_a_cell_observed_three_times_has_the_spread_of_the_climatology(
    truth: xr.Dataset, filled: xr.Dataset
) -> None:
    cell = {"lat": ONCE[0], "lon": ONCE[1], "time": slice(3, None)}
    error = (filled["sst_mean"] - truth["sst"]).isel(cell)
    assert 0.7 < float(filled["sst_spread"].isel(cell).mean()) / float(np.sqrt((error**2).mean())) < 1.3


def cells_of(report: str, name: str) -> dict[str, str]:
    """Cells of the lines of a report that begin with a name, by their headings."""
    cells: dict[str, str] = {}
    headings: list[str] = []
    for line in report.splitlines():
        parts = re.split(r"\s{2,}", line.strip())
        if line.startswith("  "):
            headings = parts
        elif parts[0] == name:
            cells |= dict(zip(headings, parts[1:], strict=False))
    return cells


def test_the_report_compares_the_methods_and_says_how_far_to_trust_the_best(filled: xr.Dataset) -> None:
    report, flag = filled.attrs["comment"], filled["sst_flag"]
    best = re.match(r"Filled by (\w+)", report)
    assert best and float(cells_of(report, best[1])["CRPS"]) < float(cells_of(report, "dineof")["CRPS"])
    assert float(cells_of(report, "dineof")["CRPS"]) < float(cells_of(report, "linear in time")["CRPS"])
    cells, missing, extrapolated = cells_of(report, "sst"), flag.isin([1, 2]), flag == 2
    assert cells["empty times"] == "7" and cells["missing"] == str(int(missing.sum()))
    share = float(cells["extrapolated"].rstrip("%"))
    assert share == pytest.approx(100 * float(extrapolated.sum() / missing.sum()), rel=0.01)
    assert 0.85 < float(cells["spread-skill"]) < 1.15
    parts = [cells_of(report, f"sst {kind}") for kind in ("in gaps", "at whole times")]
    assert sum(int(part["missing"]) for part in parts) == int(cells["missing"])
    assert sum(int(part["held out"]) for part in parts) == int(cells["held out"])


def test_the_spread_is_right_where_gaps_last_long(truth: xr.Dataset) -> None:
    long = truth[["sst"]].copy(deep=True)
    row, column = np.arange(ROWS)[:, None], np.arange(COLUMNS)
    rng = np.random.default_rng(3)
    while long["sst"].isnull().mean() < 0.6:
        first, i, j = rng.integers(-19, DAYS), rng.integers(ROWS), rng.integers(COLUMNS)
        apart = np.minimum(abs(column - j), COLUMNS - abs(column - j))
        long["sst"].values[max(first, 0) : first + 20, (row - i) ** 2 + apart**2 < 6] = np.nan
    result = fieldcast.fill_gaps(long)
    missing = long["sst"].isnull().values
    error, spread = (
        part.values[missing] for part in (result["sst_mean"] - truth["sst"], result["sst_spread"])
    )
    ratio = np.sqrt((spread**2).mean() / (error**2).mean())
    assert 0.85 < ratio < 1.15
    assert (abs(error) > 5 * spread).mean() < 1e-3
    assert 0.85 < float(cells_of(result.attrs["comment"], "sst")["spread-skill"]) < 1.15


def test_missing_dates_are_filled_as_times_without_values(gappy: xr.Dataset, quick: None) -> None:
    filled = fieldcast.fill_gaps(gappy, members=3)
    result = fieldcast.fill_gaps(gappy.isel(time=[*range(100), *range(107, DAYS)]), members=3)
    assert result.sizes == filled.sizes and np.array_equal(result["time"], filled["time"])
    for part in ("sst", "sst_spread", "sst_members"):
        np.testing.assert_allclose(result[part], filled[part], rtol=1e-5)


def test_the_spread_is_right_where_one_variable_alone_lacks_whole_times(
    truth: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other variable is complete, so that every time has observations."""
    monkeypatch.setattr(fill_gaps, "FILLERS", {filler.__name__: filler for filler in (low_rank, dineof)})
    sst = truth["sst"]
    flow = sst.copy(data=np.roll(sst.values, 90, axis=0) + 0.3 * sst.values).assign_attrs(units="m s-1")
    absent = np.isin(np.arange(DAYS) // 6, np.arange(2, DAYS // 6, 4))
    both = truth.assign(flow=flow.where(xr.DataArray(~absent, dims="time")))
    filled = fieldcast.fill_gaps(both)
    error = (filled["flow"] - flow).values[absent]
    spread = filled["flow_spread"].values[absent]
    assert np.sqrt((spread**2).mean() / (error**2).mean()) == pytest.approx(1, abs=0.3)
    cells = cells_of(filled.attrs["comment"], "flow")
    assert all(float(cells[f"far in {kind}"].rstrip("%")) < 10 for kind in ("time", "space"))
    assert "held out in gaps" not in filled.attrs["comment"]


def test_missing_values_that_are_farther_from_observations_than_held_out_ones_are_counted(
    truth: xr.Dataset,
) -> None:
    """Eighty days of which a third of the columns is observed: values of the others are held out at other times."""
    halved = truth.copy(deep=True)
    halved["sst"].values[60:140, :, 4:] = np.nan
    halved["sst"].values[np.random.default_rng(0).uniform(size=halved["sst"].shape) < 0.05] = np.nan
    cells = cells_of(fieldcast.fill_gaps(halved).attrs["comment"], "sst")
    assert max(float(cells[f"far in {kind}"].rstrip("%")) for kind in ("time", "space")) > 10
    assert 0.85 < float(cells["spread-skill"]) < 1.15


def test_values_and_not_anomalies_are_interpolated_in_time(gappy: xr.Dataset) -> None:
    fields, _ = ingest(gappy, missing="train")
    record = GappyRecord.of(fields, torch.device("cpu"))
    cycle = np.sin(2 * np.pi * np.arange(1, 366) / 365).astype(np.float32)[:, None, None, None]
    shifted = replace(record, codec=replace(record.codec, climatology=record.codec.climatology + 20 * cycle))
    everywhere = slice(None)
    interpolated = shifted.linear_in_time(everywhere) * shifted.scale + shifted.climatology(everywhere)
    expected = np.interp(np.arange(DAYS), *observed_at(interpolated[:, 0], record.record.observed[:, 0]))
    assert np.allclose(interpolated[:, 0], expected, atol=1e-3)


def test_interpolation_in_time_gives_the_climatology_to_cells_that_are_never_observed(
    gappy: xr.Dataset,
) -> None:
    """The scores of interpolation do not depend on the zero of the unit."""
    record = GappyRecord.of(ingest(gappy, missing="train")[0], torch.device("cpu"))
    observed = record.record.observed.clone()
    observed[:, 1] = False
    unseen = replace(record, record=replace(record.record, observed=observed))
    anomalies = unseen.linear_in_time(slice(None))
    assert not anomalies[:, 1].any() and anomalies[:, 0].any()
    assert torch.equal(anomalies[:, 2:], record.linear_in_time(slice(None))[:, 2:])


def observed_at(values: torch.Tensor, observed: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Days and values of the observations of a cell."""
    return observed.nonzero()[:, 0].numpy(), values[observed].numpy()


def test_values_beyond_the_limits_stay_missing(gappy: xr.Dataset, filled: xr.Dataset, quick: None) -> None:
    spread = float(filled["sst_spread"].quantile(0.95))
    part = gappy.isel(time=slice(60, 140))
    strict = fieldcast.fill_gaps(part, max_gap=6, max_spread={"sst": spread})
    left = strict["sst"].isnull() & (strict["sst_flag"] != 3)
    assert left.isel(time=slice(40, 47)).sum() == 7 * (ROWS * COLUMNS - 2)
    assert float(strict["sst_spread"].max()) <= spread
    assert "sst_members" not in strict


def test_bad_input_is_reported_in_one_sentence(gappy: xr.Dataset, truth: xr.Dataset) -> None:
    nothing = gappy.where(False)
    once = gappy.where(gappy["time"] == gappy["time"][50])
    twice = gappy.where(gappy["time"].isin(gappy["time"][50:52]))
    for dataset, sentence in (
        (nothing, "variable 'sst' of the data set has no value at all"),
        (once, "is observed at only 1 time"),
        (twice, "no cell of 'sst' has 10 values"),
        (truth, "no value of the data is missing"),
    ):
        with pytest.raises(InputError, match=sentence):
            fieldcast.fill_gaps(dataset)
    for options, sentence in (
        ({"max_gap": 0}, "max_gap = 0: give a whole number from 1"),
        ({"max_spread": -1.0}, "max_spread = -1.0: give a finite number above 0"),
        ({"max_spread": {"sst": 0.0}}, "max_spread of sst = 0.0"),
    ):
        with pytest.raises(InputError, match=sentence):
            TrustLimits(**options)
    with pytest.raises(InputError, match="members = -1: give a whole number from 0"):
        fieldcast.fill_gaps(gappy, members=-1)
    with pytest.raises(InputError, match="max_spread names sea, but the variables are sst"):
        fieldcast.fill_gaps(gappy, max_spread={"sea": 1.0})


def test_overpasses_without_a_step_and_a_complete_variable_are_filled_too(
    gappy: xr.Dataset, truth: xr.Dataset, quick: None
) -> None:
    part = gappy.isel(time=slice(0, 60)).assign(wind=truth["sst"].isel(time=slice(0, 60)))
    hours = np.random.default_rng(0).permutation(np.arange(13, 9000))[:60]
    irregular = part.assign_coords(time=part["time"][0].values + np.sort(hours) * np.timedelta64(1, "h"))
    result = fieldcast.fill_gaps(irregular)
    assert int(result["sst"].isnull().sum(("lat", "lon")).max()) == 1  # the land
    np.testing.assert_array_equal(result["wind"], irregular["wind"])
    seconds = 61 * np.sort(np.random.default_rng(1).permutation(9000)[:60])
    without_step = fieldcast.fill_gaps(
        part.assign_coords(time=part["time"][0].values + seconds * np.timedelta64(1, "s"))
    )
    cells = cells_of(without_step.attrs["comment"], "sst")
    assert int(cells["1/e [km]"]) > 0 and "1/e [steps]" not in cells


def test_a_monthly_record_of_ten_years_is_filled_better_than_linearly_in_time() -> None:
    rng = np.random.default_rng(2)
    latitude, longitude, month = np.linspace(-60, 60, 8), np.arange(12) * 30.0, np.arange(120)
    y, x = np.deg2rad(latitude)[:, None], np.deg2rad(longitude)
    z, field = np.zeros(4, dtype=complex), np.zeros((120, 8, 12), dtype=np.float32)
    for t in month:
        z = 0.93 * np.exp(0.3j) * z + rng.standard_normal(4) + 1j * rng.standard_normal(4)
        field[t] = sum((c * np.exp(1j * k * x) * np.cos(k * y)).real for k, c in enumerate(z, start=1))
    field += 0.3 * rng.standard_normal(field.shape).astype(np.float32)
    field += (4 * np.cos(2 * np.pi * month / 12)[:, None, None] * np.sin(y)).astype(np.float32)
    axes = {"time": pd.date_range("2001-01-01", periods=120, freq="MS"), "lat": latitude, "lon": longitude}
    truth = xr.Dataset({"sst": (("time", "lat", "lon"), field, {"units": "degC"})}, axes)
    gappy = truth.where(xr.DataArray(rng.random(field.shape) > 0.6, dims=("time", "lat", "lon")))
    filled = fieldcast.fill_gaps(gappy)
    linear = gappy["sst"].interpolate_na("time").ffill("time").bfill("time")
    scored = gappy["sst"].isnull().values
    error, in_time = ((result - truth["sst"]).values[scored] for result in (filled["sst_mean"], linear))
    rmse = float(np.sqrt((error**2).mean()))
    assert rmse < 0.6 * np.sqrt((in_time**2).mean())
    assert 0.85 < np.sqrt((filled["sst_spread"].values[scored] ** 2).mean()) / rmse < 1.15


def test_shares_and_distances_of_the_report() -> None:
    assert tail(torch.linspace(0, 1, 101)) == pytest.approx(0.95) and tail(torch.zeros(0)) < 0
    assert percent(torch.arange(100_000) < 3) == "0.00300%" and percent(torch.arange(1000) < 3) == "0.300%"


def test_a_record_in_which_a_date_is_missing_is_filled_in_segments(gappy: xr.Dataset, quick: None) -> None:
    part = gappy.isel(time=np.delete(np.arange(80), 40), lat=slice(3, 7), lon=slice(6))
    with pytest.raises(InputError, match='gaps="segment"'):
        fieldcast.fill_gaps(part, gaps="refuse")
    filled = fieldcast.fill_gaps(part, gaps="segment")
    assert filled["sst"].sizes["time"] == 79 and filled["sst"].notnull().all()


def test_a_region_of_few_cells_is_filled(gappy: xr.Dataset) -> None:
    few = gappy.isel(lat=slice(3, 5), lon=slice(5, 7), time=slice(60))
    assert fieldcast.fill_gaps(few)["sst"].notnull().all()


def test_the_stretch_shown_has_most_held_out_beside_most_observed_values() -> None:
    held_out, observed = torch.zeros(2, 40, 3, dtype=torch.bool)
    held_out[5:15, 0], held_out[20:26, 2], observed[26:30, 2] = True, True, True
    assert most_held_out_stretch(held_out, observed, 10) == (20, 2)
    assert most_held_out_stretch(held_out, observed, 40) == (0, 2)
