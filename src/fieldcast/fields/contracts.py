"""Contracts of ingested data that the catalog enforces: each a class with `validate(data)`, for `validator:`."""

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
from fieldcast.kinds import (
    SAMPLE,
    are_images,
    require_attributes,
    require_axes,
    require_layout,
    require_variable,
)

FIELD_ATTRS = ("digest", "source", "step_hours", "wraps", "Conventions")
IMAGE_ATTRS = ("digest", "source", "levels")
INGEST = "ingest the data again"  # remedy


class Fields:
    """Contract of `fields`: regular grid and time, units, float32.

    Values are missing only in cells that do not exist, or anywhere if the attribute `missing` is "train".
    Values of lazily opened data are not read: ingestion inspected them before they were saved.
    """

    def validate(self, data: Any) -> xr.Dataset:
        """Return the data unchanged; raise InputError with one sentence for the first rule that they break."""
        if isinstance(data, xr.Dataset) and are_images(data):
            return Images().validate(data)
        require_axes(data, DIMS, INGEST)
        _check_times(data)
        if not time_varying(data):
            raise InputError(f"fields have no variable on (time, latitude, longitude): {INGEST}")
        for name, array in data.data_vars.items():
            if array.dims not in (DIMS, DIMS[1:]):
                actual, expected = ", ".join(map(str, array.dims)), ", ".join(DIMS)
                raise InputError(f"variable '{name}' has dimensions ({actual}), not ({expected}): {INGEST}")
            require_variable(array, INGEST)
            if in_memory(array):
                _check_values(array, has_gaps(data))
        require_attributes(data, "fields", FIELD_ATTRS, INGEST)
        return data


class Images:
    """Contract of images: `image` (sample, y, x), grey values 0 .. levels - 1, with an optional `label` (sample)."""

    def validate(self, data: Any) -> xr.Dataset:
        """Return the data unchanged; raise InputError with one sentence for the first rule that they break."""
        if not isinstance(data, xr.Dataset) or list(data.data_vars) != ["image"]:
            raise InputError(f"images must be a Dataset with the one variable 'image': {INGEST}")
        require_layout(data, "images", INGEST)
        image = data["image"]
        require_attributes(data, "images", IMAGE_ATTRS, INGEST)
        if in_memory(image):
            low, high = float(image.min(skipna=False)), float(image.max(skipna=False))
            if not 0 <= low <= high <= data.attrs["levels"] - 1:
                raise InputError(
                    f"variable 'image' has values from {low:g} to {high:g}, not 0 to "
                    f"{data.attrs['levels'] - 1}: {INGEST}"
                )
        if "label" in data.coords and (data["label"].dims != (SAMPLE,) or data["label"].dtype.kind != "i"):
            raise InputError(f"the coordinate 'label' must be integers on (sample): {INGEST}")
        return data


def fits_digest(fields: xr.Dataset) -> bool:
    """Whether fields or images match their stored digest; reads all values."""
    if are_images(fields):
        return bool(images.digest(fields["image"].values) == fields.attrs["digest"])
    return ingest.digest(fields) == fields.attrs["digest"]


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
    if not step.hours:  # times that were kept as they are
        return
    other = np.abs(step.counts(data["time"])[within] - 1) > 1e-6
    if other.any():
        at = calendars.iso(data["time"])[1:][within][other][0]
        raise InputError(f"the time step within a segment is not {step} at {at}: {INGEST}")


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
