"""The stored observations of the test: the same masks for every method, and the values seen through them.

A (pattern, k) is a *case*; each has `masks` masks, cycled over the scored times, so that a factorisation is shared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import xarray as xr

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.encoding.selection import evenly
from fieldcast.errors import InputError
from fieldcast.fields import calendars
from fieldcast.fields.splits import select
from fieldcast.geometry import GRID
from fieldcast.models import masks
from fieldcast.models.core import Space
from fieldcast.models.random_streams import RandomStreams, seed_for

MASKS, ERRORS = "masks", "errors of observations"  # what the seed of the options draws, in training and test


def sparsify(
    fields: xr.Dataset, splits: Mapping[str, Any], codec: FieldCodec, space: Space, options: Sparsification,
    limits: Limits,
) -> xr.Dataset:  # fmt: skip
    """Observations (case, time, latitude, longitude) of evenly spaced test times, NaN where nothing was observed.

    An observation is truth + noise * anomaly standard deviation * eps, in physical units.
    """
    chosen = scored_times(fields, splits, options, limits)
    x = torch.nan_to_num(codec.encode(chosen))
    number = torch.arange(len(x)) % options.masks
    cases = [(pattern, k) for pattern, fractions in options.cases.items() for k in fractions]
    values = np.stack([observed(x, number, space, options, case, i) for i, case in enumerate(cases)])
    values = (
        values * codec.deviation[:, None, None] + codec.climatology[calendars.day_of_year(chosen["time"]) - 1]
    )
    dims = ("case", "time", *GRID)
    data = {
        v: (dims, values[:, :, i].astype(np.float32), chosen[v].attrs) for i, v in enumerate(codec.variables)
    }
    coords = {
        "pattern": ("case", [pattern for pattern, _ in cases]), "k": ("case", [k for _, k in cases]),
        "mask": ("time", number.numpy().astype(np.int32)), "time": chosen["time"], **{c: chosen[c] for c in GRID},
    }  # fmt: skip
    result = xr.Dataset(data, coords)
    known = plan(chosen, splits, options)
    result.attrs = {
        "digest": digits(known.encode() + values.tobytes()), "plan": digits(known.encode()),
        "data": fields.attrs["digest"], "noise": options.noise, "seed": options.seed,
    }  # fmt: skip
    return result


def scored_times(
    fields: xr.Dataset, splits: Mapping[str, Any], options: Sparsification, limits: Limits
) -> xr.Dataset:
    """The fields that are observed."""
    test = select(fields, splits, "test")
    count = min(limits.cap("T", options.times), test.sizes["time"])
    return test.isel(time=evenly(test.sizes["time"], count).numpy())


def plan(chosen: xr.Dataset, splits: Mapping[str, Any], options: Sparsification) -> str:
    """All that the observations of some fields depend on: the splits, as noise is in deviations of the training split;
    of the options all but what is observed in training."""
    known = {**asdict(options), "cases": list(options.cases.items()), "training": None}
    known |= {"fields": chosen.attrs["digest"], "splits": dict(splits)}
    return json.dumps({**known, "times": list(calendars.iso(chosen["time"]))}, sort_keys=True)


def digits(known: bytes) -> str:
    """12 hexadecimal digits of a digest."""
    return hashlib.sha256(known).hexdigest()[:12]


def check_plan(
    stored: xr.Dataset, fields: xr.Dataset, splits: Mapping[str, Any], options: Sparsification, limits: Limits
) -> None:
    """One sentence if stored observations are not those of these fields, splits and options: they may be of what was
    trained on."""
    chosen = scored_times(fields, splits, options, limits)
    if stored.attrs.get("plan") != digits(plan(chosen, splits, options).encode()):
        raise InputError(
            "the stored observations are of other fields, splits, `sparsification` or `limits` than this run has: make "
            "them again with `kedro run --pipelines sparsification` and the same --env and --params."
        )


def observed(
    x: torch.Tensor,
    number: torch.Tensor,
    space: Space,
    options: Sparsification,
    case: tuple[str, float],
    index: int,
) -> np.ndarray:
    """Standardised observations of one case; NaN where not observed."""
    pattern, k = case
    draws = RandomStreams(seed_for(MASKS, options.seed), torch.arange(options.masks))
    drawn = masks.draw((pattern,), (k, k), draws, space, options.per_variable)[number]
    errors = RandomStreams(seed_for(ERRORS, options.seed), torch.arange(len(x)), step=index)
    values = masks.observe(x, drawn, options.noise, errors)
    return values.masked_fill(~drawn, torch.nan).numpy()
