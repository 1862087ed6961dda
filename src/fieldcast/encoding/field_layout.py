"""Variables, grid and attributes of fields, which all codecs of fields restore on their data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from jaxtyping import Float

from fieldcast.fields import conventions
from fieldcast.geometry import GRID
from fieldcast.kinds import as_draws

UNITS = dict(zip(GRID, ("degrees_north", "degrees_east"), strict=True))


@dataclass(frozen=True, eq=False)
class FieldLayout:
    """Base of the codecs of fields, which add the statistics that standardise them.

    Parameters
    ----------
    variables
        Names, in the order of the tensors.
    latitude, longitude
        Coordinates of the grid [degrees], ascending.
    attrs
        CF attributes of each variable.
    """

    variables: tuple[str, ...]
    latitude: Float[np.ndarray, " y"]
    longitude: Float[np.ndarray, " x"]
    attrs: Mapping[str, Mapping[str, Any]]

    kind: ClassVar[str]  # name of the codec in the header of a checkpoint
    statistics: ClassVar[tuple[str, ...]]  # names of the arrays that standardise fields

    def dataset(
        self, kind: str, values: Float[np.ndarray, "*index variable y x"], index: Mapping[str, Any]
    ) -> xr.Dataset:
        """Draws of a kind of `kinds.LAYOUTS`; `index` holds coordinates of the dimensions before the grid."""
        data = {
            v: (np.ascontiguousarray(values[..., i, :, :]), dict(self.attrs[v]))
            for i, v in enumerate(self.variables)
        }
        grid = {c: (c, getattr(self, c), {"units": UNITS[c], "standard_name": c}) for c in GRID}
        return as_draws(kind, data, {**index, **grid})

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that a checkpoint stores."""
        return {name: np.asarray(getattr(self, name)) for name in (*self.statistics, *GRID)}

    def header(self) -> dict[str, Any]:
        """The entries of a checkpoint's header."""
        return {"codec": self.kind, "attrs": {k: dict(v) for k, v in self.attrs.items()}}


def layout_of(fields: xr.Dataset) -> FieldLayout:
    """The layout of fields; attributes that are not strings are left out."""
    variables = tuple(conventions.time_varying(fields))
    attrs = {v: {k: a for k, a in fields[v].attrs.items() if isinstance(a, str)} for v in variables}
    latitude, longitude = (fields[c].values.astype(np.float64) for c in GRID)
    return FieldLayout(variables, latitude, longitude, attrs)
