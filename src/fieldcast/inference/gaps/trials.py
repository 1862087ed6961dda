"""Trials of the methods that fill gaps, one after another, and the file from which interrupted trials resume."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from scipy.special import ndtri
from torch import Tensor

from fieldcast import calendars, runtime
from fieldcast.encoding.checkpoint import FORMAT
from fieldcast.encoding.gappy_record import GappyRecord, OwnVariable
from fieldcast.encoding.tensor_file import pack_state, resume, tensor_digest, unpack_state
from fieldcast.errors import InputError
from fieldcast.fields import climatology, domain, quantities
from fieldcast.fields.conventions import time_varying
from fieldcast.fields.observation_error import NO_ERRORS, Errors
from fieldcast.fields.quantities import CENTRAL, Quantities
from fieldcast.geometry import GRID, TRUE_GRID, is_curvilinear
from fieldcast.inference.gaps import race
from fieldcast.inference.gaps.race import (
    DRAWS,
    GROWTH,
    KRIGING,
    LARGEST_DOUBLED,
    Round,
    Standing,
    expected_seconds,
    run_round,
    samples,
    scored_trial,
    staying,
)
from fieldcast.inference.quantities import difference
from fieldcast.models import gaps
from fieldcast.models.gaps.error_variance import ErrorPredictors, ErrorVariances
from fieldcast.models.gaps.fillers import FILLERS, dineof, local_kriging
from fieldcast.models.gaps.held_out import SELECTIONS, SMALL, HeldOut, are_few
from fieldcast.models.gaps.in_time import pieces
from fieldcast.models.gaps.local_kriging import VALUE
from fieldcast.models.gaps.reach import present_variables
from fieldcast.models.gaps.record import Filler, Parameters
from fieldcast.models.gaps.trial import ErrorStatistics, Trial, error_statistics, run_trial
from fieldcast.models.random_streams import seed_for
from fieldcast.models.replicas import choose_device
from fieldcast.models.source_code import code_in
from fieldcast.runtime import Hurry, Progress, until_interrupted

LOG = logging.getLogger(__name__)
TENSORS = ("error", "spread", "mean_of_series")  # fields of a trial that are tensors
PREDICTORS = ("predictors", "predictors_of_series")  # fields of a trial that are tuples of tensors
PARAMETER = "parameter."  # beginning of the names of a trial's parameters, and of those of the last round
# time of a trial whose fit begins with the parameters of another one, as a share of that of the first, and of kriging
BEGUN, BEGUN_KRIGING = 0.45, 0.75
FILL = 1.5  # time of the fill of the whole, with its tables, as a multiple of that of such a fit
RIVAL = 2.0  # distance from the best method, in paired errors, up to which another may be better
LENGTH = 60  # number of times in a stretch of a record, of which a figure shows the series


@dataclass(eq=False)
class Tried:
    """Rounds of the race, and trials with the whole record.

    Parameters
    ----------
    rounds
        The rounds so far.
    finalists
        Methods that are fitted to the whole record; empty while the race goes on.
    trials
        The first trial of each finalist, and then those of the best ones with further selections of held-out values.
    of_kriging
        Parameters of kriging in the last round, with which the fit of the next one begins.
    seconds
        Time of each method on the samples and on the whole, each with its share of the work of the whole; no
        part of the result.
    fill_seconds
        Expected time of the fill of the whole record; no part of the result.
    ended_early
        Whether the user ended the race.
    """

    rounds: list[Round] = field(default_factory=list)
    finalists: list[str] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    of_kriging: Parameters = field(default_factory=Parameters)
    seconds: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    fill_seconds: float = 0.0
    ended_early: bool = False

    @property
    def compared(self) -> Sequence[Trial]:
        """The first trial of each finalist, all at the same held-out values."""
        return self.trials[: len(self.finalists)]

    def of(self, name: str) -> Sequence[Trial]:
        """The trials of a method, in the order of the selections of held-out values."""
        return [trial for trial in self.trials if trial.name == name]

    @property
    def best(self) -> Trial:
        """The first trial of the method with the smallest mean CRPS, of those with trials at most selections."""
        by_name = [self.of(name) for name in dict.fromkeys(trial.name for trial in self.trials)]
        most = max(map(len, by_name))
        complete = [trials for trials in by_name if len(trials) == most]
        return min(complete, key=lambda trials: sum(trial.crps for trial in trials))[0]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Fields with gaps, and the values that are held out from the methods.

    Parameters
    ----------
    fields
        Fields that ingestion made. Their record, which is as large, is made on demand and not kept in memory.
    mappings
        Quantities of the variables that are mapped.
    errors
        Errors of the observed values.
    seed
        Seed of the held-out values.
    held_out
        Values at which the methods are compared, as anomalies from the climatology of the visible values.
    linear
        Errors of linear interpolation in time at the held-out values.
    lineage
        Everything that the trials depend on.
    fillers
        Methods to compare, by name.
    rounds
        Number of rounds after which the best method is taken, one of them on a record too small for a race; by default
        a race goes on to its end.
    """

    fields: xr.Dataset
    mappings: Quantities
    errors: Errors
    seed: int
    held_out: HeldOut
    linear: Float[Tensor, " held_out"]
    lineage: Mapping[str, Any]
    fillers: Mapping[str, Filler]
    rounds: int | None = None

    @classmethod
    def of(
        cls, fields: xr.Dataset, seed: int, device: str, fillers: Mapping[str, Filler] = FILLERS,
        chosen: Quantities = MappingProxyType({}),
        errors: Errors = NO_ERRORS,
    ) -> Comparison:  # fmt: skip
        """Hold out values of fields that ingestion made."""
        refuse_complete(fields)
        gappy = GappyRecord.of(fields, choose_device(device), chosen, errors)
        held_out = gappy.hold_out(seed)
        check_held_out(gappy, held_out)
        visible = gappy.without(held_out.mask, fields)
        del gappy
        held_out = held_out.of_record(visible.record)
        lineage = {
            "data": fields.attrs["digest"], "seed": seed, "methods": list(fillers), "selections": SELECTIONS,
            "predictors": list(ErrorPredictors._fields), "format": FORMAT, "device": visible.record.x.device.type,
            "code": code_in(
                gaps.__name__, race.__name__, climatology.__name__, *(each.__module__ for each in fillers.values())
            ),
        }  # fmt: skip
        if chosen:
            states = {name: quantity.state() for name, quantity in chosen.items()}
            lineage |= {"quantities": states, "code of quantities": code_in(quantities.__name__)}
        if names := domain.predicted_variables(fields):
            lineage |= {"predicted": names, "code of predictors": code_in(GappyRecord.__module__)}
        if visible.record.noise is not None:
            lineage["errors"] = tensor_digest({"noise": visible.record.noise.cpu()})
        return cls(fields, chosen, errors, seed, held_out, linear_errors(visible, held_out), lineage, fillers)

    def record(self) -> GappyRecord:
        """The record of the fields."""
        return GappyRecord.of(self.fields, self.held_out.time.device, self.mappings, self.errors)

    def visible(self) -> GappyRecord:
        """The record without the held-out values."""
        return self.record().without(self.held_out.mask, self.fields).with_latent_values()

    def trials(self, previous: bytes | None = None) -> Iterator[tuple[Tried, bytes]]:
        """Race the methods (`race`), try those that are left, and the best of them at all selections.

        After each round and each trial, yield all so far, also as the bytes of a file; those of a `previous` file are
        kept, but a race that was ended early goes on.
        """
        tried = from_file(previous, self.lineage, self.held_out.time.device)
        if tried.ended_early:
            tried = Tried(tried.rounds, of_kriging=tried.of_kriging)
        if tried.rounds or tried.trials:
            yield tried, to_file(tried, self.lineage)
            if not tried.trials or len(tried.of(tried.best.name)) < len(self.selections):
                done = [f"{len(tried.rounds)} rounds"] * bool(tried.rounds) + [
                    trial.name for trial in tried.trials
                ]
                LOG.info("Resuming after the trials of %s.", ", ".join(done))
        for _ in self.remaining(tried):
            yield tried, to_file(tried, self.lineage)

    def remaining(self, tried: Tried) -> Iterator[None]:
        """Add the remaining rounds and trials, one at each step."""
        done = len(tried.rounds) + len(tried.trials)
        begun, spent = time.perf_counter(), [0.0] * done
        total = len(tried.rounds) + len(tried.finalists or self.fillers) + self.number_of_selections
        with Progress(total=total, initial=done, unit="step") as bar:
            for _ in self.steps(tried):
                spent.append(time.perf_counter() - begun)
                bar.work = [*spent, *self.foreseen(tried, spent[-1])]
                bar.total = len(bar.work)
                bar.update()
                tried.fill_seconds = bar.work[-1] * bar.counted / max(sum(spent), 1e-9)
                yield
                begun = time.perf_counter()

    def steps(self, tried: Tried) -> Iterator[None]:
        """Take the remaining rounds and trials."""
        try:
            if not tried.finalists:
                yield from self.race(tried)
            trials = self.method_trials(left := tried.finalists[len(tried.trials) :])
            for name in left:
                begun = time.perf_counter()
                with until_interrupted(len(self.fillers) > 1):
                    trial = next(trials)
                tried.trials.append(trial)
                tried.seconds.setdefault(name, []).append((1.0, time.perf_counter() - begun))
                if name == left[-1]:
                    del trials  # which keeps the record in memory
                    _ = self.selections  # the first repeated trial then takes as long as the others
                yield
        except Hurry:
            self.end_early(tried)
        if not tried.trials:  # after the error, which keeps the record that it met in memory
            tried.trials += self.method_trials(tried.finalists)
            yield
        for selection in range(1, len(self.selections)):
            for first in self.rivals(tried, selection):
                if len(tried.of(first.name)) == selection:
                    tried.trials.append(self.repeat_trial(first, selection))
                    yield

    def rivals(self, tried: Tried, selection: int) -> list[Trial]:
        """The first trials of the methods that may be the best one, by their trials at the selections before one.

        If the record is small, they are those whose distance from the smallest mean CRPS is at most `RIVAL` times its
        paired error.
        """
        trials = {name: tried.of(name)[:selection] for name in tried.finalists}
        trials = {name: each for name, each in trials.items() if len(each) == selection}
        crps = {name: sum(trial.crps for trial in each) for name, each in trials.items()}
        best = min(crps, key=crps.__getitem__)
        if np.prod(self.held_out.shape) > SMALL:
            return [trials[best][0]]
        scored = {name: [*map(scored_trial, each, self.selections)] for name, each in trials.items()}
        return [
            each[0]
            for name, each in trials.items()
            if (gap := difference(scored[name], scored[best]))[0] <= RIVAL * gap[1] or name == best
        ]

    def foreseen(self, tried: Tried, last: float) -> list[float]:
        """Expected time of the steps that are left; the fill of the whole record is the last one.

        In the race, the best method so far is expected to be fitted whole, and the second of them every other time.
        `last` is the time of the last step.
        """
        seconds, rounds, names = tried.seconds, [], list(tried.finalists)
        trials = [expected_seconds(seconds, name, last) for name in names[len(tried.trials) :]]
        if not names:
            last_round = tried.rounds[-1]
            racing, share = staying(tried.rounds, last=False), GROWTH * last_round.share
            while share <= LARGEST_DOUBLED and len(racing) > 1:
                rounds.append(sum(expected_seconds(seconds, name, last, share) for name in racing))
                share *= GROWTH
            names = staying(tried.rounds, last=True)
            names = sorted(names, key=lambda name: last_round.standings[name].crps)[:2]
            first, *second = (expected_seconds(seconds, name, last) for name in names)
            trials = [first + sum(second) / 2]
        best = names[0]
        if len(tried.trials) >= len(tried.finalists) > 0:
            best = tried.best.name
        elif tried.rounds:
            crps = {name: place.crps for name, place in tried.rounds[-1].standings.items() if name in names}
            best = min(crps, key=crps.__getitem__, default=best)
        done = len(tried.of(best))
        begun = BEGUN_KRIGING if best == KRIGING else BEGUN
        fit = last if done > 1 else begun * expected_seconds(seconds, best, last)
        fill = FILL * fit + (self.missing * runtime.seconds_of(VALUE) if best == KRIGING else 0.0)
        return [*rounds, *trials, *[fit] * (self.number_of_selections - max(done, 1)), fill]

    @cached_property
    def missing(self) -> int:
        """Number of missing values in cells that have values at other times."""
        return number_missing(self.fields)

    def end_early(self, tried: Tried) -> None:
        """End the race with the best method so far: of the trials, of the last round, or else the quickest one."""
        tried.ended_early, tried.finalists = True, [trial.name for trial in tried.trials]
        if not tried.trials:
            now = tried.rounds[-1].standings if tried.rounds else {}
            quickest = [name for name in self.fillers if name in FILLERS][-1:] or [*self.fillers]
            tried.finalists = [min(now, key=lambda name: now[name].crps, default=quickest[0])]
        LOG.info("The race ends early, with %s.", ", ".join(tried.finalists))

    def race(self, tried: Tried) -> Iterator[None]:
        """Add the remaining rounds, and then the names of the finalists.

        Only the methods of `fillers` can fill a part of the record; any other is a finalist.
        """
        racing = [name for name in self.fillers if name in FILLERS]
        visible = self.visible().record
        held_out = self.held_out.of_record(visible)
        fewest = 1 if self.rounds else race.MIN_ROUNDS
        parts = samples(visible, held_out, fewest)[: self.rounds] if len(racing) > 1 else []
        for number, part in enumerate(parts, start=1):
            if number > len(tried.rounds):
                fillers, found = {name: self.fillers[name] for name in racing}, Parameters()
                if fillers.get(KRIGING) is local_kriging:
                    start = tried.of_kriging or None
                    fillers[KRIGING] = partial(local_kriging, fitted=found, start=start, draws=DRAWS)
                with until_interrupted():
                    outcome = run_round(part, fillers, visible, held_out, tried.seconds)
                tried.rounds.append(outcome)
                tried.of_kriging = found
                if self.rounds and number == len(parts):
                    self.end_early(tried)
                yield
                if tried.finalists:
                    return
            racing = staying(tried.rounds[:number], last=number == len(parts))
            if len(racing) == 1:
                break
        tried.finalists = [name for name in self.fillers if name in racing or name not in FILLERS]

    def method_trials(self, names: Sequence[str]) -> Iterator[Trial]:
        """Run the trials of some methods, which also fill the series for figures."""
        gappy, requested = self.visible(), self.held_out.mask
        _, columns = stretches(gappy, requested)
        requested[:, columns] = True
        visible = replace(gappy.record, requested=requested)
        held_out = self.held_out.of_record(visible)
        for name in names:
            LOG.info("Trying %s.", name)
            filler, parameters = self.fitting(name)
            trial = run_trial(name, filler, visible, held_out, columns)
            trial = replace(trial, parameters=parameters)
            LOG.info("%s: CRPS %.3f at held-out values, in %s", name, trial.crps, self.scale)
            yield trial

    def fitting(self, name: str, start: Parameters | None = None) -> tuple[Filler, Parameters]:
        """A method that begins with parameters, and the dictionary that it fills with those that it ends with."""
        filler, parameters = self.fillers[name], Parameters()
        if filler is FILLERS.get(name):
            filler = partial(FILLERS[name], fitted=parameters, start=start or None)
        return filler, parameters

    @property
    def scale(self) -> str:
        """Unit of the CRPS of a trial."""
        return f"{'mapped ' if self.mappings else ''}anomaly standard deviations"

    @property
    def number_of_selections(self) -> int:
        """Number of selections, of which a large record makes none before it needs them."""
        return SELECTIONS if np.prod(self.held_out.shape) > SMALL else len(self.selections)

    @cached_property
    def selections(self) -> Sequence[HeldOut]:
        """All selections of held-out values.

        The methods are compared at the first, and those of a small record between which it does not decide at others.
        """
        gappy, selections = self.record(), [self.held_out]
        while are_few(selections, gappy.record.x.numel()):
            selections.append(gappy.hold_out(seed_for("selection", self.seed, len(selections))))
        return selections

    def repeat_trial(self, best: Trial, selection: int) -> Trial:
        """Run the trial of a method with another selection of held-out values; the fit begins with that of `best`."""
        gappy, name, held_out = self.record(), best.name, self.selections[selection]
        visible = gappy.without(held_out.mask, self.fields).with_latent_values().record
        del gappy
        held_out, visible = held_out.of_record(visible), replace(visible, requested=held_out.mask)
        trial = run_trial(name, self.fitting(name, best.parameters)[0], visible, held_out)
        LOG.info("%s: CRPS %.3f at other held-out values", name, trial.crps)
        return trial

    def error_statistics(self, tried: Tried) -> ErrorStatistics:
        """Errors of the best method at all selections of held-out values, and their variance; empties `tried` of them.

        The repeated trials of `tried` keep their scores only, in place, so that memory holds their errors once: a
        second call would find those of the first selection alone.
        """
        statistics, first = error_statistics(tried.of(tried.best.name), self.selections), len(tried.compared)
        tried.trials[first:] = [each.without_errors() for each in tried.trials[first:]]
        return statistics

    def series(self, tried: Tried, variances: ErrorVariances) -> pd.DataFrame:
        """A stretch of each variable with most held-out values, as the methods fill it, in units of the variables.

        Columns: `variable, latitude, longitude, time`; `observed` and `hidden`, the values that the methods see and
        the held-out ones, NaN elsewhere; `filled`, with its 90 % interval from `low` to `high`, of the best method,
        `dineof`, if it was a finalist and where a time has values, and `linear_in_time`. The interval is that of the
        root of `variances`.
        """
        visible, mask, best = self.visible(), self.held_out.mask, tried.best
        begins, columns = stretches(visible, mask)
        truth, observed = visible.record.x[:, columns], visible.record.observed[:, columns]
        scale, climatology = visible.scale[columns], visible.climatology(columns)
        empty = ~present_variables(
            visible.record.observed, visible.variable
        )  # times of which DINEOF knows nothing
        anomalies = {
            "filled": best.mean_of_series,
            **{
                trial.name: trial.mean_of_series.masked_fill(empty, torch.nan)
                for trial in tried.compared
                if trial.name == dineof.__name__
            },
            "linear_in_time": visible.linear_in_time(columns),
            "observed": torch.where(observed, truth, torch.nan),
            "hidden": torch.where(mask[:, columns], truth, torch.nan),
        }
        series = {name: x * scale + climatology for name, x in anomalies.items()}
        spread = variances(best.predictors_of_series, empty).sqrt()
        spread = spread.masked_fill(observed, 0.0) * scale
        codec, times, tables = visible.codec, calendars.iso(visible.times), []
        cells = visible.has_column.nonzero()[columns.cpu()].tolist()
        for variable, begin in zip(visible.own, begins, strict=True):
            name, _, parts = variable
            _, y, x = cells[parts[0]]
            place = {"latitude": codec.latitude[y], "longitude": codec.longitude[x]}
            if is_curvilinear(self.fields):
                place = {
                    axis: self.fields[true].values[y, x] for axis, true in zip(GRID, TRUE_GRID, strict=True)
                }
            stretch = slice(begin, begin + LENGTH), slice(parts.start, parts.stop)
            values = {kind: np.asarray(x[stretch].T.cpu()) for kind, x in series.items()}
            own = own_series(visible, variable, values, np.asarray(spread[stretch].T.cpu()))
            tables.append(pd.DataFrame({"variable": name, **place, "time": times[stretch[0]]} | own))
        return pd.concat(tables, ignore_index=True)


