"""Gauges in one place, whose differences bound the spread, and gauges in another unit than their neighbours."""

import logging
from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import fieldcast
from fieldcast.errors import InputError
from fieldcast.fields.gauges import Gauges
from fieldcast.inference.stations.gridding import grid_and_score
from fieldcast.inference.stations.held_out import clusters_of
from fieldcast.inference.stations.kriging import krige
from fieldcast.inference.stations.suspects import labels, places, variance_within, without_suspects
from fieldcast.models.gaps.local_kriging import CellSeries, Correlation, KrigingModel
from tests.inference.gauge_network import STATIONS, TIMES, network

ERROR = 1.0


def twins(metres: float = 0.0) -> pd.DataFrame:
    """Two gauges in each place, some metres apart, with independent errors."""
    rng, table = np.random.default_rng(5), network()
    one, other = (table["value"] + ERROR * rng.normal(size=len(table)) for _ in range(2))
    second = table.assign(station=table["station"] + "b", value=other, lat=table["lat"] + metres / 111_000)
    return pd.concat([table.assign(value=one), second], ignore_index=True)


@pytest.mark.parametrize("metres", [0.0, 20.0])
def test_no_spread_is_below_what_twins_show(metres: float) -> None:
    table = twins(metres)
    result = grid_and_score(table, 2.0, None, None, 0, "cpu", "'twins'")
    pair = table.assign(place=table["station"].str[:3]).groupby(["place", "time"])["value"]
    least = float(np.sqrt(np.mean(pair.diff().dropna() ** 2) / 2))
    assert least == pytest.approx(ERROR, rel=0.05)
    assert float(result.fields["t2m_spread"].min()) >= least * (1 - 1e-6)
    assert "t2m: 48 of 48 gauges share 24 places" in result.text and f"is {least:.3g} degC" in result.text
    scores = result.scores[result.scores["experiment"] == "kriging"].set_index("score")
    assert scores.loc["crps", "observations"] == len(table)
    assert scores.loc["coverage90", "value"] == pytest.approx(0.9, abs=0.03)
    assert len(result.by_station) == 4 * 2 * STATIONS and set(result.by_station["station"]) == set(
        table["station"]
    )


def test_many_gauges_of_one_place_stay_several() -> None:
    table = network()
    city = table["station"] < "S20"
    table = table.assign(lat=table["lat"].where(~city, 45.0), lon=table["lon"].where(~city, 5.0))
    result = grid_and_score(table, 2.0, None, None, 0, "cpu", "'city'")
    inside = table[city].groupby("time")["value"].var(ddof=1).mean()
    assert float(result.fields["t2m_spread"].min()) >= np.sqrt(inside) * (1 - 1e-6)
    assert "20 of 24 gauges share 1 place " in result.text
    assert "at least 20 places of a variable, and there are 5" in result.text


def test_no_spread_of_rain_is_below_what_twins_show() -> None:
    """Near 0, too, where the distribution is cut."""
    table, rng = network(), np.random.default_rng(1)
    table = table[table["station"] < "S12"].assign(variable="tp", units="mm")
    table["value"] = np.maximum(table["value"] - 11, 0)
    other = np.maximum(table["value"] + 0.5 * rng.normal(size=len(table)), 0)
    both = pd.concat([table, table.assign(station=table["station"] + "b", value=other)])
    least = np.sqrt(np.mean((table["value"] - other) ** 2) / 2)
    result = grid_and_score(both, 2.0, None, None, 0, "cpu", "'rain'")
    assert float(result.fields["tp_spread"].min()) >= least * (1 - 1e-6)
    assert float(result.fields["tp"].min()) >= 0


