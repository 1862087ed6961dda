"""Brings one opened data set to the names, dimensions, order and type of the `fields` contract, unread.

Any CF-like file goes in: coordinates found by their attributes, else by common names; leftover dimensions
of size one; a level dimension, whose levels become variables (z500). Out comes float32 (time, latitude,
longitude).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches

import numpy as np
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields import calendars
from fieldcast.fields.coordinates import in_degrees, refuse_projected
from fieldcast.fields.fills import with_packed_fills
from fieldcast.fields.notes import notes_of
from fieldcast.fields.parameter_names import at_level, short
from fieldcast.fields.valid import within_valid_range
from fieldcast.fields.versions import EXPVER, one_of_each_time, put_together

DIMS = ("time", "latitude", "longitude")
KEPT = ("units", "long_name", "standard_name")
_NAMES = {
    "time": {"time", "valid_time", "date", "datetime", "t"},
    "latitude": {"latitude", "lat", "lats", "nav_lat"},
    "longitude": {"longitude", "lon", "long", "lons", "nav_lon"},
}
_DEGREES = {
    "latitude": {"degrees_north", "degree_north", "degrees_n", "degree_n", "degreesn", "degreen"},
    "longitude": {"degrees_east", "degree_east", "degrees_e", "degree_e", "degreese", "degreee"},
}
_LEVELS = {
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


def time_varying(fields: xr.Dataset) -> list[str]:
    """Names of the variables that change in time, in their order."""
    return [str(name) for name, array in fields.data_vars.items() if "time" in array.dims]


def static(fields: xr.Dataset) -> list[str]:
    """Names of the variables on (latitude, longitude) alone."""
    return [str(name) for name, array in fields.data_vars.items() if array.dims == DIMS[1:]]


def axes(dataset: xr.Dataset) -> dict[str, str]:
    """The names that time, latitude and longitude have in a data set of any layout."""
    return {axis: name for axis in DIMS if (name := _find(dataset, axis)) is not None}


def to_contract(
    dataset: xr.Dataset,
    where: str = "the data",
    wanted: Collection[str] | None = None,
    levels: Collection[float] | None = None,
) -> xr.Dataset:
    """The variables on (time, latitude, longitude) and (latitude, longitude), renamed and lazily reshaped.

    `wanted`: names to keep (the file's, or short ones); `select_variables` refuses those that are absent.
    Raises InputError for a missing axis, dates that are none, a grid that is curvilinear, rotated or projected, a
    further dimension.
    """
    names = None if wanted is None else frozenset(wanted)
    dataset = _named_axes(dataset, where)
    attrs = {key: dataset.attrs[key] for key in ("source", "title", "references") if key in dataset.attrs}
    fields = {}
    for name, array in dataset.data_vars.items():
        if {"latitude", "longitude"} <= set(array.dims) and array.dtype.kind in "fiu":
            valid = within_valid_range(with_packed_fills(array))
            for new, layer in _layers(valid, str(name), where, names, levels):
                fields[new] = _plain(layer)
    coords = {name: _plain_coordinate(dataset[name]) for name in DIMS}
    return xr.Dataset(fields, coords=coords, attrs=attrs)


def select_variables(dataset: xr.Dataset, wanted: Collection[str], where: str) -> xr.Dataset:
    """The variables asked for, by name or short name; a name without its level stands for all levels.

    Raises InputError for one that is not there, naming the nearest.
    """
    known_as = {
        str(new): {str(new), *array.attrs.get("aliases", "").split()} for new, array in dataset.items()
    }
    chosen: list[str] = []
    for name in wanted:
        hits = [new for new, names in known_as.items() if name in names]
        if not hits:
            near = get_close_matches(name, sorted(set().union(*known_as.values())), n=1, cutoff=0.0)
            known = f"the nearest is '{near[0]}'" if near else "there is none on (time, latitude, longitude)"
            raise InputError(f"variable '{name}' is not in {where}: {known}, see ingestion.variables")
        chosen += [hit for hit in hits if hit not in chosen]
    return dataset[chosen]


def _named_axes(dataset: xr.Dataset, where: str) -> xr.Dataset:
    """Time, latitude and longitude as dimensions of these names."""
    names = {axis: _find(dataset, axis) for axis in DIMS}
    for axis in ("latitude", "longitude"):
        if names[axis] is None:
            raise InputError(
                f"{where} has no {axis}: it needs a coordinate with CF units, such as degrees_north"
            )
        if dataset[names[axis]].ndim == 2:
            raise InputError(
                f"{where} is on a curvilinear grid ('{names[axis]}' has two dimensions): "
                "interpolate it to a regular latitude-longitude grid first"
            )
    if names["latitude"] and dataset[names["latitude"]].dims == dataset[names["longitude"]].dims:
        raise InputError(
            f"{where} is a list of points, not a latitude-longitude grid: put it on a grid first"
        )
    if names["time"] is None:
        raise InputError(f"{where} has no time axis: it needs a time coordinate with units 'days since ...'")
    refuse_projected(dataset, where)
    for axis in DIMS[1:]:
        dataset = dataset.assign_coords({names[axis]: in_degrees(dataset[names[axis]], axis, where)})
    for axis, name in names.items():
        dataset = _as_dimension(dataset, str(name), axis)
    _check_dates(dataset["time"], where)
    return one_of_each_time(dataset, where)


def _find(dataset: xr.Dataset, axis: str) -> str | None:
    """The coordinate of an axis: by its attributes first, then its name; dimensions before others."""

    def rank(name: str) -> int | None:
        array = dataset[name]
        if array.ndim > (1 if axis == "time" else 2):
            return None
        named, told = name.lower() in _NAMES[axis], _is_axis(array, axis)
        if not (told or (named and name in dataset.coords)):
            return None
        return 4 * (name in dataset.dims) + 2 * told + named

    ranks = {str(name): rank(str(name)) for name in dataset.variables}
    known = {name: value for name, value in ranks.items() if value is not None}
    return max(known, key=known.__getitem__) if known else None


def _is_axis(array: xr.DataArray, axis: str) -> bool:
    """Whether the attributes (CF: standard_name, units) or the type say so."""
    if axis == "time":
        dates = array.dtype.kind == "M" or (
            array.dtype == object and calendars.is_dates(array.values.ravel())
        )
        return dates and array.attrs.get("standard_name", "time") == "time"
    units = str(array.attrs.get("units", "")).lower()
    standard = array.attrs.get("standard_name", axis if units in _DEGREES[axis] else "")
    return bool(standard == axis)


def _as_dimension(dataset: xr.Dataset, name: str, axis: str) -> xr.Dataset:
    if dataset[name].ndim == 0:
        dataset = dataset.set_coords(name).expand_dims(name)
    dim = str(dataset[name].dims[0])
    if dim != name:
        dataset = dataset.set_coords(name).swap_dims({dim: name})
    if name != axis and axis in dataset.variables:
        dataset = dataset.drop_vars(axis)
    return dataset if name == axis else dataset.rename({name: axis})


def _check_dates(time: xr.DataArray, where: str) -> None:
    if not time.size:
        raise InputError(f"{where} holds no times: give another file")
    if not calendars.is_dates(time):
        raise InputError(
            f"the time axis of {where} holds no dates: give it units such as 'days since 2001-01-01'"
        )
    if time.isnull().any():
        raise InputError(
            f"{int(time.isnull().sum())} dates are missing on the time axis of {where}: fill them in"
        )
    calendar = time.dt.calendar
    if calendar not in {"standard", "gregorian", "proleptic_gregorian", "noleap", "365_day"}:
        raise InputError(
            f"the calendar of {where} is '{calendar}': convert it to 'standard' or 'noleap' first "
            "(xarray's convert_calendar)"
        )


def _layers(
    array: xr.DataArray,
    name: str,
    where: str,
    wanted: frozenset[str] | None,
    levels: Collection[float] | None,
) -> Iterator[tuple[str, xr.DataArray]]:
    """(new name, field on the contract's dimensions) for each wanted level, or the one there is."""
    level = next((str(dim) for dim in array.dims if dim not in DIMS and _is_level(array, str(dim))), None)
    for dim in set(array.dims) - {*DIMS, level, EXPVER}:
        if array.sizes[dim] == 1:
            array = array.isel({dim: 0}, drop=True)
        elif wanted is None or wanted & {name, short(name)}:
            raise InputError(
                f"variable '{name}' of {where} has a further dimension '{dim}' of {array.sizes[dim]}: "
                "choose one of it, or name other variables in ingestion.variables"
            )
        else:
            return
    if level is None:
        if wanted is None or wanted & {name, short(name)}:
            yield short(name), put_together(array, where).assign_attrs(aliases=name)
        return
    for i, value in enumerate(_hectopascals(array[level])):
        new = at_level(name, value)
        aliases = {name, short(name), f"{name}{value:g}"}
        if (levels is None or value in levels) and (wanted is None or wanted & (aliases | {new})):
            long_name = f"{array.attrs.get('long_name', name)} at {value:g}"
            layer = put_together(array.isel({level: i}, drop=True), where)
            yield new, layer.assign_attrs(aliases=" ".join(sorted(aliases)), long_name=long_name)


def _is_level(array: xr.DataArray, dim: str) -> bool:
    if dim not in array.coords or array[dim].dtype.kind not in "fiu":
        return False
    attrs = array[dim].attrs
    return (
        dim.lower() in _LEVELS
        or attrs.get("axis") == "Z"
        or attrs.get("standard_name") in {"air_pressure", "height", "depth", "altitude"}
    )


def _hectopascals(level: xr.DataArray) -> list[float]:
    """Values of a level; pressures in Pa are given in hPa."""
    scale = 0.01 if str(level.attrs.get("units", "")).lower() in {"pa", "pascal"} else 1.0
    return [round(float(value) * scale, 6) for value in level.values]


def _plain(array: xr.DataArray) -> xr.DataArray:
    """float32 on the contract's dimensions, with its CF attributes and notes on its values, and nothing else."""
    dims = DIMS if "time" in array.dims else DIMS[1:]
    kept = {key: str(array.attrs[key]) for key in (*KEPT, "aliases") if str(array.attrs.get(key, "")).strip()}
    plain = array.reset_coords(drop=True).transpose(*dims).astype(np.float32).drop_encoding()
    plain = plain.drop_vars([c for c in plain.coords if c not in DIMS]).drop_attrs()
    return plain.assign_attrs(kept | notes_of(array.attrs))


def _plain_coordinate(coordinate: xr.DataArray) -> xr.DataArray:
    plain = coordinate.reset_coords(drop=True).drop_attrs().drop_encoding()
    name = str(plain.name)
    if name == "time":
        if plain.dtype == object and plain.dt.calendar in {"standard", "gregorian", "proleptic_gregorian"}:
            plain = plain.copy(data=[np.datetime64(text, "ns") for text in calendars.iso(plain)])
        elif plain.dtype.kind == "M":
            plain = plain.astype("M8[ns]")
        return plain.assign_attrs(standard_name="time")
    units = "degrees_north" if name == "latitude" else "degrees_east"
    return plain.astype(np.float64).assign_attrs(units=units, standard_name=name)
