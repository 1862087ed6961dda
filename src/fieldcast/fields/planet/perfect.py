"""Perfect-model forecasts: the planet itself, restarted from its stored states with a prescribed initial error.

At the initial time the truth has the state q. The analysis has the error e_0, and member m differs from it by e_m:

    q_a = q + e_0,    q_m = q_a + e_m,    e = error (q_i - q_j) / sqrt(2),

where i and j are days of the training split within 15 days of the initial time's day of the year. Hence e has mean 0, a
symmetric distribution, and the covariance of the weather's anomalies times error^2. Truth and members are draws from
the same distribution around the analysis, and remain exchangeable because the same model propagates them: the ensemble
is calibrated by construction, and no forecast from this analysis can be better. This holds for errors that are small
compared with the weather: the analysis is not drawn towards the climatology, so members have 1 + 2 error^2 times the
climatological variance, 0.5 % more for an error of 0.05. With an error of 0 each member equals the truth exactly. All
computations are rounded as in the simulation, in double precision whatever the type of the states.
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

from fieldcast import calendars
from fieldcast.fields.planet.dynamics import Moment, Planet
from fieldcast.fields.planet.options import YEAR, PlanetOptions
from fieldcast.fields.planet.sphere import Sphere
from fieldcast.fields.planet.weather import Map, stored, weather, with_attributes
from fieldcast.geometry import GRID
from fieldcast.kinds import CF, LEAD, MEMBER, START, InitialTimes, as_draws
from fieldcast.runtime import Progress

WINDOW = 15  # days of the year to either side, as for the climatological ensemble
CHUNK = 20_000  # grid points of all states in a batch, chosen so that its arrays fit a cache

Ensemble = Float[np.ndarray, "start member m 2 3 n"]


def perfect_model(
    states: xr.Dataset, initial_times: InitialTimes, training: Sequence[str], error: float, seed: int
) -> Iterator[xr.Dataset]:
    """Yield the forecasts lead by lead: each variable on (lead, start, member, latitude, longitude), in its units.

    Parameters
    ----------
    states
        `q` of every day, as `weather.simulate` returns it.
    initial_times
        Initial times `scored`, the numbers of `leads` (days) and `members`, and the `digest` of these.
    training
        First and last time of the training split.
    error
        Standard deviation of the error of the analysis, and of each member about it, in units of the weather's.
    seed
        Seed of the errors; a member's error depends only on the seed, the initial time and the member's number.
    """
    options = PlanetOptions(**json.loads(states["q"].attrs["planet"]))
    planet, grid = Planet(options), options.grid()
    iso = calendars.iso(states["time"])
    pool = np.flatnonzero((iso >= training[0]) & (iso <= training[1]))
    days = calendars.positions(states["time"], initial_times["scored"])
    day_of_year = calendars.day_of_year(states["time"])
    pairs = np.stack(
        [draw_pairs(day, pool, day_of_year, initial_times["members"], seed) for day in days.tolist()]
    )
    ensemble = initial_states(states["q"], days, pairs, error)
    runs = batches(planet, ensemble, days)
    attributes = {**lineage_of(states, initial_times, training, error, seed), "source": "perfect model"}
    leads = range(1, initial_times["leads"] + 1)

    def next_weather(run: Iterator[Moment]) -> dict[str, Map]:
        return {name: stored(values) for name, values in weather(planet, grid, next(run).q).items()}

    blas = ThreadpoolController()
    for lead in Progress(leads, desc="perfect model", unit="lead"):
        # batches run in parallel; within a batch the matrices are too small for a second BLAS thread
        with blas.limit(limits=1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as workers:
            parts = list(workers.map(next_weather, runs))
        values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        forecasts = {name: x.reshape(1, *ensemble.shape[:2], *x.shape[1:]) for name, x in values.items()}
        yield to_dataset(forecasts, lead, states["time"].values[days], grid).assign_attrs(
            attributes, piece=lead - 1, pieces=initial_times["leads"]
        )


def lineage_of(
    states: xr.Dataset, initial_times: InitialTimes, training: Sequence[str], error: float, seed: int
) -> dict[str, Any]:
    """Lineage of the forecasts: everything they depend on."""
    return {
        "states": states.attrs["lineage"],
        "starts": initial_times["digest"],
        "train": list(training),
        "initial_error": error,
        "seed": seed,
    }


def draw_pairs(
    day: int, pool: Int[np.ndarray, " day"], day_of_year: Int[np.ndarray, " time"], members: int, seed: int
) -> Int[np.ndarray, "members_plus_1 2"]:
    """Pairs i != j for e_0, e_1, ... at one initial time; from the whole pool if it has fewer than two such days."""
    distance = np.abs((day_of_year[pool] - day_of_year[day] + YEAR // 2) % YEAR - YEAR // 2)
    near = pool[distance <= WINDOW]
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
    """Initial states q_m at each initial time; reads only the days that it needs."""
    used = np.concatenate([days[:, None], pairs.reshape(len(days), -1)], axis=1)
    distinct, index = np.unique(used, return_inverse=True)
    states, index = q.isel(time=distinct).values.astype(np.float64), index.reshape(used.shape)
    e = error / math.sqrt(2) * (states[index[:, 1::2]] - states[index[:, 2::2]])
    return states[index[:, 0]][:, None] + e[:, :1] + e[:, 1:]


def batches(planet: Planet, ensemble: Ensemble, days: Int[np.ndarray, " start"]) -> list[Iterator[Moment]]:
    """Runs of all members, in batches that may mix initial times; each run is past its initial state."""
    q, day = ensemble.reshape(-1, *ensemble.shape[2:]), np.repeat(days, ensemble.shape[1])
    size = max(1, CHUNK // (planet.sphere.longitude.size * planet.sphere.mu.size))
    parts = [slice(first, first + size) for first in range(0, len(q), size)]
    runs = [planet.run(q[part], day[part]) for part in parts]
    for run in runs:
        next(run)
    return runs


def to_dataset(
    values: Mapping[str, Float[np.ndarray, "1 start member latitude longitude"]],
    lead: int,
    times: np.ndarray,
    grid: Sphere,
) -> xr.Dataset:
    """Data set of one lead [days] for all initial times, with coordinates and attributes."""
    members = next(iter(values.values())).shape[2]
    coords = {
        LEAD: (LEAD, [24.0 * lead], {"standard_name": "forecast_period", "units": "hours"}),
        START: (START, times, CF[START]),
        MEMBER: (MEMBER, np.arange(members), CF[MEMBER]),
        "latitude": grid.latitude,
        "longitude": grid.longitude,
    }
    dims = LEAD, START, MEMBER, *GRID
    forecasts = xr.Dataset({name: (dims, x) for name, x in values.items()}, coords)
    return with_attributes(as_draws("forecasts", forecasts))
