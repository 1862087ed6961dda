"""Trials of the fillers of a record: each fills it without some observed values, and is scored at these (`hiding`).

The variance of the errors is fitted to what it depends on (`calibration`), in gaps and at whole times; spreads and
members of the final filling are scaled to it. The scores of a trial are those of spreads that were fitted to the errors
of other gaps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.gaps.calibration import Claims, ErrorVariance, error_variance
from fieldcast.models.gaps.cells import deviations
from fieldcast.models.gaps.hiding import Hidden
from fieldcast.models.gaps.pieces import counts, pieces
from fieldcast.models.gaps.reach import steps_to_observation
from fieldcast.models.gaps.record import Filler, Filling, Record
from fieldcast.models.layers.crps import normal_crps

FEWEST = 10  # observations of a cell, below which its spread is at least the climatological one
FOLDS = 5  # of the hidden gaps


@dataclass(frozen=True, eq=False)
class Trial:
    """Result of one filler at the hidden values.

    Parameters
    ----------
    name
        Name of the filler.
    error
        Mean minus truth.
    spread
        Standard deviation, fitted to the errors of hidden values of other gaps.
    in_gaps, at_whole_times
        Variance of the error of the two kinds, fitted to all errors.
    crps
        Mean of the CRPS, exact for a Gaussian: the limit of the fair CRPS of its members.
    mean_of_series, spread_of_series
        The filling of some cells at all times; its spread is fitted to all errors.
    """

    name: str
    error: Float[Tensor, " hidden"]
    spread: Float[Tensor, " hidden"]
    in_gaps: ErrorVariance
    at_whole_times: ErrorVariance
    crps: float
    mean_of_series: Float[Tensor, "time series"]
    spread_of_series: Float[Tensor, "time series"]


def run_trial(
    name: str, filler: Filler, record: Record, hidden: Hidden, distance: Float[Tensor, "time cell"],
    series: Int[Tensor, " series"] | None = None,
) -> Trial:  # fmt: skip
    """Fill a record without its hidden values, and score the result there.

    Parameters
    ----------
    name, filler
        The filler.
    record
        The record, in which the hidden values count as missing.
    hidden
        The hidden values.
    distance
        From the nearest observation of the time, at the hidden values and in the series.
    series
        Cells of which the filling is kept.
    """
    columns = hidden.cell[:0] if series is None else series
    filled, sigma = filler(record, None), deviations(record.x, record.observed)
    error = hidden.at(filled.mean) - hidden.truth
    claims = Claims(
        hidden.at(filled.spread),
        sigma[hidden.cell].double(),
        hidden.at(steps_to_observation(record.observed)),
        hidden.at(distance),
    )
    spread, fold = torch.empty_like(error), hidden.group % FOLDS
    for number in fold.unique().tolist():
        scored = fold == number
        variances = fitted(error, claims, hidden, ~scored)
        for kind, variance in zip((~hidden.whole, hidden.whole), variances, strict=True):
            here = scored & kind
            spread[here] = variance(claims.at(here)).sqrt()
    crps = float((hidden.weight * normal_crps(error, spread)).sum())
    variances = fitted(error, claims, hidden, torch.ones_like(hidden.whole))
    of_series = error_spread(
        filled.spread[:, columns], record.observed[:, columns], distance[:, columns], sigma[columns],
        record.observed.any(1), variances,
    )  # fmt: skip
    return Trial(name, error, spread, *variances, crps, filled.mean[:, columns], of_series)


def fitted(
    error: Float[Tensor, " hidden"], claims: Claims, hidden: Hidden, selected: Bool[Tensor, " hidden"]
) -> tuple[ErrorVariance, ErrorVariance]:
    """Variance of errors in gaps and at whole times, fitted to selected ones.

    To those of the other kind, if none of a kind is selected, and to all if none is selected.
    """
    variances = []
    for kind in (~hidden.whole, hidden.whole):
        source = next(where for where in (selected & kind, selected, torch.ones_like(kind)) if where.any())
        variances.append(error_variance(error[source], claims.at(source), hidden.weights(source)[source]))
    return variances[0], variances[1]


def error_spread(
    claimed: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], distance: Float[Tensor, "time cell"],
    climatological: Float[Tensor, " cell"], present: Bool[Tensor, " time"],
    variances: tuple[ErrorVariance, ErrorVariance],
) -> Float[Tensor, "time cell"]:  # fmt: skip
    """Standard deviation of the error, 0 where observed.

    Parameters
    ----------
    claimed
        What the filler claims.
    observed
        Observed values.
    distance
        From the nearest observation of the time.
    climatological
        Standard deviation of each cell.
    present
        Times with observations in any cell.
    variances
        Variance of the error at these, and at times without.
    """
    spread = torch.empty_like(claimed)
    for cells in pieces(claimed.shape[1], 8 * len(claimed)):  # tables of the terms in double precision
        claims = Claims(
            claimed[:, cells].double(),
            climatological[cells].double().expand(len(claimed), -1),
            steps_to_observation(observed[:, cells]).double(),
            distance[:, cells].double(),
        )
        in_gaps, at_whole_times = (variance(claims) for variance in variances)
        spread[:, cells] = torch.where(present[:, None], in_gaps, at_whole_times).sqrt().to(spread)
    return spread.masked_fill_(observed, 0.0)


def calibrated(
    filled: Filling, trial: Trial, record: Record, distance: Float[Tensor, "time cell"]
) -> Filling:
    """The filling with spreads and members scaled to the error variance of the trial.

    The spread of a cell with fewer than `FEWEST` observations, from which no method can learn how it varies with
    others, is at least the climatological one. `distance` is that from the nearest observation of the time.
    """
    observed, sigma = record.observed, deviations(record.x, record.observed)
    variances = trial.in_gaps, trial.at_whole_times
    spread = error_spread(filled.spread, observed, distance, sigma, observed.any(1), variances)
    least = torch.where(counts(observed)[1] < FEWEST, sigma, 0.0)
    spread = torch.maximum(spread, least, out=spread).masked_fill_(observed, 0.0)
    if not filled.members.shape[1]:
        return Filling(filled.mean, spread, filled.members)
    ratio = spread / filled.spread.clamp(min=torch.finfo(spread.dtype).tiny)
    mean = filled.mean[:, None]
    members = (filled.members - mean).mul_(ratio.masked_fill_(observed, 0.0)[:, None]).add_(mean)
    return Filling(filled.mean, spread, members)
