"""Climatological members: stretches of training states of the same season."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.errors import InputError
from fieldcast.models.gaussian.seasonal_selection import pick, within_season
from fieldcast.models.random_streams import RandomStreams, seed_for


def climatological_past(
    training: xr.Dataset, time: xr.DataArray, codec: FieldCodec, shape: tuple[int, int, int], seed: int
) -> Float[Tensor, "case members past variable y x"]:
    """Successive training states that end within 45 days of the day of the year of a time, for each case and member.

    `shape` is (cases, members, past).

    Raises
    ------
    InputError
        If the training split has no `past` successive states.
    """
    positions = climatological_positions(training, time, codec, shape, seed)
    distinct, inverse = torch.unique(positions, return_inverse=True)
    x = torch.nan_to_num(codec.encode(training.isel(time=distinct.numpy())))
    return x[inverse]


def climatological_positions(
    training: xr.Dataset, time: xr.DataArray, codec: FieldCodec, shape: tuple[int, int, int], seed: int
) -> Int[Tensor, "case members past"]:
    """Positions in the training split of the states of `climatological_past`.

    Raises
    ------
    InputError
        If the training split has no stretch of `past` successive states.
    """
    cases, members, past = shape
    segment = training["segment"].values
    has_past = np.zeros(len(segment), dtype=bool)
    has_past[past - 1 :] = segment[past - 1 :] == segment[: len(segment) - past + 1]
    if not has_past.any():
        raise InputError(f"the training split has no {past} successive states: set model.history lower.")
    allowed = torch.from_numpy(has_past)[None].expand(cases, -1)
    allowed = within_season(codec.days(training["time"]), codec.days(time).expand(cases), allowed)
    draws = RandomStreams(seed_for("climatological past", seed), torch.arange(cases), members)
    last = pick(allowed, draws.uniform(1)[..., 0])
    return last[..., None] + torch.arange(1 - past, 1)