def stretches(
    visible: GappyRecord, held_out: Bool[Tensor, "time column"]
) -> tuple[list[int], Int[Tensor, " variable"]]:
    """First time of a stretch of each variable, with most held-out and visible values, and the columns of its parts."""
    begins, columns, length = [], [], min(LENGTH, len(visible.times))
    for _, _, parts in visible.own:
        of_variable = visible.columns_of(parts[0])
        first, column = most_held_out_stretch(
            held_out[:, of_variable], visible.record.observed[:, of_variable], length
        )
        begins.append(first)
        columns += [visible.columns_of(part).start + column for part in parts]
    return begins, torch.tensor(columns, device=held_out.device)


def own_series(
    visible: GappyRecord, variable: OwnVariable,
    values: Mapping[str, Float[np.ndarray, "part time"]], spread: Float[np.ndarray, "part time"],
) -> dict[str, Float[np.ndarray, " time"]]:  # fmt: skip
    """Series in own units, with the interval of 90 % of `filled`."""
    quantity = variable.quantity
    if quantity is None:
        low, high = (values["filled"][0] + float(ndtri(p)) * spread[0] for p in CENTRAL)
        return {name: x[0] for name, x in values.items()} | {"low": low, "high": high}
    own = {name: quantity.inverse(x) for name, x in values.items()}
    moments = quantity.moments(values["filled"], spread)
    return own | {"filled": moments.mean, "low": moments.low, "high": moments.high}


