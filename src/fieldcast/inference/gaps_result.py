"""A filled record as a data set in the layout of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Int8
from torch import Tensor

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.fields import conventions
from fieldcast.geometry import GRID
from fieldcast.inference.user_layout import original_name, restore_layout
from fieldcast.models.gaps.record import Filling

OBSERVED, FILLED, EXTRAPOLATED, NEVER = range(4)
MEANINGS = "observed filled extrapolated never_observed"
DIMS = ("time", *GRID)


def as_fields(
    fields: xr.Dataset, gappy: GappyRecord, filling: Filling, members: int,
    flag: Int8[Tensor, "time column"], distrusted: Bool[Tensor, "time column"],
) -> xr.Dataset:  # fmt: skip
    """The result on the grid of the fields, NaN where it is distrusted."""
    codec, climatology = gappy.codec, gappy.codec.climatology_at(fields["time"])
    mean = codec.physical(gappy.on_grid(filling.mean.masked_fill(distrusted, torch.nan)), climatology)
    spread = gappy.on_grid((filling.spread * gappy.scale).masked_fill(distrusted, torch.nan))
    parts: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        "mean": (DIMS, mean), "spread": (DIMS, spread), "flag": (DIMS, gappy.on_grid(flag, NEVER))
    }  # fmt: skip
    if members:
        drawn = gappy.on_grid(filling.members.masked_fill(distrusted[:, None], torch.nan))
        parts["members"] = ("time", "member", *GRID), codec.physical(drawn, climatology[:, None])
    result = xr.Dataset(coords={name: fields[name].reset_coords(drop=True) for name in DIMS})
    if members:
        number = np.arange(members), {"standard_name": "realization", "units": "1"}
        result = result.assign_coords(member=("member", *number))
    for v, name in enumerate(codec.variables):
        observed = fields[name].transpose(*DIMS).values
        result[name] = DIMS, np.where(np.isfinite(observed), observed, mean[:, v]), dict(codec.attrs[name])
        for part, (dims, values) in parts.items():
            of_variable = np.take(values, v, axis=-3)
            if part in ("mean", "members"):  # observed values as they are, not rounded by the standardisation
                kept = observed if part == "mean" else observed[:, None]
                of_variable = np.where(np.isfinite(kept), kept, of_variable)
            result[f"{name}_{part}"] = dims, of_variable, dict(attributes(codec, name, part))
    return result


def attributes(codec: FieldCodec, variable: str, part: str) -> Iterator[tuple[str, Any]]:
    """CF attributes of one part of the result."""
    yield "long_name", f"{part} of {codec.attrs[variable].get('long_name', variable)}"
    if part == "flag":
        yield "flag_values", np.arange(NEVER + 1, dtype=np.int8)
        yield "flag_meanings", MEANINGS
    else:
        yield "units", codec.attrs[variable].get("units", "1")


def in_layout_of(
    dataset: xr.Dataset, fields: xr.Dataset, result: xr.Dataset, codec: FieldCodec
) -> xr.Dataset:
    """The result with the names, order and precision of the data set, whose observed values it keeps bit for bit.

    Where ingestion changed the times of the data set or joined its variables from levels, the result has the layout of
    the contract.
    """
    time = conventions.axes(dataset)["time"]
    alike = np.array_equal(dataset[time].values, fields["time"].values)
    if not alike or any(original_name(dataset, v) not in dataset for v in codec.variables):
        dataset = fields
    dataset = dataset.drop_vars("segment", errors="ignore")
    result = restore_layout(dataset, result, codec)
    for v in codec.variables:
        name = original_name(dataset, v)
        like = dataset[name]
        if {*like.dims} == {*result[name].dims} and like.attrs.get("units") == codec.attrs[v].get("units"):
            attrs, observed = result[name].attrs, result[f"{name}_flag"] == OBSERVED
            result[name] = (
                like.transpose(*result[name].dims).where(observed, result[name]).assign_attrs(attrs)
            )
    return result
