"""The stored test observations: masks shared by every method, and the values observed through them.

A pair (pattern, k) is a *case*. Each case has `masks` masks, cycled over the scored times, so that times share
factorisations.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast import lineage
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.options import POINTS, Limits, Sparsification
from fieldcast.encoding.point_observations import POINT_COORDINATES, with_points
from fieldcast.fields.splits import SplitRanges, select
from fieldcast.geometry import GRID
from fieldcast.models import masks
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.selection import evenly
from fieldcast.models.space import Space

MASKS, ERRORS = "masks", "errors of observations"  # keys of the random streams with the seed of the options


def sparsify(
    fields: xr.Dataset, splits: SplitRanges, codec: FieldCodec, space: Space, options: Sparsification,
    limits: Limits,
) -> xr.Dataset:  # fmt: skip
    """Observations (case, time, latitude, longitude) of evenly spaced test times, NaN where nothing was observed.

    An observation is truth + noise * anomaly standard deviation * eps, in physical units.
    """
    truth = scored_times(fields, splits, options, limits)
    x = codec.encode(truth)
    number = torch.arange(len(x)) % options.masks
    cases = [(pattern, k) for pattern, fractions in options.cases.items() for k in fractions]
    values = np.stack([observed_values(x, number, space, options, case, i) for i, case in enumerate(cases)])
    values = codec.to_physical(values, codec.climatology_at(truth["time"]))
    result = with_points(
        observations_dataset(values, cases, number, truth, codec.variables), x, codec, space, options
    )
    names = [f"point_{coordinate}" for coordinate in POINT_COORDINATES]
    points = [result[name].values for name in names if name in result]
    sources = lineage_of(fields, splits, options, len(x))
    result.attrs = {
        "digest": lineage.digest(sources, values, *points), "lineage": json.dumps(sources), "data": sources["data"],
        "noise": options.noise, "seed": options.seed,
    }  # fmt: skip
    return result


def observations_dataset(
    values: Float[np.ndarray, "case time variable y x"], cases: Sequence[tuple[str, float]],
    number: Int[Tensor, " time"], truth: xr.Dataset, variables: Sequence[str],
) -> xr.Dataset:  # fmt: skip
    """Observations as a data set, with pattern and k of each case and the number of the mask of each time."""
    dims = ("case", "time", *GRID)
    data = {v: (dims, values[:, :, i].astype(np.float32), truth[v].attrs) for i, v in enumerate(variables)}
    coords = {
        "pattern": ("case", [pattern for pattern, _ in cases]), "k": ("case", [k for _, k in cases]),
        "mask": ("time", number.numpy().astype(np.int32)), "time": truth["time"], **{c: truth[c] for c in GRID},
    }  # fmt: skip
    return xr.Dataset(data, coords)


def scored_times(
    fields: xr.Dataset, splits: SplitRanges, options: Sparsification, limits: Limits
) -> xr.Dataset:
    """The evenly spaced test fields that are observed."""
    test = select(fields, splits, "test")
    count = min(limits.cap("times", options.times), test.sizes["time"])
    return test.isel(time=evenly(test.sizes["time"], count).numpy())


def lineage_of(
    fields: xr.Dataset, splits: SplitRanges, options: Sparsification, times: int
) -> dict[str, Any]:
    """Everything that observations at a number of test times depend on.

    The splits are part of it, because errors are in anomaly standard deviations of the training split; the masks of the
    training are not.
    """
    cases = list(options.cases.items())  # their order counts: the errors of a case are keyed by its number
    relevant = {k: v for k, v in asdict(options).items() if k != "training"} | {
        "times": times,
        "cases": cases,
    }
    return {"data": fields.attrs["digest"], "splits": dict(splits), "sparsification": relevant}


def require_observations(
    stored: xr.Dataset, fields: xr.Dataset, splits: SplitRanges, options: Sparsification, limits: Limits
) -> None:
    """Raise an InputError unless stored observations were made from these fields, splits and options.

    Otherwise they might observe the training split.
    """
    times = scored_times(fields, splits, options, limits).sizes["time"]
    lineage.require(
        json.loads(stored.attrs.get("lineage", "{}")),
        lineage_of(fields, splits, options, times),
        "the stored observations were made",
        "recreate them with `kedro run --pipelines sparsification`",
    )


def observed_values(
    x: torch.Tensor,
    number: torch.Tensor,
    space: Space,
    options: Sparsification,
    case: tuple[str, float],
    index: int,
) -> np.ndarray:
    """Standardised observations of one case; NaN where nothing is observed, or where the truth is missing."""
    pattern, k = case
    if pattern == POINTS:
        return np.full(x.shape, np.nan, np.float32)
    draws = RandomStreams(seed_for(MASKS, options.seed), torch.arange(options.masks))
    mask = masks.draw((pattern,), (k, k), draws, space, options.per_variable)[number]
    errors = RandomStreams(seed_for(ERRORS, options.seed), torch.arange(len(x)), step=index)
    values = masks.observe(x, mask, options.noise, errors)
    return values.masked_fill(~mask, torch.nan).numpy()