def most_held_out_stretch(
    held_out: Bool[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], length: int
) -> tuple[int, int]:
    """First time and cell of the stretch of `length` times with most held-out and most visible values.

    The product of the two numbers decides; the first of several equal ones is taken.
    """
    best = []
    for cells in pieces(held_out.shape[1], len(held_out)):
        totals = []
        for present in (held_out[:, cells], observed[:, cells]):
            total = torch.cat(
                [torch.zeros_like(present[:1], dtype=torch.int32), present.cumsum(0, dtype=torch.int32)]
            )
            totals.append(total[length:] - total[:-length])
        product = totals[0] * totals[1]
        first, cell = divmod(int(product.argmax()), product.shape[1])
        best.append((-int(product[first, cell]), first, cells.start + cell))
    return min(best)[1:]


def refuse_complete(fields: xr.Dataset) -> None:
    """Refuse fields without gaps."""
    if not domain.has_gaps(fields) or (domain.masked(fields) is not None and not number_missing(fields)):
        by_mask = "" if domain.masked(fields) is None else ", or by the mask"
        raise InputError(
            f"no value of the data is missing, except in cells that never have one{by_mask}: there is nothing to "
            "fill. If gaps are coded as a number, declare it as the attribute _FillValue."
        )


def number_missing(fields: xr.Dataset) -> int:
    """Number of missing values in cells that have values at other times, without the masked ones."""
    masked, total = domain.masked(fields), 0
    for name in time_varying(fields):
        present = fields[name].notnull()
        missing = ~present & present.any("time")
        total += int((missing if masked is None else missing & ~masked).sum())
    return total


