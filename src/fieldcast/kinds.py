"""The two kinds of data: fields, which follow one another in time, and images, which do not."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Shaped


def are_images(fields: xr.Dataset) -> bool:
    """Whether ingested fields are images."""
    return state_dimension(fields) == "sample"


def state_dimension(states: xr.Dataset) -> str:
    """The dimension that numbers states: `sample` for images and drawn samples, `time` for fields."""
    return "sample" if "sample" in states.dims else "time"


def class_names(label: xr.DataArray) -> Shaped[np.ndarray, " datum"]:
    """Labels by name where CF's `flag_values` and `flag_meanings` name all of them, else as they are."""
    meanings = [name.replace("_", " ") for name in label.attrs.get("flag_meanings", "").split()]
    names = dict(zip(np.ravel(label.attrs.get("flag_values", ())).tolist(), meanings, strict=False))
    values = label.to_numpy()
    return np.array([names[value] for value in values.tolist()]) if {*values.tolist()} <= {*names} else values
