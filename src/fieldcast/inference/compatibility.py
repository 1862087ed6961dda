"""Checks that data fit a trained model: variables, units, grid, time step."""

from __future__ import annotations

import logging
from collections.abc import Collection

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fieldcast import calendars
from fieldcast.calendars import with_rounded_times
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.errors import InputError, counted
from fieldcast.fields import conventions
from fieldcast.fields.conventions import KEPT_ATTRS
from fieldcast.fields.encoding import Search
from fieldcast.fields.quality import MAX_FINITE, refuse_fills
from fieldcast.geometry import GRID, counted_from, different_axis
from fieldcast.models.space import Space

LOG = logging.getLogger(__name__)
# median distance from the climatology above which units are probably wrong, in standard deviations
MAX_MEDIAN_INNOVATION = 10.0
MIN_VALUES = 30  # smallest number of values from which the units of a variable are judged
STEP_TOLERANCE = 1e-3  # hours by which a time step may differ from that of the training


def match_model(
    dataset: xr.Dataset, codec: FieldCodec, where: str, complete: bool = False, beside: Collection[str] = ()
) -> tuple[xr.Dataset, FieldCodec]:
    """The model's variables of a data set, on the model's grid, and the codec for their units.

    An absent variable counts as missing everywhere, unless the data must be `complete`. `where` names the data set in
    error messages. Other variables are kept if they are named in `beside`.
    """
    data = conventions.to_contract(dataset, where)
    number, distinct = dataset[conventions.axes(dataset)["time"]].size, data.sizes["time"]
    if number != distinct:
        raise InputError(
            f"{where} has {number} times, of which only {distinct} are distinct: choose one version of each (expver)."
        )
    data = with_rounded_times(with_all_variables(data, codec, where, complete))
    codec = codec.in_units(units_of_variables(data, codec, where), where)
    data = data[[*codec.names, *(name for name in beside if name in data)]].sortby("latitude")
    longitude = counted_from(data["longitude"].values, codec.longitude.min())
    shifted = data.assign_coords(longitude=longitude).sortby("longitude")
    data = data if different_axis(codec.grid, shifted) else shifted
    codec.require_grid(data, where)
    data = data.assign_coords(codec.grid).load()
    for v in codec.names:
        odd = (np.abs(data[v]) >= MAX_FINITE).any(GRID).values
        if odd.any():
            raise InputError(
                f"variable '{v}' of {where} holds Inf or an undeclared fill value on "
                f"{calendars.iso(data['time'])[odd.argmax()]}: put NaN where nothing was observed."
            )
        search = Search(data[v])
        search.widen(
            codec.in_own_units(v, codec.climatology[:, codec.parts(v)])
        )  # there may be few observations
        search.add(data[v].values)
        refuse_fills(data[v], search, where)
        data[v] = (
            data[v].drop_attrs().assign_attrs({k: data[v].attrs[k] for k in KEPT_ATTRS if k in data[v].attrs})
        )
    if not complete:  # of a forecast only the last states count
        require_plausible(data, codec, where)
    return data, codec


def with_all_variables(data: xr.Dataset, codec: FieldCodec, where: str, complete: bool) -> xr.Dataset:
    """The data, with a variable of NaN for each variable of the model that is absent; the log names these."""
    available = ", ".join(conventions.time_varying(data)) or "none"
    constant = [v for v in codec.names if v in data and "time" not in data[v].dims]
    if constant:
        raise InputError(f"variable '{constant[0]}' of {where} has no time dimension: give it one.")
    absent = [v for v in codec.names if v not in data]
    if len(absent) == len(codec.names):
        raise InputError(
            f"{where} has none of the model's variables {', '.join(absent)}; it has {available}: rename the matching "
            "variables, or name the data_root and the --env of the model that was trained on such data."
        )
    if absent and complete:
        raise InputError(
            f"{where} has no variable '{absent[0]}' (it has {available}): a forecast starts from complete states."
        )
    present = next(v for v in codec.names if v in data)
    for v in absent:
        LOG.warning("%s has no variable '%s' (it has %s): it counts as unobserved.", where, v, available)
        data = data.assign({v: xr.full_like(data[present], np.nan).drop_attrs().assign_attrs(codec.attrs[v])})
    return data


def units_of_variables(data: xr.Dataset, codec: FieldCodec, where: str) -> dict[str, str]:
    """Units of each variable, by name."""
    for v in codec.names:
        if not data[v].attrs.get("units"):
            expected = codec.attrs[v].get("units")
            raise InputError(
                f"variable '{v}' of {where} has no units; the model was trained in '{expected}': "
                f"if that is its unit, set its attribute 'units' to '{expected}'."
            )
    return {v: str(data[v].attrs["units"]) for v in codec.names}


def last_states(
    dataset: xr.Dataset, codec: FieldCodec, space: Space, history: int, where: str
) -> tuple[xr.Dataset, FieldCodec]:
    """The states that a forecast starts from: the last `history` of a data set, complete and one step apart.

    The second value is the codec for their units.
    """
    data, codec = match_model(dataset, codec, where, complete=True)
    data, needed = data.sortby("time"), max(history, 1)
    available = data.sizes["time"]
    if available < needed:
        raise InputError(
            f"{where} has {counted(available, 'state')}; the model needs the last {needed}: give it more."
        )
    data = data.isel(time=slice(available - needed, available))
    step, intervals = space.time_step, np.diff(calendars.hours(data["time"]))
    if np.any(np.abs(step.counts(data["time"]) - 1) * step.hours > STEP_TOLERANCE):
        hours = ", ".join(f"{interval:g}" for interval in intervals)
        raise InputError(
            f"the last states of {where} are {hours} hours apart; the model was trained on steps of "
            f"{step}: give the last {needed} at that step."
        )
    exists = space.exists.cpu().numpy()
    for v in codec.names:
        missing = (np.isnan(data[v].transpose("time", *GRID).values) & exists).any(axis=(1, 2))
        if missing.any():
            day = calendars.iso(data["time"])[missing.argmax()]
            raise InputError(
                f"variable '{v}' of {where} has missing values on {day}: a forecast "
                "starts from complete states; fill them first."
            )
    require_plausible(data, codec, where)
    return data, codec


def require_plausible(
    data: xr.Dataset, codec: FieldCodec, where: str, source: str = "as the file says"
) -> None:
    """Raise an InputError if the values of a variable are far from the climatology of their days, as in wrong units."""
    for v, x in zip(codec.variables, codec.encode(data).unbind(-3), strict=True):
        refuse_wrong_units(x[torch.isfinite(x)], v, codec, where, source)


def refuse_wrong_units(
    x: Float[Tensor, " value"], variable: str, codec: FieldCodec, where: str, source: str
) -> None:
    """Raise an InputError if standardised values of a variable are far from the climatology, as in wrong units.

    The median decides, so that gross errors do not matter; few values are not judged, as they may be extremes. `source`
    ends the message: where the units are from, or where to give them.
    """
    if len(x) >= MIN_VALUES and (departure := float(x.abs().median())) > MAX_MEDIAN_INNOVATION:
        units = codec.attrs[variable].get("units", "1")
        raise InputError(
            f"half of the values of '{variable}' in {where} are more than {departure:.3g} anomaly standard deviations "
            f"from the climatology: check that they are in {units}, {source}."
        )
