"""What scoring asks of the fields, and of the checkpoint that draws came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from fieldcast import geometry
from fieldcast.encoding.checkpoint import origin, read_header
from fieldcast.errors import InputError


def areas(fields: xr.Dataset) -> xr.DataArray:
    """Areas of the cells (latitude, longitude)."""
    values = geometry.cell_areas(fields["latitude"].values, fields["longitude"].values)
    return xr.DataArray(values, {c: fields[c] for c in ("latitude", "longitude")})


def units(data: xr.Dataset) -> dict[str, str]:
    """Units by variable."""
    return {str(name): str(values.attrs["units"]) for name, values in data.data_vars.items()}


def scored_period(fields: xr.Dataset, splits: Mapping[str, Any]) -> list[str]:
    """First and last time of the test split; empty for images, which have no times."""
    return [] if "sample" in fields.dims else list(splits["test"])


def current_origin(checkpoint: bytes, model: Mapping[str, Any], splits: Mapping[str, Any]) -> str:
    """The origin of what is drawn from a checkpoint by this run.

    Raises
    ------
    InputError
        If the checkpoint was trained on other splits than this run has.
    """
    header = read_header(checkpoint, "the checkpoint")
    if header.get("splits") != splits:
        raise InputError(
            "the checkpoint was trained on other splits than this run has: train the experiment again, and draw anew."
        )
    return origin(header, model)
