"""The two kinds of data: fields, which follow one another in time, and images, which do not."""

from __future__ import annotations

import xarray as xr


def are_images(fields: xr.Dataset) -> bool:
    """Whether ingested fields are images."""
    return along(fields) == "sample"


def along(states: xr.Dataset) -> str:
    """The dimension that numbers states: `sample` for images and drawn samples, `time` for fields."""
    return "sample" if "sample" in states.dims else "time"
