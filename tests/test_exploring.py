"""A first look: counts are those of a known truth, results those of the functions that it is made of."""

import html
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from click.testing import CliRunner
from matplotlib.colors import LogNorm

import fieldcast
from fieldcast import cli
from fieldcast.app import commands as app_commands
from fieldcast.errors import InputError
from fieldcast.fields import contents
from fieldcast.fields.stations import read_stations
from fieldcast.inference.gaps import race
from fieldcast.report.exploration import Exploration
from fieldcast.standalone import exploring

pytestmark = pytest.mark.usefixtures("few_selections")

TIMES, Y, X = 80, 4, 5


def record(missing: float = 0.0) -> xr.Dataset:
    """Two waves with red noise in time; a share of the values is missing."""
    rng = np.random.default_rng(0)
    amplitude = np.zeros((TIMES, 2))
    for t in range(1, TIMES):
        amplitude[t] = 0.8 * amplitude[t - 1] + 0.6 * rng.normal(size=2)
    y, x = np.meshgrid(np.linspace(0, 3, Y), np.linspace(0, 3, X), indexing="ij")
    values = 15 + np.einsum("tk,kyx->tyx", amplitude, np.stack([np.cos(x), np.sin(y)]))
    values += 0.1 * rng.normal(size=values.shape)
    values[rng.random(values.shape) < missing] = np.nan
    coords = {
        "time": pd.date_range("2001-01-01", periods=TIMES),
        "lat": ("lat", np.linspace(50, 44, Y), {"units": "degrees_north"}),
        "lon": ("lon", np.linspace(0, 8, X), {"units": "degrees_east"}),
    }
    return xr.Dataset({"sst": (("time", "lat", "lon"), values.astype("f4"), {"units": "degC"})}, coords)


def flagged() -> xr.Dataset:
    flags = np.random.default_rng(1).integers(0, 3, (TIMES, Y, X)).astype("i1")
    attrs = {"flag_values": np.arange(3, dtype="i1"), "flag_meanings": "bad_data low_quality best_quality"}
    return record(0.3).assign(quality_level=(("time", "lat", "lon"), flags, attrs))


