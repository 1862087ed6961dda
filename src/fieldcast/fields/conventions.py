"""Convert one opened data set to the names, dimensions, order and type of the `fields` contract, lazily.

The input is any CF-like file. Coordinates are identified by their attributes, else by common names; leftover
dimensions of size one are dropped; each level of a level dimension becomes a variable (z500). The output is float32
(time, latitude, longitude).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import numpy as np
import xarray as xr

from fieldcast import calendars
from fieldcast.errors import InputError, counted, listed
from fieldcast.fields.encoding import (
    ENCODING,
    EXPVER,
    Encoding,
    combine_versions,
    declared_encoding,
    is_time_difference,
    misfit,
    unique_times,
)
from fieldcast.geometry import TRUE_GRID, is_curvilinear
from fieldcast.kinds import CASE, LEAD, MEMBER, SAMPLE, START, STEP

DIMS = ("time", "latitude", "longitude")
KEPT_ATTRS = ("units", "long_name", "standard_name")
# attribute: reasons for which variables were left out, by name, until it is logged
LEFT_OUT = "fieldcast_left_out"
RENAMED = "fieldcast_renamed"  # attribute: names that variables have in the file, by their new name, until it is logged
VALID_ATTRS = ("valid_min", "valid_max")  # numbers, in the units of the field
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
    *("level", "lev", "plev", "pressure_level", "isobaricinhpa", "pressure"),
    *("depth", "height", "altitude"),
}
_LEVEL_STANDARD_NAMES = {"air_pressure", "height", "depth", "altitude"}
_RADIANS = {"rad", "radian", "radians", "radians_north", "radians_east"}
_TODO = "interpolate it to a regular latitude-longitude grid first"
# short names of common weather variables, from the ECMWF parameter table
SHORT = {
    "geopotential": "z",
    "geopotential_height": "zg",
    "temperature": "t",
    "u_component_of_wind": "u",
    "v_component_of_wind": "v",
    "vertical_velocity": "w",
    "specific_humidity": "q",
    "relative_humidity": "r",
    "vorticity": "vo",
    "divergence": "d",
    "wind_speed": "ws",
    "2m_temperature": "t2m",
    "2m_dewpoint_temperature": "d2m",
    "10m_u_component_of_wind": "u10",
    "10m_v_component_of_wind": "v10",
    "10m_wind_speed": "ws10",
    "mean_sea_level_pressure": "msl",
    "surface_pressure": "sp",
    "sea_surface_temperature": "sst",
    "total_column_water_vapour": "tcwv",
    "total_column_vapor": "tcwv",
    "total_precipitation": "tp",
    "total_precipitation_6hr": "tp6h",
    "total_precipitation_24hr": "tp24h",
    "geopotential_at_surface": "zs",
    "land_sea_mask": "lsm",
}
# flags of the values of a filled record
OBSERVED, FILLED, EXTRAPOLATED, NEVER, MASKED = range(5)
MEANINGS = "observed filled extrapolated never_observed masked"
# suffixes of a variable's name, which results give to its statistics
MEAN = "_mean"
SPREAD = "_spread"
SUSPECT = "_suspect"  # 1 where an observation was down-weighted
MEMBERS = "_members"  # draws of a record whose own variable holds the filled values
FLAG = "_flag"  # origin of each value
QUANTILES = "_median", "_p05", "_p95"  # where the variable is mapped (`quantities`)
AS_OBSERVED = "_observed"  # observed values that a result smooths
# standard deviation and mean of their errors, where variables of the source give them
OF_ERRORS = AS_OBSERVED + "_error", AS_OBSERVED + "_bias"
# all of them, in the order of a result
SUFFIXES = (MEAN, SPREAD, SUSPECT, *QUANTILES, MEMBERS, FLAG, AS_OBSERVED, *OF_ERRORS)

# coordinates of the climatology, observations, reconstructions, forecasts and samples; "all" is the mean over variables
RESERVED = frozenset(
    {"all", "dayofyear", "k", "mask", "pattern", "quantile", "segment", "variable"}
    | {CASE, LEAD, MEMBER, SAMPLE, START, STEP}
)
ERROR = re.compile(r"standard_(deviation|error)|(^|_)(bias|error|uncertainty|unc|stddev|sigma)(_|\b)", re.I)
# name of the mask that the option `mask` gives, until ingestion makes it the coordinate `domain.SEA`; not a file's name
MASK = "the mask"
# attribute: names of the variables that the option `predictors` gives, until ingestion
PREDICTORS = "the predictors"
LAND_MASKS = frozenset({"mask", "land_mask", "landmask", "sea_mask", "seamask", "lsmask"})


def as_dataset(data: object, where: str = "the data") -> xr.Dataset:
    """Data sets as they are, an array as a data set with one variable."""
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


def is_error(array: xr.DataArray) -> bool:
    """Whether a variable looks like the error of another one, by its name or CF's standard name."""
    names = f"{array.name} {array.attrs.get('standard_name', '')}"
    return bool(ERROR.search(names))


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


