"""Values missing at some times: refused by default, or learned around, with statistics of what was observed."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from fieldcast import calendars, geometry
from fieldcast.errors import InputError
from fieldcast.fields import climatology, domain, normalisation
from fieldcast.fields.contracts import Fields
from fieldcast.fields.ingest import ingest
from fieldcast.fields.splits import make, select

Make = Callable[..., xr.Dataset]
YEARS = 3 * 365


def hidden(data: xr.Dataset, share: float = 0.4, seed: int = 0) -> xr.Dataset:
    """Data with a share of the values missing at random; cell (1, 2) never exists."""
    rng = np.random.default_rng(seed)
    gappy = data.copy(deep=True)
    for array in gappy.data_vars.values():
        array.values[rng.random(array.shape) < share] = np.nan
        array.values[:, 1, 2] = np.nan
    return gappy


def with_gaps(data: xr.Dataset) -> xr.Dataset:
    return ingest(data, "it", missing="train")[0]


def test_scattered_values_stay_missing_and_are_reported(make_weather: Make) -> None:
    data = hidden(make_weather())
    data["t2m"].values[7] = np.nan
    fields, quality = ingest(data, "it", missing="train")
    assert fields.attrs["missing"] == "train" and domain.has_gaps(fields)
    assert np.array_equal(fields["t2m"].isnull(), data["t2m"].isnull())
    row = quality.set_index(["check", "variable"]).loc[("missing values", "t2m")]
    left = int(data["t2m"].isnull().sum()) - 60
    assert row["action"] == "allowed" and row["count"] == left
    assert f"{left} values ({left / (29 * 60):.1%}) missing, first at 2001-01-01" in row["sentence"]
    assert "1 time has no value at all, the first 2001-01-08" in row["sentence"]
    assert "1 of 30 cells never have a value and are left out" in row["sentence"]
    assert Fields().validate(fields) is fields
    with pytest.raises(InputError, match="missing values at some but not all times"):
        Fields().validate(fields.assign_attrs(missing="refuse"))


def test_without_missing_values_the_option_changes_nothing(make_weather: Make) -> None:
    xr.testing.assert_identical(with_gaps(make_weather()), ingest(make_weather(), "it")[0])


def test_the_refusal_names_the_option(make_weather: Make) -> None:
    with pytest.raises(InputError, match=r"learn from the others with ingestion\.missing=train"):
        ingest(hidden(make_weather()), "it")


def test_cells_with_a_value_at_any_time_exist(make_weather: Make) -> None:
    data = make_weather()
    data["t2m"].values[:59, 0, 0] = np.nan
    data["t2m"].values[:, 1, 2] = np.nan
    for fields in (with_gaps(data), with_gaps(data).chunk(time=7)):
        exists = domain.exists(fields).sel(variable="t2m").values
        assert exists.sum() == 29 and not exists[1, 2]


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        (slice(None), "'t2m' of it has no value at all"),
        (slice(1, None), "'t2m' of it is observed at only 1 time, and at least 2 are needed"),
    ],
)
def test_variables_that_are_hardly_observed(make_weather: Make, times: slice, sentence: str) -> None:
    data = make_weather()
    data["t2m"].values[times] = np.nan
    with pytest.raises(InputError, match=sentence):
        with_gaps(data)


def test_units_that_change_are_still_noticed(make_weather: Make) -> None:
    data = hidden(make_weather(times=100), 0.3)
    data["t2m"].values[50:] -= 273.15
    data["t2m"].values[::9] = np.nan
    with pytest.raises(InputError, match="seems to change its units at 2001-02-20"):
        with_gaps(data)


def test_the_climatology_averages_the_days_with_data_cell_by_cell(make_weather: Make) -> None:
    """Against the formula written out for one cell; complete fields have the same climatology as before."""
    data = make_weather(times=YEARS)
    fields = with_gaps(hidden(data, 0.7))
    fitted = climatology.fit(fields)
    day = calendars.day_of_year(fields["time"])
    values = fields["t2m"].values[:, 3, 4].astype(float)
    means = np.array([values[(day == d) & np.isfinite(values)].mean() if
                      np.isfinite(values[day == d]).any() else np.nan for d in range(1, 366)])  # fmt: skip
    for target in (1, 200, 365):
        apart = np.abs(np.arange(1, 366) - target)
        weight = np.clip(1 - np.minimum(apart, 365 - apart) / 30, 0, None) * np.isfinite(means)
        expected = (weight * np.nan_to_num(means)).sum() / weight.sum()
        assert fitted["t2m"].values[target - 1, 3, 4] == pytest.approx(expected, abs=1e-4)
    assert int(fitted["t2m_count"][3, 4]) == np.isfinite(values).sum()
    complete = ingest(data, "it")[0]
    both = climatology.fit(complete), climatology.fit(complete.assign_attrs(missing="train"))
    assert np.allclose(both[0]["t2m"], both[1]["t2m"], atol=1e-4) and "t2m_count" not in both[0]


def test_a_cell_with_few_values_takes_its_neighbours_climatology(make_weather: Make) -> None:
    data = hidden(make_weather(times=YEARS), 0.2)
    data["t2m"].values[9:, 3, 4] = np.nan
    fitted = climatology.fit(with_gaps(data))
    assert (
        0 < int(fitted["t2m_count"][3, 4]) < 10 and "fewer than ten" in fitted["t2m_count"].attrs["long_name"]
    )
    points = geometry.unit_points(data["latitude"], data["longitude"])
    enough = fitted["t2m_count"].values >= 10
    apart = np.where(enough, np.linalg.norm(points - points[3, 4], axis=-1), np.inf)
    nearest = np.sort(np.argsort(apart, axis=None)[:4])
    expected = fitted["t2m"].values.reshape(365, -1)[:, nearest].mean(1)
    assert np.allclose(fitted["t2m"].values[:, 3, 4], expected, atol=1e-4)
    with pytest.raises(InputError, match="no cell of 't2m' has 10 values in the record to learn from"):
        climatology.fit(with_gaps(hidden(make_weather(times=30), 0.9)))


def test_statistics_use_only_observed_values(make_weather: Make) -> None:
    fields = with_gaps(hidden(make_weather(times=YEARS), 0.5))
    fitted = climatology.fit(fields)
    statistics = normalisation.fit(fields, fitted).sel(variable="t2m")
    exists = domain.exists(fields).sel(variable="t2m").values
    weight = np.broadcast_to(
        geometry.cell_areas(fields["latitude"], fields["longitude"], exists), fields["t2m"].shape
    )
    x = fields["t2m"].values.astype(float)
    a = climatology.anomaly(fields, fitted)["t2m"].values.astype(float)
    for name, values in (("std", x), ("anomaly_std", a)):
        there = np.isfinite(values)
        mean = np.average(values[there], weights=weight[there])
        expected = np.sqrt(np.average((values[there] - mean) ** 2, weights=weight[there]))
        assert float(statistics[name]) == pytest.approx(expected, rel=1e-5)
    steps = np.diff(a, axis=0)
    there = np.isfinite(steps)
    variance = np.average(steps[there] ** 2, weights=weight[1:][there])
    variance -= np.average(steps[there], weights=weight[1:][there]) ** 2
    assert float(statistics["tendency"] * statistics["anomaly_std"]) == pytest.approx(variance**0.5, rel=1e-5)


def test_the_tendency_of_values_never_observed_twice_in_a_row(make_weather: Make) -> None:
    data = make_weather(times=100)
    for array in data.data_vars.values():
        array.values[::2] = np.nan
    fields = with_gaps(data)
    statistics = normalisation.fit(fields, climatology.fit(fields))
    assert np.allclose(statistics["tendency"], np.sqrt(2))


def test_splits_keep_the_attribute(make_weather: Make) -> None:
    fields = with_gaps(hidden(make_weather()))
    assert domain.has_gaps(select(fields, make(fields["time"]), "train"))
