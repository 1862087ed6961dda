"""The fit of a record with gaps: all that it takes to fill later times as those of the record, without fitting again.

It is kept in a file of its own beside the filled record, whose attributes name it: `tensor_file`, so that damage is
noticed and nothing is unpickled. A climatology repeats its fields on many days, which are stored once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool
from torch import Tensor

from fieldcast.encoding.gappy_record import Continued
from fieldcast.encoding.tensor_file import UNREADABLE, pack_bytes, unpack_bytes
from fieldcast.errors import InputError
from fieldcast.fields.quantities import Quantities, quantity_of
from fieldcast.models.gaps.error_variance import ErrorVariance, ErrorVariances
from fieldcast.models.gaps.record import Parameters, Statistics

SUFFIX = ".fit.safetensors"  # after the name of the filled record
NAME, DIGEST, OPTIONS = (
    "fieldcast_fit",
    "fieldcast_fit_digest",
    "fieldcast_options",
)  # attributes of the filled record
VERSION = 5  # of the file
FILL_AGAIN = "fill the whole record again with `fieldcast fill-gaps`"
PARAMETER = "parameter "
# options of a fill that hold for later times, too, as they are by default
USUAL: Mapping[str, Any] = MappingProxyType({
    "variables": None, "levels": None, "region": None, "where": None, "mask": None, "predictors": None,
    "step_hours": None,
    "gaps": "insert", "quantities": "auto", "noise": None, "max_gap": None, "max_spread": None, "members": 0,
    "method": None, "seed": 0,
})  # fmt: skip


@dataclass(frozen=True, eq=False)
class StoredFit:
    """The fit of a method to a record.

    Parameters
    ----------
    method
        Name of the method (`models.gaps.fillers`).
    parameters
        Parameters of the method, and of the values that stand for censored ones and for those with errors.
    variances
        Variance of the errors.
    lengths
        E-folding lengths of each variable of the record: a chord, and steps.
    largest
        The largest prediction of a held-out value of each mapped variable, as mapped.
    statistics
        Statistics of the record.
    record
        Climatology and cells of the record.
    sea
        Cells of the sea, by the mask of the file; values elsewhere are left out.
    quantities
        Mappings of variables.
    options
        Options of the fill that hold for later times, too; JSON can hold them.
    report
        The report on the record.
    digest
        Digest of the record and the options.
    """

    method: str
    parameters: Parameters
    variances: ErrorVariances
    lengths: Sequence[tuple[float, int]]
    largest: Mapping[str, float]
    statistics: Statistics
    record: Continued
    sea: Bool[Tensor, "y x"] | None
    quantities: Quantities
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    report: str = ""
    digest: str = ""

    def packed(self) -> bytes:
        """The fit as the bytes of a file."""
        climatology, deviation, has_column, seasons, is_censored = self.record
        # torch compares NaN, which a cell without a value has, as different
        same = (climatology[1:] == climatology[:-1]) | np.isnan(climatology[1:])
        new = np.append(True, ~same.reshape(len(same), -1).all(1))
        tensors = {
            "climatology": torch.from_numpy(np.ascontiguousarray(climatology[new])),
            "climatology day": torch.from_numpy(new.cumsum() - 1),
            "anomaly deviation": torch.from_numpy(deviation),
            "has column": has_column,
            "deviation": self.statistics.deviation,
            "count": self.statistics.count,
            **({} if self.sea is None else {"sea": self.sea}),
            **{PARAMETER + name: tensor for name, tensor in self.parameters.items()},
        }
        header = {
            "gap fit": VERSION, "method": self.method, "variances": self.variances, "lengths": self.lengths,
            "largest": dict(self.largest), "times": self.statistics.times, "seasons": seasons, "censored": is_censored,
            "quantities": {name: quantity.state() for name, quantity in self.quantities.items()},
            "options": dict(self.options), "report": self.report, "digest": self.digest,
        }  # fmt: skip
        return pack_bytes(tensors, header)

    @classmethod
    def unpacked(cls, data: bytes, where: str, device: torch.device) -> StoredFit:
        """The fit in a file, which is `where` in messages; raises an InputError if it is damaged or no fit."""
        tensors, header = unpack_bytes(data, where, FILL_AGAIN)
        try:
            if header["gap fit"] != VERSION:
                raise ValueError
            record = Continued(
                tensors["climatology"].numpy()[tensors["climatology day"].numpy()],
                tensors["anomaly deviation"].numpy(), tensors["has column"], header["seasons"],
                header["censored"],
            )  # fmt: skip
            variances = (
                ErrorVariance(tuple(coefficients), *scales) for coefficients, *scales in header["variances"]
            )
            parameters = {
                name.removeprefix(PARAMETER): tensor.to(device)
                for name, tensor in tensors.items()
                if name.startswith(PARAMETER)
            }
            statistics = Statistics(
                tensors["deviation"].to(device), tensors["count"].to(device), header["times"]
            )
            quantities = {name: quantity_of(state) for name, state in header["quantities"].items()}
            lengths = [(distance, steps) for distance, steps in header["lengths"]]
            return cls(
                header["method"], parameters, ErrorVariances(*variances), lengths, header["largest"],
                statistics, record, tensors.get("sea"), quantities, {**USUAL, **header["options"]}, header["report"],
                header["digest"],
            )  # fmt: skip
        except UNREADABLE:
            raise InputError(f"{where} is no fit of this version of Fieldcast: {FILL_AGAIN}.") from None


def fill_options(**given: Any) -> dict[str, Any]:
    """The options of a fill, of which some are given, as JSON holds them."""

    def plain(value: Any) -> Any:
        return dict(value) if isinstance(value, Mapping) else float(value)

    options: dict[str, Any] = json.loads(json.dumps({**USUAL, **given}, default=plain))
    return options


def options_text(options: Mapping[str, Any]) -> str:
    """The options of a fill that are not the usual ones, for the attributes of its result."""
    return json.dumps({name: value for name, value in options.items() if value != USUAL[name]})


def completed(given: Mapping[str, Any], filled: xr.Dataset, where: str) -> dict[str, Any]:
    """The options that are given, and where they are the usual ones, those of the fill of a record."""
    try:
        first = {**USUAL, **json.loads(filled.attrs.get(OPTIONS, "{}"))}
    except (ValueError, TypeError):
        raise InputError(f"the attribute {OPTIONS} of {where} was changed: {FILL_AGAIN}.") from None
    return {name: first[name] if value == USUAL[name] else value for name, value in given.items()}


def fit_name(output: str | None) -> str:
    """Name of the file of the fit of a record that is written to a file, by default that of the catalog."""
    return PurePath(output or "gap_filling.nc").name + SUFFIX


def named(filled: xr.Dataset, fit: StoredFit | None, name: str) -> xr.Dataset:
    """A filled record whose attributes name the file of its fit, which lies beside it, if there is a fit."""
    attrs = {key: value for key, value in filled.attrs.items() if key not in (NAME, DIGEST)}
    if fit is not None:
        attrs |= {NAME: name, DIGEST: fit.digest}
    result = filled.copy()
    result.attrs = attrs
    return result


def fit_of(filled: xr.Dataset, file: bytes, where: str, device: torch.device) -> StoredFit:
    """The fit of a filled record from its file; raises an InputError if it is damaged, or of another record."""
    fit = StoredFit.unpacked(file, where, device)
    if fit.digest != filled.attrs.get(DIGEST):
        raise InputError(f"{where} is the fit of another record: {FILL_AGAIN}.")
    return fit
