"""A cycle over a user's record: at each time a forecast from the last analysis is updated by the observations."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast import arguments, calendars, runtime
from fieldcast.calendars import TimeStep
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.errors import InputError
from fieldcast.fields.observation_error import Given, holders
from fieldcast.fields.times import as_record
from fieldcast.inference.compatibility import STEP_TOLERANCE, match_model
from fieldcast.inference.cycle.assimilate import Assimilator, pack_cycle, resume_cycle
from fieldcast.inference.cycle.held_out import (
    OwnUnits,
    distances_km,
    held_out_cells,
    quality_of_step,
    with_quality,
)
from fieldcast.inference.forecasts.ensemble import with_moments
from fieldcast.inference.reconstruct import as_points, observations_and_errors
from fieldcast.inference.result_attributes import restore_layout, with_attributes
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.lineage import Lineage, digest
from fieldcast.models.assimilation.background_errors import (
    free_run_states,
    hybrid_of,
    learn_errors,
    training_stretches,
)
from fieldcast.models.assimilation.filter import CycleState, Filter, Members
from fieldcast.models.assimilation.filter import cycle as cycle_of
from fieldcast.models.assimilation.hybrid import Hybrid
from fieldcast.models.capabilities import CyclesAlone
from fieldcast.models.core import Context
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.runtime import Progress

PIECE_BYTES = 16 * 2**20  # largest number of bytes of the times that are stored together
PIECE_TIMES = 32  # largest number of these times, after which an interrupted cycle can resume

LOG = logging.getLogger(__name__)
Estimates = dict[str, Members]  # estimates of the state at one time, by name


@runtime.reports_out_of_memory
def cycle(
    forecaster: TrainedModel | None,
    updater: TrainedModel,
    observations: xr.Dataset | xr.DataArray,
    members: int = 20,
    seed: int = 0,
    noise: Given = 0.1,
    withheld: float = 0.1,
    where: str = "the record",
) -> xr.Dataset:
    """Analyses of successive times: members of p(x_t | y_1 .. y_t), with their mean and spread.

    Each variable v becomes v (time, member, ...), v_mean and v_spread, in the units of the record. Scores at held-out
    observations are v_crps, v_rmse and v_coverage90 (state), where `state` is the climatology (with a filter of
    `assimilate` the anomalies of its initial members, at every time), the background, the analysis and, with optimal
    interpolation as the updater, the interpolation of each time by itself. Statistics of the innovations are
    v_chi_squared and v_suspect_share (time), and v_observation_error. All times count, also the first ones after the
    cold start from climatological members: see `CycleModels.start`.

    Parameters
    ----------
    forecaster
        A model of `forecast`; None for a Kalman filter, which makes its own forecasts.
    updater
        A filter of `assimilate`; or optimal interpolation, around the mean of the forecasts. Errors of forecasts from
        its analyses of training states give the covariance of the background (`assimilation.background_errors`).
    observations
        Fields with NaN where nothing was observed, at successive times one step of the forecast apart.
    members
        Size of the ensemble, at least 2.
    seed
        Seed of the draws and of the held-out blocks.
    noise
        Standard deviation of the observation error, for all variables or for each by its name: a number of anomaly
        standard deviations, a number with a unit ("0.3 degC"), a share of the value ("35%"), or the name of a variable
        of the record (`fields.observation_error`). Where it differs between observations, the updater must take such
        errors: optimal interpolation and most filters do.
    withheld
        Share of observations that are never assimilated, in whole blocks of neighbouring cells.
    where
        Name of the record in messages.

    Raises
    ------
    InputError
        If the models do not fit each other, a cycle or the grid of the record, if there are fewer than two times or
        they are not one step apart, if nothing was observed, or if the updater takes one error for all observations.
    """
    run = RecordCycle.of(forecaster, updater, observations, members, seed, noise, withheld, where)
    return run.result(xr.concat([piece for piece, _ in run.pieces()], "time"))


@dataclass(frozen=True, eq=False)
class RecordCycle:
    """A cycle over a user's record, step by step, so that it can be stored and resumed after an interruption.

    Parameters
    ----------
    models
        Forecaster and filter.
    dataset
        The record, in its own layout.
    times
        Times of the record.
    codec
        Codec in the units of the record.
    c
        All observations.
    held_out
        Cells whose observations are held out.
    options
        Members, noise, held-out share and seed.
    names
        Names of the models.
    variance
        Variance of the error of each observation; None if that of `c` holds for all.
    """

    models: CycleModels
    dataset: xr.Dataset
    times: xr.DataArray
    codec: FieldCodec
    c: Context
    held_out: Bool[Tensor, "y x"]
    options: dict[str, Any]
    names: str
    variance: Float[Tensor, "time variable y x"] | None = None

    @classmethod
    def of(
        cls, forecaster: TrainedModel | None, updater: TrainedModel, observations: xr.Dataset | xr.DataArray,
        members: int, seed: int, noise: Given, withheld: float, where: str,
    ) -> RecordCycle:  # fmt: skip
        """Check the arguments of `cycle`, and prepare it."""
        members, seed = arguments.whole_number(members, "members", 2), arguments.seed_number(seed)
        if not isinstance(noise, str | Mapping):
            noise = arguments.real_number(noise, "noise")
        withheld = arguments.real_number(withheld, "withheld", below=1.0)
        for name, model in (("updater", updater), ("forecaster", forecaster)):
            if not isinstance(model, TrainedModel) and not (model is None and name == "forecaster"):
                raise InputError(
                    f"{name} {arguments.as_given(model)}: give a model that fieldcast.fit or fieldcast.load returns."
                )
        models = CycleModels.of(forecaster, updater)
        dataset, space = as_record(observations, where), updater.checkpoint.model.space
        data, codec = match_model(dataset, updater.checkpoint.field_codec, where, beside=holders(noise))
        check_times(data["time"], space.time_step, where)
        data, c, variance = observations_and_errors(data, codec, space, noise)
        if variance is not None:
            as_points(c[slice(0, 1)], variance[:1], models.assimilator.filter)
        _, mask = c.observations()
        if not mask.any():
            raise InputError(f"{where} holds no observation: give values where there are any, NaN elsewhere.")
        given = c.noise if variance is None else str(noise)
        options = {"members": members, "noise": given, "withheld": withheld, "seed": seed}
        without_forecast = models.assimilator.forecaster is None  # a Kalman filter leaves the forecaster out
        trained = [updater] if without_forecast or forecaster is None else [updater, forecaster]
        names = " and ".join(model.name for model in trained)
        cells = held_out_cells(mask, withheld, space, seed)
        return cls(models, dataset, data["time"], codec, c, cells, options, names, variance)

    @cached_property
    def sources(self) -> Lineage:
        """Lineage of the analyses: digest of the observations, the models with their digests, and the options."""
        observed = [array.cpu().numpy() for array in self.c.observations()]
        if self.variance is not None:
            observed.append(self.variance.cpu().numpy())
        return {
            "observations": digest(observed, calendars.iso(self.times)),
            "models": self.names,
            **self.options,
        }

    def pieces(
        self, previous: bytes | None = None, stored_pieces: int = 0, length: int | None = None
    ) -> Iterator[tuple[xr.Dataset, bytes]]:
        """Yield pieces of the analyses (time, member, latitude, longitude), with quality, and the state after each.

        Parameters
        ----------
        previous
            State of an interrupted cycle.
        stored_pieces
            Number of its stored pieces: one more than in the state if it was interrupted between the two saves.
        length
            Number of times in a piece; by default as many as `PIECE_BYTES` hold, at most `PIECE_TIMES`.
        """
        c, members, seed = self.c, self.options["members"], self.options["seed"]
        bytes_of_time = 4 * members * self.held_out.numel() * len(self.codec.variables)
        length = length or min(PIECE_TIMES, max(1, PIECE_BYTES // bytes_of_time))
        state, _, done = resume_cycle(previous, self.sources, stored_pieces, self.held_out.device)
        if done:
            LOG.info("Resuming after %d of %d times.", done * length, c.count)
        observed, mask = c.observations()
        observed, mask = observed * ~self.held_out, mask & ~self.held_out
        assimilated = Context(c.count, observed=observed, mask=mask, day=c.day, noise=c.noise)
        if self.variance is not None:
            assimilated = as_points(assimilated, self.variance, self.models.assimilator.filter)
        steps = self.models.run(assimilated, members, seed, state, done * length)
        firsts = range(0, c.count, length)
        for number, first in list(enumerate(firsts))[done:]:
            analyses = []
            for index in range(first, min(first + length, c.count)):
                estimates, next_state = next(steps)
                analyses.append(self.step(index, estimates))
            piece = xr.concat(analyses, "time").assign_attrs(self.sources, piece=number, pieces=len(firsts))
            yield piece, pack_cycle(next_state, number + 1, 0.0, self.sources)

    def step(self, index: int, estimates: Estimates) -> xr.Dataset:
        """The analysis at one time, in the units of the record, with its quality."""
        c, options = self.c, self.options
        observed, mask = c.observations()
        exists = self.models.assimilator.filter.space.exists.cpu()
        x = estimates["analysis"].float().cpu().masked_fill(~exists, torch.nan)
        y = torch.where(mask[index], observed[index], torch.nan)
        own = None
        if self.codec.quantities:
            own = OwnUnits(self.codec, self.codec.climatology_at(self.times[[index]])[0])
        noise = c.noise if self.variance is None else self.variance[index].sqrt()
        quality = quality_of_step(y, self.held_out, estimates, noise, options["seed"], index, own)
        return self.codec.decode(x, self.times[[index]]).merge(quality)

    def result(self, steps: xr.Dataset) -> xr.Dataset:
        """The analyses in the layout of the record; the data set `steps` of all times may be lazy."""
        fields = with_moments(steps[list(self.codec.names)].drop_attrs(deep=False), self.codec)
        result = restore_layout(self.dataset, fields, self.codec)
        result = with_attributes(result, self.dataset.attrs, "Analysis", self.names, self.options)
        parts = [self.codec.parts(name)[0] for name in self.codec.names]
        mask = self.c.observations()[1]
        noise = np.full(mask.shape[1], self.c.noise)
        if self.variance is not None:
            of_each = [self.variance[:, v][mask[:, v]].double().mean() for v in range(len(noise))]
            noise = torch.stack(of_each).sqrt().cpu().numpy()
        mask = mask[:, parts]
        distances = distances_km(mask, self.held_out, self.models.assimilator.filter.space)
        return with_quality(result, steps, self.dataset, self.codec, noise, distances)


def check_times(times: xr.DataArray, step: TimeStep, where: str) -> None:
    """Raise an InputError unless there are at least two times, each one step after the last."""
    if times.size < 2:
        raise InputError(
            f"{where} has {times.size} time, and a cycle needs two or more: give successive ones."
        )
    off = np.abs(step.counts(times) - 1) * step.hours > STEP_TOLERANCE
    if off.any():
        before, after = calendars.iso(times)[off.argmax() :][:2]
        raise InputError(
            f"{where} goes from {before} to {after}, and the models step by {step}: give every time at that step, in "
            "order, with NaN where nothing was observed."
        )


@dataclass(frozen=True, eq=False)
class CycleModels:
    """A filter around a forecast model.

    With optimal interpolation as the updater, `interpolation` is that from which background errors and initial members
    come; otherwise it is None.
    """

    assimilator: Assimilator
    interpolation: OptimalInterpolation | None

    @classmethod
    def of(cls, forecaster: TrainedModel | None, updater: TrainedModel) -> CycleModels:
        """The models of a cycle; the forecaster is not used with a Kalman filter."""
        model, codec = updater.checkpoint.model, updater.checkpoint.field_codec
        kind = type(model).__name__
        if isinstance(model, CyclesAlone):
            return cls(Assimilator(model, None, codec), None)
        if not isinstance(model, OptimalInterpolation | Filter):
            task = updater.checkpoint.header["task"]
            raise InputError(
                f"the updater of a cycle cannot be an experiment of {task} with the model {kind}: choose an optimal "
                "interpolation of reconstruct, or a filter of assimilate."
            )
        if forecaster is None:
            raise InputError(f"{kind} needs a forecast model: name a forecaster, an experiment of forecast.")
        forecaster.check_task("forecast", "the forecaster of a cycle must be")
        forecast = forecaster.checkpoint.model
        steps = {(part.space.step, part.space.months) for part in (forecast, model)}
        if len(steps) > 1 or not standardise_alike(codec, forecaster.checkpoint.field_codec):
            raise InputError(
                "forecaster and updater were trained on different data: use two experiments from the same data_root, "
                "or fit both to the same data set."
            )
        if isinstance(model, OptimalInterpolation):
            return cls(Assimilator(hybrid_of(model), forecast, codec), model)
        return cls(Assimilator(model, forecast, codec), None)

    def start(self, day: Float[Tensor, " batch"], streams: RandomStreams) -> CycleState:
        """Climatological members before the first time.

        Optimal interpolation keeps training states: its members are stretches of these from the same season. Other
        filters keep none and start from the last states of free forecast runs, which also serve if no stretch is long
        enough. A Kalman filter starts from its own climatology.
        """
        filter, past = self.assimilator.filter, self.assimilator.history
        memory = filter.begin(len(day))
        if self.interpolation is not None:
            stretches = training_stretches(self.interpolation, day, streams, past)
            if stretches is not None:
                return CycleState(stretches, memory)
        if isinstance(filter, CyclesAlone):
            return CycleState(filter.draw_members(memory, streams)[:, :, None], memory)
        members = free_run_states(filter.space, self.assimilator.step, day, streams, past)
        if filter.needs_spread and not (members.std(1) > 0).any():
            raise InputError(
                "the updater needs members that differ, and those of the forecaster are identical: choose a forecaster "
                "whose members differ, such as a linear inverse model."
            )
        return CycleState(members, memory)

    @torch.no_grad()
    def run(
        self, c: Context, members: int, seed: int, state: CycleState | None = None, done: int = 0
    ) -> Iterator[tuple[Estimates, CycleState]]:
        """Yield, for each time of a context in order, the estimates and the state that the next step starts from.

        The estimates are climatology, background and analysis; optimal interpolation adds `interpolation`, the analysis
        of each time without a background. An interrupted cycle resumes from its `state`, after `done` steps.
        """
        assert c.day is not None
        datum = torch.zeros(1, dtype=torch.long, device=c.day.device)
        streams = RandomStreams(seed, datum, members)
        # these streams have seeds of their own: forecasts draw persistent noise from the streams of the cycle
        start, season, alone = (
            RandomStreams(seed_for(f"cycle, {use}", seed), datum, members)
            for use in ("start", "season", "alone")
        )
        filter = self.assimilator.filter
        if self.interpolation is not None and isinstance(filter, Hybrid):
            learn_errors(filter, self.interpolation, self.assimilator.step, c, self.assimilator.history, seed)
        initial = self.start(c.day[:1], start)  # the reference of a resumed cycle, too
        state = initial if state is None else state
        contexts = (c[slice(number, number + 1)] for number in range(done, c.count))
        steps = cycle_of(filter, self.assimilator.step, contexts, state, streams, first=done + 1)
        for number, step in enumerate(Progress(steps, unit="step", initial=done, total=c.count), done):
            current = c[slice(number, number + 1)]
            if self.interpolation is None:
                references = {"climatology": initial.past[:, :, -1]}
            else:
                references = {
                    "climatology": self.interpolation.season(current, season.at_lead(number + 1)),
                    "interpolation": self.interpolation.sample(current, alone.at_lead(number + 1)),
                }
            yield {**references, "background": step.background, "analysis": step.analysis}, step.state


def standardise_alike(a: FieldCodec, b: FieldCodec) -> bool:
    """Whether two codecs standardise the same variables on the same grid by the same statistics."""
    if a.variables != b.variables:
        return False
    pairs = [(a.arrays()[name], b.arrays()[name]) for name in a.arrays()]
    return all(x.shape == y.shape and np.allclose(x, y, equal_nan=True) for x, y in pairs)
