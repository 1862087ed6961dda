"""Trials of the methods that fill gaps, one after another, and the file from which interrupted trials resume."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fieldcast.encoding.checkpoint import FORMAT
from fieldcast.encoding.device import choose_device
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.encoding.tensor_file import pack_bytes, unpack_state
from fieldcast.errors import InputError
from fieldcast.fields import domain
from fieldcast.inference.gaps_series import Stretches
from fieldcast.lineage import differences
from fieldcast.models.gaps.calibration import ErrorVariance
from fieldcast.models.gaps.fillers import FILLERS, dineof
from fieldcast.models.gaps.hiding import Hidden, hide_values
from fieldcast.models.gaps.pieces import pieces
from fieldcast.models.gaps.reach import nearest_observation
from fieldcast.models.gaps.record import Filler
from fieldcast.models.gaps.trial import Trial, run_trial

LOG = logging.getLogger(__name__)
TENSORS = ("error", "spread", "mean_of_series", "spread_of_series")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Fields with gaps, and the values that are hidden from the methods.

    Parameters
    ----------
    fields
        Fields that ingestion made. Their record, which is as large, is made when it is needed, and not kept.
    hidden
        The hidden values, as anomalies from the climatology of the values left.
    linear
        Errors of linear interpolation in time there.
    stretches
        Series for figures.
    lineage
        What the trials depend on.
    fillers
        Methods to compare, by name.
    """

    fields: xr.Dataset
    hidden: Hidden
    linear: Float[Tensor, " hidden"]
    stretches: Stretches
    lineage: Mapping[str, Any]
    fillers: Mapping[str, Filler]

    @classmethod
    def of(
        cls, fields: xr.Dataset, seed: int, device: str, fillers: Mapping[str, Filler] = FILLERS
    ) -> Comparison:
        """Hide values of fields that ingestion made.

        Raises
        ------
        InputError
            For fields without missing values, or with too few to hide some.
        """
        if not domain.has_gaps(fields):
            raise InputError(
                "no value of the data is missing, except in cells that never have one: there is nothing to fill."
            )
        gappy = GappyRecord.of(fields, choose_device(device))
        hidden, observed = hide_values(gappy.record, seed), gappy.record.observed
        if not len(hidden.time):
            raise InputError(
                f"the record has observed values at {int(observed.any(1).sum())} of {len(observed)} times, too few to "
                "hide some and compare the methods there: give a longer record."
            )
        left = gappy.without(hidden.mask, fields)
        del gappy, observed
        hidden = replace(hidden, truth=hidden.at(left.record.x))
        lineage = {
            "data": fields.attrs["digest"], "seed": seed, "methods": list(fillers), "format": FORMAT,
            "device": left.record.x.device.type,
        }  # fmt: skip
        return cls(fields, hidden, linear_errors(left, hidden), Stretches.of(left, hidden), lineage, fillers)

    def record(self) -> GappyRecord:
        """The record of the fields."""
        return GappyRecord.of(self.fields, self.hidden.time.device)

    def trials(self, earlier: bytes | None = None) -> Iterator[tuple[list[Trial], bytes]]:
        """Try the methods: after each, all trials so far, also as a file; those of an `earlier` file are kept."""
        trials = restored(earlier, self.lineage, self.hidden.time.device)
        if trials:
            yield trials, stored(trials, self.lineage)
        if len(trials) == len(self.fillers):
            return
        if trials:
            LOG.info("Resuming after the trials of %s.", ", ".join(trial.name for trial in trials))
        gappy, columns = self.record().without(self.hidden.mask, self.fields), self.stretches.columns
        scored = self.hidden.mask
        scored[:, columns] = True
        left = replace(gappy.record, requested=scored)
        distance = nearest_observation(left.observed, left.places, scored)
        for name in list(self.fillers)[len(trials) :]:
            trials.append(run_trial(name, self.fillers[name], left, self.hidden, distance, columns))
            LOG.info("%s: CRPS %.3f at hidden values, in anomaly standard deviations", name, trials[-1].crps)
            yield trials, stored(trials, self.lineage)

    def series(self, trials: Sequence[Trial]) -> pd.DataFrame:
        """The stretches as the best method and DINEOF fill them, in units of the variables."""
        return self.stretches.table(best_of(trials), next(t for t in trials if t.name == dineof.__name__))


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the smallest CRPS."""
    return min(trials, key=lambda trial: trial.crps)


def linear_errors(left: GappyRecord, hidden: Hidden) -> Float[Tensor, " hidden"]:
    """Errors of linear interpolation in time at the hidden values."""
    errors = -hidden.truth
    for columns in pieces(*hidden.shape[::-1]):
        here = (hidden.cell >= columns.start) & (hidden.cell < columns.stop)
        filled = left.linear_in_time(columns)
        errors[here] += filled[hidden.time[here], hidden.cell[here] - columns.start].double()
    return errors


def stored(trials: list[Trial], lineage: Mapping[str, Any]) -> bytes:
    """Trials as a file."""
    tensors = {f"{trial.name}.{part}": getattr(trial, part) for trial in trials for part in TENSORS}
    numbers = [
        {name: value for name, value in asdict(trial).items() if name not in TENSORS} for trial in trials
    ]
    return pack_bytes(tensors, {**lineage, "trials": numbers})


def compared(file: bytes) -> list[str]:
    """Names of the methods of the comparison that a file of trials belongs to."""
    return list(unpack_state(file, "The file of gap trials")[1].get("methods", ()))


def restored(file: bytes | None, lineage: Mapping[str, Any], device: torch.device) -> list[Trial]:
    """Trials from a file of this lineage, on a device; none from another."""
    tensors, header = unpack_state(file, "The file of gap trials")
    if not header or any(differences(header, lineage)):
        return []
    trials = []
    for numbers in header["trials"]:
        parts: dict[str, Any] = {part: tensors[f"{numbers['name']}.{part}"].to(device) for part in TENSORS}
        for kind in ("in_gaps", "at_whole_times"):
            coefficients, *limits = numbers[kind]
            parts[kind] = ErrorVariance(tuple(coefficients), *limits)
        trials.append(Trial(**{**numbers, **parts}))
    return trials
