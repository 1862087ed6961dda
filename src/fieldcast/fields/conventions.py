"""Convert one opened data set to the names, dimensions, order and type of the `fields` contract, lazily.

The input is any CF-like file. Coordinates are identified by their attributes, else by common names; leftover
dimensions of size one are dropped; each level of a level dimension becomes a variable (z500). The output is float32
(time, latitude, longitude).
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

import numpy as np
import xarray as xr

from fieldcast import calendars
from fieldcast.counted import counted
from fieldcast.errors import InputError
from fieldcast.fields.coordinates import DIMS, in_degrees, refuse_projected
from fieldcast.fields.fills import with_packed_fills
from fieldcast.fields.levels import by_level
from fieldcast.fields.notes import WIDE_ATTR, notes_of
from fieldcast.fields.packing import misfit
from fieldcast.fields.parameter_names import names_in_file
from fieldcast.fields.valid import within_valid_range
from fieldcast.fields.versions import unique_times

KEPT_ATTRS = ("units", "long_name", "standard_name")
_NAMES = {
    "time": {"time", "valid_time", "date", "datetime", "t"},
    "latitude": {"latitude", "lat", "lats", "nav_lat"},
    "longitude": {"longitude", "lon", "long", "lons", "nav_lon"},
}
_DEGREES = {
    "latitude": {"degrees_north", "degree_north", "degrees_n", "degree_n", "degreesn", "degreen"},
    "longitude": {"degrees_east", "degree_east", "degrees_e", "degree_e", "degreese", "degreee"},
}


def as_dataset(data: object, where: str = "the data") -> xr.Dataset:
    """Data sets as they are, an array as a data set with one variable.

    Raises
    ------
    InputError
        For an array without a name, and for anything that is not of xarray.
    """
    if isinstance(data, xr.Dataset):
        for name in data.data_vars:
            if not isinstance(name, str):
                raise InputError(f"variable {name!r} of {where} has a name that is not a string: rename it.")
        return data
    if not isinstance(data, xr.DataArray):
        raise InputError(f"{where} is a {type(data).__name__}: give a Dataset or a DataArray of xarray.")
    if data.name is None:
        raise InputError(
            f"{where} is a DataArray without a name: give it that of its variable, by .rename()."
        )
    return as_dataset(data.to_dataset(), where)


def time_varying(fields: xr.Dataset) -> list[str]:
    """Names of the variables with a time dimension, in the order of the data set."""
    return [str(name) for name, array in fields.data_vars.items() if "time" in array.dims]


def static(fields: xr.Dataset) -> list[str]:
    """Names of the variables on (latitude, longitude) alone."""
    return [str(name) for name, array in fields.data_vars.items() if array.dims == DIMS[1:]]


def units_of(array: xr.DataArray) -> str:
    """Units of a variable as messages say them: "is in 'K'", or "has no units"."""
    units = str(array.attrs.get("units") or "").strip()
    return f"is in '{units}'" if units else "has no units"


def axes(dataset: xr.Dataset) -> dict[str, str]:
    """Map `time`, `latitude` and `longitude` to the names they have in a data set of any layout."""
    return {axis: name for axis in DIMS if (name := _find(dataset, axis)) is not None}


def to_contract(
    dataset: xr.Dataset,
    where: str = "the data",
    requested: Collection[str] | None = None,
    levels: Collection[float] | None = None,
) -> xr.Dataset:
    """Variables on (time, latitude, longitude) and (latitude, longitude), renamed and lazily reshaped.

    Parameters
    ----------
    dataset
        A CF-like data set.
    where
        File or store, as error messages name it.
    requested
        Names to keep (as in the file, or short); `select_variables` rejects those that are absent.
    levels
        Levels to keep [hPa, or the level's own unit].

    Raises
    ------
    InputError
        For a missing axis, a time axis without dates, a curvilinear, rotated or projected grid, a further dimension,
        or a variable and a level, or two levels, that would have the same name.
    """
    names = None if requested is None else frozenset(requested)
    dataset = _named_axes(dataset, where)
    attrs = {key: dataset.attrs[key] for key in ("source", "title", "references") if key in dataset.attrs}
    fields: dict[str, xr.DataArray] = {}
    for name, array in dataset.data_vars.items():
        if text := misfit(array.encoding, str(name), where):
            raise InputError(text)
    gridded = {str(name): array for name, array in dataset.data_vars.items() if _is_gridded(array)}
    short_names = names_in_file(gridded)
    for name, array in gridded.items():
        valid = within_valid_range(with_packed_fills(array))
        for new, layer in by_level(valid, name, short_names[name], where, names, levels):
            if new in fields:
                raise InputError(
                    f"two variables or levels of {where} would both be called '{new}', one of them of '{name}': drop "
                    "one, or choose with ingestion.variables or ingestion.levels"
                )
            fields[new] = _plain(layer)
    if not any("time" in array.dims for array in fields.values()):
        _refuse_non_numbers(dataset, where)
    coords = {name: _plain_coordinate(dataset[name]) for name in DIMS}
    return xr.Dataset(fields, coords=coords, attrs=attrs)


def _is_gridded(array: xr.DataArray) -> bool:
    return {"latitude", "longitude"} <= set(array.dims) and array.dtype.kind in "fiu"


def _refuse_non_numbers(dataset: xr.Dataset, where: str) -> None:
    """Reject a variable on the grid whose values are not numbers."""
    kinds = {"b": "bool", "c": "complex numbers", "U": "text", "S": "text"}
    for name, array in dataset.data_vars.items():
        if set(DIMS) <= set(array.dims) and array.dtype.kind not in "fiu":
            kind = kinds.get(array.dtype.kind, "objects")
            raise InputError(f"'{name}' of {where} holds {kind}, not plain numbers: convert it")


def select_variables(dataset: xr.Dataset, requested: Collection[str], where: str) -> xr.Dataset:
    """Select the requested variables, by name or short name; a name without its level selects all levels.

    Raises
    ------
    InputError
        For a variable that is absent, naming the closest match.
    """
    aliases = {
        str(new): {str(new), *array.attrs.get("aliases", "").split()} for new, array in dataset.items()
    }
    selected: list[str] = []
    for name in requested:
        matches = [new for new, names in aliases.items() if name in names]
        if not matches:
            near = get_close_matches(name, sorted(set().union(*aliases.values())), n=1, cutoff=0.0)
            hint = f"the nearest is '{near[0]}'" if near else "it has none on (time, latitude, longitude)"
            raise InputError(f"variable '{name}' is not in {where}: {hint}, see ingestion.variables")
        selected += [match for match in matches if match not in selected]
    return dataset[selected]


def _named_axes(dataset: xr.Dataset, where: str) -> xr.Dataset:
    """Rename the axes to `time`, `latitude` and `longitude`, and make each a dimension."""
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
    return unique_times(dataset, where)


def _find(dataset: xr.Dataset, axis: str) -> str | None:
    """Coordinate of an axis: by its attributes first, then by its name; dimensions take precedence."""

    def rank(name: str) -> int | None:
        array = dataset[name]
        if array.ndim > (1 if axis == "time" else 2):
            return None
        by_name, by_attributes = name.lower() in _NAMES[axis], _is_axis(array, axis)
        if not (by_attributes or (by_name and name in dataset.coords)):
            return None
        return 4 * (name in dataset.dims) + 2 * by_attributes + by_name

    ranks = {str(name): rank(str(name)) for name in dataset.variables}
    candidates = {name: value for name, value in ranks.items() if value is not None}
    return max(candidates, key=candidates.__getitem__) if candidates else None


def _is_axis(array: xr.DataArray, axis: str) -> bool:
    """Whether the attributes (CF: standard_name, units) or the data type identify this axis."""
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
        raise InputError(f"{where} holds no times: choose another file")
    if not calendars.is_dates(time):
        raise InputError(
            f"the time axis of {where} does not hold dates: give it units such as 'days since 2001-01-01'"
        )
    absent = np.flatnonzero(time.isnull())
    if absent.size:
        first, pronoun = ("", "it") if absent.size == 1 else ("first ", "them")
        raise InputError(
            f"the time axis of {where} lacks {counted(absent.size, 'date')} of {time.size} "
            f"({first}at position {absent[0] + 1}): fill {pronoun} in"
        )


def _plain(array: xr.DataArray) -> xr.DataArray:
    """Reduce a variable to float32 on the contract's dimensions, its CF attributes and the notes on its values."""
    dims = DIMS if "time" in array.dims else DIMS[1:]
    attributes = {
        key: str(array.attrs[key])
        for key in (*KEPT_ATTRS, "aliases")
        if str(array.attrs.get(key, "")).strip()
    }
    plain = array.reset_coords(drop=True).transpose(*dims).astype(np.float32, copy=False).drop_encoding()
    plain = plain.drop_vars([c for c in plain.coords if c not in DIMS]).copy(deep=False)
    plain.attrs = {}  # drop_attrs would copy the values
    wide = {WIDE_ATTR: 1} if array.dtype.itemsize > (4 if array.dtype.kind == "f" else 2) else {}
    return plain.assign_attrs(attributes | notes_of(array.attrs) | wide)


def _plain_coordinate(coordinate: xr.DataArray) -> xr.DataArray:
    plain = coordinate.reset_coords(drop=True).drop_attrs().drop_encoding()
    name = str(plain.name)
    if name == "time":
        return plain.copy(data=calendars.in_nanoseconds(plain)).assign_attrs(standard_name="time")
    units = "degrees_north" if name == "latitude" else "degrees_east"
    return plain.astype(np.float64).assign_attrs(units=units, standard_name=name)
