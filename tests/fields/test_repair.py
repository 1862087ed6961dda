"""A repaired file equals the intact one; ambiguous defects are refused in one sentence."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields.repair import repair
from fieldcast.geometry import wraps

Make = Callable[..., xr.Dataset]


def summary(findings: list) -> dict[str, tuple[int, str]]:
    return {finding.check: (finding.count, finding.action) for finding in findings}


@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_sound_data_pass_unchanged(make_weather: Make, calendar: str) -> None:
    data = make_weather(calendar=calendar)
    repaired, findings = repair(data, "it")
    xr.testing.assert_equal(repaired.drop_vars("segment"), data)
    assert {finding.action for finding in findings} == {"fine"}
    assert repaired["segment"].dtype == np.int32 and not repaired["segment"].any()
    assert repaired.attrs["step_hours"] == 24


SPOILT: dict[str, tuple[Callable[[xr.Dataset], xr.Dataset], str, int]] = {
    "unsorted": (lambda d: d.isel(time=np.r_[0:10, 20:30, 10:20, 30:60]), "order of times", 1),
    "reversed": (lambda d: d.isel(time=slice(None, None, -1)), "order of times", 59),
    "repeated": (lambda d: d.isel(time=np.r_[0:10, 8:60]), "duplicate times", 2),
    "southward": (lambda d: d.isel(latitude=slice(None, None, -1)), "latitude", 5),
    "cyclic": (
        lambda d: xr.concat([d, d.isel(longitude=[0]).assign_coords(longitude=[360.0])], dim="longitude"),
        "longitude", 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", SPOILT)
def test_a_repaired_file_equals_the_intact_one(make_weather: Make, how: str) -> None:
    spoil, check, count = SPOILT[how]
    data = make_weather()
    repaired, findings = repair(spoil(data), "it")
    xr.testing.assert_equal(repaired.drop_vars("segment"), data)
    assert summary(findings)[check] == (count, "repaired")


def test_repeated_with_the_same_gaps_is_still_the_same(make_weather: Make) -> None:
    data = make_weather()
    data["t2m"][9, 0, 0] = np.nan
    repaired, _ = repair(data.isel(time=np.r_[0:10, 9:60]), "it")
    xr.testing.assert_equal(repaired.drop_vars("segment"), data)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0, 60, 120, 180, -120, -60], [0, 60, 120, 180, 240, 300]),
        ([180, 240, 300, 0, 60, 120], [-180, -120, -60, 0, 60, 120]),
        ([350, 355, 0, 5, 10, 15], [-10, -5, 0, 5, 10, 15]),
        ([170, 175, 180, -175, -170, -165], [170, 175, 180, 185, 190, 195]),
        ([50, 40, 30, 20, 10, 0], [0, 10, 20, 30, 40, 50]),
        ([-180, -120, -60, 0, 60, 120], [-180, -120, -60, 0, 60, 120]),
    ],
)
def test_longitudes_become_one_ascending_stretch(make_weather: Make, given: list, expected: list) -> None:
    data = make_weather(longitude=np.array(given, dtype=float))
    repaired, _ = repair(data, "it")
    assert np.allclose(repaired["longitude"], expected)
    same = np.mod(np.array(given, dtype=float)[:, None] - np.array(expected)[None, :], 360) == 0
    order = same.argmax(axis=0)
    assert np.array_equal(repaired["t2m"], data["t2m"].isel(longitude=order))


def without(*days: int) -> Callable[[xr.Dataset], xr.Dataset]:
    return lambda d: d.isel(time=np.delete(np.arange(d.sizes["time"]), days))


def shifted(d: xr.Dataset) -> xr.Dataset:
    time = d["time"].values.copy()
    time[20:] += np.timedelta64(5, "h")
    return d.assign_coords(time=("time", time, d["time"].attrs))


def differing(d: xr.Dataset) -> xr.Dataset:
    twice = d.isel(time=np.r_[0:10, 9:60]).copy(deep=True)
    twice["msl"][10, 2, 3] += 1
    return twice


REFUSED: dict[str, tuple[Callable[[xr.Dataset], xr.Dataset], str]] = {
    "gap": (without(10, 11, 30), "3 dates are missing in it, the first after 2001-01-10T00:00:00"),
    "differing": (
        differing,
        "it gives 'msl' twice at 2001-01-10T00:00:00, with different values (1 such time): keep one",
    ),
    "too few": (lambda d: d.isel(time=slice(29)), "it has 29 times, and at least 30 are needed"),
    "irregular": (shifted, "irregular: usually 24 hours, but not at 2001-01-21T05:00:00"),
    "unordered latitudes": (lambda d: d.isel(latitude=[0, 2, 1, 3, 4]), "latitudes of it are not in order"),
    "unordered longitudes": (
        lambda d: d.isel(longitude=[0, 3, 1, 4, 2, 5]),
        "longitudes of it are not in order",
    ),
    "one row": (lambda d: d.isel(latitude=[0]), "grid of 1 x 6"),
    "latitudes in metres": (lambda d: d.assign_coords(latitude=d["latitude"] * 1000), "outside -90 to 90"),
}


@pytest.mark.parametrize("family", REFUSED)
def test_refused_in_one_sentence(make_weather: Make, family: str) -> None:
    spoil, message = REFUSED[family]
    with pytest.raises(InputError) as caught:
        repair(spoil(make_weather()), "it")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_gaps_may_start_segments(make_weather: Make) -> None:
    repaired, findings = repair(without(10, 11, 30)(make_weather()), "it", gaps="segment")
    assert np.array_equal(repaired["segment"], np.repeat([0, 1, 2], [10, 18, 29]))
    assert summary(findings)["gaps"] == (3, "allowed")
    repaired, findings = repair(shifted(make_weather()), "it", gaps="segment")
    assert np.array_equal(repaired["segment"], np.repeat([0, 1], [20, 40]))
    assert summary(findings)["time step"] == (1, "allowed")


@pytest.mark.parametrize("freq", ["D", "MS", "ME"])
def test_missing_dates_may_be_inserted_without_values(make_weather: Make, freq: str) -> None:
    whole = make_weather().assign_coords(time=xr.date_range("2001-01-01", periods=60, freq=freq))
    repaired, findings = repair(without(10, 11, 30)(whole), "it", gaps="insert")
    assert summary(findings)["gaps"] == (3, "allowed") and not repaired["segment"].any()
    expected = whole.where(~whole["time"].isin(whole["time"][[10, 11, 30]]))
    xr.testing.assert_equal(repaired.drop_vars("segment"), expected)
    assert repaired["time"].attrs == whole["time"].attrs
    assert {array.dtype for array in repaired.values()} == {array.dtype for array in whole.values()}


def test_composites_of_eight_days_begin_anew_each_year(make_weather: Make) -> None:
    """46 composites a year; two of the second year are missing and inserted."""
    times = np.concatenate([np.datetime64(f"{year}-01-01") + 8 * np.arange(46) for year in (2001, 2002)])
    data = make_weather().isel(time=np.arange(92) % 60).assign_coords(time=times.astype("M8[ns]"))
    repaired, findings = repair(data.isel(time=np.delete(np.arange(92), [60, 61])), "it", gaps="insert")
    assert np.array_equal(repaired["time"], data["time"]) and not repaired["segment"].any()
    assert repaired["msl"].isnull().all(["latitude", "longitude"]).values.nonzero()[0].tolist() == [60, 61]
    assert summary(findings) | {"gaps": (2, "allowed"), "time step": (1, "allowed")} == summary(findings)
    with pytest.raises(InputError, match="irregular"):
        repair(data, "it")


def test_a_short_step_of_hours_on_1_january_is_no_new_year_of_composites(make_weather: Make) -> None:
    hours = np.arange(60, dtype=float)
    hours[30:] -= 0.5
    times = np.datetime64("2000-12-31T00:00") + (hours * 60).astype("m8[m]")
    data = make_weather().assign_coords(time=times.astype("M8[ns]"))
    with pytest.raises(InputError, match=r"irregular.*--gaps keep"):
        repair(data, "it", gaps="insert")


def test_a_single_time_too_early_is_refused_even_so(make_weather: Make) -> None:
    with pytest.raises(InputError, match="irregular"):
        repair(make_weather().assign_coords(time=_early(make_weather())), "it", gaps="segment")


def test_months_are_a_step_with_gaps_of_months(make_weather: Make) -> None:
    monthly = make_weather().assign_coords(time=xr.date_range("2001-01-01", periods=60, freq="MS"))
    repaired, _ = repair(monthly, "it")
    assert repaired.attrs["step_hours"] == 730.0 and repaired.attrs["step_months"] == 1
    gappy = without(10, 11, 30)(monthly)
    with pytest.raises(
        InputError, match=r"3 dates are missing in it, the first after 2001-10-01.* \(step 1 month\)"
    ):
        repair(gappy, "it")
    repaired, findings = repair(gappy, "it", gaps="segment")
    assert np.array_equal(repaired["segment"], np.repeat([0, 1, 2], [10, 18, 29]))
    assert summary(findings)["gaps"] == (3, "allowed")


def test_without_any_regular_step_every_time_is_a_segment(make_weather: Make) -> None:
    data = make_weather()
    hours = np.cumsum(np.random.default_rng(0).integers(5, 100, data.sizes["time"]))
    repaired, findings = repair(data.assign_coords(time=data["time"].values[0] + hours.astype("m8[h]")), "it")
    assert repaired.attrs["step_hours"] == 0 and np.array_equal(repaired["segment"], np.arange(60))
    assert summary(findings)["time step"][1] == "allowed"


def _early(d: xr.Dataset) -> np.ndarray:
    time = d["time"].values.copy()
    time[20] -= np.timedelta64(5, "h")
    return time


def test_29_february_is_no_gap_without_one(make_weather: Make) -> None:
    repaired, _ = repair(make_weather(times=120, start="2004-01-15", calendar="noleap"), "it")
    assert not repaired["segment"].any()


def cyclic(data: xr.Dataset) -> xr.Dataset:
    first = data.isel(longitude=[0]).assign_coords(longitude=[360.0])
    return xr.concat([data, first], dim="longitude", data_vars="minimal")


@pytest.mark.parametrize("chunks", [None, 13])
def test_a_repeated_meridian_that_differs_is_refused(make_weather: Make, chunks: int | None) -> None:
    data = cyclic(make_weather())
    data["msl"][7, 3, -1] += 100
    with pytest.raises(InputError) as caught:
        repair(data if chunks is None else data.chunk(time=chunks), "it")
    text = str(caught.value)
    assert "'msl' of it differs between longitude 0 and 360, which are the same meridian (1 value, " in text
    assert "first at 2001-01-08T00:00:00: " in text and "remove one of the two columns" in text


def test_a_repeated_meridian_may_differ_by_rounding_and_have_gaps(make_weather: Make) -> None:
    data = cyclic(make_weather())
    data["msl"][7, 3, -1] = np.nextafter(data["msl"].values[7, 3, -1], np.float32(np.inf))
    data["t2m"][:, 1, [0, -1]] = np.nan
    repaired, _ = repair(data, "it")
    xr.testing.assert_equal(repaired.drop_vars("segment"), data.isel(longitude=slice(None, -1)))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ([*range(0, 30, 5), *range(340, 360, 5)], [*range(-20, 30, 5)]),  # a selection from 0 .. 355
        ([0, 350, 355], [-10, -5, 0]),
        ([*range(-180, -140, 5), *range(140, 180, 5)], [*range(140, 220, 5)]),  # across the date line
        ([*range(0, 100, 10), *range(150, 360, 10)], [*range(150, 460, 10)]),  # nearly round the globe
        ([*range(0, 30, 5), *range(50, 80, 5)], [*range(0, 30, 5), *range(50, 80, 5)]),  # a hole in a region
        ([*range(0, 360, 5)], [*range(0, 360, 5)]),
        ([0, 1, 2, 4, 6], [0, 1, 2, 4, 6]),
    ],
)
def test_a_region_whose_longitudes_ascend_is_cut_at_its_gap(
    make_weather: Make, stored: list[int], expected: list[int]
) -> None:
    data = make_weather(times=40, longitude=np.array(stored, float))
    fields, findings = repair(data, "it")
    assert fields["longitude"].values.tolist() == expected
    position = [stored.index(next(x for x in stored if (x - y) % 360 == 0)) for y in expected]
    np.testing.assert_array_equal(fields["t2m"].values, data["t2m"].values[..., position])
    assert any("Longitudes leave a gap" in finding.sentence for finding in findings) == (expected != stored)
    assert wraps(fields["longitude"]) == (len(stored) == 72)
