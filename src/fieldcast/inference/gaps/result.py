"""A filled record as a data set in the layout of the user's data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int8
from torch import Tensor

from fieldcast import calendars
from fieldcast.encoding.field_layout import FieldLayout, layout_of
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.fields import conventions
from fieldcast.fields.conventions import AS_OBSERVED, FLAG, MASKED, MEANINGS, NEVER, OBSERVED, OF_ERRORS
from fieldcast.fields.domain import BLOCK_BYTES, masked
from fieldcast.fields.observation_error import Errors
from fieldcast.fields.quantities import Clip
from fieldcast.geometry import GRID
from fieldcast.inference.gaps.own_units import OwnFilling, own_members
from fieldcast.inference.result_attributes import original_name, restore_layout
from fieldcast.kinds import CF, LAYOUTS, MEMBER
from fieldcast.models.gaps.record import Filling

MAX_SPREAD_SHARE = 0.9  # share of the climatological spread above which a value counts as extrapolated
MAX_LENGTHS = 2.0  # distance to the nearest observation, in e-folding lengths, above which it does, too
DIMS = ("time", *GRID)


def as_fields(
    fields: xr.Dataset, errors: Errors, gappy: GappyRecord, filling: Filling, own: Mapping[str, OwnFilling],
    flag: Int8[Tensor, "time column"], beyond_limits: Bool[Tensor, "time column"],
) -> xr.Dataset:  # fmt: skip
    """The result on the grid of the fields, NaN where it is beyond the limits or masked.

    It takes the memory of the filling. Mapped variables are taken from `own`, and have a median and the ends of their
    90 % interval as well. No value is outside the range that the file declares. Smoothed values, where observed ones
    have errors, stand beside these, and beside the errors that variables of the file give.
    """
    layout, members, nowhere = layout_of(fields), filling.members.shape[1], masked(fields)
    result = xr.Dataset(coords={name: fields[name].reset_coords(drop=True) for name in DIMS})
    if members:
        result = result.assign_coords({MEMBER: (MEMBER, np.arange(members), CF[MEMBER])})
    for variable in gappy.own:
        name, quantity, (v, *_) = variable
        observed, beyond = fields[name].transpose(*DIMS).values, gappy.on_grid(beyond_limits, v, False)
        flags = gappy.on_grid(flag, v, NEVER)
        if nowhere is not None:
            beyond = beyond | nowhere.values
            np.copyto(flags, MASKED, where=nowhere.values)
        if name in errors.deviation:
            as_observed = (
                observed.copy()
                if name not in errors.bias
                else observed + errors.bias[name].fillna(0.0).transpose(*DIMS).values
            )
            observed = np.full_like(observed, np.nan)
        if quantity is None:
            valid = declared_range(fields[name])
            mean = in_units(gappy, filling.mean[:, None], v, observed, beyond, valid)[:, 0]
            spread = gappy.on_grid(filling.spread, v)
            spread *= gappy.codec.deviation[v]
            np.copyto(spread, np.nan, where=beyond)
            statistics = {"mean": mean, "spread": spread}
        else:
            statistics = own_on_grid(
                gappy, own[name], v, observed, beyond, clipped=isinstance(quantity, Clip)
            )
            mean = statistics["mean"]
        described = {} if quantity is None else {"quantity": quantity.kind}
        result[name] = DIMS, mean.copy(), dict(layout.attrs[name]) | described
        for part, values in {**statistics, "flag": flags}.items():
            result[f"{name}_{part}"] = DIMS, values, dict(attributes(layout, name, part))
        if nowhere is not None:
            result[name + FLAG].attrs |= flag_attributes(MASKED)
        if name in errors.deviation:
            result.update(observed_values(name, as_observed, errors, layout))
        if members:
            if quantity is None:
                draws = in_units(gappy, filling.members, v, observed, beyond, valid)
            else:
                draws = gappy.to_grid(torch.from_numpy(own_members(gappy, filling, variable)), v)
                np.copyto(draws, np.nan, where=beyond[:, None])
                np.copyto(draws, observed[:, None], where=np.isfinite(observed)[:, None])
            described = dict(attributes(layout, name, "members"))
            drawn = xr.Variable(("time", MEMBER, *GRID), draws, described)
            result[f"{name}_members"] = drawn.transpose(*LAYOUTS["members"])
    return result


def observed_values(
    name: str, observed: Float[np.ndarray, "time y x"], errors: Errors, layout: FieldLayout
) -> dict[str, xr.Variable]:
    """Observed values of a variable, and their errors where variables of the source give them."""
    parts = {
        name + AS_OBSERVED: xr.Variable(DIMS, observed, dict(attributes(layout, name, "observed values")))
    }
    meanings = "standard deviation of the error", "mean error"
    for part, suffix, error in zip(meanings, OF_ERRORS, errors.of_source(name), strict=True):
        if error is not None:
            given = error.transpose(*DIMS).values.astype(np.float32)
            parts[name + suffix] = xr.Variable(DIMS, given, dict(attributes(layout, name, part)))
    return parts


def own_on_grid(
    gappy: GappyRecord, own: OwnFilling, v: int,
    observed: Float[np.ndarray, "time y x"], beyond: Bool[np.ndarray, "time y x"], clipped: bool,
) -> dict[str, Float[np.ndarray, "time y x"]]:  # fmt: skip
    """Statistics of a mapped variable on the grid, by the names of results; observed values are as they are.

    Clipped values, which are not mapped, have neither median nor interval.
    """
    names = {"mean": own.moments.mean, "spread": own.moments.spread}
    if not clipped:
        names |= {"median": own.moments.median, "p05": own.moments.low, "p95": own.moments.high}
    statistics = {}
    for part, values in names.items():
        grid = gappy.to_grid(torch.from_numpy(own.on_columns(values)), v)
        np.copyto(grid, np.nan, where=beyond)
        if part != "spread":
            np.copyto(grid, observed, where=np.isfinite(observed))
        statistics[part] = grid
    return statistics


def declared_range(array: xr.DataArray) -> tuple[float, float]:
    """The valid range that a file declares for a variable; infinite ends without one."""
    return float(array.attrs.get("valid_min", -np.inf)), float(array.attrs.get("valid_max", np.inf))


def in_units(
    gappy: GappyRecord, x: Float[Tensor, "time member column"], v: int,
    observed: Float[np.ndarray, "time y x"], beyond: Bool[np.ndarray, "time y x"], valid: tuple[float, float],
) -> Float[np.ndarray, "time member y x"]:  # fmt: skip
    """Anomalies x of a variable as fields in its units, NaN where they are beyond the limits; may change x in place.

    They are cut to the valid range.

    Observed values are taken as they are, not rounded by the standardisation.
    """
    values, codec = gappy.on_grid(x, v), gappy.codec
    values *= codec.deviation[v]
    for t, day in enumerate(calendars.day_of_year(gappy.times) - 1):
        values[t] += codec.climatology[day, v]
    if gappy.drift is not None:
        values += gappy.on_grid(gappy.drift, v)[:, None] * codec.deviation[v]
    if np.isfinite(valid).any():
        np.clip(values, *valid, out=values)
    np.copyto(values, np.nan, where=beyond[:, None])
    np.copyto(values, observed[:, None], where=np.isfinite(observed)[:, None])
    return values


def attributes(codec: FieldLayout, variable: str, part: str) -> Iterator[tuple[str, Any]]:
    """CF attributes of one part of the result."""
    yield "long_name", f"{part} of {codec.attrs[variable].get('long_name', variable)}"
    if part == "flag":
        yield from flag_attributes().items()
    else:
        yield "units", codec.attrs[variable].get("units", "1")


def flag_attributes(last: int = NEVER) -> dict[str, Any]:
    """Values and meanings of flags, up to the last one that a result may have."""
    meanings = MEANINGS.split()[: last + 1]
    return {"flag_values": np.arange(last + 1, dtype=np.int8), "flag_meanings": " ".join(meanings)}


def in_layout_of(
    dataset: xr.Dataset, fields: xr.Dataset, result: xr.Dataset, codec: FieldLayout
) -> xr.Dataset:
    """The result with names, order, precision and (bit for bit) the observed values of the data set.

    Where ingestion changed the times or the grid of the data set, or joined its variables from levels or files, the
    result has the names of the data set and the times, cells and values of the fields.
    """
    plain = conventions.flattened(dataset)
    axes = conventions.axes(plain)
    alike = np.array_equal(plain[axes["time"]].values, fields["time"].values)
    alike &= all(plain[axes[axis]].size == fields.sizes[axis] for axis in GRID)
    if not alike or any(original_name(dataset, v) not in dataset for v in codec.variables):
        return restore_layout(users_layout(plain, fields, codec), result, codec)
    return with_values_of(dataset, restore_layout(dataset, result, codec), codec)


def with_values_of(dataset: xr.Dataset, result: xr.Dataset, codec: FieldLayout) -> xr.Dataset:
    """A result with the observed values of the data set whose layout it has, bit for bit where units agree."""
    for v in codec.variables:
        name = original_name(dataset, v)
        template = dataset[name]
        if {*template.dims} == {*result[name].dims} and template.attrs.get("units") == codec.attrs[v].get(
            "units"
        ):
            exact = result[name + AS_OBSERVED if name + AS_OBSERVED in result else name]
            values = exact.values.astype(np.result_type(exact.dtype, template.dtype), copy=False)
            flag, given = result[f"{name}_flag"], template.transpose(*exact.dims)
            length = max(1, BLOCK_BYTES // values[:1].nbytes)
            for begin in range(0, len(values), length):  # the data set may be in a file
                part = slice(begin, begin + length)
                np.copyto(values[part], given[part].values, where=flag[part].values == OBSERVED)
            result[exact.name] = exact.dims, values, exact.attrs
    return result


def users_layout(dataset: xr.Dataset, fields: xr.Dataset, codec: FieldLayout) -> xr.Dataset:
    """The layout of a data set around the times and cells of the fields made from it; it holds no values."""
    coords, dims = {}, {}
    for axis, name in conventions.axes(dataset).items():
        template = dataset[name]
        dims[axis] = str(template.dims[0]) if template.ndim else name
        unchanged = axis in GRID and template.size == fields.sizes[axis]
        values = (template if unchanged else fields[axis]).values
        attrs = {key: value for key, value in template.attrs.items() if key != "bounds"}
        coords[name] = xr.Variable(dims[axis], values, attrs)
    sizes = {dims[axis]: fields.sizes[axis] for axis in DIMS}
    variables = {}
    for v in codec.variables:
        name = original_name(dataset, v)
        template = dataset[name] if name in dataset else fields[v].rename(dims)
        order = [str(dim) for dim in template.dims if dim in sizes]
        if dims["time"] not in order:  # files of one field each, without a time axis
            order.insert(0, dims["time"])
        empty = np.broadcast_to(np.float32(np.nan), [sizes[dim] for dim in order])
        variables[name] = order, empty, template.attrs
        mapping = conventions.grid_mapping_of(template)
        if mapping in dataset.data_vars:
            variables[mapping] = dataset[mapping].variable
    return xr.Dataset(variables, coords, dataset.attrs)
