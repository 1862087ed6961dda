"""Starts and the perfect model are created once; other sources have an empty perfect model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from fieldcast.datasets import ZarrDataset
from fieldcast.datasets.base import earlier
from fieldcast.encoding.options import Limits, PerfectModel, Rollout, Stability
from fieldcast.fields.ingest import ingest
from fieldcast.fields.planet.options import PlanetOptions
from fieldcast.fields.planet.weather import simulate
from fieldcast.fields.splits import make
from fieldcast.pipelines.initial_times.nodes import choose_initial_times, run_perfect_model

TINY = PlanetOptions(years=1, spin_up=20, truncation=7, step=0.25, n_longitude=16, n_latitude=8)
ROLLOUT = Rollout(initial_times=3, steps=4, members=2, stability=Stability(steps=20))


class Planet:
    def __init__(self) -> None:
        simulated = simulate(TINY, 0)
        self.states = simulated[["q"]].assign_attrs(lineage="0")
        self.fields, _ = ingest(simulated)
        self.splits = make(self.fields["time"])
        self.initial_times = choose_initial_times(self.fields, self.splits, ROLLOUT, Limits())

    def forecasts(
        self, rollout: Rollout = ROLLOUT, seed: int = 0, earlier: xr.Dataset | None = None
    ) -> Iterator[xr.Dataset]:
        return run_perfect_model(self.states, self.initial_times, self.splits, rollout, seed, lambda: earlier)


@pytest.fixture(scope="module")
def planet() -> Planet:
    return Planet()


@pytest.fixture
def stored(tmp_path: Path) -> ZarrDataset:
    settings: dict[str, Any] = {"append": "lead", "load_args": {"lazy": True}}
    return ZarrDataset(filepath=str(tmp_path / "perfect_model.zarr"), **settings)


def save(stored: ZarrDataset, pieces: Iterator[xr.Dataset]) -> int:
    return sum(1 for piece in pieces if stored.save(piece) is None)


def test_starts_are_of_the_test_split(planet: Planet) -> None:
    first, last = planet.splits["test"]
    assert (
        all(first < time < last for time in planet.initial_times["scored"])
        and len(planet.initial_times["scored"]) == 3
    )
    assert (
        planet.initial_times["data"] == planet.fields.attrs["digest"] and planet.initial_times["leads"] == 4
    )


def test_a_stream_of_leads_is_one_store(planet: Planet, stored: ZarrDataset) -> None:
    assert save(stored, planet.forecasts()) == 4
    result = stored.load()
    assert dict(result.sizes) == {"lead": 4, "start": 3, "member": 2, "latitude": 8, "longitude": 16}
    assert result["lead"].values.tolist() == [24.0, 48.0, 72.0, 96.0]
    assert result.attrs["starts"] == planet.initial_times["digest"] and result.attrs["initial_error"] == 0.05
    for piece in planet.forecasts():
        xr.testing.assert_equal(result.sel(lead=piece["lead"]).load(), piece)


def test_the_perfect_model_runs_once_for_equal_starts_error_and_seed(
    planet: Planet, stored: ZarrDataset
) -> None:
    save(stored, planet.forecasts(earlier=earlier(stored)))
    assert save(stored, planet.forecasts(earlier=stored.load())) == 0
    worse = Rollout(perfect_model=PerfectModel(0.1))
    assert save(stored, planet.forecasts(rollout=worse, earlier=stored.load())) == 4
    assert save(stored, planet.forecasts(rollout=worse, seed=1, earlier=stored.load())) == 4
    assert np.isclose(stored.load().attrs["initial_error"], 0.1) and stored.load().attrs["seed"] == 1


def test_other_sources_give_an_empty_store_that_replaces_an_earlier_one(
    planet: Planet, stored: ZarrDataset
) -> None:
    save(stored, planet.forecasts())
    left = stored.load()
    nothing = run_perfect_model(xr.Dataset(), planet.initial_times, planet.splits, ROLLOUT, 0, lambda: left)
    assert save(stored, nothing) == 1
    assert not stored.load().data_vars and stored.load().attrs == {"starts": planet.initial_times["digest"]}
    assert save(stored, planet.forecasts(earlier=stored.load())) == 4
