"""Observations with errors: smoothed values in their place, by kriging.

An observation y = x + e has an error e ~ N(0, r) of its own, of which r is known. With the covariances C of the values
x at the K nearest observations (`local_kriging`), R the diagonal matrix of their r, and k the covariances of one x with
them,

    E x = k^T (C + R)^-1 y,    var x = 1 - k^T (C + R)^-1 k

(Rasmussen and Williams 2006, equations 2.25 and 2.26), in units of the variance of x. Smoothed values stand for the
observations whatever the method: with the same C, simple kriging of any other value from them, which takes them as
exact, is k^T C^-1 C (C + R)^-1 y, what it would be from y.

The nugget belongs to x: it is what a value shares with no other beyond its r. Values in units of standard deviations
are those of x: the mean of r is subtracted from the variance of y.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.gaps import reach
from fieldcast.models.gaps.held_out import hold_out_values
from fieldcast.models.gaps.in_time import counts, elapsed_steps
from fieldcast.models.gaps.local_kriging import CellSeries, KrigingModel, fit_kriging, predict
from fieldcast.models.gaps.record import Filling, Parameters, Record, deviations
from fieldcast.models.random_streams import RandomStreams

MIN_SHARE = 0.05  # smallest variance of x, as a share of that of y
SEED = 2  # seed for the values that are held out to fit the correlation


def with_smoothed_values(record: Record, fitted: Parameters | None = None) -> Record:
    """The record with E x in place of the observations, and var x in place of r; itself if it has no errors.

    Correlations in `fitted` are used as they are, and new ones are added.
    """
    if record.noise is None:
        return record
    observed, fitted = record.observed, {} if fitted is None else fitted
    if "noise.deviation" not in fitted:
        fitted["noise.deviation"] = deviation_of_values(record, record.noise)
    deviation = fitted["noise.deviation"]
    scaled = replace(
        record,
        x=(record.x / deviation).masked_fill(~observed, 0.0),
        noise=(record.noise / deviation.square()).masked_fill(~observed, 0.0),
        bounds=None,
    )
    assert scaled.noise is not None
    mean, spread = scaled.x.clone(), torch.zeros_like(scaled.x)
    variables = record.columns.variable.unique().tolist()
    held_out = None if all(f"noise.{v}" in fitted for v in variables) else hold_out_values(scaled, SEED)
    step, point = elapsed_steps(record.segment), torch.from_numpy(record.columns.points).to(record.x.device)
    step += 0 if record.fitted is None else record.fitted.first
    for v in variables:
        first, last = torch.searchsorted(
            record.columns.variable, torch.tensor([v, v + 1]).to(point.device)
        ).tolist()
        cells = slice(first, last)
        series = CellSeries(
            scaled.x[:, cells], observed[:, cells], step, point[cells], scaled.noise[:, cells]
        )
        if held_out is not None and f"noise.{v}" not in fitted:
            distance = reach.e_folding_distance(series.x, series.observed, series.point)
            steps = float(reach.e_folding_steps(series.x, series.observed, record.segment))
            model = fit_kriging(series, held_out.of_cells(cells), distance, steps)
            fitted[f"noise.{v}"] = model.packed()
        correlation = KrigingModel.unpacked(fitted[f"noise.{v}"]).correlation
        no_members = mean[:, None, cells][:, :0]
        predict(
            series, KrigingModel(correlation), series.observed, None, mean[:, cells], spread[:, cells], no_members
        )  # fmt: skip
    variance = torch.minimum(spread.square(), scaled.noise) * deviation.square()
    return replace(
        record,
        x=torch.where(observed, mean * deviation, record.x),
        noise=torch.where(observed, variance, record.noise),
    )


def deviation_of_values(record: Record, noise: Float[Tensor, "time cell"]) -> Float[Tensor, " cell"]:
    """Standard deviation of the values x of each cell."""
    total = deviations(record.x, record.observed).square()
    mean = noise.masked_fill(~record.observed, 0.0).sum(0) / counts(record.observed)[1].clamp(min=1)
    return torch.maximum(total - mean, MIN_SHARE * total).sqrt()


def with_spread_of_observed(filling: Filling, record: Record, streams: RandomStreams | None) -> Filling:
    """A filling of smoothed values, with their spread; members add independent errors to them."""
    if record.noise is None:
        return filling
    own = record.noise.sqrt().masked_fill(~record.observed, 0.0)
    members = filling.members
    if streams is not None:
        for k in range(streams.members):  # the random numbers of one member are in memory
            eps = streams.of_members(slice(k, k + 1)).normal(own.shape[1])[:, 0].to(own)
            members[:, k] += own * eps
    return Filling(filling.mean, torch.where(record.observed, own, filling.spread), members)