def short(name: str) -> str:
    """Short name, or the name itself if it is not in the table."""
    return SHORT.get(name, name)


def names_in_file(names: Collection[str]) -> dict[str, str]:
    """The short name of each variable of a file; its own name where several would have the same."""
    count = Counter(map(short, names))
    return {name: short(name) if count[short(name)] == 1 else name for name in names}


def axes(dataset: xr.Dataset) -> dict[str, str]:
    """Map `time`, `latitude` and `longitude` to the names they have in a data set of any layout."""
    names = {}
    for axis in DIMS:
        ranks = {str(name): _rank(dataset, str(name), axis) for name in dataset.variables}
        if any(ranks.values()):
            names[axis] = max(ranks, key=ranks.__getitem__)
    return names


def _rank(dataset: xr.Dataset, name: str, axis: str) -> int:
    """Rank of a variable as the coordinate of an axis, by dimension, attributes and name; 0 if it is none."""
    array = dataset[name]
    if array.ndim > (1 if axis == "time" else 2):
        return 0
    by_name, attrs = name.lower() in _NAMES[axis], array.attrs
    if axis == "time":
        dates = array.dtype.kind == "M" or (
            array.dtype == object and calendars.is_dates(array.values.ravel())
        )
        by_attributes = dates and attrs.get("standard_name", "time") == "time"
    else:
        in_degrees = str(attrs.get("units", "")).lower().replace(" ", "_") in _DEGREES[axis]
        by_attributes = bool(attrs.get("standard_name", axis if in_degrees else "") == axis)
    if not (by_attributes or (by_name and name in dataset.coords)):
        return 0
    return 4 * (name in dataset.dims) + 2 * by_attributes + by_name


