"""Each fault of the values is found where it is; natural weather, dry spells included, raises no alarm."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fieldcast.errors import InputError
from fieldcast.fields.quality import inspect, table
from fieldcast.fields.repair import repair

Make = Callable[..., xr.Dataset]


def repaired(data: xr.Dataset) -> xr.Dataset:
    return repair(data, "it")[0]


def test_sound_data_have_a_row_for_each_check(make_weather: Make) -> None:
    _, findings = inspect(repaired(make_weather()), "it")
    quality = table(findings)
    assert list(quality.columns) == ["check", "variable", "where", "count", "action", "sentence"]
    assert set(quality["action"]) == {"fine"}
    checks = {"infinite values", "missing values", "constant fields", "unit jumps"}
    assert set(zip(quality["check"], quality["variable"], strict=True)) == {
        (c, v) for c in checks for v in ("t2m", "msl")
    }


def change(name: str, index: tuple, value: Callable) -> Callable[[xr.Dataset], None]:
    def spoil(data: xr.Dataset) -> None:
        data[name][index] = value(data[name][index])

    return spoil


def no_units(data: xr.Dataset) -> None:
    del data["msl"].attrs["units"]


REFUSED: dict[str, tuple[Callable[[xr.Dataset], None], str]] = {
    "scattered": (
        change("t2m", (slice(7, 9), 1, 2), lambda x: x * np.nan),
        "2 values of 't2m' in it are missing, first at 2001-01-08T00:00:00, latitude -30, longitude 120",
    ),
    "a missing field": (change("msl", (30,), lambda x: x * np.nan), "30 values of 'msl' in it are missing"),
    "all missing": (change("msl", (...,), lambda x: x * np.nan), "'msl' of it has no value at all"),
    "inf": (
        change("t2m", (5, 0, 1), lambda x: np.inf),
        "holds infinite or undeclared fill values (1, first at 2001-01-06",
    ),
    "fill": (
        change("t2m", (slice(5, 7), 0, 1), lambda x: 9.97e36),
        "holds infinite or undeclared fill values (2",
    ),
    "constant": (change("t2m", (...,), lambda x: 280.0), "'t2m' of it is constant"),
    "constant in time": (
        change("t2m", (...,), lambda x: x[:1].values),
        "'t2m' of it does not change in time",
    ),
    "no units": (no_units, "'msl' of it has no units: add the attribute"),
    "kelvin to celsius": (
        change("t2m", (slice(25, None),), lambda x: x - 273.15),
        "units at 2001-01-26T00:00:00",
    ),
    "pascal to hectopascal": (
        change("msl", (slice(40, None),), lambda x: x / 100),
        "'msl' of it seems to change its units at 2001-02-10",
    ),
    "a month in hectopascal": (
        change("msl", (slice(20, 50),), lambda x: x / 100),
        "seems to change its units at 2001-",
    ),
    "anomalies": (
        change("msl", (slice(40, None),), lambda x: (x - 1e5) / 100 + 1e5),
        "seems to change its units",
    ),
}


@pytest.mark.parametrize("family", REFUSED)
def test_refused_in_one_sentence(make_weather: Make, family: str) -> None:
    spoil, message = REFUSED[family]
    data = make_weather()
    spoil(data)
    with pytest.raises(InputError) as caught:
        inspect(repaired(data), "it")
    assert message in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError) as lazily:
        inspect(repaired(data.chunk(time=13)), "it")
    assert str(lazily.value) == str(caught.value)


def test_cells_that_never_exist_are_allowed(make_weather: Make) -> None:
    data = make_weather()
    data["t2m"][:, 1, 2:4] = np.nan
    _, findings = inspect(repaired(data), "it")
    allowed = [(f.check, f.variable, f.count) for f in findings if f.action == "allowed"]
    assert allowed == [("missing values", "t2m", 2)]


def test_flat_fields_are_allowed_and_reported(make_weather: Make) -> None:
    data = make_weather()
    data["t2m"][[10, 40]] = data["t2m"][[10, 40]].mean()
    _, findings = inspect(repaired(data), "it")
    assert [(f.where, f.count) for f in findings if f.check == "constant fields" and f.count] == [
        ("2001-01-11T00:00:00", 2)
    ]


def test_useless_static_variables_are_left_out(make_weather: Make) -> None:
    data = make_weather()
    flat = data["t2m"][0].drop_vars("time")
    data["good"], data["unitless"] = flat.assign_attrs(units="m"), flat.drop_attrs()
    data["holed"] = flat.where(flat > flat.mean()).assign_attrs(units="m")
    checked, findings = inspect(repaired(data), "it")
    assert "good" in checked and not {"unitless", "holed"} & set(checked.data_vars)
    assert [(f.variable, f.action) for f in findings if f.check == "static"] == [
        ("unitless", "repaired"), ("holed", "repaired"),
    ]  # fmt: skip


@settings(max_examples=40, deadline=None)
@example(seed=1063, times=30, kind="step")
@given(
    seed=st.integers(0, 10**6),
    times=st.integers(30, 400),
    kind=st.sampled_from(["white", "red", "rain", "step", "vorticity"]),
)
def test_natural_weather_raises_no_alarm(seed: int, times: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((times, 4, 6))
    season = np.sin(2 * np.pi * np.arange(times) / 365 + seed)[:, None, None]
    values = {
        "white": 280 + 5 * noise,
        "red": 280 + 20 * season + np.cumsum(noise, axis=0) * 0.3,
        "rain": np.clip(np.exp(2 * noise + 2 * rng.standard_normal((times, 1, 1))) - 5, 0, None)
        + 1e-3 * noise**2,
        "step": 280
        + 3 * noise
        + 6.0 * (np.arange(times) > times // 2)[:, None, None],  # a cold front that stays
        "vorticity": 1e-5 * noise * np.exp(0.3 * rng.standard_normal((times, 1, 1))),
    }[kind]
    time = xr.date_range("2001-01-01", periods=times)
    data = xr.Dataset(
        {"x": (("time", "latitude", "longitude"), values.astype(np.float32), {"units": "1"})},
        {"time": time, "latitude": np.linspace(30, 60, 4), "longitude": np.arange(6) * 5.0},
    )
    inspect(repaired(data), "it")


def test_a_gap_may_change_the_season(make_weather: Make) -> None:
    data = make_weather(times=400)
    data["t2m"][200:] += 40.0
    cut = data.isel(time=np.r_[0:100, 200:400])
    with pytest.raises(InputError, match="change its units"):
        inspect(repaired(data.isel(time=np.r_[0:100, 200:400]).assign_coords(time=data["time"][:300])), "it")
    inspect(repair(cut, "it", gaps="segment")[0], "it")
