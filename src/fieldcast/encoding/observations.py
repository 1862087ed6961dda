"""The stored test observations: masks shared by every method, and the values observed through them.

A (pattern, k) is a *case*; each has `masks` masks, cycled over the scored times, so that a factorisation is shared.
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
from fieldcast.encoding.point_observations import PARTS, with_points
from fieldcast.fields.splits import SplitRanges, select
from fieldcast.geometry import GRID
from fieldcast.models import masks
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.selection import evenly
from fieldcast.models.space import Space

MASKS, ERRORS = "masks", "errors of observations"  # purposes of the draws keyed by the options' seed


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
    values = np.stack([observed(x, number, space, options, case, i) for i, case in enumerate(cases)])
    values = codec.physical(values, codec.climatology_at(truth["time"]))
    result = with_points(labelled(values, cases, number, truth, codec.variables), x, codec, space, options)
    parts = [result[name].values for name in (f"point_{part}" for part in PARTS) if name in result]
    sources = lineage_of(fields, splits, options, len(x))
    result.attrs = {
        "digest": lineage.digest(sources, values, *parts), "lineage": json.dumps(sources), "data": sources["data"],
        "noise": options.noise, "seed": options.seed,
    }  # fmt: skip
    return result


def labelled(
    values: Float[np.ndarray, "case time variable y x"], cases: Sequence[tuple[str, float]],
    number: Int[Tensor, " time"], truth: xr.Dataset, variables: Sequence[str],
) -> xr.Dataset:  # fmt: skip
    """Observations with the pattern and k of each case, the number of the mask of each time, and the truth's axes."""
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
    """The test fields that are observed."""
    test = select(fields, splits, "test")
    count = min(limits.cap("times", options.times), test.sizes["time"])
    return test.isel(time=evenly(test.sizes["time"], count).numpy())


def lineage_of(
    fields: xr.Dataset, splits: SplitRanges, options: Sparsification, times: int
) -> dict[str, Any]:
    """Everything that observations at a number of test times depend on.

    The splits are part of it, as errors are in anomaly standard deviations of the training split; of the options,
    what is observed in training is not.
    """
    cases = list(options.cases.items())  # their order counts: the errors of a case are keyed by its number
    decisive = {k: v for k, v in asdict(options).items() if k != "training"} | {
        "times": times,
        "cases": cases,
    }
    return {"data": fields.attrs["digest"], "splits": dict(splits), "sparsification": decisive}


def require_observations(
    stored: xr.Dataset, fields: xr.Dataset, splits: SplitRanges, options: Sparsification, limits: Limits
) -> None:
    """Raise an InputError unless stored observations are those of these fields, splits and options: else they may be
    observations of the training split."""
    times = scored_times(fields, splits, options, limits).sizes["time"]
    lineage.require(
        json.loads(stored.attrs.get("lineage", "{}")),
        lineage_of(fields, splits, options, times),
        "the stored observations were made",
        "recreate them with `kedro run --pipelines sparsification`",
    )


def observed(
    x: torch.Tensor,
    number: torch.Tensor,
    space: Space,
    options: Sparsification,
    case: tuple[str, float],
    index: int,
) -> np.ndarray:
    """Standardised observations of one case; NaN where the mask hides a value, or the truth lacks it."""
    pattern, k = case
    if pattern == POINTS:
        return np.full(x.shape, np.nan, np.float32)
    draws = RandomStreams(seed_for(MASKS, options.seed), torch.arange(options.masks))
    drawn = masks.draw((pattern,), (k, k), draws, space, options.per_variable)[number]
    errors = RandomStreams(seed_for(ERRORS, options.seed), torch.arange(len(x)), step=index)
    values = masks.observe(x, drawn, options.noise, errors)
    return values.masked_fill(~drawn, torch.nan).numpy()
