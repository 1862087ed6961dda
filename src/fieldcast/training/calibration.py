"""Calibration of a filter: background errors from cycles over the training split, tuned values by validation."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fieldcast import lineage
from fieldcast.encoding import checkpoint
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.checkpoint import FITTED_BY, FORMAT, pack, unpack
from fieldcast.encoding.options import Calibration, CycledAssimilation, Sparsification
from fieldcast.encoding.tensor_file import pack_state, resume
from fieldcast.errors import InputError
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import select
from fieldcast.inference.cycle.assimilate import Assimilator
from fieldcast.models import masks
from fieldcast.models.assimilation.filter import CycleStep, Filter, cycle
from fieldcast.models.core import Context, Model
from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.replicas import choose_device
from fieldcast.models.space import evenly
from fieldcast.runtime import Progress
from fieldcast.training.loop import HISTORY, Saved, finished_files
from fieldcast.training.run import Recipe, base_config, closed_form_parts, initial_model, load_part
from fieldcast.training.tuning import number_of_trials, search

FORECAST = "the checkpoint in the role 'forecast'"


def calibrate(
    recipe: Recipe, cycling: CycledAssimilation, observing_network: Sparsification, data: PreparedData,
    base: bytes | None, previous: bytes | None, states: xr.Dataset | None = None,
    stored: bytes | None = None,
) -> Iterator[Saved]:  # fmt: skip
    """Calibrate a filter, its background-error sample and tuned values; yield files to save after each sweep and trial.

    `base` is the checkpoint of the forecast model, or of the closed-form part of the filter; `states` are the states of
    the simulated planet, for the filter of the perfect model. `previous` is the state of an interrupted calibration,
    `stored` a checkpoint, which is kept if it has the same lineage.
    """
    codec, _ = recipe.problem.codec(*data.statistics)
    sources = recipe.lineage(data, codec, base)
    assimilator = assimilator_of(recipe, data, base, sources, states)
    filter, device = assimilator.filter, assimilator.filter.space.area.device
    resumable = {**sources, "device": device.type, "format": FORMAT}
    if finished := finished_files(stored, previous, resumable, recipe.fit.restart):
        yield finished
        return
    previous = None if recipe.fit.restart else previous
    tensors, header, _ = resume(previous, resumable, "calibration", warn=True)
    options = cycling.calibration.capped(recipe.limits)
    members = recipe.limits.cap("members", cycling.members)
    filters = filter.calibrated_at(options.k)
    # tuned values from which a search starts, also a resumed one
    initial = [part.tuned_values() for part in filters.values()]
    filter.load_state_dict({**filter.state_dict(), **tensors})
    progress = header.get("progress", [{"sweeps": 0, "trials": []} for _ in filters])
    state = CalibrationState(filter, list(filters), resumable, progress, header.get("spent", 0.0))
    template = CalibrationRun(assimilator, options, members, observing_network, data, recipe.seed)
    runs = [
        replace(template, assimilator=replace(assimilator, filter=part), options=replace(options, k=k))
        for k, part in filters.items()
    ]
    total, completed = numbers_of_forecasts(runs, progress)
    state.finished_before = bool(header) and completed == total
    with Progress(total=total, initial=completed, unit="forecast") as bar:
        for run, start, done in zip(runs, initial, progress, strict=True):
            for _ in fill_and_tune(run, start, done, bar):
                yield state.files()
    results = results_of(filters, device, state.seconds)
    results[HISTORY] = trials_of(progress, list(filters)).to_dict("records")
    origin = {"source": data.fields.attrs["source"], FITTED_BY: sorted(recipe.problem.fit_options())}
    yield state.files(pack(filter, codec, {**resumable, **lineage.code(), **results, **origin}))


@dataclass
class CalibrationState:
    """Progress of a calibration, from which it resumes: the filter, and the sweeps and trials of each of its copies.

    `fractions` are those at which the copies are calibrated, `spent` the seconds of earlier runs.
    """

    filter: Filter
    fractions: Sequence[float]
    sources: lineage.Lineage
    progress: list[dict[str, Any]]
    spent: float
    finished_before: bool = False
    begin: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds of all runs so far."""
        return self.spent + time.perf_counter() - self.begin

    def files(self, checkpoint: bytes | None = None) -> Saved:
        """The files to save; the checkpoint comes with the last of them."""
        numbers = {"progress": self.progress, "spent": self.seconds, "finished": checkpoint is not None}
        history = trials_of(self.progress, self.fractions)
        history.attrs[lineage.FINISHED_BEFORE] = self.finished_before
        completed = sum(done["sweeps"] + len(done["trials"]) for done in self.progress)
        state = pack_state(self.filter.state_dict(), self.sources, completed, **numbers)
        return Saved(state, checkpoint, history)


