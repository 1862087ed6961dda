"""Scores of forecasts that start from analyses and from the truth, with the same model, members and noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fieldcast import calendars
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.errors import InputError
from fieldcast.geometry import GRID
from fieldcast.inference.forecasts.ensemble import rollout
from fieldcast.kinds import CASE, MEMBER
from fieldcast.models.core import Context, Model
from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.runtime import Progress
from fieldcast.scores.assimilation import TRUTH


def scores_by_lead(
    analyses: xr.Dataset, truth: xr.Dataset, model: Model, codec: FieldCodec, *, first: int, every: int,
    steps: int, members: int, seed: int,
) -> pd.DataFrame:  # fmt: skip
    """Fair CRPS and squared error of the ensemble mean, averaged over variables and cells, in standardised units.

    There is a row for each origin (a case of the analyses, or the truth), start and lead, with the columns pattern, k,
    start, lead_hours, crps, squared_error.

    Parameters
    ----------
    analyses
        Analyses (case, time, member, latitude, longitude) at successive times.
    truth
        Fields at the times of the analyses and at all valid times.
    model, codec
        The forecast model, and its codec.
    first, every
        Index of the first start among the times of the analyses, and the number of steps between starts.
    steps
        Number of leads. Starts without truth at all leads, in one unbroken stretch, are left out, so that a short
        record may have none.
    members
        Number of members; an analysis with a single member is shared by all members of the forecast.
    seed
        Seed of the draws.
    """
    times = calendars.iso(analyses["time"])
    positions = calendars.positions(truth["time"], times)
    if (positions < 0).any():
        absent = times[int((positions < 0).argmax())]
        raise InputError(f"the truth lacks {absent}, a time of the analyses: make the analyses again.")
    last = min(len(positions), truth.sizes["time"] - int(positions[0]) - steps)
    history, lead = max(1, model.history), model.space.time_step.lead[0]
    segment = truth["segment"].values
    starts = [
        start
        for start in range(first, last, every)
        if start >= history - 1
        and segment[positions[start] + 1 - history] == segment[positions[start] + steps]
    ]
    cases = list(zip(analyses["pattern"].values.astype(str), analyses["k"].values.astype(float), strict=True))
    origins = [*cases, (TRUTH, np.nan)]
    table = []
    for start in Progress(starts, unit="start"):
        window = truth.isel(
            time=slice(int(positions[start]) + 1 - history, int(positions[start]) + steps + 1)
        )
        x = torch.nan_to_num(codec.encode(window)).to(model.space.area.device)
        past = torch.cat(
            [stored_past(analyses, start, history, members, codec).to(x), shared_past(x[:history], members)]
        )
        day = codec.days(window["time"][history : history + 1]).to(x)
        for number, (crps, error) in enumerate(lead_scores(model, past, day, x[history:], seed, start), 1):
            for (pattern, k), c, e in zip(origins, crps.tolist(), error.tolist(), strict=True):
                table.append((pattern, k, times[start], number * lead, c, e))
    return pd.DataFrame(table, columns=["pattern", "k", "start", "lead_hours", "crps", "squared_error"])


def stored_past(
    analyses: xr.Dataset, start: int, history: int, members: int, codec: FieldCodec
) -> Float[Tensor, "case member past variable y x"]:
    """The last analyses of each member up to a start."""
    window = analyses.isel(time=slice(start + 1 - history, start + 1)).transpose(CASE, MEMBER, "time", *GRID)
    x = torch.nan_to_num(codec.encode(window.drop_vars(["pattern", "k"])))
    return x[:, torch.arange(members) % x.shape[1]]


def shared_past(
    x: Float[Tensor, "past variable y x"], members: int
) -> Float[Tensor, "1 member past variable y x"]:
    """Repeat one past for all members."""
    return x.expand(1, members, *x.shape)


def lead_scores(
    model: Model, past: Float[Tensor, "origin member past variable y x"], day: Float[Tensor, " 1"],
    truth: Float[Tensor, "lead variable y x"], seed: int, start: int,
) -> Iterator[tuple[Float[Tensor, " origin"], Float[Tensor, " origin"]]]:  # fmt: skip
    """Yield CRPS and squared error of the forecasts from each origin, lead by lead; all origins share one noise."""
    origins, members = past.shape[:2]
    c = Context(origins * members, past=past.flatten(0, 1), day=day.expand(origins * members))
    datum = torch.full((origins,), start, device=past.device)
    streams = RandomStreams(seed_for("forecasts from analyses", seed), datum, members)
    weight = model.space.weight / len(model.space.variables)
    steps = rollout(model, c, streams, len(truth))
    for y in truth:
        with torch.no_grad():
            x, _ = next(steps)
        crps = fair_crps(x, y.expand(origins, *y.shape))
        error = (x.mean(1) - y).square()
        yield (crps * weight).sum((1, 2, 3)), (error * weight).sum((1, 2, 3))