def check_held_out(gappy: GappyRecord, held_out: HeldOut) -> None:
    """Refuse a record of which no value could be held out."""
    if not len(held_out.time):
        observed = gappy.record.observed
        raise InputError(
            f"the record has observed values at {int(observed.any(1).sum())} of {len(observed)} times, too few to "
            "hold some out and compare the methods there: give a longer record."
        )


def linear_errors(visible: GappyRecord, held_out: HeldOut) -> Float[Tensor, " held_out"]:
    """Errors of linear interpolation in time at the held-out values."""
    errors = -held_out.truth.double()
    for columns in pieces(*held_out.shape[::-1]):
        in_piece = (held_out.cell >= columns.start) & (held_out.cell < columns.stop)
        filled = visible.linear_in_time(columns)
        errors[in_piece] += filled[held_out.time[in_piece], held_out.cell[in_piece] - columns.start].double()
    return errors


def to_file(tried: Tried, lineage: Mapping[str, Any]) -> bytes:
    """All that was tried as the bytes of a file."""
    tensors = {f"{PARAMETER}{name}": x for name, x in tried.of_kriging.items()}
    for number, trial in enumerate(tried.trials):
        tensors |= {f"{number}.{name}": getattr(trial, name) for name in TENSORS}
        for name in PREDICTORS:
            tensors |= {
                f"{number}.{name}.{predictor}": x for predictor, x in getattr(trial, name)._asdict().items()
            }
        tensors |= {f"{number}.{PARAMETER}{name}": x for name, x in trial.parameters.items()}
    numbers = [{"name": trial.name, "crps": trial.crps, "of_all": trial.of_all} for trial in tried.trials]
    return pack_state(
        tensors, lineage, len(tried.trials), trials=numbers, rounds=tried.rounds, finalists=tried.finalists,
        ended_early=tried.ended_early,
    )  # fmt: skip


