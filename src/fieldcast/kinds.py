"""The two kinds of data: fields, which follow one another in time, and images, which do not."""

from __future__ import annotations

import xarray as xr


def are_images(states: xr.Dataset) -> bool:
    """Whether a data set holds images, or drawn samples, numbered along `sample`."""
    return "sample" in states.dims


def along(states: xr.Dataset) -> str:
    """The dimension that numbers states: `sample` for images and drawn samples, `time` for fields."""
    return "sample" if are_images(states) else "time"
