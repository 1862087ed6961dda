"""Trials of the methods that fill gaps, one after another, and the file from which interrupted trials resume."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from fieldcast import calendars
from fieldcast.encoding.checkpoint import FORMAT
from fieldcast.encoding.device import choose_device
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.encoding.resumable import pack_state, resume
from fieldcast.encoding.tensor_file import unpack_state
from fieldcast.errors import InputError
from fieldcast.fields import domain
from fieldcast.models import gaps
from fieldcast.models.gaps.error_variance import ErrorPredictors, ErrorVariances
from fieldcast.models.gaps.fillers import FILLERS, dineof
from fieldcast.models.gaps.hiding import SELECTIONS, Hidden, hide_values
from fieldcast.models.gaps.in_time import pieces
from fieldcast.models.gaps.reach import nearest_observation, present_variables
from fieldcast.models.gaps.record import Filler, Record
from fieldcast.models.gaps.trial import ErrorStatistics, Trial, error_statistics, run_trial
from fieldcast.models.random_streams import seed_for
from fieldcast.models.source_code import code_in
from fieldcast.runtime import Progress

# A stretch of each variable in which values are hidden, as the methods fill it: the table of a figure.


LENGTH = 60  # number of times in a stretch


@dataclass(frozen=True, eq=False)
class Stretches:
    """Series of one column of each variable, which has hidden and other observed values close together.

    Parameters
    ----------
    columns
        Numbers of the columns in the record.
    begins
        First time of each stretch.
    locations
        Variable, latitude and longitude of each column.
    times
        Dates of the record.
    truth, linear
        Anomalies of the values, and those of linear interpolation in time.
    climatology, scale
        Climatology and standard deviation of the anomalies, in units of the variable.
    observed, hidden
        Masks of the values that the methods see, and of those hidden from them.
    empty
        Times at which the methods see no value of a variable.
    """

    columns: Int[Tensor, " variable"]
    begins: Int[Tensor, " variable"]
    locations: list[dict[str, str | float]]
    times: Shaped[np.ndarray, " time"]
    truth: Float[Tensor, "time variable"]
    linear: Float[Tensor, "time variable"]
    climatology: Float[Tensor, "time variable"]
    scale: Float[Tensor, " variable"]
    observed: Bool[Tensor, "time variable"]
    hidden: Bool[Tensor, "time variable"]
    empty: Bool[Tensor, "time variable"]

    @classmethod
    def of(cls, visible: GappyRecord, hidden: Hidden) -> Stretches:
        """The stretches with most hidden and most visible values; `visible` is the record without the hidden ones."""
        observed, mask, codec = visible.record.observed, hidden.mask, visible.codec
        series, begins = [], []
        for v in range(len(codec.variables)):
            columns_of_variable = (visible.variable == v).nonzero()[:, 0]
            length = min(LENGTH, len(visible.times))
            first, column = most_hidden_stretch(
                mask[:, columns_of_variable], observed[:, columns_of_variable], length
            )
            series.append(columns_of_variable[column])
            begins.append(first)
        columns = torch.stack(series)
        locations: list[dict[str, str | float]] = [
            {
                "variable": codec.variables[v],
                "latitude": codec.latitude[y],
                "longitude": codec.longitude[x],
            }
            for v, y, x in visible.has_column.nonzero()[columns.cpu()].tolist()
        ]
        return cls(
            columns, torch.tensor(begins), locations, calendars.iso(visible.times), visible.record.x[:, columns],
            visible.linear_in_time(columns), visible.climatology(columns), visible.scale[columns], observed[:, columns],
            mask[:, columns], ~present_variables(observed, visible.variable),
        )  # fmt: skip

    def table(self, best: Trial, dineof: Trial, variances: ErrorVariances) -> pd.DataFrame:
        """The series in units of their variables.

        Columns: `variable, latitude, longitude, time`; `observed` and `hidden`, the values that the methods
        see and those hidden from them, NaN elsewhere; `filled` and `spread` of the best method, `dineof` and
        `linear_in_time`. The spread is the root of `variances`.
        """
        anomalies = {
            "filled": best.mean_of_series,
            "dineof": dineof.mean_of_series,
            "linear_in_time": self.linear,
            "observed": torch.where(self.observed, self.truth, torch.nan),
            "hidden": torch.where(self.hidden, self.truth, torch.nan),
        }
        columns = {name: x * self.scale + self.climatology for name, x in anomalies.items()}
        spread = variances(best.predictors_of_series, self.empty).sqrt()
        columns["spread"] = spread.masked_fill(self.observed, 0.0) * self.scale
        tables = []
        for number, location in enumerate(self.locations):
            first = int(self.begins[number])
            stretch = slice(first, first + LENGTH)
            values = {name: np.asarray(values[stretch, number].cpu()) for name, values in columns.items()}
            tables.append(pd.DataFrame(location | {"time": self.times[stretch]} | values))
        return pd.concat(tables, ignore_index=True)


def most_hidden_stretch(
    hidden: Bool[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], length: int
) -> tuple[int, int]:
    """First time and cell of the stretch of `length` times with most hidden and most visible values.

    The product of the two numbers decides; the first of several equal ones is taken.
    """
    totals = []
    for present in (hidden, observed):
        total = torch.cat(
            [torch.zeros_like(present[:1], dtype=torch.int32), present.cumsum(0, dtype=torch.int32)]
        )
        totals.append(total[length:] - total[:-length])
    best = int((totals[0] * totals[1]).argmax())
    return divmod(best, hidden.shape[1])


LOG = logging.getLogger(__name__)
TENSORS = ("error", "spread", "mean_of_series")  # fields of a trial that are tensors
PREDICTORS = ("predictors", "predictors_of_series")  # fields of a trial that are tuples of tensors


@dataclass(frozen=True, eq=False)
class Comparison:
    """Fields with gaps, and the values that are hidden from the methods.

    Parameters
    ----------
    fields
        Fields that ingestion made. Their record, which is as large, is made on demand and not kept in memory.
    seed
        Seed of the hidden values.
    hidden
        Values at which the methods are compared, as anomalies from the climatology of the visible values.
    linear
        Errors of linear interpolation in time at the hidden values.
    stretches
        Series for figures.
    lineage
        Everything that the trials depend on.
    fillers
        Methods to compare, by name.
    """

    fields: xr.Dataset
    seed: int
    hidden: Hidden
    linear: Float[Tensor, " hidden"]
    stretches: Stretches
    lineage: Mapping[str, Any]
    fillers: Mapping[str, Filler]

    @classmethod
    def of(
        cls, fields: xr.Dataset, seed: int, device: str, fillers: Mapping[str, Filler] = FILLERS
    ) -> Comparison:
        """Hide values of fields that ingestion made."""
        if not domain.has_gaps(fields):
            raise InputError(
                "no value of the data is missing, except in cells that never have one: there is nothing to fill. If "
                "gaps are coded as a number, declare it as the attribute _FillValue."
            )
        gappy = GappyRecord.of(fields, choose_device(device))
        hidden, observed = hide_values(gappy.record, seed), gappy.record.observed
        if not len(hidden.time):
            raise InputError(
                f"the record has observed values at {int(observed.any(1).sum())} of {len(observed)} times, too few to "
                "hide some and compare the methods there: give a longer record."
            )
        visible = gappy.without(hidden.mask, fields)
        del gappy, observed
        hidden = replace(hidden, truth=hidden.at(visible.record.x))
        lineage = {
            "data": fields.attrs["digest"], "seed": seed, "methods": list(fillers), "selections": SELECTIONS,
            "predictors": list(ErrorPredictors._fields), "format": FORMAT, "device": visible.record.x.device.type,
            "code": code_in(gaps.__name__, *(filler.__module__ for filler in fillers.values())),
        }  # fmt: skip
        return cls(
            fields,
            seed,
            hidden,
            linear_errors(visible, hidden),
            Stretches.of(visible, hidden),
            lineage,
            fillers,
        )

    def record(self) -> GappyRecord:
        """The record of the fields."""
        return GappyRecord.of(self.fields, self.hidden.time.device)

    def trials(self, earlier: bytes | None = None) -> Iterator[tuple[list[Trial], bytes]]:
        """Try all methods, and the best of them with further selections of hidden values, `SELECTIONS` in all.

        After each trial, yield all trials so far, also as the bytes of a file; those of an `earlier` file are kept.
        """
        trials = from_file(earlier, self.lineage, self.hidden.time.device)
        if trials:
            yield trials, to_file(trials, self.lineage)
        if 0 < len(trials) < self.number:
            LOG.info("Resuming after the trials of %s.", ", ".join(trial.name for trial in trials))
        with self.progress(len(trials)) as bar:
            for trial in self.remaining_trials(trials):
                trials.append(trial)
                bar.update()
                yield trials, to_file(trials, self.lineage)

    @property
    def number(self) -> int:
        """Number of trials."""
        return len(self.fillers) + SELECTIONS - 1

    def progress(self, done: int) -> Progress:
        """A bar of all fits: the trials, and the filling of the whole record, which takes about as long as one."""
        return Progress(total=self.number + 1, initial=done, unit="fit")

    def remaining_trials(self, trials: Sequence[Trial]) -> Iterator[Trial]:
        """Run the remaining trials; the caller appends each one to the sequence."""
        if len(trials) < len(self.fillers):
            yield from self.method_trials(list(self.fillers)[len(trials) :])
        best = self.best(trials)
        for selection in range(len(trials) - len(self.fillers) + 1, SELECTIONS):
            yield self.repeat_trial(best.name, selection)

    def method_trials(self, names: Sequence[str]) -> Iterator[Trial]:
        """Run the trials of some methods, which also fill the series for figures."""
        gappy, columns = self.record().without(self.hidden.mask, self.fields), self.stretches.columns
        requested = self.hidden.mask
        requested[:, columns] = True
        visible = replace(gappy.record, requested=requested)
        distance = nearest_observation(visible.observed, visible.columns, requested)
        for name in names:
            LOG.info("Trying %s.", name)
            trial = run_trial(name, self.fillers[name], visible, self.hidden, distance, columns)
            LOG.info("%s: CRPS %.3f at hidden values, in anomaly standard deviations", name, trial.crps)
            yield trial

    def selection(self, record: Record, number: int) -> Hidden:
        """A selection of hidden values; the methods are compared at the first, number 0."""
        return hide_values(record, seed_for("selection", self.seed, number) if number else self.seed)

    def repeat_trial(self, name: str, selection: int) -> Trial:
        """Run the trial of a method with another selection of hidden values."""
        gappy = self.record()
        hidden = self.selection(gappy.record, selection)
        visible = replace(gappy.without(hidden.mask, self.fields).record, requested=hidden.mask)
        del gappy
        hidden = replace(hidden, truth=hidden.at(visible.x))
        distance = nearest_observation(visible.observed, visible.columns, hidden.mask)
        trial = run_trial(name, self.fillers[name], visible, hidden, distance)
        LOG.info("%s: CRPS %.3f at other hidden values", name, trial.crps)
        return trial

    def comparable_trials(self, trials: Sequence[Trial]) -> Sequence[Trial]:
        """The first trial of each method, all at the same hidden values."""
        return trials[: len(self.fillers)]

    def best(self, trials: Sequence[Trial]) -> Trial:
        """The trial with the smallest CRPS at the hidden values that all methods share."""
        return min(self.comparable_trials(trials), key=lambda trial: trial.crps)

    def error_statistics(self, trials: Sequence[Trial]) -> ErrorStatistics:
        """Errors of the best method at all selections of hidden values, and their variance."""
        record = self.record().record
        others = [self.selection(record, number) for number in range(1, SELECTIONS)]
        return error_statistics([self.best(trials), *trials[len(self.fillers) :]], [self.hidden, *others])

    def series(self, trials: Sequence[Trial], variances: ErrorVariances) -> pd.DataFrame:
        """The stretches as the best method and DINEOF fill them, in units of the variables."""
        by_dineof = next(trial for trial in trials if trial.name == dineof.__name__)
        return self.stretches.table(self.best(trials), by_dineof, variances)


def linear_errors(visible: GappyRecord, hidden: Hidden) -> Float[Tensor, " hidden"]:
    """Errors of linear interpolation in time at the hidden values."""
    errors = -hidden.truth
    for columns in pieces(*hidden.shape[::-1]):
        in_piece = (hidden.cell >= columns.start) & (hidden.cell < columns.stop)
        filled = visible.linear_in_time(columns)
        errors[in_piece] += filled[hidden.time[in_piece], hidden.cell[in_piece] - columns.start].double()
    return errors


def to_file(trials: list[Trial], lineage: Mapping[str, Any]) -> bytes:
    """Trials as the bytes of a file."""
    tensors: dict[str, Tensor] = {}
    for number, trial in enumerate(trials):
        tensors |= {f"{number}.{name}": getattr(trial, name) for name in TENSORS}
        for name in PREDICTORS:
            tensors |= {
                f"{number}.{name}.{predictor}": x for predictor, x in getattr(trial, name)._asdict().items()
            }
    numbers = [{"name": trial.name, "crps": trial.crps} for trial in trials]
    return pack_state(tensors, lineage, len(trials), trials=numbers)


def methods_in(file: bytes) -> list[str]:
    """Names of the methods that the trials of a file compare."""
    return list(unpack_state(file, "The file of gap trials")[1].get("lineage", {}).get("methods", ()))


def from_file(file: bytes | None, lineage: Mapping[str, Any], device: torch.device) -> list[Trial]:
    """Trials from a file of this lineage, on a device; an empty list for a file of another lineage."""
    tensors, header, _ = resume(file, lineage, "gap trials")
    trials = []
    for number, numbers in enumerate(header.get("trials", ())):
        values: dict[str, Any] = {name: tensors[f"{number}.{name}"].to(device) for name in TENSORS}
        for name in PREDICTORS:
            values[name] = ErrorPredictors(
                *(tensors[f"{number}.{name}.{predictor}"].to(device) for predictor in ErrorPredictors._fields)
            )
        trials.append(Trial(**{**numbers, **values}))
    return trials
