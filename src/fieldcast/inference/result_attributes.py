"""Results that leave the project: the user's own layout, attributes of CF-1.11 and ACDD-1.3.

https://cfconventions.org/cf-conventions/v1.11; https://wiki.esipfed.org/Attribute_Convention_for_Data_Discovery_1-3
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from fieldcast import calendars, lineage
from fieldcast.encoding.field_layout import FieldLayout
from fieldcast.errors import counted
from fieldcast.fields import conventions
from fieldcast.fields.conventions import (
    FLAG,
    MEAN,
    MEMBERS,
    QUANTILES,
    SPREAD,
    SUFFIXES,
    SUSPECT,
    in_degrees,
    short,
)
from fieldcast.fields.units import conversion
from fieldcast.geometry import GRID, counted_from
from fieldcast.kinds import LEAD, MEMBER, SAMPLE

CONVENTIONS = "CF-1.11, ACDD-1.3"
VOCABULARY = "CF Standard Name Table"
# global attributes that describe the source, not the result
SOURCE_ATTRIBUTES = re.compile(
    "^(title|summary|institution|source|id|uuid|naming_authority|doi|processing_level|product_version|keywords.*|"
    "(creator|publisher|contributor|date|geospatial|time_coverage)_.*)$"
)
# attributes of stored fields about their ingestion and their store
INGESTION_ATTRIBUTES = frozenset(
    {"digest", "lineage", "missing", "step_hours", "step_months", "step_same_day", "wraps", "_variables"}
)
AXES = {"latitude": ("Y", "degrees_north"), "longitude": ("X", "degrees_east"), "time": ("T", None)}
MEDIAN, *ENDS = QUANTILES
METHODS = {
    MEAN: "realization: mean",
    SPREAD: "realization: standard_deviation",
    MEDIAN: "realization: median",
}
# attributes that are no longer true of the result, or that were set while the data were read
STALE_ATTRIBUTES = re.compile("^(fieldcast_|valid_|actual_range|flag_)")


METHODS |= dict.fromkeys((*ENDS, MEMBERS), "")  # which CF has no name for
FLAGS = (SUSPECT, FLAG)
COMMANDS = ("kedro", "fieldcast")


def with_attributes(
    result: xr.Dataset, source: Mapping[str, Any], kind: str, model: str, options: Mapping[str, Any]
) -> xr.Dataset:
    """The result with its own attributes, and with those of its source under names that begin with `input_`.

    Parameters
    ----------
    result
        Variables v with v_mean, v_spread, v_suspect and v_flag, in the layout of the user's data.
    source
        Global attributes of the data that the result was made from; those of ingestion are left out.
    kind
        Kind of the result, the first words of its title: "Reconstruction", "Forecast".
    model
        Type and digest of the model.
    options
        Members, seed and the like, which become attributes `fieldcast_...`.
    """
    result = result.copy()
    related = {array.attrs.get("bounds") for array in result.coords.values()}
    related |= {array.attrs.get("grid_mapping") for array in result.data_vars.values()}
    names = [str(name) for name in result.data_vars if name not in related]
    for name in names:
        describe_variable(result, name)
    for axis, name in conventions.axes(result).items():
        describe_axis(result[name], axis)
    for name in map(str, result.coords):
        describe_coordinate(result, name)
    variables = ", ".join(long_name(result[name]) for name in names if owner_of(name, result) == name)
    keywords = [word.strip() for word in variables.split(",")]
    version = lineage.versions(["fieldcast"]).get("fieldcast", "")
    call = ", ".join(f"{key}={value}" for key, value in options.items())
    today = lineage.now()[:10]
    line = f"{today} {kind.lower()} by fieldcast {version}: {command() or call}"
    result.attrs = {
        **inherited_attributes(source),
        "Conventions": CONVENTIONS,
        "title": f"{kind} of {variables}",
        "summary": f"{kind} of {variables} as an ensemble with its mean and its spread, the standard deviation of the "
        f"members, drawn from the generative model {model} ({call}).",
        "keywords": ", ".join([kind.lower(), "ensemble", *keywords]),
        "source": f"fieldcast {version}, model {model}",
        "history": "\n".join(filter(None, [line, source.get("history")])),
        "date_created": today,
        "standard_name_vocabulary": VOCABULARY,
        **coverage(result),
        **{f"fieldcast_{key}": value for key, value in options.items()},
    }
    return result


def inherited_attributes(source: Mapping[str, Any]) -> dict[str, Any]:
    """Global attributes of the source without those of ingestion; attributes for discovery get the prefix `input_`."""
    stored = source.keys() >= {"digest", "wraps"}
    return {
        SOURCE_ATTRIBUTES.sub(lambda match: f"input_{match[0]}", str(key)): value
        for key, value in source.items()
        if not (stored and key in INGESTION_ATTRIBUTES)
    }


def in_one_line(result: xr.Dataset) -> str:
    """Describe a result by its title, the period that it covers, its members and the mean spread of each variable.

    Where observed values are kept, their spread of 0 does not count.
    """
    attrs = result.attrs
    kept = attrs.get("fieldcast_noise") == 0
    period = " to ".join(
        calendars.without_midnight(attrs[f"time_coverage_{end}"])
        for end in ("start", "end")
        if f"time_coverage_{end}" in attrs
    )
    spreads = {
        str(name).removesuffix(SPREAD): array.where(array > 0) if kept else array
        for name, array in result.data_vars.items()
        if str(name).endswith(SPREAD)
    }
    means = [
        f"{name} {float(array.mean()):.3g} {array.attrs.get('units', '')}".strip()
        for name, array in spreads.items()
        if array.notnull().any()
    ]
    parts = [attrs["title"], period, counted(attrs["fieldcast_members"], "member")]
    if means:
        parts.append(f"mean spread {'of unobserved values ' if kept else ''}{', '.join(means)}")
    return ", ".join(filter(None, parts))


LONG_NAMES = {
    MEMBER: "member of the ensemble", LEAD: "lead time", "time": "time", SAMPLE: "number of the sample",
    "forecast_reference_time": "initial time of the forecast", "forecast_period": "lead time",
}  # fmt: skip


def describe_coordinate(result: xr.Dataset, name: str) -> None:
    """Set the attributes of a coordinate, and drop the name of bounds that the result lacks."""
    coordinate = result[name]
    if coordinate.attrs.get("bounds") not in result.variables:
        coordinate.attrs.pop("bounds", None)
    coordinate.attrs.setdefault("long_name", LONG_NAMES.get(name, name.replace("_", " ")))
    coordinate.encoding["_FillValue"] = None  # no coordinate has missing values


def describe_variable(result: xr.Dataset, name: str) -> None:
    """Set the attributes of one variable; a moment inherits standard name and cell methods of its variable."""
    base, attrs = name, result[name].attrs
    for suffix, method in METHODS.items():
        if name.endswith(suffix) and name.removesuffix(suffix) in result:
            base = name.removesuffix(suffix)
            of_base = result[base].attrs
            attrs |= {key: of_base[key] for key in ("standard_name",) if key in of_base}
            if suffix == SPREAD and conversion(str(attrs.get("units", "1")), "K"):
                attrs["units_metadata"] = "temperature: difference"
            methods = " ".join(filter(None, [of_base.get("cell_methods"), method]))
            attrs |= {"cell_methods": methods} if methods else {}
    if name.endswith(FLAGS):
        attrs |= {"standard_name": "quality_flag", "coverage_content_type": "qualityInformation"}
    else:
        attrs["coverage_content_type"] = "modelResult"
    attrs.setdefault("long_name", name)
    if base == name and (content := content_remark(result, name)):
        attrs["comment"] = "; ".join(filter(None, [attrs.get("comment"), content]))
    for key in [key for key in ("coordinates", "ancillary_variables") if key in attrs]:
        del attrs[key]  # they name variables that the result may lack
    mapping = result[owner_of(base, result)].attrs.get("grid_mapping")
    if mapping in result:
        attrs["grid_mapping"] = mapping
    else:
        attrs.pop("grid_mapping", None)
    related = [f"{name}{suffix}" for suffix in (SPREAD, *FLAGS) if f"{name}{suffix}" in result]
    if base == name and related:
        attrs["ancillary_variables"] = " ".join(related)


def owner_of(name: str, result: xr.Dataset) -> str:
    """The variable of which another one is a statistic, flag or error; its own name if it is none."""
    owners = (name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix))
    return next((each for each in owners if each in result), name)


def content_remark(result: xr.Dataset, name: str) -> str:
    """A remark on the content of a variable, members or observed and filled values; empty if neither."""
    if MEMBER in result[name].dims:
        return f"one draw for each member; {name}{MEAN} holds their mean"
    filled = {name + FLAG, name + MEAN} <= set(result.data_vars)
    return f"observed values where {name}{FLAG} is 0, elsewhere {name}{MEAN}" if filled else ""


def describe_axis(coordinate: xr.DataArray, axis: str) -> None:
    """Set standard name, units and axis of a coordinate; auxiliary coordinates get no axis."""
    letter, units = AXES[axis]
    coordinate.attrs["standard_name"] = axis
    if units is not None:
        coordinate.attrs.setdefault("units", units)
    if coordinate.dims == (coordinate.name,):
        coordinate.attrs["axis"] = letter


def long_name(array: xr.DataArray) -> str:
    """The long name of a variable, or its name."""
    return str(array.attrs.get("long_name") or array.name)


def coverage(result: xr.Dataset) -> dict[str, Any]:
    """The box and the period that the result covers."""
    box: dict[str, Any] = {}
    axes = conventions.axes(result)
    for axis, prefix in (("latitude", "lat"), ("longitude", "lon")):
        values = np.atleast_1d(result[axes[axis]].values)
        box |= {
            f"geospatial_{prefix}_min": float(values.min()), f"geospatial_{prefix}_max": float(values.max()),
            f"geospatial_{prefix}_units": AXES[axis][1],
        }  # fmt: skip
    if "time" in axes:
        times = sorted(calendars.iso(result[axes["time"]]).tolist())
        box |= {"time_coverage_start": times[0], "time_coverage_end": times[-1]}
    return box


def command() -> str:
    """The command line of this process if it runs a command of this project, else empty."""
    program, *arguments = sys.argv or [""]
    name = Path(program).stem
    return shlex.join([name, *arguments]) if name in COMMANDS else ""


def restore_layout(dataset: xr.Dataset, filled: xr.Dataset, codec: FieldLayout) -> xr.Dataset:
    """Draws of the model's variables and their moments, in the layout of `dataset`; members follow time.

    Dimensions that the data set lacks come first. Bounds of coordinates and descriptions of projections are kept;
    `result_attributes.with_attributes` sets the global attributes.
    """
    filled = restore_variables(dataset, restore_axes(dataset, filled, codec), codec)
    related = {str(array.attrs["bounds"]) for array in filled.coords.values() if "bounds" in array.attrs}
    related |= {str(array.attrs.get("grid_mapping")) for array in filled.data_vars.values()}
    return filled.assign(
        {name: dataset[name].variable for name in sorted(related) if name in dataset.data_vars}
    )


def restore_axes(dataset: xr.Dataset, filled: xr.Dataset, codec: FieldLayout) -> xr.Dataset:
    """Dimensions and coordinates of the data set, which may descend, start at -180 or have other names."""
    plain = conventions.flattened(dataset)
    coordinates = {axis: plain[name] for axis, name in conventions.axes(plain).items()}
    for axis in GRID:
        filled = in_order(filled, axis, np.argsort(ascending(coordinates[axis], axis, getattr(codec, axis))))
    filled = filled.drop_vars(coordinates)
    if not coordinates["time"].ndim:
        filled = filled.squeeze("time")
    dims = {axis: str(array.dims[0]) for axis, array in coordinates.items() if array.ndim}
    filled = filled.rename_dims({axis: dim for axis, dim in dims.items() if axis != dim})
    drawn = {MEMBER, LEAD}  # dimensions of the result; `.sel(member=3)` leaves a scalar of that name
    shared = {*filled.dims} - drawn
    replaced = {"segment", *(drawn & {*filled.dims})}  # ingestion numbers the segments of stored fields
    names = [name for name in dataset.coords if name not in replaced]
    return filled.assign_coords(
        {name: dataset[name].variable for name in names if {*dataset[name].dims} <= shared}
    )


def ascending(
    coordinate: xr.DataArray, axis: str, contract: Float[np.ndarray, " cell"]
) -> Int[np.ndarray, " cell"]:
    """Positions of the cells along an axis of a data set in ascending order, as the model has them."""
    values = in_degrees(coordinate, axis, "the data set").values.astype(float)
    return np.argsort(counted_from(values, contract.min()) if axis == "longitude" else values)


def in_order(data: xr.Dataset, dim: str, order: Int[np.ndarray, " cell"]) -> xr.Dataset:
    """A data set with the cells along a dimension in an order; a view if it is theirs or the opposite one."""
    for part in (slice(None), slice(None, None, -1)):
        if np.array_equal(np.arange(len(order))[part], order):
            return data.isel({dim: part})
    return data.isel({dim: order})


def to_model_names(result: xr.Dataset, fields: xr.Dataset) -> xr.Dataset:
    """A result in the layout of a user's data set with the names and order of the fields made from it."""
    names: dict[str, str] = {}
    for v in conventions.time_varying(fields):
        name = original_name(result, v)
        names |= {name + suffix: v + suffix for suffix in ("", *SUFFIXES) if name + suffix in result}
    renamed = result.rename(names)
    result, renamed = conventions.flattened(result), conventions.flattened(renamed)
    for axis, name in conventions.axes(result).items():
        dim = str(result[name].dims[0])
        if axis in GRID:
            renamed = in_order(renamed, dim, ascending(result[name], axis, fields[axis].values))
        renamed = renamed.drop_vars(name).rename_dims({dim: axis} if dim != axis else {})
        renamed = renamed.assign_coords({axis: fields[axis].variable})
    return renamed


