"""Split a variable by its level dimension: geopotential at 500 hPa becomes z500."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields.coordinates import DIMS
from fieldcast.fields.versions import EXPVER, combine_versions

_NAMES = {
    "level",
    "lev",
    "plev",
    "pressure_level",
    "isobaricinhpa",
    "pressure",
    "depth",
    "height",
    "altitude",
}
_STANDARD_NAMES = {"air_pressure", "height", "depth", "altitude"}


def by_level(
    array: xr.DataArray,
    name: str,
    short_name: str,
    where: str,
    requested: frozenset[str] | None,
    levels: Collection[float] | None,
) -> Iterator[tuple[str, xr.DataArray]]:
    """Yield (new name, field on the contract's dimensions) for each requested level, or once without levels.

    The new name is `short_name`, followed by the level.

    Raises
    ------
    InputError
        For a requested variable with a further dimension of more than one.
    """
    level = next((str(dim) for dim in array.dims if dim not in DIMS and _is_level(array, str(dim))), None)
    for dim in set(array.dims) - {*DIMS, level, EXPVER}:
        if array.sizes[dim] == 1:
            array = array.isel({dim: 0}, drop=True)
        elif requested is None or requested & {name, short_name}:
            raise InputError(
                f"variable '{name}' of {where} has a further dimension '{dim}' of size {array.sizes[dim]}: "
                f"select one index of it (dataset.isel({dim}=0); of an ensemble, one member), or name other variables "
                "in ingestion.variables"
            )
        else:
            return
    if level is None:
        if requested is None or requested & {name, short_name}:
            yield short_name, combine_versions(array, where).assign_attrs(aliases=name)
        return
    for i, value in enumerate(_hectopascals(array[level])):
        new = f"{short_name}{value:g}"
        aliases = {name, short_name, f"{name}{value:g}"}
        if (levels is None or value in levels) and (requested is None or requested & (aliases | {new})):
            long_name = f"{array.attrs.get('long_name', name)} at {value:g}"
            layer = combine_versions(array.isel({level: i}, drop=True), where)
            yield new, layer.assign_attrs(aliases=" ".join(sorted(aliases)), long_name=long_name)


def _is_level(array: xr.DataArray, dim: str) -> bool:
    if dim not in array.coords or array[dim].dtype.kind not in "fiu":
        return False
    attrs = array[dim].attrs
    return dim.lower() in _NAMES or attrs.get("axis") == "Z" or attrs.get("standard_name") in _STANDARD_NAMES


def _hectopascals(level: xr.DataArray) -> list[float]:
    """Level values, with pressures in Pa converted to hPa."""
    scale = 0.01 if str(level.attrs.get("units", "")).lower() in {"pa", "pascal"} else 1.0
    return [round(float(value) * scale, 6) for value in level.values]
