"""Ensemble forecasts from the stored starts, lead by lead.

The draws of a step are saved with the state that the next one starts from, so an interrupted rollout resumes at the
last complete lead and gives the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fieldcast import calendars
from fieldcast.encoding import costs
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.tensor_file import pack_bytes, unpack_state
from fieldcast.errors import InputError
from fieldcast.inference.rollout import Feedback, rollout
from fieldcast.lineage import Lineage
from fieldcast.models.core import Context, Model
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space
from fieldcast.progress import Progress
from fieldcast.starts import Starts

MEMBERS_AT_ONCE = 80  # of all starts, on a processor: more take memory and are no faster
MEMBERS_AT_ONCE_GPU = 640  # on each GPU: all of 64 starts and 10 members
START = {"standard_name": "forecast_reference_time"}
Values = Float[Tensor, "start members variable y x"]


class EnsembleState(NamedTuple):
    """The states of one step of a rollout, and the contexts of the next, start by start."""

    number: int  # of the step, from 1
    x: Values
    contexts: list[Context]


class EnsembleForecaster:
    """A model with its starts; the draws do not depend on how many starts are stepped at once.

    Parameters
    ----------
    model
        The model of the next state.
    codec
        Between fields and its tensors.
    fields
        Truth, in physical units, with the states before each start.
    starts
        Times of the last states that forecasts are given, ISO 8601.
    members
        Requested number; a deterministic model has one.
    seed
        Seed of the draws.
    feedback
        What the next step starts from: the "members", or their "mean".
    """

    def __init__(
        self, model: Model, codec: FieldCodec, fields: xr.Dataset, starts: list[str], members: int, seed: int,
        feedback: Feedback = "members",
    ):  # fmt: skip
        self.model, self.codec, self.seed, self.feedback = model, codec, seed, feedback
        self.requested, self.members = members, 1 if model.deterministic else members
        self.places = calendars.positions(fields["time"], starts)
        self.times = fields["time"].values[self.places]
        on_processor = model.space.area.device.type == "cpu"
        at_once = (MEMBERS_AT_ONCE if on_processor else MEMBERS_AT_ONCE_GPU) * (1 + len(model.replicas))
        size = max(1, at_once // self.members)
        self.pieces = list(torch.arange(len(starts)).split(size))
        context = context_at(fields, self.places, codec, model.space, model.history)
        self.contexts = [context[piece].repeat(self.members) for piece in self.pieces]

    def run(
        self, steps: int, first: int = 1, contexts: list[Context] | None = None
    ) -> Iterator[EnsembleState]:
        """Yield steps first .. steps, from the contexts that step first - 1 has left."""
        device = self.model.space.area.device
        runs = [
            rollout(
                self.model, context, RandomStreams(self.seed, piece.to(device), self.members), steps - first + 1,
                self.feedback, first,
            )
            for piece, context in zip(self.pieces, contexts or self.contexts, strict=True)
        ]  # fmt: skip
        numbers = range(first, steps + 1)
        progress = Progress(numbers, unit="step", initial=first - 1, total=steps)
        for number in progress:
            with torch.no_grad():
                drawn = [next(run) for run in runs]
            yield EnsembleState(number, torch.cat([x for x, _ in drawn]), [context for _, context in drawn])

    def lineage(self, model_digest: str, starts: Starts) -> dict[str, Any]:
        """Everything that a rollout depends on: stored with its forecasts, and with the state that it resumes from."""
        return {
            "model": model_digest, "starts": starts["digest"], "members": self.requested, "seed": self.seed,
            "feedback": self.feedback,
        }  # fmt: skip

    def valid(self, number: int) -> np.ndarray:
        """The valid times of a step."""
        return self.model.space.time_step.after(self.times, number)

    def resumed(self, earlier: bytes | None, sources: Lineage) -> tuple[int, list[Context], dict[str, Any]]:
        """The next step, the contexts it starts from, and what else was saved; the start for another lineage."""
        tensors, header = unpack_state(earlier, "The state of the rollout")
        if header.get("lineage") != sources:
            return 1, self.contexts, {}
        contexts = [Context(context.count) for context in self.contexts]
        for part in ("past", "day"):
            if f"{part}.0" in tensors:  # pieces of another size, if it ran on another device
                pieces = [
                    tensors[f"{part}.{i}"]
                    for i in range(sum(name.startswith(f"{part}.") for name in tensors))
                ]
                rows = torch.cat(pieces).to(self.model.space.area.device)
                parts = rows.split([context.count for context in contexts])
                contexts = [replace(c, **{part: x}) for c, x in zip(contexts, parts, strict=True)]
        return header["number"] + 1, contexts, header

    def state(
        self,
        ensemble: EnsembleState,
        sources: Lineage,
        beside: Mapping[str, Tensor] | None = None,
        **numbers: Any,
    ) -> bytes:
        """The state that a rollout resumes from, with further tensors and numbers."""
        tensors = dict(beside or {})
        for i, context in enumerate(ensemble.contexts):
            if context.past is not None:
                tensors[f"past.{i}"] = context.past
            assert context.day is not None  # `context_at` sets it
            tensors[f"day.{i}"] = context.day
        return pack_bytes(tensors, {**numbers, "number": ensemble.number, "lineage": sources})


def context_at(
    fields: xr.Dataset, places: np.ndarray, codec: FieldCodec, space: Space, history: int
) -> Context:
    """The last `history` states up to some positions in time, and the day of the next one.

    Raises
    ------
    InputError
        Where these states do not follow one another without a gap.
    """
    before = places[:, None] + np.arange(1 - history, 1)
    past = None
    if history:
        segment = fields["segment"].values if "segment" in fields else np.zeros(fields.sizes["time"])
        broken = (before[:, 0] < 0) | (segment[before[:, 0]] != segment[places])
        if broken.any():
            raise InputError(
                f"the model needs the last {history} states, which do not lie without a gap before "
                f"{calendars.iso(fields['time'])[places[broken.argmax()]]}: set model.history lower."
            )
        states = codec.encode(fields.isel(time=before.ravel()))
        past = torch.nan_to_num(states).unflatten(0, before.shape).to(space.area.device)
    next_times = space.time_step.after(fields["time"].values[places])
    return Context(len(places), past=past, day=codec.days(next_times).to(space.area.device))


class ForecastLead(NamedTuple):
    """One lead, the state that the rollout resumes from after it, and the milliseconds of one draw."""

    forecasts: xr.Dataset
    state: bytes
    sample_ms: float


def forecast(
    forecaster: EnsembleForecaster,
    starts: Starts,
    earlier: bytes | None,
    model_digest: str,
    on_disk: int = 0,
) -> Iterator[ForecastLead]:
    """Forecasts from the scored starts, in physical units, lead by lead, with their lineage.

    `model_digest` (see `checkpoint`) identifies the model. `earlier` is the state of an interrupted rollout, of
    which `on_disk` leads are stored: one more than the state holds, where the interruption fell between the two saves.
    """
    leads, sources = starts["leads"], forecaster.lineage(model_digest, starts)
    first, contexts, header = forecaster.resumed(earlier, sources)
    if not first - 1 <= on_disk <= first or first > leads:
        first, contexts, header = 1, forecaster.contexts, {}
    spent, begin = float(header.get("spent", 0.0)), time.perf_counter()
    for ensemble in forecaster.run(leads, first, contexts):
        costs.wait(ensemble.x.device)
        spent += time.perf_counter() - begin
        draws = len(forecaster.times) * forecaster.members * ensemble.number
        piece = physical(forecaster, ensemble)
        piece.attrs = {**sources, "piece": ensemble.number - 1, "pieces": leads}
        state = forecaster.state(ensemble, sources, spent=spent)
        yield ForecastLead(piece, state, 1000 * spent / draws)
        begin = time.perf_counter()


def physical(forecaster: EnsembleForecaster, ensemble: EnsembleState) -> xr.Dataset:
    """One lead, (lead, start, member, latitude, longitude); cells that do not exist are NaN."""
    model, codec = forecaster.model, forecaster.codec
    x = ensemble.x.float().cpu().masked_fill(~model.space.exists.cpu(), torch.nan)
    valid = xr.DataArray(forecaster.valid(ensemble.number), dims="time")
    piece = codec.decode(x, valid).rename(time="start").expand_dims("lead")
    lead, attrs = model.space.time_step.lead
    return piece.assign_coords(
        start=("start", forecaster.times, START), lead=("lead", [ensemble.number * lead], attrs)
    )
