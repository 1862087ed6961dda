"""The bridge between data sets in physical units and standardised tensors.

    x = (field - climatology(day of year)) / anomaly standard deviation,

so that 0 is the climatology. The field is mapped before, if it is a quantity with a mapping (`fields.quantities`).
Tensors are (..., V, Y, X), in the order of `Space.variables`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fieldcast import calendars, geometry
from fieldcast.calendars import TimeStep
from fieldcast.encoding.field_layout import FieldLayout, layout_of
from fieldcast.errors import InputError
from fieldcast.fields import conventions, domain
from fieldcast.fields.climatology import BLAS, CONSTANT
from fieldcast.fields.prepared import of_mapped_values
from fieldcast.fields.units import Conversion, conversion
from fieldcast.geometry import GRID
from fieldcast.kinds import MEMBER, are_images
from fieldcast.models.space import Space


@dataclass(frozen=True, eq=False)
class FieldCodec(FieldLayout):
    """Standardise fields by statistics of the training split, and bring draws back to physical units.

    The first parameters are inherited from `FieldLayout`.

    Parameters
    ----------
    climatology
        Climatology of each day of the year (365, V, Y, X), in physical units, or of mapped values.
    deviation
        Standard deviation of the anomalies of each variable, in physical units, or of mapped values.
    """

    climatology: Float[np.ndarray, "365 variable y x"]
    deviation: Float[np.ndarray, " variable"]

    kind = "field"
    statistics = ("climatology", "deviation")

    @classmethod
    def of(cls, fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset) -> FieldCodec:
        """The codec of some fields."""
        refuse_images(fields)
        climatology, normalisation, quantities = of_mapped_values(climatology, normalisation)
        layout = layout_of(fields, quantities)
        deviation = normalisation["anomaly_std"].sel(variable=list(layout.variables)).values
        by_day = climatology_array(climatology, layout.variables)
        return cls(**vars(layout), climatology=by_day, deviation=deviation.astype(np.float32))

    def in_units(self, units: Mapping[str, str], where: str = "the data set") -> FieldCodec:
        """The codec of data in other `units` of each variable; x does not depend on the units.

        With y = a field + b, the climatology becomes a climatology + b, and the deviation a deviation. Variables with a
        mapping are converted before it.
        """
        trained = {v: str(self.attrs[v].get("units", "")) for v in self.names}
        changes = {v: conversion(trained[v], units[v]) for v in self.names}
        for v, change in changes.items():
            if change is None:
                raise InputError(
                    f"variable '{v}' of {where} is in '{units[v]}', which cannot be converted to '{trained[v]}', the "
                    "unit that the model was trained in: give it in that unit."
                )
        known = {v: change for v, change in changes.items() if change is not None}
        unmapped = {v: change for v, change in known.items() if v not in self.quantities}
        scale, offset = (
            np.array([getattr(unmapped.get(v, Conversion()), name) for v in self.variables])
            for name in ("scale", "offset")
        )
        converted = {v: known[v] for v in self.quantities if known[v] != Conversion()}
        climatology = self.climatology * scale[:, None, None] + offset[:, None, None]
        return replace(
            self,
            climatology=climatology.astype(np.float32),
            deviation=(self.deviation * scale).astype(np.float32),
            attrs={**self.attrs, **{v: {**self.attrs[v], "units": units[v]} for v in self.names}},
            conversions=converted,
        )

    def encode(
        self, data: xr.Dataset, out: Float[Tensor, "*lead time variable y x"] | None = None
    ) -> Float[Tensor, "*lead time variable y x"]:
        """Standardised anomalies of a data set, with time as the last dimension before the variables; NaN stays NaN.

        They are written to `out` if it is given: new memory costs several times as much as the arithmetic.
        """
        lead = [d for d in data[self.names[0]].dims if d not in ("time", *GRID)]
        shape = (
            *(data.sizes[dim] for dim in (*lead, "time")),
            len(self.variables),
            *self.climatology.shape[2:],
        )
        x = np.empty(shape, np.float32) if out is None else out.numpy()
        days = calendars.day_of_year(data["time"]) - 1
        arrays = (
            part
            for v in self.names
            for part in self.mapped(
                v, data[v].transpose(*lead, "time", *GRID).values.astype(np.float32, copy=False)
            )
        )
        for i, values in enumerate(arrays):
            for t, day in enumerate(days.tolist()):  # a single field stays in the cache of the CPU
                field = x[..., t, i, :, :]
                np.subtract(values[..., t, :, :], self.climatology[day, i], out=field)
                field /= self.deviation[i]
        return torch.from_numpy(x)

    def climatology_at(self, times: xr.DataArray) -> Float[np.ndarray, "time variable y x"]:
        """The climatology at some times, in physical units, or of mapped values."""
        return self.climatology[calendars.day_of_year(times) - 1]

    def to_anomalies(
        self,
        values: Float[np.ndarray, "*lead variable y x"],
        climatology: Float[np.ndarray, "*days variable y x"],
    ) -> Float[np.ndarray, "*lead variable y x"]:
        """(values - climatology) / deviation, for a climatology that broadcasts against the values."""
        return (values - climatology) / self.deviation[:, None, None]

    def to_physical(
        self, x: Float[np.ndarray, "*lead variable y x"], climatology: Float[np.ndarray, "*days variable y x"]
    ) -> Float[np.ndarray, "*lead variable y x"]:
        """x * deviation + climatology: the inverse of `to_anomalies`; a variable with a mapping remains mapped."""
        values = x * self.deviation[:, None, None]
        values += climatology
        return values

    def days(self, times: Any) -> Float[Tensor, " time"]:
        """Times as fractions of the year."""
        return torch.from_numpy(calendars.fraction_of_year(times).astype(np.float32))

    def decode(
        self, x: Float[Tensor, "*lead time members variable y x"], times: xr.DataArray, kind: str = "members",
        lead: tuple[str, ...] = (),
    ) -> xr.Dataset:  # fmt: skip
        """Draws in physical units, of a kind of `kinds.LAYOUTS`; `lead` are their dimensions before time."""
        values = self.to_physical(x.cpu().numpy(), self.climatology_at(times)[:, None])
        coordinates = {"time": times, MEMBER: np.arange(x.shape[-4])}
        return self.dataset(kind, values, (*lead, "time", MEMBER), coordinates)


def climatology_array(
    climatology: xr.Dataset, variables: Sequence[str]
) -> Float[np.ndarray, "365 variable y x"]:
    """The climatology of some variables as an array, in physical units; without seasons a view of one day."""
    sizes = [climatology.sizes[dim] for dim in ("dayofyear", *GRID)]
    days = 1 if climatology.attrs.get("kind") == CONSTANT else sizes[0]
    by_day = np.empty((days, len(variables), *sizes[1:]), np.float32)
    for i, v in enumerate(
        variables
    ):  # one variable at a time: two copies on a large grid take too much memory
        by_day[:, i] = climatology[v].isel(dayofyear=slice(days)).transpose("dayofyear", *GRID).values
    return np.broadcast_to(by_day, (sizes[0], *by_day.shape[1:]))


def refuse_images(fields: xr.Dataset) -> None:
    """Raise an InputError for data without a time axis."""
    if are_images(fields):
        raise InputError(
            "the data are images, which have no time: only the task sample takes them; "
            "run `kedro run --pipelines sample` with the same --env."
        )


def space_of(fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset) -> Space:
    """The Space of some fields: exact cell areas, points on the sphere, existing cells, standardised static fields."""
    climatology, normalisation, quantities = of_mapped_values(climatology, normalisation)
    variables = layout_of(fields, quantities).variables
    latitude, longitude = fields["latitude"].values, fields["longitude"].values
    exists = domain.common_cells(fields)
    tendency = normalisation["tendency"].sel(variable=list(variables)).values
    step = TimeStep.of(fields)
    return Space(
        variables=variables,
        wraps=bool(geometry.wraps(longitude)),
        area=torch.from_numpy(geometry.cell_areas(latitude, longitude, exists).astype(np.float32)),
        exists=torch.from_numpy(np.ascontiguousarray(exists)),
        points=torch.from_numpy(geometry.unit_points(latitude, longitude).astype(np.float32)),
        static=torch.from_numpy(static_fields(fields, climatology[list(variables)])),
        tendency=torch.from_numpy(tendency.astype(np.float32)),
        step=step.hours,
        months=step.months,
        same_day=step.same_day,
        days_per_year=calendars.days_per_year(str(fields["time"].dt.calendar)),
    )


def static_fields(fields: xr.Dataset, climatology: xr.Dataset) -> Float[np.ndarray, "s y x"]:
    """Location and climate of each cell, as fields of mean 0 and standard deviation 1; missing cells are 0.

    Sine and cosine of latitude, the static variables, and the annual mean and first harmonic of each variable's
    climatology: an anomaly of wind speed, for example, has a different meaning in a jet than beside it.
    """
    radians = np.radians(fields["latitude"].values)[:, None] * np.ones(fields.sizes["longitude"])
    layers = [np.sin(radians), np.cos(radians)]
    layers += [standardise_field(fields[name].transpose(*GRID).values) for name in conventions.static(fields)]
    angle = 2 * np.pi * (climatology["dayofyear"].values - 1) / calendars.DAYS_PER_YEAR
    for name in climatology.data_vars:
        values = climatology[name].transpose("dayofyear", *GRID).values
        harmonics = (np.ones_like(angle), np.cos(angle), np.sin(angle))
        with BLAS.limit(limits=1, user_api="blas"):  # results must not depend on the number of threads
            layers += [standardise_field(np.tensordot(h, values, axes=1) / len(angle)) for h in harmonics]
    return np.stack(layers).astype(np.float32)


def standardise_field(values: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "y x"]:
    """The values with mean 0 and standard deviation 1; a constant field becomes 0."""
    anomaly = values.astype(np.float64) - np.nanmean(values, dtype=np.float64)
    spread = np.nanstd(anomaly)
    rounding = 1e-6 * np.nanmax(np.abs(values), initial=0.0)
    return np.nan_to_num(anomaly / spread) if spread > rounding else np.zeros_like(anomaly)
