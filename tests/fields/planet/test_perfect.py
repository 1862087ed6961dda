"""The perfect model: the truth to the last bit without an error, and a calibrated ensemble with one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from threadpoolctl import threadpool_limits

from fieldcast.calendars import iso
from fieldcast.fields.planet.options import PlanetOptions
from fieldcast.fields.planet.perfect import draw_pairs, initial_states, lineage_of, perfect_model
from fieldcast.fields.planet.weather import VARIABLES, simulate

TINY = PlanetOptions(years=3, spin_up=60, truncation=7, step=0.25, n_longitude=16, n_latitude=8)
STARTS = (800, 911, 1032)  # days


@pytest.fixture(scope="module")
def planet() -> xr.Dataset:
    return simulate(TINY, seed=0)


@pytest.fixture(scope="module")
def states(planet: xr.Dataset) -> xr.Dataset:
    return planet[["q"]].assign_attrs(lineage="0")


@pytest.fixture(scope="module")
def training(planet: xr.Dataset) -> list[str]:
    return iso(planet["time"])[[0, 729]].tolist()


def initial_times(planet: xr.Dataset, days: Any = STARTS, leads: int = 4, members: int = 3) -> dict[str, Any]:
    return {
        "scored": iso(planet["time"])[list(days)].tolist(), "leads": leads, "members": members, "digest": "d",
    }  # fmt: skip


@pytest.mark.parametrize("members", [1, 3])
def test_without_an_error_the_truth_comes_back_to_the_last_bit(
    planet: xr.Dataset, states: xr.Dataset, training: list[str], members: int
) -> None:
    pieces = list(perfect_model(states, initial_times(planet, members=members), training, 0.0, seed=0))
    assert len(pieces) == 4
    for lead, piece in enumerate(pieces, start=1):
        assert piece["lead"].values.tolist() == [24.0 * lead]
        assert piece.attrs["piece"] == lead - 1 and piece.attrs["pieces"] == 4
        for name in VARIABLES:
            truth = planet[name].values[np.array(STARTS) + lead]
            assert piece[name].dims == ("lead", "start", "member", "latitude", "longitude")
            assert piece[name].dtype == np.float32 and piece[name].attrs == planet[name].attrs
            for member in range(members):
                assert np.array_equal(piece[name].values[0, :, member], truth)


def test_states_of_double_precision_give_the_same_forecasts(
    planet: xr.Dataset, states: xr.Dataset, training: list[str]
) -> None:
    assert states["q"].dtype == np.float32
    doubled = states.assign(q=states["q"].astype(np.float64))
    starts = initial_times(planet, leads=2)
    pairs = zip(*(perfect_model(q, starts, training, 0.05, seed=0) for q in (states, doubled)), strict=True)
    assert all(piece.identical(other) for piece, other in pairs)


def test_truth_and_members_are_indistinguishable(planet: xr.Dataset, states: xr.Dataset) -> None:
    """Ranks of the truth are uniform, and the spread is the error of the mean: after days of chaos too."""
    days = np.arange(700, 1090, 4)
    training = iso(planet["time"])[[0, 699]].tolist()
    starts = initial_times(planet, days, leads=6, members=4)
    ranks, errors, spreads = [], [], []
    for lead, piece in enumerate(perfect_model(states, starts, training, 0.1, seed=1), start=1):
        if lead in (1, 6):
            for name in VARIABLES:
                truth, x = planet[name].values[days + lead], piece[name].values[0].astype(np.float64)
                ranks.append([((x < truth[:, None]).sum(axis=1) == k).mean() for k in range(5)])
                variance = x.var(axis=1, ddof=1)
                errors.append(((x.mean(axis=1) - truth) ** 2 - variance / 4).mean())
                spreads.append(variance.mean())
    np.testing.assert_allclose(ranks, 0.2, atol=0.04)
    np.testing.assert_allclose(np.sqrt(np.divide(spreads, errors)), 1, atol=0.15)


def test_the_error_has_the_covariance_of_the_weather() -> None:
    """White noise as states: members scatter about the analysis, as does the truth, each with variance error^2."""
    rng = np.random.default_rng(0)
    q = xr.DataArray(rng.normal(size=(2000, 2, 2, 3, 2)), dims=("time", "m", "part", "level", "n"))
    day_of_year = np.arange(2000) % 365 + 1
    days = np.arange(1500, 2000)
    pairs = np.stack([draw_pairs(day, np.arange(1500), day_of_year, 5, seed=0) for day in days.tolist()])
    departure = initial_states(q, days, pairs, 0.1) - q.values[days][:, None]
    between = departure[:, 1:] - departure[:, :-1]
    assert departure.std() == pytest.approx(0.1 * np.sqrt(2), rel=0.02)
    assert between.std() == pytest.approx(0.1 * np.sqrt(2), rel=0.02)


def test_errors_are_of_the_season_and_of_training_days() -> None:
    day_of_year = np.arange(4 * 365) % 365 + 1
    pool = np.arange(3 * 365)
    for day in (3 * 365, 3 * 365 + 200, 4 * 365 - 1):
        pairs = draw_pairs(day, pool, day_of_year, 500, seed=0)
        apart = np.abs(day_of_year[pairs] - day_of_year[day])
        assert (np.minimum(apart, 365 - apart) <= 15).all() and np.isin(pairs, pool).all()
        assert (pairs[:, 0] != pairs[:, 1]).all()
        assert np.unique(pairs).size == 3 * 31
    few = draw_pairs(300, np.arange(100, 110), day_of_year, 50, seed=0)
    assert set(np.unique(few)) == set(range(100, 110))


def test_a_member_depends_on_seed_start_and_number_alone(
    planet: xr.Dataset, states: xr.Dataset, training: list[str]
) -> None:
    def first(days: Any, members: int, seed: int = 0, lazy: bool = False) -> np.ndarray:
        starts = initial_times(planet, days, leads=1, members=members)
        (piece,) = perfect_model(states.chunk(time=100) if lazy else states, starts, training, 0.05, seed)
        return piece["u200"].values[0]

    whole = first(STARTS, 5)
    assert np.array_equal(whole[1:2, :2], first(STARTS[1:2], 2))
    assert np.array_equal(whole, first(STARTS, 5, lazy=True))
    assert not np.isclose(whole, first(STARTS, 5, seed=1)).all()
    assert not np.isclose(whole[:, :1], whole[:, 1:]).all()


def test_one_thread_of_blas_while_it_runs_and_the_callers_between(
    planet: xr.Dataset,
    states: xr.Dataset,
    training: list[str],
    threads: Callable[[], set[int]],
    threads_of_days: set[int],
) -> None:
    with threadpool_limits(2, "blas"):
        pieces = perfect_model(states, initial_times(planet, leads=2), training, 0.05, seed=0)
        assert [threads() for _ in pieces] == [{2}, {2}]
    assert threads_of_days == {1}


def test_the_lineage_follows_all_that_the_forecasts_depend_on(planet: xr.Dataset, states: xr.Dataset) -> None:
    starts = initial_times(planet)
    arguments = (states, starts, ["a", "b"], 0.05, 0)
    others = [
        (states.assign_attrs(lineage="1"), *arguments[1:]),
        (states, {**starts, "digest": "e"}, *arguments[2:]),
        (*arguments[:2], ["a", "c"], 0.05, 0),
        (*arguments[:3], 0.1, 0),
        (*arguments[:4], 1),
    ]
    assert lineage_of(*arguments) == lineage_of(*arguments)
    assert len({str(lineage_of(*varied)) for varied in [arguments, *others]}) == 6