def methods_in(file: bytes) -> list[str]:
    """Names of the methods that the trials of a file compare."""
    return list(unpack_state(file, "The file of gap trials")[1].get("lineage", {}).get("methods", ()))


def from_file(file: bytes | None, lineage: Mapping[str, Any], device: torch.device) -> Tried:
    """All that a file of this lineage holds, on a device; nothing for a file of another lineage."""
    tensors, header, _ = resume(file, lineage, "gap trials")
    trials = []
    for number, numbers in enumerate(header.get("trials", ())):
        values: dict[str, Any] = {name: tensors[f"{number}.{name}"].to(device) for name in TENSORS}
        for name in PREDICTORS:
            values[name] = ErrorPredictors(
                *(tensors[f"{number}.{name}.{predictor}"].to(device) for predictor in ErrorPredictors._fields)
            )
        values["parameters"] = parameters_in(tensors, f"{number}.{PARAMETER}", device)
        trials.append(Trial(**{**numbers, **values}))
    rounds = [
        Round(times, cells, share, {name: Standing(*numbers) for name, numbers in standings.items()})
        for times, cells, share, standings in header.get("rounds", ())
    ]
    of_kriging = parameters_in(tensors, PARAMETER, device)
    return Tried(
        rounds, header.get("finalists", []), trials, of_kriging, ended_early=header.get("ended_early", False)
    )


def parameters_in(tensors: Mapping[str, Tensor], beginning: str, device: torch.device) -> Parameters:
    """The parameters whose names begin so, on a device."""
    return Parameters(
        {
            name.removeprefix(beginning): x.to(device)
            for name, x in tensors.items()
            if name.startswith(beginning)
        }
    )
