"""Contracts that the catalog enforces on load and save: each a class with `validate(data)`, for `validator:`."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from fieldcast import calendars
from fieldcast.calendars import TimeStep
from fieldcast.errors import InputError
from fieldcast.fields import images, ingest
from fieldcast.fields.conventions import DIMS, time_varying
from fieldcast.fields.domain import blocks, has_gaps, in_memory
from fieldcast.kinds import are_images

FIELD_ATTRS = ("digest", "source", "step_hours", "wraps", "Conventions")
IMAGE_DIMS = ("sample", "y", "x")
IMAGE_ATTRS = ("digest", "source", "levels")
INGEST = "ingest the data again"  # remedies
RECREATE = "recreate them"


class Fields:
    """Contract of `fields`: regular grid and time, units, float32.

    Values are missing only in cells that do not exist, or anywhere if the attribute `missing` is "train".
    Values of lazily opened data are not read: ingestion inspected them before they were saved.
    """

    def validate(self, data: Any) -> xr.Dataset:
        """Return the data unchanged; raise InputError with one sentence for the first rule that they break."""
        if isinstance(data, xr.Dataset) and are_images(data):
            return Images().validate(data)
        _check_coordinates(data, DIMS)
        _check_times(data)
        if not time_varying(data):
            raise InputError(f"fields have no variable on (time, latitude, longitude): {INGEST}")
        for array in data.data_vars.values():
            _check_variable(array, DIMS if "time" in array.dims else DIMS[1:], "fields", INGEST)
            if in_memory(array):
                _check_values(array, has_gaps(data))
        _check_attributes(data, FIELD_ATTRS, "fields", INGEST)
        return data


class Images:
    """Contract of images: `image` (sample, y, x), grey values 0 .. levels - 1, with an optional `label` (sample)."""

    def validate(self, data: Any) -> xr.Dataset:
        """Return the data unchanged; raise InputError with one sentence for the first rule that they break."""
        if not isinstance(data, xr.Dataset) or list(data.data_vars) != ["image"]:
            raise InputError(f"images must be a Dataset with the one variable 'image': {INGEST}")
        image = data["image"]
        _check_variable(image, IMAGE_DIMS, "images", INGEST)
        _check_attributes(data, IMAGE_ATTRS, "images", INGEST)
        if in_memory(image):
            low, high = float(image.min(skipna=False)), float(image.max(skipna=False))
            if not 0 <= low <= high <= data.attrs["levels"] - 1:
                raise InputError(
                    f"variable 'image' has values from {low:g} to {high:g}, not 0 to "
                    f"{data.attrs['levels'] - 1}: {INGEST}"
                )
        if "label" in data.coords and (data["label"].dims != ("sample",) or data["label"].dtype.kind != "i"):
            raise InputError(f"the coordinate 'label' must be integers on (sample): {INGEST}")
        return data


def fits_digest(fields: xr.Dataset) -> bool:
    """Whether fields or images match their stored digest; reads all values."""
    if are_images(fields):
        return bool(images.digest(fields["image"].values) == fields.attrs["digest"])
    return ingest.digest(fields) == fields.attrs["digest"]


class Observations:
    """Contract of `observations`: (case, time, latitude, longitude), NaN where not observed, numbered masks."""

    dims: tuple[str, ...] = ("case", "time", "latitude", "longitude")
    coordinates = ("pattern", "k", "mask")
    attributes: tuple[str, ...] = ("digest", "noise", "seed")

    def validate(self, data: Any) -> xr.Dataset:
        """Return the data unchanged; raise InputError with one sentence for the first rule that they break."""
        kind = type(self).__name__.lower()
        _check_coordinates(data, self.dims)
        for name in self.coordinates:
            if name not in data.coords:
                raise InputError(f"{kind} have no coordinate '{name}': {RECREATE}")
        k = data["k"].values
        if not np.all((k > 0) & (k <= 1)):
            raise InputError(f"{kind} have a fraction k outside 0 to 1: {RECREATE}")
        for array in data.data_vars.values():
            _check_variable(array, self.dims, kind, RECREATE)
        _check_attributes(data, self.attributes, kind, RECREATE)
        return data


class Reconstructions(Observations):
    """Contract of `reconstructions`: (case, time, member, latitude, longitude) in physical units."""

    dims = ("case", "time", "member", "latitude", "longitude")
    attributes = ()


def _tuple(dims: tuple) -> str:
    return f"({', '.join(map(str, dims))})"


def _check_coordinates(data: Any, dims: tuple[str, ...]) -> None:
    if not isinstance(data, xr.Dataset):
        raise InputError(f"a Dataset was expected, not {type(data).__name__}: return one from the node")
    for name in dims:
        if name not in data.dims:
            raise InputError(f"the dimension '{name}' is missing; {_tuple(dims)} are needed: {INGEST}")
    for name, units in (("latitude", "degrees_north"), ("longitude", "degrees_east")):
        if name not in data.coords or not np.all(np.diff(data[name].values) > 0):
            raise InputError(f"the coordinate '{name}' is not strictly ascending: {INGEST}")
        if data[name].attrs.get("units") != units:
            raise InputError(f"the coordinate '{name}' does not have the units '{units}': {INGEST}")
    if not calendars.is_dates(data["time"]):
        raise InputError(f"the coordinate 'time' does not hold dates: {INGEST}")


def _check_times(data: xr.Dataset) -> None:
    hours = calendars.hours(data["time"])
    if np.any(np.diff(hours) <= 0):
        at = calendars.iso(data["time"])[1:][np.diff(hours) <= 0][0]
        raise InputError(f"times are not strictly ascending at {at}: {INGEST}")
    segment = data.coords.get("segment")
    if segment is None or segment.dims != ("time",) or segment.dtype != np.int32:
        raise InputError(f"the coordinate 'segment' (time, int32) is missing: {INGEST}")
    within = np.diff(segment.values) == 0
    if not within.any():
        return
    step = TimeStep.of(data)
    other = np.abs(step.counts(data["time"])[within] - 1) > 1e-6
    if other.any():
        at = calendars.iso(data["time"])[1:][within][other][0]
        raise InputError(f"the time step within a segment is not {step} at {at}: {INGEST}")


def _check_variable(array: xr.DataArray, dims: tuple[str, ...], kind: str, remedy: str) -> None:
    if array.dims != dims:
        raise InputError(
            f"variable '{array.name}' of {kind} has dimensions {_tuple(array.dims)}, not {_tuple(dims)}: {remedy}"
        )
    if array.dtype != np.float32:
        raise InputError(f"variable '{array.name}' is {array.dtype}, not float32: {remedy}")
    if not str(array.attrs.get("units", "")).strip():
        raise InputError(f"variable '{array.name}' has no units: {remedy}")


def _check_attributes(data: xr.Dataset, names: tuple[str, ...], kind: str, remedy: str) -> None:
    for name in names:
        if name not in data.attrs:
            raise InputError(f"{kind} have no attribute '{name}': {remedy}")


def _check_values(array: xr.DataArray, gaps: bool) -> None:
    if "time" not in array.dims:
        if not np.isfinite(array.values).all():
            raise InputError(f"static variable '{array.name}' has missing or infinite values: {INGEST}")
        return
    missing: np.ndarray | int = 0
    for _, x in blocks(array):
        if np.isinf(x).any():
            raise InputError(f"variable '{array.name}' has infinite values: {INGEST}")
        missing = missing + np.isnan(x).sum(axis=0)
    if not gaps and np.any((missing > 0) & (missing < array.sizes["time"])):
        raise InputError(
            f"variable '{array.name}' has cells with missing values at some but not all times: {INGEST}"
        )