def numbers_of_forecasts(
    runs: Sequence[CalibrationRun], progress: Sequence[Mapping[str, Any]]
) -> tuple[int, int]:
    """Forecasts that the calibrations of all copies of a filter take, and those that earlier runs have completed."""
    total = sum(run.forecasts(run.sweeps, number_of_trials(run.filter)) for run in runs)
    completed = (
        run.forecasts(done["sweeps"], len(done["trials"])) for run, done in zip(runs, progress, strict=True)
    )
    return total, sum(completed)


def results_of(filters: Mapping[float, Filter], device: torch.device, seconds: float) -> dict[str, Any]:
    """Costs, and the tuned values at each fraction observed, for the header of the checkpoint."""
    spent = {"train_seconds": round(seconds, 2), "step_ms": None, "peak_mb": checkpoint.peak_mb(device)}
    return {"costs": spent, "tuned": {str(k): part.tuned_values() for k, part in filters.items()}}


def fill_and_tune(
    run: CalibrationRun, start: Mapping[str, float], done: dict[str, Any], bar: Progress
) -> Iterator[None]:
    """Set the background-error sample and choose the values of a filter; yield after each sweep and trial.

    `done` records the sweeps and trials.
    """
    run.filter.choose(**start)
    for sweep in range(done["sweeps"], run.sweeps):
        run.filter.fill_pool(run.background_errors(sweep, bar))
        done["sweeps"] = sweep + 1
        yield
    yield from search(run.filter, partial(run.trial, bar), done["trials"])


def trials_of(progress: Sequence[Mapping[str, Any]], fractions: Sequence[float]) -> pd.DataFrame:
    """All trials, numbered; with the fraction k of observed cells if there are several."""
    several = len(fractions) > 1
    table = [
        {**({"k": k} if several else {}), **trial}
        for k, done in zip(fractions, progress, strict=True)
        for trial in done["trials"]
    ]
    history = pd.DataFrame(table or [{"step": 0, "validation": math.nan}])
    return history.assign(step=range(len(history)))


def assimilator_of(
    recipe: Recipe, data: PreparedData, base: bytes | None, sources: Mapping[str, Any],
    states: xr.Dataset | None = None,
) -> Assimilator:  # fmt: skip
    """The filter of a recipe with its forecast model."""
    kind = recipe.model["type"]
    codec, space = recipe.problem.codec(*data.statistics)
    device = choose_device(recipe.device)
    filter = initial_model(recipe.model, space.to(device), recipe.seed).to(device)
    recipe.problem.check(kind, filter, recipe.fit)
    parts = closed_form_parts(filter)
    if base is None and (parts or filter.needs_forecast):
        role = "base" if parts else "forecast"
        raise InputError(f"{kind} needs another experiment: give this one uses: {{{role}: forecast.<name>}}.")
    required = {name: sources[name] for name in ("data", "splits", "seed")}
    for part in parts:
        load_part(part, base or b"", "base", "model.base", {"model": base_config(recipe.model), **required})
    forecaster = forecast_model(base, required).to(device) if base is not None and not parts else None
    return Assimilator.of(filter, forecaster, codec, states)


