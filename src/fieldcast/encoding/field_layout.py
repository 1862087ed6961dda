"""Variables, grid and attributes of fields, which all codecs of fields restore on their data sets.

A variable that is mapped (`fields.quantities`) has one part in the tensors, or two. Its data sets are in own units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from jaxtyping import Float

from fieldcast.errors import InputError
from fieldcast.fields import conventions
from fieldcast.fields.quantities import Quantities, near, part_names
from fieldcast.fields.units import Conversion
from fieldcast.geometry import GRID, require_same_grid
from fieldcast.kinds import as_draws

UNITS = dict(zip(GRID, ("degrees_north", "degrees_east"), strict=True))


@dataclass(frozen=True, eq=False)
class FieldLayout:
    """Base of the codecs of fields, which add the statistics that standardise them.

    Parameters
    ----------
    variables
        Names of the variables, or of their parts, in the order of the tensors.
    latitude, longitude
        Coordinates of the grid [degrees], ascending.
    attrs
        CF attributes of each variable, and of each part.
    quantities
        Mappings of the variables that are mapped, by name.
    conversions
        Conversions of these from the units that they are mapped in to those of the data, where they differ.
    """

    variables: tuple[str, ...]
    latitude: Float[np.ndarray, " y"]
    longitude: Float[np.ndarray, " x"]
    attrs: Mapping[str, Mapping[str, Any]]
    quantities: Quantities = field(default_factory=dict, kw_only=True)
    conversions: Mapping[str, Conversion] = field(default_factory=dict, kw_only=True)

    kind: ClassVar[str]  # name of the codec in the header of a checkpoint
    statistics: ClassVar[tuple[str, ...]]  # names of the arrays that standardise fields

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables of data sets."""
        owner = {part: name for name, each in self.quantities.items() for part in part_names(name, each)}
        return tuple(dict.fromkeys(owner.get(part, part) for part in self.variables))

    @property
    def grid(self) -> dict[str, Float[np.ndarray, " cell"]]:
        """Latitudes and longitudes, by axis."""
        return {axis: getattr(self, axis) for axis in GRID}

    def require_grid(self, data: xr.Dataset, where: str) -> None:
        """Raise an InputError unless data, which `where` names, have these latitudes and longitudes."""
        remedy = f"interpolate {where} to the model's grid, or train on this grid"
        require_same_grid(data, self.grid, where, "the model", remedy)

    def require_variables(self, fields: xr.Dataset) -> None:
        """Raise an InputError unless fields have these variables."""
        variables = conventions.time_varying(fields)
        if set(variables) != set(self.names):
            raise InputError(
                f"the fields are of {', '.join(variables)}, the checkpoint of {', '.join(self.names)}: "
                "train the experiment again, on these data."
            )

    def parts(self, name: str) -> list[int]:
        """Numbers of the parts of a variable in the tensors."""
        return [self.variables.index(part) for part in part_names(name, self.quantities.get(name))]

    def mapped(self, name: str, values: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "part *n"]:
        """The parts of values of a variable in the units of the data."""
        if name not in self.quantities:
            return values[None]
        if name in self.conversions:
            values = self.conversions[name].inverse.of(values)
        return self.quantities[name].forward(values)

    def in_own_units(
        self, name: str, values: Float[np.ndarray, "*lead part y x"]
    ) -> Float[np.ndarray, "*lead y x"]:
        """Values of a variable in the units of the data, from its parts."""
        if name not in self.quantities:
            return values[..., 0, :, :]
        own = self.quantities[name].inverse(np.moveaxis(values, -3, 0)).astype(values.dtype)
        return self.conversions[name].of(own) if name in self.conversions else own

    def own_values(
        self, values: Float[np.ndarray, "*lead variable y x"]
    ) -> Iterator[tuple[str, Float[np.ndarray, "*lead y x"]]]:
        """Each variable of data sets, by name, in the units of the data, from the variables of the tensors."""
        for name in self.names:
            parts = self.parts(name)
            yield name, self.in_own_units(name, values[..., parts[0] : parts[-1] + 1, :, :])

    def near(
        self, name: str, values: Float[np.ndarray, "*n"], reference: Float[np.ndarray, "..."]
    ) -> Float[np.ndarray, "*n"]:
        """The values of a variable; those of an angle within half a circle of a reference."""
        change = self.conversions.get(name, Conversion())
        turned = near(self.quantities.get(name), change.inverse.of(values), change.inverse.of(reference))
        return change.of(turned)

    def dataset(
        self, kind: str, values: Float[np.ndarray, "*lead variable y x"], lead: tuple[str, ...],
        coordinates: Mapping[str, Any],
    ) -> xr.Dataset:  # fmt: skip
        """Draws of a kind of `kinds.LAYOUTS` in own units, from values of the tensors in physical or mapped units.

        `lead` are the dimensions before the variable, with `coordinates`.
        """
        data = {
            name: ((*lead, *GRID), np.ascontiguousarray(own), dict(self.attrs[name]))
            for name, own in self.own_values(values)
        }
        grid = {c: (c, x, {"units": UNITS[c], "standard_name": c}) for c, x in self.grid.items()}
        return as_draws(kind, xr.Dataset(data, {**coordinates, **grid}))

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that a checkpoint stores."""
        return {name: np.asarray(getattr(self, name)) for name in (*self.statistics, *GRID)}

    def header(self) -> dict[str, Any]:
        """The entries of a checkpoint's header."""
        header: dict[str, Any] = {"codec": self.kind, "attrs": {k: dict(v) for k, v in self.attrs.items()}}
        if self.quantities:
            header["quantities"] = {name: each.state() for name, each in self.quantities.items()}
        return header


def layout_of(fields: xr.Dataset, quantities: Quantities = MappingProxyType({})) -> FieldLayout:
    """The layout of fields, some of whose variables are mapped; attributes that are not strings are left out."""
    names = conventions.time_varying(fields)
    attrs = {v: {k: a for k, a in fields[v].attrs.items() if isinstance(a, str)} for v in names}
    variables = tuple(part for name in names for part in part_names(name, quantities.get(name)))
    attrs |= {part: {"units": "1", "long_name": part} for part in variables if part not in attrs}
    latitude, longitude = (fields[c].values.astype(np.float64) for c in GRID)
    return FieldLayout(variables, latitude, longitude, attrs, quantities=quantities)
