"""A filled record that grows: later times are filled by its fit, and the last times before them are revised.

The observed values of the record are in the filled file itself, marked by its flags. Those of the last times and of the
new ones are filled together as one record, by the method and the parameters of the fit. The times that this can change
noticeably, within `REVISED` e-folding times of the correlation before the new ones, are replaced; all earlier ones stay
as they are. The times before these are read as far as the method looks back.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from operator import or_
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr

from fieldcast import calendars, lineage
from fieldcast.encoding.field_layout import layout_of
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.errors import InputError, counted
from fieldcast.fields import conventions
from fieldcast.fields.conventions import (
    AS_OBSERVED,
    FLAG,
    LEFT_OUT,
    MASK,
    MASKED,
    NEVER,
    OBSERVED,
    OF_ERRORS,
    RENAMED,
    SPREAD,
    time_varying,
    to_contract,
)
from fieldcast.fields.ingest import ingest_contract
from fieldcast.fields.observation_error import (
    BIAS,
    DEVIATION,
    Errors,
    Given,
    given_for,
    in_units_of,
    named_variable,
    names_variables,
    separate_errors,
)
from fieldcast.fields.quantities import Circle
from fieldcast.fields.sources import join_files
from fieldcast.fields.times import as_record
from fieldcast.inference.gaps.filling import TrustLimits, with_flags
from fieldcast.inference.gaps.result import as_fields, with_values_of
from fieldcast.inference.gaps.stored_fit import FILL_AGAIN, USUAL, StoredFit
from fieldcast.inference.result_attributes import command, coverage, original_name, restore_layout
from fieldcast.models.gaps.fillers import FILLERS
from fieldcast.models.gaps.local_kriging import REACH_IN_TAU, KrigingModel
from fieldcast.models.random_streams import RandomStreams
from fieldcast.scores.numbers import significant

LOG = logging.getLogger(__name__)
REVISED = 2.0  # e-folding times before the new ones within which times are revised
MEMORY = 6.0  # e-folding times before these that are read, too: the correlation over as many is 0.2 %
MAX_AGE = 0.1  # age of a fit, as a share of the record, above which a new one is advised
NOT_FILLED = "was not written by `fieldcast fill-gaps`: name its result"


class Granule(NamedTuple):
    """New times: fields in the layout of `to_contract`, the data set that they come from, and its name in messages."""

    fields: xr.Dataset
    dataset: xr.Dataset
    where: str


def filled_variables(filled: xr.Dataset, where: str) -> list[str]:
    """Names of the variables of a filled record; raises an InputError if it is none."""
    names = [str(name) for name in filled.data_vars if f"{name}{FLAG}" in filled.data_vars]
    axes = conventions.axes(conventions.flattened(filled))
    if not names or "time" not in axes or "fieldcast_method" not in filled.attrs:
        raise InputError(f"{where} {NOT_FILLED}.")
    return names


def observed_part(filled: xr.Dataset, where: str) -> xr.Dataset:
    """The observed values of a filled record, in its layout, and its mask: in time, or of cells with values."""
    kept = {}
    for name in filled_variables(filled, where):
        array = filled[name + AS_OBSERVED if name + AS_OBSERVED in filled else name]
        kept[name] = array.where(filled[name + FLAG] == OBSERVED).assign_attrs(filled[name].attrs)
        for key in ("ancillary_variables", "coverage_content_type", "comment", "quantity"):
            kept[name].attrs.pop(key, None)
    dim, axes = time_dimension(filled), conventions.axes(conventions.flattened(filled))
    flags = [filled[name + FLAG] for name in kept]
    if MASKED in np.atleast_1d(flags[0].attrs.get("flag_values", ())):  # the mask is that of all variables
        mask = flags[0] != MASKED
    else:
        mask = reduce(or_, ((each != NEVER).any(dim) for each in flags))
    kept[MASK] = mask.astype(np.float32).drop_attrs()
    on_time = [name for name, x in filled.coords.items() if dim in x.dims and name != axes["time"]]
    return xr.Dataset(kept, attrs=filled.attrs).drop_vars(on_time, errors="ignore")


def refuse_unknown_errors(filled: xr.Dataset, noise: Given, where: str) -> None:
    """Raise an InputError if the filled record lacks the errors that an option names, as older ones do."""
    if names_variables(noise) and not any(name.endswith(OF_ERRORS[0]) for name in map(str, filled.data_vars)):
        raise InputError(
            f"{where} does not hold the errors of its observed values, which noise ({noise}) gives by variables: "
            f"{FILL_AGAIN}."
        )


def with_errors(
    observed: xr.Dataset, filled: xr.Dataset, granule: Granule, noise: Given, where: str
) -> xr.Dataset:
    """Observed values with their errors, as variables of the names that new times have for them."""
    new = granule.fields
    for name in filled_variables(filled, where) if names_variables(noise) else ():
        deviation, bias = (filled.get(name + suffix) for suffix in OF_ERRORS)
        given = given_for(name, noise)
        if deviation is None or given is None:
            continue
        holder = named_variable(new, given)
        if holder is None:
            raise InputError(
                f"{granule.where} has no variable '{given}', which gives the errors of {name}: rename the one that it "
                "has, or give another file."
            )
        of_bias = holder.replace(DEVIATION, BIAS)
        if bias is None and of_bias != holder and of_bias in new:
            raise InputError(
                f"{granule.where} has the mean error '{of_bias}', and {where} was filled without one: drop it from the "
                f"file, or {FILL_AGAIN}."
            )
        for key, error in ((holder, deviation), (of_bias, bias)):
            if error is not None and key not in observed:
                template = new.get(key, error)
                units = {each: template.attrs[each] for each in ("units",) if each in template.attrs}
                converted = in_units_of(error, template, "noise").astype(error.dtype) if units else error
                observed = observed.assign({key: converted.drop_attrs().assign_attrs(units).variable})
    return observed


def time_dimension(filled: xr.Dataset) -> str:
    """Name of the dimension of time."""
    time = filled[conventions.axes(conventions.flattened(filled))["time"]]
    return str(time.dims[0])


def join(observed: xr.Dataset, granule: Granule, gaps: Any, where: str) -> tuple[xr.Dataset, int]:
    """Fields of observed values of a filled record and of new ones, and the number of times of the former."""
    old = to_contract(as_record(observed, where), where, curvilinear=True)
    names = [name for name in time_varying(old) if name != MASK]
    if lacking := [name for name in names if name not in granule.fields.data_vars]:
        raise InputError(
            f"{granule.where} lacks {', '.join(lacking)}, which {where} has: give a file with the same variables."
        )
    mask, earlier, times = granule.fields.get(MASK), old[MASK], old.sizes["time"]
    if "time" in earlier.dims and (mask is None or "time" not in mask.dims):
        lack = "lacks the mask" if mask is None else "has a mask without time"
        raise InputError(
            f"{granule.where} {lack}, and {where} was filled with one in time: give that of the new times by the "
            "option mask, or as a variable of the same name."
        )
    if mask is not None and "time" in mask.dims and "time" not in earlier.dims:
        raise InputError(
            f"{granule.where} has a mask in time, and {where} was filled without one: leave it out, or {FILL_AGAIN}."
        )
    new = granule.fields[names if mask is None else [*names, MASK]]
    old = old[[str(name) for name in new.data_vars]]
    for part in (old, new):
        for key in (LEFT_OUT, RENAMED):
            part.attrs.pop(key, None)
        for name in part.data_vars:
            part[name].attrs.pop("aliases", None)
    both = join_files([(where.strip("'"), old), (granule.where.strip("'"), new)])
    if mask is not None and "time" not in mask.dims and not np.array_equal(mask, earlier):
        raise InputError(
            f"the mask of {granule.where} is not that of {where}, whose cells with values differ from it: leave it "
            f"out, or {FILL_AGAIN}."
        )
    hours = calendars.hours(both["time"])
    if hours[times:].min() <= hours[times - 1]:
        first, last = (day_of(both["time"], t) for t in (times, times - 1))
        raise InputError(
            f"{granule.where} begins on {first}, and {where} ends on {last}: give times after its end; times that it "
            "holds are not replaced."
        )
    fields = ingest_contract(both, granule.where, gaps, "train", part=True)
    kept = int((calendars.hours(fields["time"]) <= hours[times - 1] - hours[0] + 1e-6).sum())
    if kept != times:
        raise InputError(f"the times of {where} were changed after it was filled: {FILL_AGAIN}.")
    return fields, times


@torch.no_grad()
def append(
    filled: xr.Dataset, where: str, granule: Granule, fit: StoredFit, device: torch.device
) -> xr.Dataset:
    """A filled record with new times, filled by its fit, and the last times before them revised.

    Parameters
    ----------
    filled, where
        The filled record, in its layout, and its name in messages.
    granule
        The new times.
    fit
        The fit of the record.
    device
        Device to compute on.
    """
    options, dim, total = fit.options, time_dimension(filled), filled.sizes[time_dimension(filled)]
    revised = min(total, math.ceil(REVISED * max(steps for _, steps in fit.lengths)))
    begin = max(0, total - revised - memory(fit))
    recent = filled.isel({dim: slice(begin, None)})
    observed = observed_part(filled, where).isel({dim: slice(begin, None)})
    observed = with_errors(observed, recent, granule, options["noise"], where).load()
    fields, old = join(observed, granule, options["gaps"], where)
    if fit.sea is not None:
        sea = xr.DataArray(fit.sea.numpy(), dims=("latitude", "longitude"))
        with xr.set_options(keep_attrs=True):
            fields = fields.assign({name: fields[name].where(sea) for name in time_varying(fields)})
    fields, errors = separate_errors(fields, options["noise"], say=False)
    result = fill_continued(fields, errors, fit, begin, old - revised, device)
    result = result.isel(time=slice(old - revised, None))
    fields, layout = fields.isel(time=slice(old - revised, None)), layout_of(fields)
    of_old, of_new = slice(0, revised), slice(revised, None)
    template = observed.drop_vars(MASK).isel({dim: slice(old - revised, None)})
    parts = [with_values_of(template, restore_layout(template, result.isel(time=of_old), layout), layout)]
    time = conventions.axes(conventions.flattened(filled))["time"]
    times = fields["time"].isel(time=of_new).values
    later = template.isel({dim: [-1] * len(times)}).assign_coords({time: (dim, times, filled[time].attrs)})
    new = restore_layout(later, result.isel(time=of_new), layout)
    whole = all(
        original_name(granule.dataset, v) in granule.dataset for v in layout.variables
    )  # not levels of one
    exact = whole and on_axes_of(granule.dataset, new)
    parts.append(with_values_of(granule.dataset, new, layout) if exact else new)
    extended = concatenated([filled.isel({dim: slice(0, total - revised)}), *parts], filled, dim)
    return with_attributes_of(extended, filled, fit, total, revised, len(times), time)


def memory(fit: StoredFit) -> int:
    """Number of times before the revised ones that are read, too."""
    models = [
        model
        for name, model in fit.parameters.items()
        if name.startswith(("kriging.", "noise.")) and name != "noise.deviation"
    ]
    reach = [MEMORY * steps for _, steps in fit.lengths]
    reach += [REACH_IN_TAU * float(KrigingModel.unpacked(model).correlation.time) for model in models]
    return math.ceil(max(*reach, 1 + (fit.options["max_gap"] or 0)))


def fill_continued(
    fields: xr.Dataset, errors: Errors, fit: StoredFit, begin: int, requested: int, device: torch.device
) -> xr.Dataset:
    """Fill times that continue a record by its fit, from the time of the number `requested` on.

    `begin` is the number of times of the record before the first of the fields.
    """
    options = fit.options
    gappy = GappyRecord.of(fields, device, fit.quantities, errors, fit.record)
    wanted = gappy.record.missing
    wanted[:requested] = False
    record = replace(gappy.record, requested=wanted, fitted=fit.statistics._replace(first=begin))
    gappy = replace(gappy, record=record).with_latent_values(fit.parameters)
    record = gappy.record
    members, times = options["members"], torch.arange(begin, begin + len(record.x), device=record.x.device)
    streams = RandomStreams(options["seed"], times, members) if members else None
    filler = partial(FILLERS[fit.method], fitted=fit.parameters)
    filling, own, flag, _ = with_flags(gappy, filler(record, streams), fit, streams)
    trust = TrustLimits(options["max_gap"], options["max_spread"])
    result = as_fields(fields, errors, gappy, filling, own, flag, trust.beyond(gappy, filling, own))
    for name in time_varying(fields):  # values in cells that the fit has no climatology of
        beyond = (result[name + FLAG] == NEVER) & fields[name].notnull()
        if bool(beyond.any()):
            LOG.warning(
                "%d values of %s are in cells where the fit has none: they are kept.", int(beyond.sum()), name
            )
            result[name + FLAG] = result[name + FLAG].where(~beyond, np.int8(OBSERVED))
            result[name + SPREAD] = result[name + SPREAD].where(~beyond, np.float32(0))
    return result


def on_axes_of(dataset: xr.Dataset, result: xr.Dataset) -> bool:
    """Whether a data set has the times and cells of a result, in the same order."""
    axes = [conventions.axes(conventions.flattened(each)) for each in (dataset, result)]
    return axes[0].keys() == axes[1].keys() and all(
        np.array_equal(dataset[axes[0][axis]].values, result[axes[1][axis]].values) for axis in axes[0]
    )


def concatenated(parts: Sequence[xr.Dataset], filled: xr.Dataset, dim: str) -> xr.Dataset:
    """Parts of a record in time, with the variables, types and attributes of the filled one."""
    names = [str(name) for name, array in filled.data_vars.items() if dim in array.dims and name in parts[-1]]
    kept = [part[names].reset_coords(drop=True) for part in parts]
    time = conventions.axes(conventions.flattened(filled))["time"]
    arrays = {}
    for name in names:
        template = filled[name]
        values = [
            part[name].transpose(*template.dims).values.astype(template.dtype, copy=False) for part in kept
        ]
        arrays[name] = xr.Variable(
            template.dims, np.concatenate(values, template.dims.index(dim)), template.attrs, template.encoding
        )
    axis = np.concatenate([part[time].values for part in parts])
    gone = {str(name) for name, x in filled.variables.items() if dim in x.dims}
    if lost := sorted(gone - {*names, time}):
        LOG.warning(
            "%s, which the new times lack, %s left out.", ", ".join(lost), "is" if len(lost) == 1 else "are"
        )
    attrs = {key: value for key, value in filled[time].attrs.items() if key != "bounds" or value not in lost}
    encoding = {
        key: value for key, value in filled[time].encoding.items() if key != "bounds" or value not in lost
    }
    return (
        filled.drop_vars(gone)
        .assign(arrays)
        .assign_coords({time: xr.Variable(dim, axis, attrs, encoding)})[
            list(names) + [str(name) for name in filled.data_vars if name not in gone]
        ]
    )


def with_attributes_of(
    extended: xr.Dataset, filled: xr.Dataset, fit: StoredFit, total: int, revised: int, new: int, time: str
) -> xr.Dataset:
    """The attributes of the filled record, with what was done."""
    first, last = (day_of(extended[time], t) for t in (total, -1))
    period = first if new == 1 else f"{first} to {last}"
    begin, fitted = day_of(extended[time], total - revised), fit.statistics.times
    text = (
        f"{counted(new, 'time')} ({period}) {'was' if new == 1 else 'were'} appended to the record, filled by "
        f"{fit.method} as it was fitted to the first {fitted} of now {total + new} times; "
        f"{counted(revised, 'time')} before, from {begin} on, {'was' if revised == 1 else 'were'} revised, by at most "
        f"{largest_changes(extended, filled, slice(total - revised, total))}."
    )
    if total + new - fitted > MAX_AGE * (total + new):
        text += (
            " The fit is older than a tenth of the record: fit again, by filling the whole record, or by appending "
            "without the file of the fit."
        )
    today = lineage.now()[:10]
    line = f"{today} {counted(new, 'time')} appended by fieldcast: {command() or 'fill_gaps'}"
    extended.attrs = {
        **filled.attrs, **coverage(extended), "date_created": today,
        "history": "\n".join(filter(None, [line, filled.attrs.get("history")])),
        "comment": f"{text}\n\nThe report on the fit:\n\n{fit.report}",
    }  # fmt: skip
    return extended


def largest_changes(extended: xr.Dataset, filled: xr.Dataset, revised: slice) -> str:
    """The largest change of each variable at the times that were revised, in its unit."""
    dim, changes = time_dimension(filled), []
    for name in filled_variables(filled, "the filled record"):
        array, quantity = filled[name], str(filled[name].attrs.get("quantity", ""))
        before, after = (each[name].isel({dim: revised}).values.astype(float) for each in (filled, extended))
        change = np.abs(after - before)
        if quantity.startswith(Circle.kind):
            change = np.minimum(change, 360 - change)
        largest = np.nanmax(change) if np.isfinite(change).any() else 0.0
        changes.append(f"{significant(largest)} {array.attrs.get('units', '')}".strip() + f" ({name})")
    return ", ".join(changes)


def day_of(times: xr.DataArray, number: int) -> str:
    """One of some times as text."""
    return calendars.without_midnight(calendars.date(times[number]))


def agree(stored: Mapping[str, Any], given: Mapping[str, Any], where: str) -> None:
    """Raise an InputError for an option that is given, and was another one when the record was filled."""
    for name, value in given.items():  # `join` compares masks themselves, whatever their names
        if name != "mask" and value not in (USUAL[name], stored[name]):
            raise InputError(
                f"{name} is {value}, and {where} was filled with {stored[name]}: leave it out, or {FILL_AGAIN}."
            )


def first_paragraph(filled: xr.Dataset) -> str:
    """The sentences on appended times in the comment on a record."""
    return str(filled.attrs["comment"]).partition("\n\n")[0]