def test_the_mean_of_a_place_is_worth_its_readings() -> None:
    """Kriging from a mean of three readings is kriging from each of them."""
    generator = torch.Generator().manual_seed(0)
    point = torch.nn.functional.normalize(torch.randn(3, 3, generator=generator, dtype=torch.float64), dim=1)
    model = KrigingModel(Correlation(0.8, 2.0, 0.3, 1.5))
    x = torch.randn(1, 5, generator=generator)
    mean = torch.stack([x[:, :3].mean(1), x[:, 3], x[:, 4]], 1)
    series = CellSeries(
        mean, torch.ones(1, 3, dtype=torch.bool), torch.zeros(1, dtype=torch.float64), point,
        readings=torch.tensor([[3.0, 1.0, 1.0]]),
    )  # fmt: skip
    unseen = torch.nn.functional.normalize(torch.ones(1, 3, dtype=torch.float64), dim=1)
    predicted, spread = krige(series, model, unseen.numpy(), np.ones((1, 1), dtype=bool))
    place = torch.cat([point[[0, 0, 0, 1, 2]], torch.zeros(5, 1, dtype=torch.float64)], 1)
    target = torch.cat([unseen, torch.zeros(1, 1, dtype=torch.float64)], 1)
    among, k = model.correlation(place, place) + 0.3 * torch.eye(5), model.correlation(target, place)
    weight = torch.linalg.solve(among, k.T).T
    np.testing.assert_allclose(predicted[:, 0], weight @ x.ravel().double(), atol=1e-5)
    np.testing.assert_allclose(spread[:, 0] ** 2, 1 - (weight * k).sum(1), atol=1e-5)


def test_the_variance_within_places_is_half_the_mean_squared_difference() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 5))
    x[3, 1] = np.nan
    expected = np.nanmean((x[:, 0] - x[:, 1]) ** 2) / 2
    assert variance_within(x, np.array([0, 0, 1, 2, 3])) == pytest.approx(expected)
    assert variance_within(x[:, 2:], np.array([0, 0, 0])) == pytest.approx(x[:, 2:].var(1, ddof=1).mean())
    assert variance_within(x, np.arange(5)) == 0.0


def test_gauges_of_one_place_are_held_out_together() -> None:
    gauges = Gauges.read(twins(20.0), None, "'twins'")
    record, table = gauges.of("t2m")
    cluster = clusters_of(table, gauges.locations, 0, "'twins'")
    place = places(record.points)[table["column"]]
    assert place.max() + 1 == STATIONS
    assert (
        pd.DataFrame({"place": place, "cluster": cluster}).groupby("place")["cluster"].nunique() == 1
    ).all()


FEW, HALF = ("S03", "S17"), tuple(f"S{number:02d}" for number in range(12))


@pytest.mark.parametrize("names", [FEW, HALF])
@pytest.mark.parametrize(
    ("change", "reason"),
    [(lambda v: 10 * v, "tenths of the unit"), (lambda v: v + 273.15, "kelvins")],
)
def test_gauges_in_another_unit_are_named_and_not_used(
    names: tuple[str, ...], change: Callable[[pd.Series], pd.Series], reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    table = network()
    wrong = table["station"].isin(names)
    table["value"] = table["value"].where(~wrong, change(table["value"]))
    gauges = Gauges.read(table, None, "'t'")
    with caplog.at_level(logging.WARNING):
        kept, lines = without_suspects(gauges, None, "'t'")
    assert set(kept.table["station"]) == set(table["station"]) - set(names)
    assert f"t2m: {len(names)} of 24 gauges not used" in lines[0] and reason in caplog.text
    assert ("--accept 'S03,S17'" in caplog.text) == (names == FEW)
    for accept in ("all", list(names), ", ".join(names)):
        used, lines = without_suspects(gauges, accept, "'t'")
        assert len(used.table) == len(gauges.table) and "used because accepted" in lines[0]


def test_relief_and_local_climate_are_not_another_unit() -> None:
    table = network()
    place = table.groupby("station").ngroup().to_numpy()
    rng = np.random.default_rng(3)
    value = table["value"] - rng.uniform(0, 20, STATIONS)[place]
    value = 10 + rng.uniform(0.5, 2, STATIONS)[place] * (value - 10)
    pressure = table.assign(variable="pressure", units="hPa", value=1000 + table["value"])
    pressure.loc[pressure["station"] == "S05", "value"] -= 273.15
    gauges = Gauges.read(pd.concat([table.assign(value=value), pressure]), None, "'t'")
    kept, lines = without_suspects(gauges, None, "'t'")
    assert not lines and len(kept.table) == len(gauges.table)


def test_the_right_unit_is_the_one_with_possible_values() -> None:
    """Most gauges are in kelvins, although the table says degrees Celsius."""
    table = network()
    wrong = table["station"] > "S09"
    table["value"] += 273.15 * wrong
    kept, _ = without_suspects(Gauges.read(table, None, "'t'"), None, "'t'")
    assert set(kept.table["station"]) == {f"S{number:02d}" for number in range(10)}


def test_suspect_gauges_do_not_change_a_field_and_are_in_its_report() -> None:
    table = network()
    wrong = table["station"].isin(FEW)
    tenfold = table.assign(value=table["value"].where(~wrong, 10 * table["value"]))
    result = fieldcast.grid_stations(tenfold, resolution=5.0, device="cpu")
    expected = fieldcast.grid_stations(table[~wrong], resolution=5.0, device="cpu")
    np.testing.assert_array_equal(
        result["t2m"].sel(latitude=45, longitude=5), expected["t2m"].sel(latitude=45, longitude=5)
    )
    assert "S03 (slope of" in result.attrs["comment"]
    with pytest.raises(
        InputError, match=r"accept names S99, which .* does not have: give names of its gauges"
    ):
        fieldcast.grid_stations(table, resolution=5.0, accept="S99")


def test_neighbours_outvote_a_wrong_link() -> None:
    """The best correlated pair differs by .6 by chance, rounded to 1; all others say that units are the same."""
    pairs = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])
    difference = np.array([0.6, 0.0, 0.1, -0.1, 0.0, 0.05])
    correlation = np.array([0.99, 0.9, 0.9, 0.9, 0.9, 0.9])
    assert len(set(labels(4, pairs, difference, correlation))) == 1
    tenfold = difference + np.array([0, 0, 1, 0, 1, 1])
    label = labels(4, pairs, tenfold, correlation)
    assert list(label[0] - label) == [0, 0, 0, 1]


