"""Trials of the methods that fill gaps, one after another, and the file from which interrupted trials resume."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast.encoding.checkpoint import FORMAT
from fieldcast.encoding.device import choose_device
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.encoding.tensor_file import pack_bytes, unpack_state
from fieldcast.errors import InputError
from fieldcast.fields import domain
from fieldcast.lineage import differences
from fieldcast.models.gaps.record import FILLERS
from fieldcast.models.gaps.trial import Hidden, Trial, attempt, busiest, hide

LOG = logging.getLogger(__name__)
STRETCH = 60  # times of the series that a figure shows
TENSORS = ("error", "spread", "mean_of_series", "spread_of_series")


@dataclass(frozen=True, eq=False)
class Comparison:
    """A record, and what is left of it where some of its values are hidden from the methods.

    Parameters
    ----------
    gappy
        The record.
    left
        The record without the hidden values: its climatology is that of the values left.
    hidden
        The hidden values, as anomalies from that climatology.
    series
        A column of each variable that has hidden and other observed values close together.
    begins
        First time of its stretch of `STRETCH` times.
    lineage
        What the trials depend on.
    """

    gappy: GappyRecord
    left: GappyRecord
    hidden: Hidden
    series: Int[Tensor, " variable"]
    begins: Int[Tensor, " variable"]
    lineage: Mapping[str, Any]

    @classmethod
    def of(cls, fields: xr.Dataset, seed: int, device: str) -> Comparison:
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
        hidden = hide(gappy.record, gappy.area, seed)
        left = gappy.without(hidden.mask, fields)
        shift = (gappy.climatology - left.climatology) / gappy.scale
        hidden = replace(hidden, record=left.record, truth=hidden.truth + hidden.at(shift))
        series, begins = stretches(gappy, hidden)
        lineage = {
            "data": fields.attrs["digest"], "seed": seed, "methods": list(FILLERS), "format": FORMAT,
            "device": gappy.record.x.device.type,
        }  # fmt: skip
        return cls(gappy, left, hidden, series, begins, lineage)

    @property
    def linear(self) -> Float[Tensor, " hidden"]:
        """Errors of linear interpolation in time."""
        return self.hidden.at(self.left.linear_in_time(self.left.record)) - self.hidden.truth

    def trials(self, earlier: bytes | None = None) -> Iterator[tuple[list[Trial], bytes]]:
        """Try the methods: after each, all trials so far, also as a file; those of an `earlier` file are kept."""
        trials = restored(earlier, self.lineage)
        if trials:
            LOG.info("Resuming after the trials of %s.", ", ".join(trial.name for trial in trials))
            yield trials, stored(trials, self.lineage)
        for name in list(FILLERS)[len(trials) :]:
            trials.append(attempt(name, FILLERS[name], self.hidden, self.series))
            LOG.info("%s: CRPS %.3f at hidden values, in anomaly standard deviations", name, trials[-1].crps)
            yield trials, stored(trials, self.lineage)


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the smallest CRPS."""
    return min(trials, key=lambda trial: trial.crps)


def stretches(
    gappy: GappyRecord, hidden: Hidden
) -> tuple[Int[Tensor, " variable"], Int[Tensor, " variable"]]:
    """Column and first time of the stretch of each variable that shows the methods best."""
    length, left = min(STRETCH, len(gappy.times)), hidden.record.observed
    series, begins = [], []
    for v in range(len(gappy.codec.variables)):
        columns = (gappy.variable == v).nonzero()[:, 0]
        first, column = busiest(hidden.mask[:, columns], left[:, columns], length)
        series.append(columns[column])
        begins.append(first)
    return torch.stack(series), torch.tensor(begins)


def stored(trials: list[Trial], lineage: Mapping[str, Any]) -> bytes:
    """Trials as a file."""
    tensors = {f"{trial.name}.{part}": getattr(trial, part) for trial in trials for part in TENSORS}
    numbers = [
        {name: value for name, value in asdict(trial).items() if name not in TENSORS} for trial in trials
    ]
    return pack_bytes(tensors, {**lineage, "trials": numbers})


def restored(file: bytes | None, lineage: Mapping[str, Any]) -> list[Trial]:
    """Trials from a file of this lineage; none from another."""
    tensors, header = unpack_state(file, "the trials of an earlier run")
    if not header or any(differences(header, lineage)):
        return []
    trials = []
    for numbers in header["trials"]:
        parts: dict[str, Any] = {part: tensors[f"{numbers['name']}.{part}"] for part in TENSORS}
        parts |= {kind: tuple(numbers[kind]) for kind in ("in_gaps", "at_whole_times")}
        trials.append(Trial(**{**numbers, **parts}))
    return trials
