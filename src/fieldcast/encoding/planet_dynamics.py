"""The simulated planet as the exact model of a filter: its states and weather as tensors."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from threadpoolctl import ThreadpoolController
from torch import Tensor

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.errors import InputError
from fieldcast.fields.planet.dynamics import Planet, rounded
from fieldcast.fields.planet.options import STATE_STEP, YEAR, PlanetOptions
from fieldcast.fields.planet.perfect import CHUNK
from fieldcast.fields.planet.weather import weather

PlanetStates = Float[Tensor, "batch members m 2 3 n"]


class PlanetDynamics:
    """The planet whose states are stored; its maps are the streamfunction [m2 s-1] of its three levels.

    An increment of the maps is converted to an increment of q by the harmonics that fit it best. Its global mean is
    ignored, because the dynamics do not determine it.
    """

    def __init__(self, states: xr.Dataset, codec: FieldCodec):
        if "q" not in states:
            raise InputError(
                "the perfect model is the simulated planet, and these data come from another source: leave its "
                "experiments out, or set ingestion.source to planet."
            )
        options = PlanetOptions(**json.loads(states["q"].attrs["planet"]))
        self.states, self.codec = states["q"], codec
        self.planet, self.grid = Planet(options), options.grid()
        same_latitudes = np.array_equal(codec.latitude, self.grid.latitude)
        if not same_latitudes or not np.array_equal(codec.longitude, self.grid.longitude):
            raise InputError(
                "the fields are not on the grid of the planet whose states are stored: recreate both with `kedro run "
                "--pipelines ingestion`."
            )

    def at(self, times: xr.DataArray) -> Float[Tensor, "time m 2 3 n"]:
        """The stored states of some times."""
        distinct, inverse = np.unique(times.values, return_inverse=True)
        q = self.states.sel(time=distinct).values.astype(np.float64)
        return torch.from_numpy(q[inverse])

    def ahead(self, q: PlanetStates, day: Float[Tensor, " batch"]) -> PlanetStates:
        """States on a day, from those of the day before, rounded like the stored states."""
        before = np.repeat(day_numbers(day) - 1, q.shape[1])
        flat = q.flatten(0, 1).cpu().numpy()
        size = max(1, CHUNK // (self.planet.sphere.longitude.size * self.planet.sphere.mu.size))
        pieces = [slice(first, first + size) for first in range(0, len(flat), size)]

        def next_day(piece: slice) -> np.ndarray:
            return rounded(self.planet.next_day(flat[piece], before[piece]), STATE_STEP)

        # pieces run in parallel; within a piece the matrices are too small for a second BLAS thread
        blas = ThreadpoolController()
        with blas.limit(limits=1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as workers:
            next_states = np.concatenate(list(workers.map(next_day, pieces)))
        return torch.from_numpy(next_states).view_as(q).to(q.device)

    def weather(
        self, q: PlanetStates, day: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch members variable y x"]:
        """Standardised anomalies of the weather."""
        fields = weather(self.planet, self.grid, q.cpu().numpy())
        parts = [part for name in self.codec.names for part in self.codec.mapped(name, fields[name])]
        x = np.stack(parts, axis=2)
        x = self.codec.to_anomalies(x, self.codec.climatology[day_numbers(day) % YEAR][:, None])
        return torch.from_numpy(x).float().to(q.device)

    def maps(self, q: PlanetStates) -> Float[Tensor, "batch members 3 y x"]:
        """The streamfunction of each level."""
        psi = self.grid.synthesis(self.planet.streamfunction(q.cpu().numpy()))
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(psi, -3, -1))).to(q.device)

    def plus(self, q: PlanetStates, increments: Float[Tensor, "batch members 3 y x"]) -> PlanetStates:
        """States whose streamfunction differs by increments."""
        psi = self.grid.analysis(np.ascontiguousarray(np.moveaxis(increments.cpu().numpy(), -1, -3)))
        psi[..., 0, :, :, 0] = 0
        difference = self.planet.vorticity(psi) - self.planet.planetary
        return q + torch.from_numpy(difference).to(q)


def day_numbers(day: Float[Tensor, " batch"]) -> np.ndarray:
    """Days since 1 January, from fractions of the year."""
    return np.rint(day.cpu().numpy().astype(np.float64) * YEAR).astype(int)