def gauges() -> pd.DataFrame:
    """Daily readings of 22 stations of a plane wave."""
    rng = np.random.default_rng(0)
    lat, lon = rng.uniform(40, 48, 22).round(3), rng.uniform(0, 9, 22).round(3)
    t = np.arange(40)[:, None]
    value = 10 + 2 * np.sin(0.3 * t + 0.2 * lat) + 0.1 * rng.normal(size=(40, 22))
    when = np.repeat(pd.date_range("2001-01-01", periods=40), 22)
    columns = {"time": when, "lat": np.tile(lat, 40), "lon": np.tile(lon, 40), "variable": "t2m"}
    stations = np.tile([f"S{i}" for i in range(22)], 40)
    return pd.DataFrame({**columns, "value": value.ravel(), "units": "degC", "station": stations})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    flagged().to_netcdf(folder / "gappy.nc")
    record().to_netcdf(folder / "complete.nc")
    record().isel(time=[*range(30), *range(33, TIMES)]).to_netcdf(folder / "missing_dates.nc")
    gauges().to_csv(folder / "gauges.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def gappy(files: Path) -> Exploration:
    return fieldcast.explore(files / "gappy.nc")


@pytest.fixture(scope="module")
def complete(files: Path) -> Exploration:
    return fieldcast.explore(str(files / "complete.nc"))


@pytest.fixture(scope="module")
def stations(files: Path) -> Exploration:
    return fieldcast.explore(files / "gauges.csv")


def test_gaps_are_counted_and_filled_as_fill_gaps_fills_them() -> None:
    given = flagged()
    explored = fieldcast.explore(given, where="")  # bad values, too
    (row,) = explored.tables["variables"].to_dict("records")
    assert row["missing"] == pytest.approx(float(given["sst"].isnull().mean()), abs=1e-12)
    assert row["empty_times"] == int(given["sst"].isnull().all(("lat", "lon")).sum())
    assert row["cells"] == Y * X and row["numbers"] == "linear"
    filled = fieldcast.fill_gaps(given)
    assert explored.data is not None and not any("where" in command for _, command in explored.commands)
    for name in ("sst", "sst_mean", "sst_spread", "sst_flag"):
        np.testing.assert_array_equal(explored.data[name].values, filled[name].values)
    flag = filled["sst_flag"].values
    share = 100 * np.sum(flag == 2) / np.isin(flag, (1, 2)).sum()
    said = re.search(r"(\S+) % of the filled values of sst are extrapolated \(flag 2\)", explored.answer)
    assert said and float(said[1]) == pytest.approx(share, rel=0.01)
    best = explored.tables["scores"]["method"].iloc[0]
    assert f"filled by {best}" in explored.answer and f"Filled by {best}" in explored.report


def test_values_whose_flag_is_bad_are_left_out(gappy: Exploration) -> None:
    """The condition is that of the meanings of the flag; the commands to go on with have it, too."""
    given, condition = flagged(), "quality_level == 2"
    counts = np.bincount(given["quality_level"].values.ravel())
    assert gappy.tables["quality"]["count"].tolist() == counts.tolist()
    assert ("values", f"those with {condition}") in gappy.facts
    assert all(command.endswith(f'--where "{condition}"') for _, command in gappy.commands)
    share = 100 * float(given["sst"].where(given["quality_level"] == 2).count() / given["sst"].count())
    (note,) = (each for each in gappy.notes if "are used" in each)
    said = re.fullmatch(
        'Only values with "quality_level == 2" are used, '
        r'(\S+) % of those there, which flags call good; --where "" takes all\.',
        note,
    )
    assert said and float(said[1]) == pytest.approx(share, rel=0.01)
    assert gappy.data is not None and gappy.result == "filled.nc"
    filled = fieldcast.fill_gaps(given, where=condition)
    np.testing.assert_array_equal(gappy.data["sst"].values, filled["sst"].values)


def test_dates_that_are_added_are_noted_and_errors_are_in_a_command() -> None:
    given = flagged().isel(time=[*range(20), *range(21, 40)])
    given["sst_error"] = given["sst"].dims, np.full(given["sst"].shape, np.float32(0.1)), {"units": "degC"}
    given["sst_bias"] = given["sst_error"] * 0
    explored = fieldcast.explore(given, where="")
    assert any(note.startswith("1 date is missing in 1 gap") for note in explored.notes)
    commands = [command for _, command in explored.commands]
    assert commands[1] == "fieldcast.fill_gaps(dataset, noise='sst_error')" and "noise" not in commands[0]


def test_all_values_are_used_where_too_few_are_good() -> None:
    """Two flags of which never both are good: their conditions together leave nothing."""
    first = flagged().isel(time=slice(40))
    other = (2 - first["quality_level"]).clip(0, 2).astype("i1").assign_attrs(first["quality_level"].attrs)
    few = first.assign(
        quality_level=first["quality_level"].where(first["time"] < first["time"][3], 0).astype("i1")
    )
    few["quality_level"].attrs = first["quality_level"].attrs
    for data, condition in (
        (first.assign(other_level=other), "quality_level == 2 and other_level == 2"),
        (few, ""),
    ):
        explored = fieldcast.explore(data)
        (note,) = (each for each in explored.notes if "are used" in each)
        assert note.startswith(f'Too few values have "{condition or "quality_level == 2"}", ')
        assert explored.data is not None and not any("where=" in command for _, command in explored.commands)
        assert not any(name == "values" for name, _ in explored.facts)


def test_bad_values_of_several_files_are_left_out(tmp_path: Path) -> None:
    """The first file declares levels of which it lacks the best; a flag of one variable is only named."""
    given = flagged()
    given["quality_level"] = given["quality_level"].where(given["time"] >= given["time"][20], 1).astype("i1")
    given["quality_level"].attrs = flagged()["quality_level"].attrs
    for number, part in enumerate((given.isel(time=slice(20)), given.isel(time=slice(20, None)))):
        part.to_netcdf(tmp_path / f"{number}.nc")
    explored = fieldcast.explore(str(tmp_path / "*.nc"))
    assert ("values", "those with quality_level == 2") in explored.facts
    salt = given.rename(quality_level="sst_qc").assign(sss=given["sst"] + 20)
    both = fieldcast.explore(salt)
    assert any(each.startswith('Bad values of sst are used, too: where="sst_qc == 2"') for each in both.notes)
    assert both.data is not None and not any(name == "values" for name, _ in both.facts)


def test_long_names_and_bounds_of_cells_are_kept_and_the_result_can_be_written(tmp_path: Path) -> None:
    """The model's names are shorter; netCDF stores bounds without chunks, which compression does not allow."""
    name, given = "sea_surface_temperature", record(0.3).isel(time=slice(40))
    edges = np.stack([given["lat"] - 1, given["lat"] + 1], axis=1)
    data = given.rename(sst=name).assign(lat_bnds=(("lat", "bnds"), edges))
    data["lat"].attrs["bounds"] = "lat_bnds"
    data.to_netcdf(tmp_path / "long.nc")
    with xr.open_dataset(tmp_path / "long.nc") as opened:
        explored = fieldcast.explore(opened)
        assert explored.data is not None and f"{name}_flag" in explored.data
        assert "of the filled values of sst are extrapolated" in explored.answer
        filled = fieldcast.fill_gaps(opened, method="red_noise")
        filled.to_netcdf(tmp_path / "filled.nc")
    with xr.open_dataset(tmp_path / "filled.nc") as written:
        assert written[name].encoding["zlib"] and written[name].encoding["complevel"] == 1
        np.testing.assert_array_equal(written["lat_bnds"], edges)


def test_commands_for_a_complete_record() -> None:
    read = exploring.Record("a b.nc", xr.Dataset(), None, "'a b.nc'", "a b.nc", "")
    outcome = exploring.Outcome("", best={"forecast": "forecast.x"})
    both = exploring.commands_for(read, "f == 1", True, "segment", outcome)
    assert [part.split()[1] for _, part in both] == ["fill-gaps", "train", "predict"]
    assert all('--where "f == 1"' in part for _, part in both)
    without = exploring.commands_for(read, None, True, "segment", outcome)
    assert without[0] == (
        "fill the missing dates, which stay missing here",
        "fieldcast fill-gaps 'a b.nc' --output filled.nc",
    )


def test_a_condition_removes_bad_values(files: Path) -> None:
    """The numbers are those of `fill_gaps`, and each command to go on with has the condition."""
    given, condition = flagged(), "quality_level == 2"
    filled = fieldcast.fill_gaps(given, where=condition)
    for data in (files / "gappy.nc", given):
        explored = fieldcast.explore(data, where=condition)
        assert explored.data is not None
        np.testing.assert_array_equal(explored.data["sst"].values, filled["sst"].values)
        assert all(condition in command for _, command in explored.commands)
        assert ("values", f"those with {condition}") in explored.facts
    with pytest.raises(InputError, match="a table has none: leave it out"):
        fieldcast.explore(files / "gauges.csv", where=condition)


def test_each_table_says_what_it_is_and_only_its_own_columns_are_explained(
    gappy: Exploration, complete: Exploration
) -> None:
    for look, headings in (
        (gappy, ["Errors of the methods at held-out values"]),
        (complete, ["Forecasts: means over 5 leads", "Reconstructions from a tenth of the cells"]),
    ):
        lines, page = look.text().splitlines(), look.page()
        for heading in headings:
            (number,) = (i for i, line in enumerate(lines) if line.startswith(heading))
            assert lines[number + 1].startswith("method ") and f"<caption>{heading}" in page
            shown = look.tables["scores"].dropna(axis=1, how="all")  # columns without a value are not
            assert ("± is half" in page) == ("coverage_error" in shown)


def test_a_logarithm_is_drawn_on_a_logarithmic_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(exploring, "row_of_maps", lambda *given: drawn.append(given[4]))
    monkeypatch.setattr(exploring, "png", lambda figure: b"")
    fields = record().rename(lat="latitude", lon="longitude")
    maps = {"x": xr.DataArray(np.geomspace(0.01, 10, Y * X).reshape(Y, X), dims=("latitude", "longitude"))}
    for mapping in ("log", None):
        exploring.drawn_row(fields, "sst", "", maps, mapping)
    assert [isinstance(scale.norm, LogNorm) for scale in drawn] == [True, False]


def test_code_in_a_sentence_is_code_on_the_page() -> None:
    look = Exploration("x", [("period", "2001")], "Do `a < b`.", {}, [("use `c`", "d")], notes=["see `mask`"])
    page = look.page()
    assert "`" not in page.split("<script>")[0] and "<code>a &lt; b</code>" in page
    assert "<code>c</code>" in page and "<code>mask</code>" in page


@pytest.mark.parametrize(
    "ratio, is_wrong", [(0.4, True), (0.7, False), (1.4, False), (1.6, True), (np.nan, False)]
)
def test_a_spread_far_from_the_error_is_said(ratio: float, is_wrong: bool) -> None:
    scores = pd.DataFrame({"method": ["a", "b"], "crps": [1.0, 2.0], "ssr": [ratio, 0.1]})
    look = Exploration("x", [("period", "2001")], "Done.", {"reconstructions": scores}, [])
    meaning = "spread-skill ratio of a (reconstruction), where 1 is right"
    assert (f"{ratio:.2g} is the {meaning}" in look.text()) is is_wrong
    assert (meaning in look.page()) is is_wrong
    assert "ratio of b" not in look.text()


@pytest.mark.parametrize(
    "coverage, error, is_wrong",
    [(0.79, 0.08, True), (0.79, 0.12, False), (0.86, 0.01, False), (0.97, 0.01, True), (0.5, np.nan, False)],
)
def test_intervals_that_miss_their_share_are_named(coverage: float, error: float, is_wrong: bool) -> None:
    """Beyond the sampling error and 0.05, also where the spread is right."""
    rows = [
        {"method": "a", "variable": "sst", "crps": 1.0, "ssr": 1.0, "coverage90": 0.9, "held_out": "in gaps"},
        {"method": "a", "variable": "sst", "crps": 1.0, "ssr": 1.0, "coverage90": coverage,
         "held_out": "at whole times"},
    ]  # fmt: skip
    scores = pd.DataFrame(rows).assign(coverage_error=error)
    look = Exploration("x", [("period", "2001")], "Done.", {"scores": scores}, [])
    meaning = "coverage of the intervals of 90 % of a (sst, at whole times), where 0.9 is right"
    assert (f"{coverage:.2f} is the {meaning}" in look.text()) is is_wrong
    assert (meaning in look.page()) is is_wrong


def test_cells_that_may_be_land_are_counted_unless_a_mask_tells(tmp_path: Path) -> None:
    data = record(0.3).isel(time=slice(30))
    data["sst"].values[:, :2, 0] = np.nan
    sentence = "2 cells without any value stay missing: the file has no land mask."
    assert any(note.startswith(sentence) for note in fieldcast.explore(data).notes)
    sea = np.ones((Y, X), dtype="i1")
    sea[:2, 0] = 0
    masked = fieldcast.explore(data.assign(mask=(("lat", "lon"), sea)))
    assert not any("no land mask" in note for note in masked.notes)


def test_a_flag_without_bad_values_needs_no_condition() -> None:
    good = flagged()
    good["quality_level"].values[:] = 2
    assert [flag.where for flag in contents.quality_flags(good)] == [""]


def test_the_leader_of_a_race_fills_what_it_would_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The method of the first rounds, on the last times that fit; `method` of fill_gaps gives the same values."""
    for name, value in {"CELLS_PER_TIME": 5, "MIN_CELLS": 4, "MIN_TIMES": 20, "MIN_OBSERVED": 4}.items():
        monkeypatch.setattr(race, name, value)
    monkeypatch.setattr(exploring, "FILL_VALUES", 50 * (Y * X + exploring.TIME_COST))
    monkeypatch.setattr(contents, "last_part", partial(contents.last_part, fewest=40))
    explored = fieldcast.explore(record(0.3))
    assert explored.data is not None and "the last 50 of 80 times" in explored.answer
    (best,) = set(explored.tables["scores"]["method"]) - {
        "linear in time",
        "climatology",
    }  # no other is fitted whole
    assert (
        f"filled by {best}" in explored.answer
        and "the best method after 1 round of a race" in explored.answer
    )
    assert explored.report.startswith(f"Filled by {best}, the best method after 1 round of a race.")
    part = record(0.3).isel(time=slice(30, None))
    filled = fieldcast.fill_gaps(part, method=best)
    np.testing.assert_array_equal(explored.data["sst"].values, filled["sst"].values)
    (about, call), *_ = explored.commands
    assert call == "fieldcast.fill_gaps(dataset)" and "fit=FILE stores the fit" in about
    assert (
        "of which the last 50 of 80 times are used here" in about and f"another than {best} may win" in about
    )


def test_a_first_look_races_records_that_are_filled_by_all_methods_otherwise() -> None:
    """One sample is enough for a first look, with a quarter of the work; a race needs two."""
    whole, small = (690, 2400), (150, 2400)
    assert race.work_of(*whole) < exploring.FILL_VALUES * 1.01 and not race.sample_sizes(*small)
    for size in (whole, small):
        *_, last = race.sample_sizes(*size, fewest=1)
        assert race.work_of(*last) / race.work_of(*size) == pytest.approx(1 / race.GROWTH, rel=0.05)


def test_a_first_look_says_how_far_it_is_and_how_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exploring, "INTERVAL", 0.02)
    with caplog.at_level("INFO"):
        fieldcast.explore(record(0.3))
    lines = [entry.getMessage() for entry in caplog.records if entry.name == exploring.__name__]
    counted = [re.match(r"\d+ s: (\d+) of \d+ steps, about \d+ s left", line) for line in lines]
    done = [int(line[1]) for line in counted if line]
    assert len(done) > 2 and done == sorted(done) and done[-1] > done[0]


def test_complete_fields_are_forecast_as_fit_forecasts_them(complete: Exploration, files: Path) -> None:
    given = xr.open_dataset(files / "complete.nc")
    best = complete.tables["scores"]["method"].iloc[0]
    model = fieldcast.fit(given, f"forecast.{best}", device="cpu")
    future = model.forecast(given, exploring.FORECAST_STEPS, exploring.MEMBERS)
    assert complete.data is not None
    np.testing.assert_array_equal(complete.data["sst_mean"].values, future["sst_mean"].values)
    assert complete.tables["variables"]["missing"].tolist() == [0.0]
    crps = complete.tables["scores"]["crps"]
    assert crps.is_monotonic_increasing and crps.notna().all()


def test_persistence_is_scored_as_by_hand(complete: Exploration, files: Path) -> None:
    """RMSE of the scored starts, in standard deviations of anomalies of the training split."""
    from fieldcast.encoding.options import Limits, Rollout
    from fieldcast.fields.ingest import ingest
    from fieldcast.standalone.fitting import prepare
    from fieldcast.tasks.scoring_inputs import cell_areas

    data = prepare(ingest(xr.open_dataset(files / "complete.nc"))[0])
    rollout = Rollout(steps=exploring.STEPS, members=exploring.MEMBERS, initial_times=exploring.STARTS)
    chosen = exploring.select_initial_times(data.fields, data.splits, rollout, Limits())
    x, area = data.fields["sst"].values.astype(float), cell_areas(data.fields)
    starts = [
        int(np.flatnonzero(data.fields["time"].values == np.datetime64(t))[0]) for t in chosen["scored"]
    ]
    errors = [
        np.mean([np.average((x[s] - x[s + lead]) ** 2, weights=np.asarray(area)) for s in starts])
        for lead in range(1, exploring.STEPS + 1)
    ]
    scale = float(data.normalisation["anomaly_std"].sel(variable="sst").item())
    scores = complete.tables["scores"].set_index("method")
    assert {*complete.tables["reconstructions"]["given"]} == {"10 % of the cells, pattern random"}
    assert scores.loc["persistence", "rmse"] == pytest.approx(np.mean(np.sqrt(errors)) / scale, rel=1e-5)


def test_missing_dates_are_no_gaps_of_complete_fields(files: Path) -> None:
    explored = fieldcast.explore(files / "missing_dates.nc")
    assert explored.tables["variables"]["empty_times"].tolist() == [3]
    assert explored.result == "forecast.nc" and "but for missing dates" in explored.answer
    assert all("--gaps segment" in each for _, each in explored.commands if "fieldcast train" in each)


def test_stations_become_the_fields_of_grid_stations(stations: Exploration, files: Path) -> None:
    assert stations.data is not None and stations.result == "fields.nc"
    resolution = float(np.diff(stations.data["latitude"].values)[0])
    fields = fieldcast.grid_stations(str(files / "gauges.csv"), resolution=resolution)
    np.testing.assert_array_equal(stations.data["t2m"].values, fields["t2m"].values)
    assert stations.commands[0][0].startswith("the same fields")
    assert "22 stations: fields.nc lists them (station), the readings of each" in stations.answer
    assert set(stations.tables["scores"]["method"]) == {"kriging", "nearest", "linear", "climatology"}


def test_a_wide_table_says_where_its_stations_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = gauges()
    places = table.drop_duplicates("station")[["station", "lat", "lon"]]
    places.to_csv(tmp_path / "places.csv", index=False)
    table.pivot(index="time", columns="station", values="value").to_csv(tmp_path / "wide.csv")
    with caplog.at_level("INFO"), exploring.noted():
        read_stations(str(tmp_path / "wide.csv"), "the table")
    assert "which are in 'places.csv'" in caplog.text


def test_a_result_from_a_part_says_what_its_command_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exploring, "READINGS", 440)  # whole times with fewer
    (about, _), *_ = fieldcast.explore(gauges()).commands
    assert about.startswith("fields from all readings, of which the last 418 of 880 readings are used here")
    monkeypatch.setattr(exploring, "FORECAST_VALUES", 60 * Y * X)
    monkeypatch.setattr(contents, "last_part", partial(contents.last_part, fewest=40))
    (about, call), *_ = fieldcast.explore(record()).commands
    assert "fieldcast.fit(" in call and "of which the last 60 of 80 times are used here" in about


def test_the_page_and_the_result_are_written_and_a_notebook_shows_the_page(
    gappy: Exploration, tmp_path: Path
) -> None:
    page, result = gappy.save(tmp_path / "new")
    text = page.read_text()
    assert all(command in html.unescape(text) for _, command in gappy.commands)
    assert "quality_level == 2" in html.unescape(text) and text.count("data:image/png") == len(gappy.figures)
    assert gappy.data is not None
    stored = xr.load_dataset(result)
    xr.testing.assert_equal(stored["sst"], gappy.data["sst"])
    assert all(stored[name].encoding["zlib"] for name in ("sst", "sst_mean", "sst_spread", "sst_flag"))
    assert stored["sst"].dtype == stored["sst_spread"].dtype == np.float32  # as in the file
    shown = re.search(r'srcdoc="([^"]*)"', gappy._repr_html_())
    assert shown and html.unescape(shown[1]) == gappy.page() == text
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["filled.nc", "page.html"]


def test_two_files_of_one_name_have_a_folder_each_and_one_that_is_looked_at_again_keeps_its_own(
    gappy: Exploration, complete: Exploration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file, seen in (
        ("a/sst.nc", gappy),
        ("b/sst.nc", complete),
        ("b/sst.csv", complete),
        ("a/sst.nc", gappy),
    ):
        monkeypatch.setattr(exploring, "explore", lambda _, where, seen=seen: seen)
        assert CliRunner().invoke(cli.cli, ["explore", file], catch_exceptions=False).exit_code == 0
    folders = {path.parent.name: path.name for path in tmp_path.glob("explored_*/*.nc")}
    assert folders == {
        "explored_sst": "filled.nc",
        "explored_sst_2": "forecast.nc",
        "explored_sst_3": "forecast.nc",
    }
    assert (tmp_path / "explored_sst_2" / "source.txt").read_text() == str(tmp_path / "b" / "sst.nc")


def test_of_a_large_file_without_known_axes_no_value_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The values of the file are damaged, which reading them would say."""
    values = np.random.default_rng(0).random((90, 10, 10), "f4")
    checked = {"x": {"fletcher32": True}}
    xr.Dataset({"x": (("a", "b", "c"), values)}).to_netcdf(tmp_path / "large.nc", encoding=checked)
    content, place = (tmp_path / "large.nc").read_bytes(), values[40, 5].tobytes()
    assert content.count(place) == 1
    (tmp_path / "large.nc").write_bytes(content.replace(place, bytes(len(place))))
    with pytest.raises(InputError, match="cannot be read to its end"):
        fieldcast.explore(tmp_path / "large.nc")
    monkeypatch.setattr(contents, "READ_VALUES", 1000)
    with pytest.raises(InputError, match="has no latitude"):
        fieldcast.explore(tmp_path / "large.nc")


class Session:
    """Stands in for Kedro's: notes what is run."""

    def __init__(self) -> None:
        self.pipelines: list[str] = []

    def create(self, **options: Any) -> "Session":
        return self

    def run(self, pipeline_names: list[str]) -> None:
        self.pipelines += pipeline_names

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: Any) -> None:
        return None


