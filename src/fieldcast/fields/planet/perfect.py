"""The perfect model: the planet itself, started again from its stored states with a stated initial error.

At a start the truth has the state q. An analysis misses it by e_0, member m misses the analysis by e_m:

    q_a = q + e_0,    q_m = q_a + e_m,    e = error (q_i - q_j) / sqrt(2),

where i and j are days of the training split within 15 days of the start's day of the year. So e has mean 0, is
as likely as -e, and has the covariance of the weather's departures from its climate, times error^2. Truth and
members are draws of one distribution round the analysis, and stay exchangeable as one and the same model carries
them on: the ensemble is calibrated by construction, and no forecast made from this analysis can do better. This
holds for errors that are small beside the weather: nobody pulls the analysis towards the climate, so members
have 1 + 2 error^2 times its variance, 0.5 % more for an error of 0.05. With an error of 0 each member is the
truth, to the last bit. It is computed and rounded as the simulation is, in double precision whatever the states' type.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from threadpoolctl import ThreadpoolController
from tqdm import tqdm

from fieldcast.fields import calendars
from fieldcast.fields.planet.dynamics import YEAR, Moment, Planet
from fieldcast.fields.planet.sphere import Sphere
from fieldcast.fields.planet.weather import Map, PlanetOptions, described, stored, weather

WINDOW = 15  # days of the year to either side, as of the climatological ensemble
CHUNK = 20_000  # grid points of the states that run as one batch: what is computed of it fits a cache

Ensemble = Float[np.ndarray, "start member m 2 3 n"]


def perfect_model(
    states: xr.Dataset, starts: Mapping[str, Any], training: Sequence[str], error: float, seed: int
) -> Iterator[xr.Dataset]:
    """Yield the forecasts lead by lead, each variable (lead, start, member, latitude, longitude), in its units.

    Parameters
    ----------
    states
        `q` of every day, as `weather.simulate` gives it.
    starts
        Times of the starts `scored`, the numbers of `leads` (days) and `members`, and the `digest` of it all.
    training
        First and last time of the training split.
    error
        Of the analysis and of each member round it, in standard deviations of the weather.
    seed
        A member's error depends on it, on the start and on the member's number, and on nothing else.
    """
    options = PlanetOptions(**json.loads(states["q"].attrs["planet"]))
    planet, grid = Planet(options), options.grid()
    iso = calendars.iso(states["time"])
    pool = np.flatnonzero((iso >= training[0]) & (iso <= training[1]))
    days = calendars.positions(states["time"], starts["scored"])
    day_of_year = calendars.day_of_year(states["time"])
    pairs = np.stack([draw_pairs(day, pool, day_of_year, starts["members"], seed) for day in days.tolist()])
    ensemble = initial_states(states["q"], days, pairs, error)
    runs = batches(planet, ensemble, days)
    about = {**lineage_of(states, starts, training, error, seed), "source": "perfect model"}
    leads = range(1, starts["leads"] + 1)

    def next_weather(run: Iterator[Moment]) -> dict[str, Map]:
        return {name: stored(values) for name, values in weather(planet, grid, next(run).q).items()}

    blas = ThreadpoolController()
    for lead in tqdm(leads, "perfect model", unit="lead", disable=None):
        # runs are parallel to one another; inside a run matrices are too small for a second thread of BLAS
        with blas.limit(limits=1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as workers:
            parts = list(workers.map(next_weather, runs))
        values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        forecasts = {name: x.reshape(1, *ensemble.shape[:2], *x.shape[1:]) for name, x in values.items()}
        yield laid_out(forecasts, lead, states["time"].values[days], grid).assign_attrs(
            about, piece=lead - 1, pieces=starts["leads"]
        )


def lineage_of(
    states: xr.Dataset, starts: Mapping[str, Any], training: Sequence[str], error: float, seed: int
) -> dict[str, Any]:
    """All that the forecasts depend on."""
    return {
        "states": states.attrs["lineage"],
        "starts": starts["digest"],
        "train": list(training),
        "initial_error": error,
        "seed": seed,
    }


def draw_pairs(
    day: int, pool: Int[np.ndarray, " day"], day_of_year: Int[np.ndarray, " time"], members: int, seed: int
) -> Int[np.ndarray, "members_plus_1 2"]:
    """i != j of e_0, e_1, ... of one start; any days of the pool where it has less than two of the season."""
    apart = np.abs((day_of_year[pool] - day_of_year[day] + YEAR // 2) % YEAR - YEAR // 2)
    near = pool[apart <= WINDOW]
    near = near if near.size > 1 else pool
    rng = np.random.default_rng([seed, day])
    i, further = rng.integers([0, 1], near.size, (1 + members, 2)).T
    return np.stack([near[i], near[(i + further) % near.size]], axis=1)


def initial_states(
    q: xr.DataArray,
    days: Int[np.ndarray, " start"],
    pairs: Int[np.ndarray, "start members_plus_1 2"],
    error: float,
) -> Ensemble:
    """q_m of each start; only the days that are needed are read."""
    wanted = np.concatenate([days[:, None], pairs.reshape(len(days), -1)], axis=1)
    needed, place = np.unique(wanted, return_inverse=True)
    known, place = q.isel(time=needed).values.astype(np.float64), place.reshape(wanted.shape)
    e = error / math.sqrt(2) * (known[place[:, 1::2]] - known[place[:, 2::2]])
    return known[place[:, 0]][:, None] + e[:, :1] + e[:, 1:]


def batches(planet: Planet, ensemble: Ensemble, days: Int[np.ndarray, " start"]) -> list[Iterator[Moment]]:
    """Runs of all members, in batches that may hold members of several starts; each has yielded its first state."""
    q, day = ensemble.reshape(-1, *ensemble.shape[2:]), np.repeat(days, ensemble.shape[1])
    size = max(1, CHUNK // (planet.sphere.longitude.size * planet.sphere.mu.size))
    parts = [slice(first, first + size) for first in range(0, len(q), size)]
    runs = [planet.run(q[part], day[part]) for part in parts]
    for run in runs:
        next(run)
    return runs


def laid_out(
    values: Mapping[str, Float[np.ndarray, "1 start member latitude longitude"]],
    lead: int,
    times: np.ndarray,
    grid: Sphere,
) -> xr.Dataset:
    """One lead [days] of all starts, with coordinates and attributes."""
    dims = ("lead", "start", "member", "latitude", "longitude")
    members = next(iter(values.values())).shape[2]
    coords = {
        "lead": ("lead", [24.0 * lead], {"standard_name": "forecast_period", "units": "hours"}),
        "start": ("start", times, {"standard_name": "forecast_reference_time"}),
        "member": ("member", np.arange(members), {"standard_name": "realization", "units": "1"}),
        "latitude": grid.latitude,
        "longitude": grid.longitude,
    }
    return described(xr.Dataset({name: (dims, one) for name, one in values.items()}, coords))
