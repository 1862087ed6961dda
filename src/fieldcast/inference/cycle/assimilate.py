"""Cycles of forecast and update over stored observations, step by step, as data sets.

The members of a time are saved with the state that the next one starts from, so an interrupted cycle resumes at the
last complete step and gives the same numbers.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from threadpoolctl import ThreadpoolController
from torch import Tensor

from fieldcast import kinds
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.tensor_file import pack_state, resume
from fieldcast.errors import InputError
from fieldcast.fields.planet.dynamics import Planet, rounded
from fieldcast.fields.planet.options import STATE_STEP, YEAR, PlanetOptions
from fieldcast.fields.planet.perfect import CHUNK
from fieldcast.fields.planet.weather import weather
from fieldcast.lineage import Lineage
from fieldcast.models.assimilation.baselines import EachStep
from fieldcast.models.assimilation.filter import CycleState, Filter, Step, cycle
from fieldcast.models.assimilation.perfect_letkf import STATE, PerfectLETKF
from fieldcast.models.core import Context, Model
from fieldcast.models.gaussian.seasonal_selection import pick, within_season
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.replicas import draw
from fieldcast.runtime import Progress
from fieldcast.scores.assimilation import STATES

PlanetStates = Float[Tensor, "batch members m 2 3 n"]


@dataclass(frozen=True, eq=False)
class Assimilator:
    """A filter, the forecast model inside it (None for filters without one), and the codec of both.

    `planet` is the exact model of filters that use it as their forecast model.
    """

    filter: Filter
    forecaster: Model | None
    codec: FieldCodec
    planet: PlanetDynamics | None = None

    @classmethod
    def of(
        cls, updater: Model, forecaster: Model | None, codec: FieldCodec, states: xr.Dataset | None = None
    ) -> Assimilator:
        """The updater as a filter; a model of single times becomes one that reconstructs each time by itself.

        `states` are the states of the simulated planet, for the filter of the perfect model.
        """
        filter = updater if isinstance(updater, Filter) else EachStep(updater)
        perfect = [module for module in filter.modules() if isinstance(module, PerfectLETKF)]
        if not perfect:
            return cls(filter, forecaster, codec)
        planet = PlanetDynamics(xr.Dataset() if states is None else states, codec)
        filter.replicas = ()  # the exact model is on one device
        for module in perfect:
            module.dynamics = planet
        return cls(filter, forecaster, codec, planet)

    @property
    def history(self) -> int:
        """Number of past states from which the next one is forecast."""
        return max(1, self.forecaster.history if self.forecaster else 1)

    @property
    def step(self) -> Step:
        """The forecast of one step."""
        forecaster = self.forecaster

        def forecast(c: Context, streams: RandomStreams) -> Tensor:
            if forecaster is None:
                raise TypeError(f"{type(self.filter).__name__} needs a forecast model")
            return draw(forecaster, c, streams)

        return forecast

    def begin(
        self, training: xr.Dataset, first: xr.DataArray, cases: int, members: int, seed: int
    ) -> CycleState:
        """Climatological members before the time `first`: stretches of training states from the same season."""
        members = 1 if self.filter.deterministic else members
        shape = cases, members, self.history
        past = climatological_past(training, first, self.codec, shape, seed)
        memory = self.filter.begin(cases)
        if self.planet is not None:
            last = climatological_positions(training, first, self.codec, shape, seed)[..., -1]
            states = self.planet.at(training["time"][last.flatten().numpy()])
            memory[STATE] = states.unflatten(0, last.shape)
        device = self.filter.space.area.device
        return CycleState(past.to(device), {name: tensor.to(device) for name, tensor in memory.items()})


def analysis_context(observations: xr.Dataset, index: int, codec: FieldCodec, filter: Filter) -> Context:
    """The observations of all cases at the time number `index`."""
    current = observations.isel(time=[index])
    device = filter.space.area.device
    y = codec.encode(current)[:, 0].to(device)
    mask = torch.isfinite(y) & filter.space.exists
    day = codec.days(current["time"]).to(device).expand(len(y))
    noise = float(observations.attrs["noise"])
    return Context(len(y), observed=torch.where(mask, y, 0.0), mask=mask, day=day, noise=noise)


class StoredStep(NamedTuple):
    """One step, the state that the cycle resumes from after it, and the milliseconds of a step so far."""

    members: xr.Dataset
    state: bytes
    step_ms: float


def assimilate(
    assimilator: Assimilator, observations: xr.Dataset, training: xr.Dataset, lineage: Lineage,
    previous: bytes | None = None, stored_pieces: int = 0,
) -> Iterator[StoredStep]:  # fmt: skip
    """Backgrounds and analyses, (state, case, time, member, latitude, longitude), step by step.

    `previous` is the state of an interrupted cycle, and `stored_pieces` the number of its stored steps: one more than
    in the state if the interruption fell between the two saves. `lineage` is the lineage, with `members` and `seed`.
    """
    filter, codec, steps = assimilator.filter, assimilator.codec, observations.sizes["time"]
    cases, members, seed = observations.sizes[kinds.CASE], lineage["members"], lineage["seed"]
    state, header, done = resume_cycle(previous, lineage, stored_pieces, filter.space.area.device)
    if state is None:
        first_time = observations["time"][:1]
        size = filter.ensemble_size or members
        state = assimilator.begin(training, first_time, cases, size, seed)
    device, members = filter.space.area.device, state.past.shape[1]
    streams = RandomStreams(seed, torch.arange(cases, device=device), members)
    contexts = (analysis_context(observations, index, codec, filter) for index in range(done, steps))
    spent, begin = float(header.get("spent", 0.0)), time.perf_counter()
    cycled = cycle(filter, assimilator.step, contexts, state, streams, first=done + 1)
    for number in Progress(range(done + 1, steps + 1), unit="step", initial=done, total=steps):
        step = next(cycled)
        spent += time.perf_counter() - begin
        piece = members_dataset(
            torch.stack([step.background, step.analysis]), observations, number - 1, codec, filter
        )
        piece.attrs = {**lineage, "piece": number - 1, "pieces": steps}
        yield StoredStep(piece, pack_cycle(step.state, number, spent, lineage), 1000 * spent / number)
        begin = time.perf_counter()


def members_dataset(
    x: Float[Tensor, "state case member variable y x"], observations: xr.Dataset, index: int, codec: FieldCodec,
    filter: Filter,
) -> xr.Dataset:  # fmt: skip
    """Members of one time in physical units; cells that do not exist are NaN."""
    x = x.float().cpu().masked_fill(~filter.space.exists.cpu(), torch.nan)
    time = observations["time"][[index]]
    result = codec.decode(x[:, :, None], time, "analyses", (kinds.STATE, kinds.CASE))
    labels = {name: observations[name] for name in ("pattern", "k")}
    return result.assign_coords({kinds.STATE: list(STATES), "mask": observations["mask"][[index]], **labels})


def pack_cycle(state: CycleState, number: int, spent: float, lineage: Lineage) -> bytes:
    """The state after a step as bytes, from which an interrupted cycle resumes."""
    memory = {f"memory.{name}": tensor for name, tensor in state.memory.items()}
    return pack_state({"past": state.past, **memory}, lineage, number, spent=spent)


def resume_cycle(
    previous: bytes | None, lineage: Lineage, stored_pieces: int, device: torch.device
) -> tuple[CycleState | None, dict[str, Any], int]:
    """State, numbers and completed steps of an interrupted cycle; None, empty and 0 if there is none to resume."""
    tensors, header, completed = resume(previous, lineage, "cycle", stored_pieces)
    if not completed:
        return None, {}, 0
    tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
    memory = {name.removeprefix("memory."): t for name, t in tensors.items() if name.startswith("memory.")}
    return CycleState(tensors["past"], memory), header, completed


# Climatological members: stretches of training states of the same season.


def climatological_past(
    training: xr.Dataset, time: xr.DataArray, codec: FieldCodec, shape: tuple[int, int, int], seed: int
) -> Float[Tensor, "case members past variable y x"]:
    """Successive training states that end within 45 days of the day of the year of a time, for each case and member.

    `shape` is (cases, members, past).
    """
    positions = climatological_positions(training, time, codec, shape, seed)
    distinct, inverse = torch.unique(positions, return_inverse=True)
    x = torch.nan_to_num(codec.encode(training.isel(time=distinct.numpy())))
    return x[inverse]


def climatological_positions(
    training: xr.Dataset, time: xr.DataArray, codec: FieldCodec, shape: tuple[int, int, int], seed: int
) -> Int[Tensor, "case members past"]:
    """Positions in the training split of the states of `climatological_past`."""
    cases, members, past = shape
    segment = training["segment"].values
    has_past = np.zeros(len(segment), dtype=bool)
    has_past[past - 1 :] = segment[past - 1 :] == segment[: len(segment) - past + 1]
    if not has_past.any():
        raise InputError(f"the training split has no {past} successive states: set model.history lower.")
    allowed = torch.from_numpy(has_past)[None].expand(cases, -1)
    allowed = within_season(codec.days(training["time"]), codec.days(time).expand(cases), allowed)
    streams = RandomStreams(seed_for("climatological past", seed), torch.arange(cases), members)
    last = pick(allowed, streams.uniform(1)[..., 0])
    return last[..., None] + torch.arange(1 - past, 1)


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