def restore_variables(dataset: xr.Dataset, filled: xr.Dataset, codec: FieldLayout) -> xr.Dataset:
    """Names, order of dimensions and attributes of the data set's variables; each level stays a variable."""
    result = filled.drop_vars(list(filled.data_vars))
    time = dataset[conventions.axes(dataset)["time"]].dims
    for v in codec.names:
        name = original_name(dataset, v)
        template = dataset[name] if name in dataset else filled[v]
        order = [str(d) for d in template.dims if d in filled.dims and d != MEMBER]
        order.insert(1 + order.index(str(time[0])) if time else 0, MEMBER)
        for suffix in (suffix for suffix in ("", *SUFFIXES) if v + suffix in filled):
            values = filled[v + suffix]
            new = [d for d in values.dims if d not in order]
            result[name + suffix] = values.transpose(*new, *(d for d in order if d in values.dims))
        attrs = {**result[name].attrs, **template.attrs}
        result[name].attrs = {key: a for key, a in attrs.items() if not STALE_ATTRIBUTES.search(str(key))}
        if (mapping := conventions.grid_mapping_of(template)) in dataset.variables:
            result[name].attrs["grid_mapping"] = mapping
    return result


def original_name(dataset: xr.Dataset, variable: str) -> str:
    """Name of a variable in the data set; the name of the model for one of several levels."""
    alike = [str(name) for name in dataset.data_vars if short(str(name)) == variable]
    return variable if variable in dataset or not alike else alike[0]