def test_every_command_can_be_given(
    gappy: Exploration, complete: Exploration, stations: Exploration, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session()
    monkeypatch.setattr(app_commands, "KedroSession", session)
    commands = [command for each in (gappy, complete, stations) for _, command in each.commands]
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "fieldcast"
        assert CliRunner().invoke(cli.cli, words, catch_exceptions=False).exit_code == 0
    best = complete.tables["scores"]["method"].iloc[0]
    assert {"gap_filling", "predict", "station_fields", f"forecast.{best}"} <= {*session.pipelines}


@pytest.mark.proof
def test_every_command_runs(
    gappy: Exploration, complete: Exploration, stations: Exploration, tmp_path: Path
) -> None:
    for each in (gappy, complete, stations):
        for _, command in each.commands:
            words = [sys.executable, "-m", "fieldcast", *shlex.split(command)[1:]]
            done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (command, done.stderr)
    assert {"filled.nc", "forecast.nc", "fields.nc"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.grib", b"GRIB" + bytes(600), "is not NetCDF but a GRIB file"),
        ("empty.nc", b"", "is empty"),
        ("words.txt", b"some words\nand more\n", "has no column 'time'"),
        ("page.nc", b"<!DOCTYPE html>", "a web page"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_and_leaves_nothing(
    name: str, content: bytes, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        CliRunner().invoke(cli.cli, ["explore", name], catch_exceptions=False)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_record_too_short_for_models_is_described_and_says_why(tmp_path: Path) -> None:
    explored = fieldcast.explore(record().isel(time=slice(0, 8)))
    assert explored.data is None and explored.tables["variables"]["cells"].tolist() == [Y * X]
    assert explored.answer.endswith(".") and "There is no forecast" in explored.answer


def test_train_is_a_run_on_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    noted: dict[str, Any] = {}

    class Noted(Session):
        def create(self, **options: Any) -> Session:
            noted.update(options)
            return self

    session = Noted()
    monkeypatch.setattr(app_commands, "KedroSession", session)
    monkeypatch.chdir(tmp_path)
    words = ["train", "mine.nc", "--experiment", "forecast.vae,reconstruct.linear", "--gaps", "segment"]
    words += ["--params", "data_root=there,ingestion.variables=sst"]
    assert CliRunner().invoke(cli.cli, words, catch_exceptions=False).exit_code == 0
    assert session.pipelines == ["forecast.vae", "reconstruct.linear"] and noted["env"] == "netcdf"
    assert noted["runtime_params"] == {
        "data_root": "there",
        "ingestion": {"variables": "sst", "path": str(tmp_path / "mine.nc"), "gaps": "segment"},
    }
