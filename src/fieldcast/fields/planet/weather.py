"""Weather of the planet: heights, temperatures and winds on a regular grid, as a CF dataset.

Height follows from psi by linear balance, g lap z = div(f grad psi), and temperature from heights by the hypsometric
equation. The dynamics do not determine the global means of height: they are constants here. Fields are computed in
double precision and rounded to multiples of 2^-7 of their unit, for the reason given in `dynamics`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float
from threadpoolctl import ThreadpoolController

from fieldcast.fields.planet.dynamics import GAS_CONSTANT, OMEGA, PRESSURES, Planet, State, rounded
from fieldcast.fields.planet.options import FIELD_STEP, PlanetOptions
from fieldcast.fields.planet.sphere import Coefficients, Sphere, couplings
from fieldcast.geometry import EARTH_RADIUS
from fieldcast.lineage import digest
from fieldcast.runtime import Progress

GRAVITY = 9.80665  # g [m s-2]
MEAN_Z500 = 5650.0  # global mean height of 500 hPa [m]
MEAN_T650 = 268.0  # global mean temperature between 800 and 500 hPa [K]

Map = Float[np.ndarray, "*batch latitude longitude"]

# name: CF standard name, long name, units
VARIABLES = {
    "z500": ("geopotential_height", "geopotential height at 500 hPa", "m"),
    "t650": ("air_temperature", "mean temperature between 800 and 500 hPa", "K"),
    "u200": ("eastward_wind", "eastward wind at 200 hPa", "m s-1"),
    "ws800": ("wind_speed", "wind speed at 800 hPa", "m s-1"),
}
OROGRAPHY = ("surface_altitude", "height of the ground, as the model sees it", "m")
STATE = {"long_name": "potential vorticity, coefficients of spherical harmonics", "units": "s-1"}
STATE_DIMS = ("time", "m", "part", "level", "n")  # the layout of `sphere`


class Snapshot(NamedTuple):
    """Weather of one day: the state q, and each variable on (latitude, longitude) as stored."""

    day: int
    q: State
    fields: dict[str, Map]


def height(psi: Coefficients) -> Coefficients:
    """Deviation of geopotential height [m] from its global mean, from psi [m2 s-1] by linear balance.

    g lap z = div(f grad psi) couples neighbouring n only: with e_mn of `couplings`, and n > 0,

        z_n = 2 Omega / g ((n - 1) / n e_n psi_{n-1} + (n + 2) / (n + 1) e_{n+1} psi_{n+1}).
    """
    truncation = psi.shape[-1] - 1
    n = np.arange(1, truncation + 1)
    e = couplings(truncation)[:, None, None] * 2 * OMEGA / GRAVITY
    z = np.zeros_like(psi)
    z[..., 1:] = (n - 1) / n * e[..., 1:-1] * psi[..., :-1]
    z[..., 1:-1] += (n[:-1] + 2) / (n[:-1] + 1) * e[..., 2:-1] * psi[..., 2:]
    return z


def weather(planet: Planet, grid: Sphere, q: State) -> dict[str, Map]:
    """Variables of `VARIABLES` on a grid; z500, t650 and u200 determine q almost completely."""
    psi = planet.streamfunction(q)
    z = height(psi[..., 1:, :])
    balanced = grid.synthesis(np.stack([z[..., 0, :], z[..., 0, :] - z[..., 1, :]], axis=-2)).swapaxes(-1, -3)
    slopes = grid.gradient(psi[..., ::2, :]).swapaxes(-1, -3) / EARTH_RADIUS
    cosine = np.sqrt(1 - grid.mu**2)[:, None]
    east, north = slopes[..., 0, :, :, :], slopes[..., 1, :, :, :]  # (..., latitude, level, longitude)
    per_kelvin = GRAVITY / GAS_CONSTANT / math.log(PRESSURES[2] / PRESSURES[1])
    return {
        "z500": MEAN_Z500 + balanced[..., 0, :],
        "t650": MEAN_T650 + per_kelvin * balanced[..., 1, :],
        "u200": -cosine * north[..., 0, :],
        "ws800": np.hypot(east[..., 1, :] / cosine, north[..., 1, :] * cosine),
    }


def stored(values: Map) -> Map:
    """Round values for storage to multiples of `FIELD_STEP`, in single precision."""
    return rounded(values, FIELD_STEP).astype(np.float32)


def simulation(options: PlanetOptions, seed: int) -> Iterator[Snapshot]:
    """Yield the weather of one realisation day by day, after its spin-up, with a progress bar in a terminal."""
    planet, grid = Planet(options), options.grid()
    moments = planet.run(planet.start(seed), -options.spin_up)
    days = range(-options.spin_up, options.days)
    blas = ThreadpoolController()
    for _ in Progress(days, desc="planet", unit="day"):
        # one thread: a second one gains nothing for matrices this small, and costs a factor of ten on a busy machine
        with blas.limit(limits=1, user_api="blas"):
            day, q = next(moments)
            if day < 0:
                continue
            fields = {name: stored(values) for name, values in weather(planet, grid, q).items()}
        yield Snapshot(day, q, fields)


def simulate(options: PlanetOptions, seed: int) -> xr.Dataset:
    """Simulate the weather of one realisation: float32 (time, latitude, longitude), orography and states, as CF.

    Time is daily, in the calendar without leap days, from 0001-01-01. The same options and seed give the same bits on
    every machine (with the probability stated in `dynamics`). The states `q` are exact, and their attribute `planet`
    (JSON) records the options, so that `perfect` can restart the weather from them.
    """
    shape, like = (options.days, options.n_latitude, options.n_longitude), Planet(options).planetary
    data = {name: np.empty(shape, np.float32) for name in VARIABLES}
    states = np.empty((options.days, *like.shape), np.float32)
    for day, q, fields in simulation(options, seed):
        states[day] = q
        for name, values in fields.items():
            data[name][day] = values
    dataset = xr.Dataset({name: (("time", "latitude", "longitude"), values) for name, values in data.items()})
    dataset["q"] = STATE_DIMS, states, {**STATE, "planet": json.dumps(asdict(options))}
    return _with_time_and_ground(dataset, options)


def _with_time_and_ground(dataset: xr.Dataset, options: PlanetOptions) -> xr.Dataset:
    """Add orography, coordinates and attributes."""
    grid = options.grid()
    ground = grid.synthesis(Planet(options).orography)
    dataset["orography"] = ("latitude", "longitude"), stored(ground[:, 0].T.copy())
    dataset = dataset.assign_coords(
        time=xr.date_range("0001-01-01", periods=options.days, freq="D", calendar="noleap", use_cftime=True),
        latitude=grid.latitude,
        longitude=grid.longitude,
    )
    dataset["time"].attrs = {"standard_name": "time", "long_name": "time"}
    dataset["time"].encoding = {"units": "days since 0001-01-01", "calendar": "noleap", "dtype": "int64"}
    dataset.attrs = {"Conventions": "CF-1.11", "title": "Simulated planet"}
    return with_attributes(dataset)


def with_attributes(dataset: xr.Dataset) -> xr.Dataset:
    """Set the attributes of the variables and of the grid."""
    for name, (standard, long, units) in {**VARIABLES, "orography": OROGRAPHY}.items():
        if name in dataset:
            dataset[name].attrs = {"standard_name": standard, "long_name": long, "units": units}
    for name, units in {"latitude": "degrees_north", "longitude": "degrees_east"}.items():
        dataset[name].attrs = {"standard_name": name, "long_name": name, "units": units}
    return dataset


# Digests of the planet of the documented tables, by which a run recognises whether it uses the same weather.


SEED = 0
# for the default options and SEED; `fields` is the digest in every table. docs/data.md lists both
DIGESTS = {"states": "aa0b19cd791d", "fields": "ad99ed066a42"}


def state_digest(q: xr.DataArray) -> str:
    """Digest of the states."""
    return digest(q.values.astype("<f4").tobytes())


def difference(options: PlanetOptions, seed: int, digests: Mapping[str, str | None]) -> str | None:
    """Warning that a planet should equal the documented one but does not; None if it does, or has other options."""
    if (options, seed) != (PlanetOptions(), SEED) or digests == DIGESTS:
        return None
    pairs = [f"{name} {digests.get(name)} instead of {documented}" for name, documented in DIGESTS.items()]
    return (
        "This simulated planet differs from that of the README's tables, although its options and seed are the same "
        f"(digests: {', '.join(pairs)}), so scores will differ from those printed there: see docs/data.md."
    )