@dataclass(frozen=True, eq=False)
class CalibrationRun:
    """Cycles of a filter over training and validation states.

    Parameters
    ----------
    assimilator
        The filter with its forecast model.
    options
        Options of the calibration.
    members
        Number of members in the cycles of the tuning.
    observing_network
        Observation errors, and whether variables have separate masks.
    data
        The data with their splits.
    seed
        Seed of cycles and observing networks.
    """

    assimilator: Assimilator
    options: Calibration
    members: int
    observing_network: Sparsification
    data: PreparedData
    seed: int

    @property
    def filter(self) -> Filter:
        """The filter that is calibrated."""
        return self.assimilator.filter

    @property
    def sweeps(self) -> int:
        """Number of times that the background-error sample is drawn."""
        return self.options.sweeps if self.filter.learns_errors else 0

    def forecasts(self, sweeps: int, trials: int) -> int:
        """Number of one-step forecasts of single members in `sweeps` sweeps and `trials` trials."""
        options = self.options
        in_sweep = options.cycles * options.members * (options.spin_up + options.steps)
        in_trial = self._tuning_members * (options.spin_up + options.tuning)
        return sweeps * in_sweep + trials * in_trial

    def background_errors(self, sweep: int, progress: Progress) -> Float[Tensor, "error variable y x"]:
        """Forecast minus truth after the spin-up; in the first sweep the sample holds training anomalies."""
        training = select(self.data.fields, self.data.splits, "train")
        filter, options = self.filter, self.options
        periods = self._periods(training, options.cycles, options.steps)
        if sweep == 0:
            filter.fill_pool(periods.x.flatten(0, 1))
        seed = seed_for("sweep", self.seed, sweep) % 2**31
        errors = [
            filter.background_mean(step) - truth
            for number, (step, truth) in enumerate(
                zip(self._cycle(periods, options.members, seed, progress), periods.x, strict=True)
            )
            if self._is_used(number, periods)
        ]
        return torch.cat(errors)

    def trial(self, progress: Progress) -> float:
        """Logarithm of the fair CRPS of the analysis at unobserved cells of the validation split."""
        validation = select(self.data.fields, self.data.splits, "validation")
        options, space = self.options, self.filter.space
        periods = self._periods(validation, 1, options.tuning)
        seed = seed_for("tuning", self.seed) % 2**31
        contexts = periods.contexts(options, self.observing_network.noise, self.filter, seed)
        total = weights = 0.0
        steps = zip(
            self._cycle(periods, self._tuning_members, seed, progress), periods.x, contexts, strict=True
        )
        for number, (step, truth, c) in enumerate(steps):
            if not self._is_used(number, periods):
                continue
            _, mask = c.observations()
            weight = (space.existing_area * ~mask).double()
            total += float((fair_crps(step.analysis, truth) * weight).sum())
            weights += float(weight.sum())
        return math.log(total / weights) if total > 0 else math.inf

    def _is_used(self, number: int, periods: CyclePeriods) -> bool:
        """Whether a step comes after the spin-up; the last step of a short record always counts."""
        return number >= self.options.spin_up or number == len(periods.x) - 1

    def _periods(self, split: xr.Dataset, cycles: int, steps: int) -> CyclePeriods:
        length, codec = self.options.spin_up + steps, self.assimilator.codec
        return CyclePeriods.of(
            split, codec, cycles, length, self._device, self.observing_network.per_variable
        )

    @property
    def _tuning_members(self) -> int:
        return self.filter.ensemble_size or self.members

    @property
    def _device(self) -> torch.device:
        return self.filter.space.area.device

    def _cycle(
        self, periods: CyclePeriods, members: int, seed: int, progress: Progress
    ) -> Iterator[CycleStep]:
        training = select(self.data.fields, self.data.splits, "train")
        filter, cycles = self.filter, periods.x.shape[1]
        state = self.assimilator.begin(training, periods.first, cycles, members, seed)
        streams = RandomStreams(seed, torch.arange(cycles, device=self._device), state.past.shape[1])
        contexts = periods.contexts(self.options, self.observing_network.noise, filter, seed)
        for step in cycle(filter, self.assimilator.step, contexts, state, streams):
            yield step
            progress.update(cycles * members)


def forecast_model(checkpoint: bytes, expected: Mapping[str, Any]) -> Model:
    """The forecast model of a checkpoint that was trained on these data."""
    forecast = unpack(checkpoint, FORECAST)
    lineage.require(
        forecast.header,
        {"task": "forecast", **expected},
        f"{FORECAST} was trained",
        "train that experiment again with `kedro run --pipelines training`",
    )
    return forecast.model


# Periods of a split over which a filter cycles during its calibration.


@dataclass(frozen=True, eq=False)
class CyclePeriods:
    """Successive true states for cycles, with their days of the year and their first times."""

    x: Float[Tensor, "time cycle variable y x"]
    days: Float[Tensor, "time cycle"]
    first: xr.DataArray  # the first time of each cycle
    per_variable: bool = False  # whether variables have separate masks

    @classmethod
    def of(
        cls, split: xr.Dataset, codec: FieldCodec, cycles: int, length: int, device: torch.device,
        per_variable: bool = False,
    ) -> CyclePeriods:  # fmt: skip
        """Evenly spaced stretches of a split."""
        length = min(length, split.sizes["time"])
        segment = split["segment"].values
        unbroken = torch.from_numpy(segment[: len(segment) - length + 1] == segment[length - 1 :]).nonzero()[
            :, 0
        ]
        if not len(unbroken):
            raise InputError(
                f"a filter is calibrated by cycles over {length} successive states, and a split has no stretch of "
                "that length without a gap: lower assimilation.calibration.steps or tuning."
            )
        starts = unbroken[evenly(len(unbroken), cycles)]
        positions = starts + torch.arange(length)[:, None]  # (time, cycle)
        states = split.isel(time=positions.flatten().numpy())
        x = torch.nan_to_num(codec.encode(states)).unflatten(0, positions.shape).to(device)
        return cls(
            x,
            codec.days(states["time"]).view(positions.shape).to(device),
            split["time"][starts.numpy()],
            per_variable,
        )

    def contexts(self, options: Calibration, noise: float, filter: Filter, seed: int) -> Iterator[Context]:
        """Yield the observations of each time; all cycles share the mask of a step."""
        space, device = filter.space, self.x.device
        for number, (x, day) in enumerate(zip(self.x, self.days, strict=True)):
            of_step = RandomStreams(seed_for("network", seed), torch.tensor([number], device=device))
            mask = masks.draw(
                (options.pattern,), (options.k, options.k), of_step, space, self.per_variable
            ).expand_as(x)
            cycles = torch.arange(len(x), device=device)
            errors = RandomStreams(seed_for("errors of the network", seed), cycles, step=number)
            yield Context(
                len(x), observed=masks.observe(x, mask, noise, errors), mask=mask, day=day, noise=noise
            )
