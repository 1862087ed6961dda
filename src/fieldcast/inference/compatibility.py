"""Whether data fit a trained model: its variables, its units, its grid; and whether a checkpoint is what this run would
train. What differs is one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.checkpoint import Checkpoint, read_header, unpack
from fieldcast.errors import InputError
from fieldcast.fields import calendars, conventions
from fieldcast.fields.conventions import KEPT
from fieldcast.fields.fills import Search
from fieldcast.fields.quality import HUGE, refuse_fills
from fieldcast.geometry import GRID
from fieldcast.lineage import differences
from fieldcast.models.core import Space

STEP_TOLERANCE = 1e-3  # hours
TOLERANCE = 1e-3  # degrees: coordinates are often stored in single precision


def matching(dataset: xr.Dataset, codec: FieldCodec, where: str) -> xr.Dataset:
    """The model's variables of a data set, on its grid and in its units; one sentence for what differs.

    `where`: how the sentence calls the data set.
    """
    data = conventions.to_contract(dataset, where)
    given, different = dataset[conventions.axes(dataset)["time"]].size, data.sizes["time"]
    if given != different:
        raise InputError(
            f"{where} holds {given} times, and {different} different ones: choose one version of each (expver)."
        )
    for v in codec.variables:
        if v not in data or "time" not in data[v].dims:
            there = ", ".join(conventions.time_varying(data)) or "none"
            raise InputError(
                f"{where} has no variable '{v}' that changes in time, which the model needs; it has {there}."
            )
        units, expected = data[v].attrs.get("units"), codec.attrs[v].get("units")
        if units != expected:
            raise InputError(
                f"variable '{v}' of {where} is in '{units}', the model was trained on '{expected}': convert it first."
            )
    data = data[list(codec.variables)].sortby("latitude")
    data = (
        data.assign_coords(longitude=data["longitude"] % 360).sortby("longitude")
        if around(data, codec)
        else data
    )
    same_grid(data, codec, where)
    data = data.assign_coords({axis: getattr(codec, axis) for axis in GRID}).load()
    for i, v in enumerate(codec.variables):
        odd = (np.abs(data[v]) >= HUGE).any(GRID).values
        if odd.any():
            raise InputError(
                f"variable '{v}' of {where} holds Inf or an undeclared fill value on "
                f"{calendars.iso(data['time'])[odd.argmax()]}: put NaN where nothing was observed."
            )
        search = Search(data[v])
        search.widen(codec.climatology[:, i])  # what was observed may be few values
        search.add(data[v].values)
        refuse_fills(data[v], search, where)
        data[v] = data[v].drop_attrs().assign_attrs({k: data[v].attrs[k] for k in KEPT if k in data[v].attrs})
    return data


def last_states(dataset: xr.Dataset, codec: FieldCodec, space: Space, history: int, where: str) -> xr.Dataset:
    """The states a forecast starts from: the last `history` of a data set, whole and a step apart.

    Raises
    ------
    InputError
        Too few, with missing values, or of another time step; and as `matching` does.
    """
    data, needed = matching(dataset, codec, where).sortby("time"), max(history, 1)
    there = data.sizes["time"]
    if there < needed:
        raise InputError(f"{where} has {there} states, the model needs the last {needed}: give it more.")
    data = data.isel(time=slice(there - needed, there))
    steps = np.diff(calendars.hours(data["time"]))
    if np.any(np.abs(steps - space.step) > STEP_TOLERANCE):
        found = ", ".join(f"{step:g}" for step in steps)
        raise InputError(
            f"the last states of {where} are {found} hours apart, the model was trained on steps of "
            f"{space.step:g} hours: give the last {needed} at that step."
        )
    exists = space.exists.cpu().numpy()
    for v in codec.variables:
        missing = (np.isnan(data[v].transpose("time", *GRID).values) & exists).any(axis=(1, 2))
        if missing.any():
            day = calendars.iso(data["time"])[missing.argmax()]
            raise InputError(
                f"variable '{v}' of {where} has missing values on {day}: a forecast "
                "starts from whole states; fill them first."
            )
    return data


def around(data: xr.Dataset, codec: FieldCodec) -> bool:
    """Whether only the convention of the longitudes differs: -180 to 180 against 0 to 360."""
    return bool(data["longitude"].min() < 0 <= codec.longitude.min() and codec.longitude.max() > 180)


def describe(values: np.ndarray) -> str:
    return f"{len(values)} from {values[0]:g} to {values[-1]:g}"


def same_grid(data: xr.Dataset, codec: FieldCodec, what: str) -> None:
    """One sentence if the latitudes or longitudes of `what` are not those of the model."""
    for axis in GRID:
        mine, theirs = getattr(codec, axis), data[axis].values
        if len(mine) != len(theirs) or not np.allclose(mine, theirs, atol=TOLERANCE):
            raise InputError(
                f"the {axis}s differ: {what} has {describe(theirs)}, the model was trained on {describe(mine)}; "
                f"interpolate {what} to the model's grid, or train on this grid."
            )


def drawn_from(
    checkpoint: bytes,
    model: Mapping[str, Any],
    whose: Mapping[str, Mapping[str, Any]],
    decided: Mapping[str, Any],
) -> Checkpoint:
    """A checkpoint whose weights are drawn from as `model` says.

    `whose`: the experiment whose checkpoint it is, by its address, and its model in this run; `decided`: what the
    options of this run would decide of it (`recipe.decided`).

    Raises
    ------
    InputError
        If that model, or what was decided, is not what was trained; and as `unpack` does.
    """
    ((address, configured),) = whose.items()
    where = f"the checkpoint of '{address}'"
    header = read_header(checkpoint, where)
    asked = {"model": configured, **decided}
    same({name: header.get(name) for name in asked}, asked, address)
    return unpack(checkpoint, where, model)


def check_fields(
    fields: xr.Dataset, splits: Mapping[str, Any], made: Checkpoint, seed: int, address: str
) -> None:
    """One sentence if a checkpoint is not of these fields, splits and seed, and whole."""
    of_variables(fields, made.by_day, "the fields are")
    same_grid(fields, made.by_day, "the data set")
    whole(made, fields.attrs.get("digest"), splits, seed, address)


def check_observations(
    observations: xr.Dataset, splits: Mapping[str, Any], made: Checkpoint, seed: int, address: str
) -> None:
    """One sentence if a checkpoint is not of these observations' variables, grid and data, of these splits and this
    seed, and whole."""
    of_variables(observations, made.by_day, "the observations are")
    same_grid(observations, made.by_day, "the data set")
    whole(made, observations.attrs.get("data"), splits, seed, address)


def of_variables(data: xr.Dataset, codec: FieldCodec, what: str) -> None:
    """One sentence if the variables are not those of the checkpoint."""
    theirs = tuple(conventions.time_varying(data))
    if set(theirs) != set(codec.variables):
        raise InputError(
            f"{what} of {', '.join(theirs)}, the checkpoint of {', '.join(codec.variables)}: "
            "train the experiment again, on these data."
        )


def whole(made: Checkpoint, data: str | None, splits: Mapping[str, Any], seed: int, address: str) -> None:
    """One sentence if the checkpoint is of other data, other splits or another seed, or not finished."""
    header = made.header
    trained = {name: header.get(name) for name in ("data", "splits", "seed")}
    same(trained, {"data": data, "splits": splits, "seed": seed}, address)
    if not header.get("finished"):
        raise InputError(
            f"the training of '{address}' is not finished: run it again, it goes on where it stopped."
        )


def same(trained: Mapping[str, Any], present: Mapping[str, Any], address: str) -> None:
    """One sentence for the first key by which a checkpoint differs from what this run would train."""
    for key, before, now in differences(trained, present):
        raise InputError(
            f"the checkpoint of '{address}' was trained with {key} {before}, this run has {now}: train it again with "
            f"`kedro run --pipelines training --namespaces {address}` and the same --env and --params."
        )
