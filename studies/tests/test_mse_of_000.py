"""studies/mse_of_000.py: the steps to which errors of known growth stay below 1, and the planet every six hours."""

import importlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast import calendars
from fieldcast.fields.ingest import ingest
from fieldcast.fields.planet.options import PlanetOptions
from fieldcast.fields.planet.weather import simulate
from fieldcast.geometry import cell_areas

DOCS = Path(__file__).parents[2] / "docs"
PERIOD = 60  # steps of the oscillation below
LATITUDE, LONGITUDE = np.linspace(-75, 75, 6), np.arange(0, 360, 45.0)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    script = importlib.import_module("studies.mse_of_000")
    monkeypatch.setattr(script, "RECORD", tmp_path / "results" / "mse_of_000.csv")
    monkeypatch.setattr(script, "PICTURE", tmp_path / "images" / "mse_of_000.png")
    return script


@pytest.fixture
def setting(script: ModuleType) -> object:
    """An oscillation of variance 1 about -2 in the western half of the cells and +2 in the eastern: 10 periods."""
    times = pd.date_range("2001-01-01", periods=10 * PERIOD, freq="6h")
    wave = np.sqrt(2) * np.sin(2 * np.pi * np.arange(len(times)) / PERIOD)
    values = wave[:, None, None] + np.where(LONGITUDE < 180, -2.0, 2.0) + 0 * LATITUDE[:, None]
    dataset = xr.Dataset(
        {"t": (("time", "latitude", "longitude"), values.astype(np.float32), {"units": "1"})},
        {"time": times, "latitude": LATITUDE, "longitude": LONGITUDE},
    )
    fields, _ = ingest(dataset)
    iso = calendars.iso(fields["time"])
    ends = {"train": (0, 5), "validation": (5, 6), "test": (6, 10)}
    splits = {name: [iso[PERIOD * begin], iso[PERIOD * end - 1]] for name, (begin, end) in ends.items()}
    return script.Setting(fields, splits, 6 * PERIOD + np.arange(PERIOD), 120)


@pytest.mark.parametrize(("by", "variance", "last"), [("cell", 1.0, "9"), ("variable", 5.0, "120+")])
def test_persistence_of_an_oscillation_passes_1_after_a_sixth_of_its_period_or_never(
    script: ModuleType, setting: object, by: str, variance: float, last: str
) -> None:
    """MSE_n = 2 (1 - cos(2 pi n / P)) / variance: with the offsets in the variance it never reaches 1."""
    data = script.standardised(setting, by)
    methods = {
        "persistence": script.persistence(script.states_at(data.fields, setting.starts)),
        "climatology": script.climatology(data, setting.starts),
    }
    table = table_of(script, data, setting, methods)
    table = table[table["variable"] == "all"].set_index("step")
    steps = np.arange(1, 121)
    expected = 2 * (1 - np.cos(2 * np.pi * steps / PERIOD)) / variance
    np.testing.assert_allclose(table["persistence"], expected, atol=1e-5)
    np.testing.assert_allclose(table["climatology"], 1 / variance, rtol=1e-5)  # the mean of each cell
    # n / P = 1 / 6 gives an MSE of 1 exactly, which is not below it, but for rounding
    assert script.last_below(table["persistence"] - 1e-5 * (by == "variable") + 1e-5 * (by == "cell")) == last


def table_of(script: ModuleType, data, setting, methods) -> pd.DataFrame:
    def truth(step: int) -> np.ndarray:
        return script.states_at(data.fields, setting.starts + step)

    return script.errors(methods, truth, setting.steps, ["t"], cell_areas(LATITUDE, LONGITUDE))


def test_an_error_of_known_growth_and_a_forecast_that_diverges(script: ModuleType, setting: object) -> None:
    data = script.standardised(setting, "cell")

    def growing(error) -> Iterator[np.ndarray]:
        return (script.states_at(data.fields, setting.starts + n) + error(n) for n in count(1))

    methods = {
        "grows": growing(lambda n: 0.0995 * n),
        "blows up": growing(lambda n: 0.02 * 10**n),
    }
    table = table_of(script, data, setting, methods)
    part = table[table["variable"] == "all"].set_index("step")
    np.testing.assert_allclose(part["grows"], (0.0995 * part.index) ** 2, rtol=1e-4)
    assert script.last_below(part["grows"]) == "10" and script.last_below(part["blows up"]) == "1"
    assert part["blows up"].notna().sum() == 3  # 4e4 at the fourth step ends it
    assert list(table["variable"].unique()) == ["t", "all", "all, by area"]


def test_area_weights_count_a_polar_row_less(script: ModuleType) -> None:
    area = cell_areas(LATITUDE, LONGITUDE)
    x = np.zeros((1, 1, 6, 8))
    x[..., 0, :] = 2  # an error of 2 south of 60 S: a sixth of the rows, (1 - sin 60) / 2 of the area
    table = script.errors({"south": [x]}, lambda step: np.zeros_like(x), 1, ["t"], area)
    mse = table.set_index("variable")["south"]
    assert mse["all"] == pytest.approx(4 / 6)
    assert mse["all, by area"] == pytest.approx(4 * (1 - np.sin(np.radians(60))) / 2)


def test_at_midnight_the_fields_are_those_of_the_daily_planet(script: ModuleType) -> None:
    options = PlanetOptions(truncation=6, years=4 / 365, spin_up=3, n_longitude=12, n_latitude=6)
    daily, often = simulate(options, 1), script.six_hourly(options, 1)
    xr.testing.assert_equal(often["z500"][::4].drop_vars("time"), daily["z500"].drop_vars("time"))
    between = often["z500"].values[2::4][:3]
    assert ((between - daily["z500"].values[:3]) ** 2).mean() > 0
    assert (np.diff(often["time"].values) == np.timedelta64(6, "h")).all()


def test_a_small_planet_goes_through_training_and_rollouts_into_the_record(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The VAE after two steps of training is no better than persistence, but everything has a number."""

    def small(**changed) -> PlanetOptions:
        return PlanetOptions(**changed, truncation=5, spin_up=2, n_longitude=16, n_latitude=8)

    monkeypatch.setattr(script, "PlanetOptions", small)
    monkeypatch.setattr(script, "YEAR", 40)
    monkeypatch.setattr(script, "STEPS", 12)
    monkeypatch.setitem(script.CHANGED, "planet", {"channels": [2, 8], "steps": 2})
    monkeypatch.setattr("sys.argv", ["mse_of_000.py", "planet"])
    script.main()
    table = pd.read_csv(script.RECORD)
    assert set(table["by"]) == {"variable", "cell"} and table["step"].max() == 12
    assert script.PICTURE.stat().st_size > 10_000
    assert "last step with an MSE below 1" in capsys.readouterr().out