def to_contract(
    dataset: xr.Dataset,
    where: str = "the data",
    requested: Collection[str] | None = None,
    levels: Collection[float] | None = None,
    curvilinear: bool = False,
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
    curvilinear
        Whether grids that are not latitude by longitude are read, as `flattened` describes, or refused.
    """
    names = None if requested is None else frozenset(requested)
    dataset, versions_of_times = unique_times(_with_axes(dataset, where, curvilinear), where)
    for name, array in dataset.data_vars.items():
        if text := misfit(array.encoding, str(name), where):
            raise InputError(text)
    on_grid = {
        str(name): array for name, array in dataset.data_vars.items() if set(DIMS[1:]) <= set(array.dims)
    }
    gridded = {name: array for name, array in on_grid.items() if array.dtype.kind in "fiu"}
    encodings = {name: declared_encoding(array) for name, array in gridded.items()}
    categories = {
        name
        for name, array in gridded.items()
        if (encodings[name].category and not is_land_mask(name, array)) or is_time_difference(array)
    } - (names or frozenset())
    gridded = {name: array for name, array in gridded.items() if name not in categories}
    short_names = names_in_file(gridded)
    fields: dict[str, xr.DataArray] = {}
    for name, array in gridded.items():
        encoding = encodings[name]
        for new, layer in _split_levels(encoding.masked(array), short_names[name], where, names, levels):
            if new in fields:
                raise InputError(
                    f"two variables or levels of {where} would both be called '{new}', one of them of '{name}': drop "
                    "one, or choose with ingestion.variables or ingestion.levels"
                )
            combined, versions = combine_versions(layer, where)
            fields[new] = _plain(combined, replace(encoding, versions=versions or versions_of_times))
    renamed = {name: unreserved(name, array, fields) for name, array in fields.items()}
    fields = {new: fields[name] for name, new in renamed.items()}
    renamed = {new: name for name, new in renamed.items() if new != name}
    coords = {name: _plain_coordinate(dataset[name]) for name in DIMS}
    if is_curvilinear(dataset):
        coords |= {name: dataset[name].reset_coords(drop=True).transpose(*DIMS[1:]) for name in TRUE_GRID}
    attrs = {key: dataset.attrs[key] for key in ("source", "title", "references") if key in dataset.attrs}
    kinds = {"b": "bool", "c": "complex numbers", "U": "text", "S": "text", "m": "time differences"}
    kinds |= {"M": "dates"}
    if not any("time" in array.dims for array in fields.values()):
        for name, array in on_grid.items():
            if "time" in array.dims and array.dtype.kind not in "fiu":
                kind = kinds.get(array.dtype.kind, "objects")
                raise InputError(f"'{name}' of {where} holds {kind}, not plain numbers: convert it")
    left_out = {} if names else {name: _category(on_grid[name]) for name in sorted(categories)}
    for name, array in on_grid.items():
        if not names and array.dtype.kind not in "fiu":
            left_out[name] = f"it holds {kinds.get(array.dtype.kind, 'objects')}, not plain numbers"
    notes = {key: note for key, note in ((LEFT_OUT, left_out), (RENAMED, renamed)) if note}
    return xr.Dataset(fields, coords=coords, attrs=attrs | notes)


def unreserved(name: str, array: xr.DataArray, others: Collection[str]) -> str:
    """The name of a variable, or another one if results use it themselves, or give it to a statistic of another."""
    statistic = any(name.endswith(suffix) and name.removesuffix(suffix) in others for suffix in SUFFIXES)
    if (name in RESERVED and not is_land_mask(name, array)) or statistic:
        new = f"{name}_value"
        return new if new not in others else unreserved(new, array, others)
    return name


def is_land_mask(name: str, array: xr.DataArray) -> bool:
    """Whether a variable may be a mask of land or sea, by its name and its lack of a time axis."""
    return name.lower() in LAND_MASKS and "time" not in array.dims


def _category(array: xr.DataArray) -> str:
    """Reason for which a category is left out."""
    if is_time_difference(array):
        return "it holds time differences"
    flags = any(key in array.attrs for key in ("flag_values", "flag_masks"))
    return "it holds flags" if flags else "it holds integers without units"


def require_variables(dataset: xr.Dataset, where: str) -> None:
    """Raise an InputError for a data set without a variable in time, which names those that were left out."""
    if any(name != MASK for name in time_varying(dataset)):
        return
    if MASK in dataset:
        raise InputError(
            f"{where} has no variable on (time, latitude, longitude) besides its mask '{dataset[MASK].long_name}': "
            "name another variable as the mask, one that is 1 where values are filled."
        )
    left_out = [f"'{name}': {reason}" for name, reason in dataset.attrs.get(LEFT_OUT, {}).items()]
    besides = f" ({listed(left_out, len(left_out))})" if left_out else ""
    remedy = "name one of them in ingestion.variables, or " if left_out else ""
    others = (
        f" but {counted(len(left_out), 'variable')} that {'is' if len(left_out) == 1 else 'are'} left out"
    )
    raise InputError(
        f"{where} has no variable on (time, latitude, longitude){others if left_out else ''}{besides}: {remedy}choose "
        "another file"
    )


def _plain(array: xr.DataArray, encoding: Encoding) -> xr.DataArray:
    """Reduce a variable to float32 on the contract's dimensions, its CF attributes and its encoding."""
    dims = DIMS if "time" in array.dims else DIMS[1:]
    attrs: dict[str, Any] = {
        key: str(array.attrs[key])
        for key in (*KEPT_ATTRS, "aliases")
        if str(array.attrs.get(key, "")).strip()
    }
    for key, bound in zip(VALID_ATTRS, encoding.valid or (), strict=False):
        if np.isfinite(bound):
            attrs[key] = bound
    plain = array.reset_coords(drop=True).transpose(*dims).astype(np.float32, copy=False).drop_encoding()
    plain = plain.drop_vars([c for c in plain.coords if c not in DIMS]).copy(deep=False)
    plain.attrs = {**attrs, ENCODING: encoding}  # drop_attrs would copy the values
    return plain


def _plain_coordinate(coordinate: xr.DataArray) -> xr.DataArray:
    plain = coordinate.reset_coords(drop=True).drop_attrs().drop_encoding()
    if plain.name == "time":
        return plain.copy(data=calendars.in_nanoseconds(plain)).assign_attrs(standard_name="time")
    units = "degrees_north" if plain.name == "latitude" else "degrees_east"
    return plain.astype(np.float64).assign_attrs(units=units, standard_name=plain.name)


def select_variables(
    dataset: xr.Dataset, requested: Collection[str], where: str, option: str = "ingestion.variables"
) -> xr.Dataset:
    """Select the requested variables, by name or short name; a name without its level selects all levels."""
    aliases = {
        str(new): {str(new), *array.attrs.get("aliases", "").split()} for new, array in dataset.items()
    }
    selected: list[str] = []
    for name in requested:
        matches = [new for new, names in aliases.items() if name in names]
        if not matches:
            near = get_close_matches(name, sorted(set().union(*aliases.values())), n=1, cutoff=0.0)
            hint = f"the nearest is '{near[0]}'" if near else "it has none on (time, latitude, longitude)"
            raise InputError(f"variable '{name}' is not in {where}: {hint}, see {option}")
        selected += [match for match in matches if match not in selected]
    return dataset[selected]


def _with_axes(dataset: xr.Dataset, where: str, curvilinear: bool) -> xr.Dataset:
    """Rename the axes to `time`, `latitude` and `longitude`, and make each a dimension."""
    names = axes(dataset)
    for axis in DIMS[1:]:
        if axis not in names:
            raise InputError(
                f"{where} has no {axis}: it needs a coordinate with CF units, such as degrees_north"
            )
    stored, dataset = dataset, flattened(dataset) if curvilinear else separated(dataset)
    for axis in DIMS[1:]:
        if dataset[names[axis]].ndim == 2:
            raise InputError(
                f"{where} is on a curvilinear grid ({names['latitude']}, {names['longitude']}): interpolate it to a "
                "regular latitude-longitude grid first; only `fieldcast fill-gaps` takes it as it is"
            )
    if dataset[names["latitude"]].dims == dataset[names["longitude"]].dims:
        raise InputError(
            f"{where} is a list of points, not a latitude-longitude grid: put it on a grid first"
        )
    if "time" not in names:
        raise InputError(
            f"{where} has no time axis: it needs a time coordinate with units 'days since ...', or, in a file of one "
            "field, the attribute time_coverage_start"
        )
    if dataset is stored:  # separable coordinates are regular, such as those of a Mercator projection
        refuse_projected(dataset, where)
    for axis in DIMS[1:]:
        dataset = dataset.assign_coords({names[axis]: in_degrees(dataset[names[axis]], axis, where)})
    for axis, name in names.items():
        if dataset[name].ndim == 0:
            dataset = dataset.set_coords(name).expand_dims(name)
        dim = str(dataset[name].dims[0])
        if dim != name:
            dataset = dataset.set_coords(name).swap_dims({dim: name})
        if name != axis:
            dataset = dataset.drop_vars(axis, errors="ignore").rename({name: axis})
    _check_dates(dataset["time"], where)
    return dataset


def separated(dataset: xr.Dataset) -> xr.Dataset:
    """A data set with latitudes and longitudes in one dimension each, if those in two are separable.

    Latitudes may not change along the dimension of the longitudes, nor these along that of the latitudes.
    """
    names = axes(dataset)
    if not {*DIMS[1:]} <= {*names} or any(dataset[names[axis]].ndim != 2 for axis in DIMS[1:]):
        return dataset
    y, x = (dataset[names[axis]] for axis in DIMS[1:])
    if {*y.dims} != {*x.dims} or 0 in y.shape:
        return dataset
    for rows, columns in (y.dims, y.dims[::-1]):
        by_row, by_column = y.isel({columns: 0}, drop=True), x.isel({rows: 0}, drop=True)
        if bool((y == by_row).all()) and bool((x == by_column).all()):
            plain = dataset.drop_vars([names[axis] for axis in DIMS[1:]])
            dims = ((names["latitude"], rows, by_row), (names["longitude"], columns, by_column))
            return plain.assign_coords(
                {name: (dim, values.values, values.attrs) for name, dim, values in dims}
            )
    return dataset


def grid_mapping_of(array: xr.DataArray) -> str:
    """Name of the variable that describes the projection: "name" or "name: x y" in CF.

    `spatial_ref`, of GDAL and rioxarray, counts even if the array does not refer to it.
    """
    named = array.attrs.get("grid_mapping", array.encoding.get("grid_mapping", "spatial_ref"))
    return str(named).partition(":")[0].strip()


def flattened(dataset: xr.Dataset) -> xr.Dataset:
    """A data set with one latitude for each row and one longitude for each column, whatever its grid.

    Where those in two dimensions are not separable, rows and columns are numbered in degrees, about one grid step apart
    around 0, and the coordinates `geometry.TRUE_GRID` hold the latitudes and longitudes of the cells. Rows that run
    down, as in images, are numbered in descending order: a map is then no mirror image.
    """
    dataset = separated(dataset)
    names = axes(dataset)
    if not {*DIMS[1:]} <= {*names} or any(dataset[names[axis]].ndim != 2 for axis in DIMS[1:]):
        return dataset
    y = dataset[names["latitude"]]
    if {*y.dims} != {*dataset[names["longitude"]].dims}:
        return dataset
    true = {
        name: dataset[names[axis]].transpose(*y.dims) for name, axis in zip(TRUE_GRID, DIMS[1:], strict=True)
    }
    phi, lam = (np.deg2rad(array.values.astype(float)) for array in true.values())
    points = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    to_next_row, to_next_column = np.diff(points, axis=1)[:, :, :-1], np.diff(points, axis=2)[:, :-1]
    upward = np.cross(to_next_column, to_next_row, axis=0)  # out of the Earth, if rows run up
    down = float((points[:, :-1, :-1] * upward).sum()) < 0
    plain = dataset.drop_vars([names[axis] for axis in DIMS[1:]])
    numbered: dict[str, Any] = {name: (y.dims, array.values) for name, array in true.items()}
    for number, (axis, extent) in enumerate(zip(DIMS[1:], (160.0, 300.0), strict=True)):
        count = y.shape[number]
        steps = np.linalg.norm(np.diff(points, axis=number + 1), axis=0)
        step = min(float(np.rad2deg(np.median(steps))) if steps.size else 1.0, extent / count)
        values = (np.arange(count) - (count - 1) / 2) * max(step, 1e-6)
        if axis == "latitude" and down:
            values = values[::-1]
        units = "degrees_north" if axis == "latitude" else "degrees_east"
        numbered[names[axis]] = (y.dims[number], values, {"units": units})
    return plain.assign_coords(numbered)


def degrees_axis(attrs: Mapping[Any, Any]) -> str | None:
    """The axis whose units these attributes have, such as degrees_north; None for others."""
    units = str(attrs.get("units", "")).lower().replace(" ", "_")
    return next((axis for axis, names in _DEGREES.items() if units in names), None)


def _check_dates(time: xr.DataArray, where: str) -> None:
    if not time.size:
        raise InputError(f"{where} holds no times: choose another file")
    if not calendars.is_dates(time):
        raise InputError(
            f"the time axis of {where} does not hold dates{_described_times(time)}: give it units such as 'days since "
            "2001-01-01'"
        )
    absent = np.flatnonzero(time.isnull())
    if absent.size:
        first, pronoun = ("", "it") if absent.size == 1 else ("first ", "them")
        raise InputError(
            f"the time axis of {where} lacks {counted(absent.size, 'date')} of {time.size} "
            f"({first}at position {absent[0] + 1}): fill {pronoun} in"
        )


def _described_times(time: xr.DataArray) -> str:
    """The first and the last value of an axis, and its units, for a message."""
    units = str(time.attrs.get("units", "")).strip()
    first, last = (str(time.values[i]) for i in (0, -1))
    return f" (it runs from {first} to {last}{f' {units!r}' if units else ', without units'})"


def _split_levels(
    array: xr.DataArray,
    short_name: str,
    where: str,
    requested: frozenset[str] | None,
    levels: Collection[float] | None,
) -> Iterator[tuple[str, xr.DataArray]]:
    """Yield (new name, field on the contract's dimensions and `expver`) for each requested level.

    The new name is `short_name`, followed by the level, such as z500 for geopotential at 500 hPa. Without levels there
    is one field.
    """
    name = str(array.name)
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
            yield short_name, array.assign_attrs(aliases=name)
        return
    in_pascal = str(array[level].attrs.get("units", "")).lower() in {"pa", "pascal"}
    for i, number in enumerate(array[level].values):
        value = round(float(number) * (0.01 if in_pascal else 1.0), 6)  # hPa
        new = f"{short_name}{value:g}"
        aliases = {name, short_name, f"{name}{value:g}"}
        if (levels is None or value in levels) and (requested is None or requested & (aliases | {new})):
            long_name = f"{array.attrs.get('long_name', name)} at {value:g}"
            layer = array.isel({level: i}, drop=True)
            yield new, layer.assign_attrs(aliases=" ".join(sorted(aliases)), long_name=long_name)


def _is_level(array: xr.DataArray, dim: str) -> bool:
    if dim not in array.coords or array[dim].dtype.kind not in "fiu":
        return False
    axis, standard_name = (array[dim].attrs.get(key) for key in ("axis", "standard_name"))
    return dim.lower() in _LEVELS or axis == "Z" or standard_name in _LEVEL_STANDARD_NAMES


def in_degrees(coordinate: xr.DataArray, axis: str, where: str) -> xr.DataArray:
    """Latitude or longitude (`axis`) in degrees, which is also assumed if the coordinate has no units.

    Rotated coordinates are in degrees too; only their attributes distinguish them from true latitudes and longitudes.
    """
    standard_name = str(coordinate.attrs.get("standard_name", ""))
    if standard_name.startswith(("grid_", "projection_")):
        raise InputError(
            f"the {axis} '{coordinate.name}' of {where} is a {standard_name} (its standard_name), not a {axis} on "
            f"the globe: {_TODO}"
        )
    values = coordinate.values
    if values.dtype.kind not in "fiu":
        kind = "text" if values.dtype.kind in "USO" else values.dtype.name
        raise InputError(f"the {axis}s of {where} are {kind}: make them numbers")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(
            f"the {axis} '{coordinate.name}' of {where} holds NaN or infinity "
            f"({counted(int((~np.isfinite(values)).sum()), 'value')} of {values.size}): correct it"
        )
    units = str(coordinate.attrs.get("units", "")).strip().lower()
    if units in _RADIANS:
        degrees = np.round(np.rad2deg(values.astype(np.float64)), 10)  # 60, not 60.00000000000001
        return xr.DataArray(degrees, dims=coordinate.dims, name=coordinate.name, attrs={"units": "degrees"})
    if units and not any(sign in units for sign in ("deg", "°")):
        raise InputError(
            f"the {axis} '{coordinate.name}' of {where} is in '{units}', not in degrees: convert it, or, if the "
            f"grid is projected, {_TODO}"
        )
    return coordinate


def refuse_projected(dataset: xr.Dataset, where: str) -> None:
    """Reject a variable whose grid mapping (CF, section 5.6) is not a plain latitude-longitude grid.

    The mapping's CF name decides, else its text (WKT), else the name of its variable.
    """
    for name, array in dataset.data_vars.items():
        if array.ndim < 2:
            continue
        mapping = grid_mapping_of(array)
        described = dataset[mapping].attrs if mapping in dataset.variables else {}
        text = " ".join(str(described.get(key, "")) for key in ("crs_wkt", "spatial_ref")).upper()
        if "grid_mapping_name" in described:
            kind = str(described["grid_mapping_name"])
        elif "PROJCS" in text or "PROJCRS" in text:
            kind = "projected"
        elif "DERIVINGCONVERSION" in text:
            kind = "rotated"
        else:
            kind = mapping if "rotated" in mapping.lower() else "latitude_longitude"
        if kind != "latitude_longitude":
            raise InputError(
                f"variable '{name}' of {where} is on a {kind} grid (its grid_mapping '{mapping}'): {_TODO}"
            )