def test_the_result_lists_the_stations_with_their_readings_and_why_some_are_not_used() -> None:
    """One in tenths of the unit, one below absolute zero, one with seven readings less than the others."""
    table = network()
    of = {name: table["station"] == name for name in ("S01", "S03", "S05")}
    table.loc[of["S03"], "value"] *= 10
    table.loc[of["S05"], "value"] -= 400
    table = table.drop(index=table.index[of["S01"]][:7])
    fields = fieldcast.grid_stations(table, resolution=5.0, device="cpu")
    listed = fields[
        ["station_latitude", "station_longitude", "t2m_readings", "station_not_used"]
    ].to_dataframe()
    places = table.drop_duplicates("station").set_index("station")
    assert sorted(listed.index) == sorted(places.index)
    for name, column in (("station_latitude", "lat"), ("station_longitude", "lon")):
        np.testing.assert_allclose(listed[name], places[column].reindex(listed.index), atol=1e-9)
    expected = {name: TIMES for name in places.index} | {"S01": TIMES - 7, "S03": 0, "S05": 0}
    assert listed["t2m_readings"].to_dict() == expected
    reasons = listed["station_not_used"]
    assert reasons[reasons != ""].to_dict() == {
        "S03": "t2m: likely in another unit than its neighbours",
        "S05": "t2m: no reading is a possible value",
    }
    assert "24 stations, 2 of them not used for some variable" in fields.attrs["comment"]


def test_stations_west_of_greenwich_are_listed_where_they_are_and_a_table_without_names_by_place() -> None:
    table = network().drop(columns="station")
    table["lon"] -= 6.0
    fields = fieldcast.grid_stations(table, resolution=5.0, device="cpu")
    places = table.drop_duplicates(["lat", "lon"])
    np.testing.assert_allclose(np.sort(fields["station_longitude"]), np.sort(places["lon"]), atol=1e-9)
    assert sorted(fields["station"].values) == sorted(
        f"{y:g} {x:g}" for y, x in places[["lat", "lon"]].to_numpy()
    )


def test_the_list_of_stations_is_stored_as_characters_and_read_as_it_was(tmp_path: Path) -> None:
    """Texts of any length crash netCDF4 when a file is opened a second time."""
    fields = fieldcast.grid_stations(network(), resolution=5.0, device="cpu")
    fields.to_netcdf(tmp_path / "fields.nc", engine="netcdf4")
    with netCDF4.Dataset(tmp_path / "fields.nc") as stored:
        assert all(variable.dtype != str for variable in stored.variables.values())
    with xr.open_dataset(tmp_path / "fields.nc") as read:
        for name in ("station", "station_not_used"):
            assert read[name].values.tolist() == fields[name].values.tolist()
