"""Ensemble forecasts, lead by lead: from the stored initial times, from analyses, and long ones as statistics.

The draws of a step are saved with the state that the next one starts from, so an interrupted rollout resumes at the
last complete lead and gives the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fieldcast import calendars
from fieldcast.encoding import checkpoint
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.tensor_file import pack_state, resume, unpack_bytes
from fieldcast.errors import InputError
from fieldcast.fields.quantities import Clip
from fieldcast.fields.units import Conversion
from fieldcast.geometry import GRID
from fieldcast.kinds import CASE, CF, LEAD, MEMBER, START, STEP, InitialTimes, as_draws
from fieldcast.lineage import Lineage
from fieldcast.models.core import Context, Model
from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.replicas import draw
from fieldcast.models.space import Space
from fieldcast.runtime import Progress
from fieldcast.scores.assimilation import TRUTH
from fieldcast.scores.stability import step_statistics, zonal_power

MEMBERS_AT_ONCE = 80  # members of all starts in one batch on a CPU: more take memory and are no faster
MEMBERS_AT_ONCE_GPU = 640  # members of all starts in one batch on each GPU: 64 starts with 10 members each
Values = Float[Tensor, "start members variable y x"]
SNAPSHOTS = 1, 10, 100, 500  # steps at which some members are kept
SNAPSHOT_MEMBERS = 2  # number of members of a snapshot
SAVE_EVERY = 30.0  # seconds between saves of the state


class EnsembleState(NamedTuple):
    """States after one step of a rollout, and the contexts of the next step, one for each piece of the starts."""

    number: int  # number of the step, from 1
    x: Values
    contexts: list[Context]


def lineage_of(
    model_digest: str, initial_times: InitialTimes, members: int, seed: int, feedback: str
) -> dict[str, Any]:
    """Everything that forecasts depend on; `members` is the requested number, also for deterministic models."""
    return {
        "model": model_digest, "starts": initial_times["digest"], "members": members, "seed": seed,
        "feedback": feedback,
    }  # fmt: skip


class EnsembleForecaster:
    """A model with its initial times; the draws do not depend on how many of them form a batch.

    Parameters
    ----------
    model
        The model of the next state.
    codec
        Codec between fields and the tensors of the model.
    fields
        Fields in physical units, with the last states before each start.
    initial_times
        Initial times: the times of the last states that forecasts start from, ISO 8601.
    members
        Requested number of members; a deterministic model has one.
    seed
        Seed of the draws.
    feedback
        State from which the next step starts: the "members", or their "mean".
    """

    def __init__(
        self, model: Model, codec: FieldCodec, fields: xr.Dataset, initial_times: list[str], members: int, seed: int,
        feedback: Feedback = "members",
    ):  # fmt: skip
        self.model, self.codec, self.seed, self.feedback = model, codec, seed, feedback
        self.requested, self.members = members, 1 if model.deterministic else members
        self.positions = calendars.positions(fields["time"], initial_times)
        self.times = fields["time"].values[self.positions]
        on_cpu = model.space.area.device.type == "cpu"
        at_once = (MEMBERS_AT_ONCE if on_cpu else MEMBERS_AT_ONCE_GPU) * (1 + len(model.replicas))
        size = max(1, at_once // self.members)
        self.pieces = list(torch.arange(len(initial_times)).split(size))
        context = context_at(fields, self.positions, codec, model.space, model.history)
        self.contexts = [context[piece].repeat(self.members) for piece in self.pieces]

    def run(
        self, steps: int, first: int = 1, contexts: list[Context] | None = None
    ) -> Iterator[EnsembleState]:
        """Yield the steps `first` to `steps`; `contexts` are those that step `first` - 1 returned."""
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
                states = [next(run) for run in runs]
            yield EnsembleState(number, torch.cat([x for x, _ in states]), [context for _, context in states])

    def lineage(self, model_digest: str, initial_times: InitialTimes) -> dict[str, Any]:
        """Everything that a rollout depends on; stored with its forecasts and with its resumable state."""
        return lineage_of(model_digest, initial_times, self.requested, self.seed, self.feedback)

    def valid(self, number: int) -> np.ndarray:
        """The valid times of a step."""
        return self.model.space.time_step.after(self.times, number)

    def resume(
        self, previous: bytes | None, lineage: Lineage, stored_pieces: int | None = None
    ) -> tuple[int, list[Context], dict[str, Any]]:
        """Next step, its contexts and the header of a saved state; the first step if there is none to resume."""
        tensors, header, completed = resume(previous, lineage, "rollout", stored_pieces)
        if not completed:
            return 1, self.contexts, {}
        contexts = [Context(context.count) for context in self.contexts]
        for name in ("past", "day"):
            if f"{name}.0" in tensors:  # another device may have split the starts differently
                pieces = [
                    tensors[f"{name}.{i}"] for i in range(sum(key.startswith(f"{name}.") for key in tensors))
                ]
                values = torch.cat(pieces).to(self.model.space.area.device)
                split = values.split([context.count for context in contexts])
                contexts = [replace(c, **{name: x}) for c, x in zip(contexts, split, strict=True)]
        return completed + 1, contexts, header

    def state(
        self,
        ensemble: EnsembleState,
        lineage: Lineage,
        extra: Mapping[str, Tensor] | None = None,
        **numbers: Any,
    ) -> bytes:
        """The state from which an interrupted rollout resumes, as bytes, with extra tensors and numbers."""
        tensors = dict(extra or {})
        for i, context in enumerate(ensemble.contexts):
            if context.past is not None:
                tensors[f"past.{i}"] = context.past
            assert context.day is not None  # `context_at` sets it
            tensors[f"day.{i}"] = context.day
        return pack_state(tensors, lineage, ensemble.number, **numbers)


def context_at(
    fields: xr.Dataset, positions: np.ndarray, codec: FieldCodec, space: Space, history: int
) -> Context:
    """The last `history` states up to some positions in time, and the day of the next one."""
    before = positions[:, None] + np.arange(1 - history, 1)
    past = None
    if history:
        segment = fields["segment"].values if "segment" in fields else np.zeros(fields.sizes["time"])
        broken = (before[:, 0] < 0) | (segment[before[:, 0]] != segment[positions])
        if broken.any():
            raise InputError(
                f"the model needs the last {history} states, which do not lie without a gap before "
                f"{calendars.iso(fields['time'])[positions[broken.argmax()]]}: set model.history lower."
            )
        states = codec.encode(fields.isel(time=before.ravel()))
        past = torch.nan_to_num(states).unflatten(0, before.shape).to(space.area.device)
    next_times = space.time_step.after(fields["time"].values[positions])
    return Context(len(positions), past=past, day=codec.days(next_times).to(space.area.device))


class ForecastLead(NamedTuple):
    """One lead, the state that the rollout resumes from after it, and the milliseconds of one draw."""

    forecasts: xr.Dataset
    state: bytes
    sample_ms: float


def forecast(
    forecaster: EnsembleForecaster,
    initial_times: InitialTimes,
    previous: bytes | None,
    model_digest: str,
    stored_pieces: int = 0,
) -> Iterator[ForecastLead]:
    """Forecasts from the scored initial times, in physical units, lead by lead, with their lineage.

    `model_digest` (see `checkpoint`) identifies the model. `previous` is the state of an interrupted rollout, and
    `stored_pieces` the number of its stored leads: one more than in the state if the interruption fell between the two
    saves.
    """
    leads, sources = initial_times["leads"], forecaster.lineage(model_digest, initial_times)
    first, contexts, header = forecaster.resume(previous, sources, stored_pieces)
    if first > leads:
        first, contexts, header = 1, forecaster.contexts, {}
    spent, begin = float(header.get("spent", 0.0)), time.perf_counter()
    for ensemble in forecaster.run(leads, first, contexts):
        checkpoint.wait(ensemble.x.device)
        spent += time.perf_counter() - begin
        draws = len(forecaster.times) * forecaster.members * ensemble.number
        piece = lead_dataset(forecaster, ensemble)
        piece.attrs = {**sources, "piece": ensemble.number - 1, "pieces": leads}
        state = forecaster.state(ensemble, sources, spent=spent)
        yield ForecastLead(piece, state, 1000 * spent / draws)
        begin = time.perf_counter()


def lead_dataset(forecaster: EnsembleForecaster, ensemble: EnsembleState) -> xr.Dataset:
    """One lead in physical units (lead, start, member, latitude, longitude); cells that do not exist are NaN."""
    model, codec = forecaster.model, forecaster.codec
    x = ensemble.x.float().cpu().masked_fill(~model.space.exists.cpu(), torch.nan)
    valid = xr.DataArray(forecaster.valid(ensemble.number), dims="time")
    piece = codec.decode(x, valid).rename(time=START).expand_dims(LEAD)
    lead, attrs = model.space.time_step.lead
    return as_draws("forecasts", piece).assign_coords(
        {START: (START, forecaster.times, CF[START]), LEAD: (LEAD, [ensemble.number * lead], attrs)}
    )


# Rollout: repeated steps of a model, each from the draws of the last one.
#
# The members of all starts form one batch. The noise of a member is a function of (seed, start, member, step),
# whatever else is in the batch, so a rollout may be cut into pieces of starts, or resume at any step, without
# changing a number.


Feedback = Literal["members", "mean"]


def rollout(
    model: Model,
    context: Context,
    streams: RandomStreams,
    steps: int,
    feedback: Feedback = "members",
    first: int = 1,
) -> Iterator[tuple[Float[Tensor, "batch members variable y x"], Context]]:
    """Yield the states of steps first .. first + steps - 1, each with the context that the next step starts from.

    Parameters
    ----------
    model
        The model of the next state.
    context
        Context of all members of all starts, with the members of a start next to each other (`Context.repeat`); its day
        is the day of the first state.
    streams
        Random streams with a datum for each start and the number of members.
    steps
        Number of steps. Nothing is kept: memory does not grow with it.
    feedback
        State from which the next step starts: the "members", or the "mean" over the members of each start.
    first
        Number of the first step, from 1.
    """
    for number in range(first, first + steps):
        of_lead = streams.at_lead(number)
        noise = of_lead.per_row()
        x = draw(model, context, noise)[:, 0].unflatten(0, (len(streams.datum), streams.members))
        fed_back = x if feedback == "members" else x.mean(dim=1, keepdim=True).expand_as(x)
        context = context.advance(fed_back.flatten(0, 1), model.space.step_years)
        yield model.calibrated(x, of_lead), context


# Mean and spread of the members of a result.


def with_moments(filled: xr.Dataset, codec: FieldCodec) -> xr.Dataset:
    """The members with their mean and spread, and, if the variable is mapped, their median and their interval of 90 %.

    A single member has no spread, median or interval. Those of an angle are about the mean direction of the members.
    """
    result = filled.copy()
    for v in codec.names:
        name = codec.attrs[v].get("long_name", v)
        members = filled[v].astype(np.float64)  # in single precision, rounding gives equal members a spread
        moments = {"mean": members.mean(MEMBER)}
        if filled.sizes[MEMBER] > 1:
            moments["spread"] = members.std(MEMBER, ddof=1)
        if v in codec.quantities:
            moments = moments_of_mapped(members, codec, v)
        for moment, values in moments.items():
            units = codec.attrs[v].get("units", "1")
            result[f"{v}_{moment}"] = values.astype(np.float32).assign_attrs(
                units=units, long_name=f"{moment} of {name}"
            )
    result[MEMBER].attrs = dict(CF[MEMBER])
    return result


def moments_of_mapped(members: xr.DataArray, codec: FieldCodec, v: str) -> dict[str, xr.DataArray]:
    """Moments of the members of a mapped variable, by the names of results."""
    quantity, change = codec.quantities[v], codec.conversions.get(v, Conversion())
    values = np.moveaxis(members.values, members.get_axis_num(MEMBER), 0)
    moments = quantity.of_members(change.inverse.of(values))
    in_units = {"mean": change.of(moments.mean)}
    if len(values) > 1:
        in_units["spread"] = moments.spread * change.scale
    if len(values) > 1 and not isinstance(quantity, Clip):
        in_units |= dict(zip(("median", "p05", "p95"), map(change.of, moments[2:]), strict=True))
    template = members.isel({MEMBER: 0}, drop=True)
    return {name: template.copy(data=x) for name, x in in_units.items()}


def scores_by_lead(
    analyses: xr.Dataset, truth: xr.Dataset, model: Model, codec: FieldCodec, *, first: int, every: int,
    steps: int, members: int, seed: int,
) -> pd.DataFrame:  # fmt: skip
    """Fair CRPS and squared error of the ensemble mean, averaged over variables and cells, in standardised units.

    There is a row for each origin (a case of the analyses, or the truth), start and lead, with the columns pattern, k,
    start, lead_hours, crps, squared_error.

    Parameters
    ----------
    analyses
        Analyses (case, time, member, latitude, longitude) at successive times.
    truth
        Fields at the times of the analyses and at all valid times.
    model, codec
        The forecast model, and its codec.
    first, every
        Index of the first start among the times of the analyses, and the number of steps between starts.
    steps
        Number of leads. Starts without truth at all leads, in one unbroken stretch, are left out, so that a short
        record may have none.
    members
        Number of members; an analysis with a single member is shared by all members of the forecast.
    seed
        Seed of the draws.
    """
    times = calendars.iso(analyses["time"])
    positions = calendars.positions(truth["time"], times)
    if (positions < 0).any():
        absent = times[int((positions < 0).argmax())]
        raise InputError(f"the truth lacks {absent}, a time of the analyses: make the analyses again.")
    last = min(len(positions), truth.sizes["time"] - int(positions[0]) - steps)
    history, lead = max(1, model.history), model.space.time_step.lead[0]
    segment = truth["segment"].values
    starts = [
        start
        for start in range(first, last, every)
        if start >= history - 1
        and segment[positions[start] + 1 - history] == segment[positions[start] + steps]
    ]
    cases = list(zip(analyses["pattern"].values.astype(str), analyses["k"].values.astype(float), strict=True))
    origins = [*cases, (TRUTH, np.nan)]
    table = []
    for start in Progress(starts, unit="start"):
        window = truth.isel(
            time=slice(int(positions[start]) + 1 - history, int(positions[start]) + steps + 1)
        )
        x = torch.nan_to_num(codec.encode(window)).to(model.space.area.device)
        past = torch.cat(
            [stored_past(analyses, start, history, members, codec).to(x), shared_past(x[:history], members)]
        )
        day = codec.days(window["time"][history : history + 1]).to(x)
        for number, (crps, error) in enumerate(lead_scores(model, past, day, x[history:], seed, start), 1):
            for (pattern, k), c, e in zip(origins, crps.tolist(), error.tolist(), strict=True):
                table.append((pattern, k, times[start], number * lead, c, e))
    return pd.DataFrame(table, columns=["pattern", "k", "start", "lead_hours", "crps", "squared_error"])


def stored_past(
    analyses: xr.Dataset, start: int, history: int, members: int, codec: FieldCodec
) -> Float[Tensor, "case member past variable y x"]:
    """The last analyses of each member up to a start."""
    window = analyses.isel(time=slice(start + 1 - history, start + 1)).transpose(CASE, MEMBER, "time", *GRID)
    x = torch.nan_to_num(codec.encode(window.drop_vars(["pattern", "k"])))
    return x[:, torch.arange(members) % x.shape[1]]


def shared_past(
    x: Float[Tensor, "past variable y x"], members: int
) -> Float[Tensor, "1 member past variable y x"]:
    """Repeat one past for all members."""
    return x.expand(1, members, *x.shape)


def lead_scores(
    model: Model, past: Float[Tensor, "origin member past variable y x"], day: Float[Tensor, " 1"],
    truth: Float[Tensor, "lead variable y x"], seed: int, start: int,
) -> Iterator[tuple[Float[Tensor, " origin"], Float[Tensor, " origin"]]]:  # fmt: skip
    """Yield CRPS and squared error of the forecasts from each origin, lead by lead; all origins share one noise."""
    origins, members = past.shape[:2]
    c = Context(origins * members, past=past.flatten(0, 1), day=day.expand(origins * members))
    datum = torch.full((origins,), start, device=past.device)
    streams = RandomStreams(seed_for("forecasts from analyses", seed), datum, members)
    weight = model.space.weight / len(model.space.variables)
    steps = rollout(model, c, streams, len(truth))
    for y in truth:
        with torch.no_grad():
            x, _ = next(steps)
        crps = fair_crps(x, y.expand(origins, *y.shape))
        error = (x.mean(1) - y).square()
        yield (crps * weight).sum((1, 2, 3)), (error * weight).sum((1, 2, 3))


class LongRollout(NamedTuple):
    """A row per step, the snapshots so far, and the state that the rollout resumes from.

    Neither memory nor disk use grows with the steps.

    Table and snapshots hold the digest of their `model`, as forecasts do.
    """

    table: pd.DataFrame
    snapshots: xr.Dataset
    state: bytes


def long_rollout(
    forecaster: EnsembleForecaster,
    initial_times: InitialTimes,
    fields: xr.Dataset,
    previous: bytes | None,
    model_digest: str,
) -> Iterator[LongRollout]:
    """Roll out from the initial times of the stability test; yield at regular intervals and at the end."""
    steps = initial_times["stability_steps"]
    sources = {
        **forecaster.lineage(model_digest, initial_times),
        "stability": list(initial_times["stability"]),
    }
    first, contexts, header = forecaster.resume(previous, sources)
    # the state may hold more steps than this run needs
    table = [row for row in header.get("table", []) if row["step"] <= steps]
    snapshots_by_step = (
        {n: x for n, x in stored_snapshots(previous).items() if n <= steps} if header and previous else {}
    )
    if first > steps:
        yield with_digest(model_digest, table, snapshots_of(forecaster, snapshots_by_step), previous or b"")
        return
    measure, last = Measure(forecaster, fields, steps), time.monotonic()
    for ensemble in forecaster.run(steps, first, contexts):
        table.append({"step": ensemble.number, **measure(ensemble)})
        if ensemble.number in SNAPSHOTS:
            snapshots_by_step[ensemble.number] = ensemble.x[:, :SNAPSHOT_MEMBERS].float().cpu()
        if ensemble.number == steps or time.monotonic() - last >= SAVE_EVERY:
            snapshots = {f"snapshot.{n}": x for n, x in snapshots_by_step.items()}
            state = forecaster.state(ensemble, sources, snapshots, table=table)
            yield with_digest(model_digest, table, snapshots_of(forecaster, snapshots_by_step), state)
            last = time.monotonic()


def with_digest(
    model_digest: str, table: list[dict[str, Any]], snapshots: xr.Dataset, state: bytes
) -> LongRollout:
    """The results so far, labelled with the digest of the model."""
    frame = pd.DataFrame(table).assign(model=model_digest)
    return LongRollout(frame, snapshots.assign_attrs(model=model_digest), state)


class Measure:
    """A function that returns the statistics of one step, with scores where there is a truth."""

    def __init__(self, forecaster: EnsembleForecaster, fields: xr.Dataset, steps: int):
        space = forecaster.model.space
        self.forecaster, self.fields, self.wraps = forecaster, fields, space.wraps
        times = np.stack([forecaster.valid(number) for number in range(1, steps + 1)])
        step = space.time_step
        self.positions = step.positions(fields["time"], times.ravel()).reshape(times.shape)
        self.area = (space.existing_area).cpu().numpy()
        self.reference = zonal_power(self.states(forecaster.positions), self.area, self.wraps)

    def __call__(self, ensemble: EnsembleState) -> dict[str, Any]:
        positions = self.positions[ensemble.number - 1]
        truth = self.states(positions) if (positions >= 0).all() else None
        x = ensemble.x.float().cpu().numpy()
        return step_statistics(x, truth, self.area, reference=self.reference, wraps=self.wraps)

    def states(self, positions: np.ndarray) -> Float[np.ndarray, "start variable y x"]:
        """Anomalies of the fields at some positions in time; 0 where they are missing."""
        encoded = self.forecaster.codec.encode(self.fields.isel(time=positions))
        return torch.nan_to_num(encoded).numpy()


def stored_snapshots(previous: bytes) -> dict[int, Values]:
    """Snapshots in the state of an interrupted rollout, by step."""
    tensors, _ = unpack_bytes(previous, "the state of the rollout", "remove it, and run the rollout again")
    return {int(name.split(".")[1]): x for name, x in tensors.items() if name.startswith("snapshot.")}


def snapshots_of(forecaster: EnsembleForecaster, snapshots_by_step: Mapping[int, Values]) -> xr.Dataset:
    """Snapshots in physical units, (step, start, member, latitude, longitude)."""
    pieces = [
        lead_dataset(forecaster, EnsembleState(number, x, []))
        .squeeze(LEAD, drop=True)
        .expand_dims({STEP: [number]})
        for number, x in sorted(snapshots_by_step.items())
    ]
    return as_draws("snapshots", xr.concat(pieces, STEP)) if pieces else xr.Dataset()
