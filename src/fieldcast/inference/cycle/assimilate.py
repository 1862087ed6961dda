"""Cycles of forecast and update over stored observations, step by step, as data sets.

The members of a time are saved with the state that the next one starts from, so an interrupted cycle resumes at the
last complete step and gives the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast import kinds
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.planet_dynamics import PlanetDynamics
from fieldcast.encoding.resumable import pack_state, resume
from fieldcast.errors import InputError
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
    result = codec.decode(x[:, :, None], observations["time"][[index]], "analyses")
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
