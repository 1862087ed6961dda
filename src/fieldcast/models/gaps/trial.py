"""Trials of the fillers of a record: each fills it without some observed values, and is scored at these (`hiding`).

The variance of the errors is fitted to what it depends on (`error_variance`), in gaps and at whole times; spreads and
members of the final filling are scaled to it. The scores of a trial are those of spreads that were fitted to the errors
of other gaps.

Errors of neighbouring values depend on each other, so that those of one selection of hidden values determine their
variance poorly: that of the final filling is fitted to the errors at several selections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.gaps.cells import deviations
from fieldcast.models.gaps.error_variance import Claims, ErrorVariances, error_variance
from fieldcast.models.gaps.hidden import Hidden, joined
from fieldcast.models.gaps.pieces import counts, pieces
from fieldcast.models.gaps.reach import present_variables, steps_to_observation
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
    claims
        What the variance of the error depends on.
    spread
        Standard deviation, fitted to the errors of hidden values of other gaps.
    crps
        Mean of the CRPS, exact for a Gaussian: the limit of the fair CRPS of its members.
    mean_of_series, claims_of_series
        The filling of some cells at all times.
    """

    name: str
    error: Float[Tensor, " hidden"]
    claims: Claims
    spread: Float[Tensor, " hidden"]
    crps: float
    mean_of_series: Float[Tensor, "time series"]
    claims_of_series: Claims


@dataclass(frozen=True, eq=False)
class ErrorStatistics:
    """Errors of a filler at several selections of hidden values, and their variance.

    Parameters
    ----------
    hidden
        The values of all selections.
    error, claims
        Errors of the filler, and what their variance depends on, over all selections.
    spread
        Standard deviation, fitted to the errors of other gaps, of all selections.
    variances
        Variance of the errors, fitted to all of them.
    """

    hidden: Hidden
    error: Float[Tensor, " hidden"]
    claims: Claims
    spread: Float[Tensor, " hidden"]
    variances: ErrorVariances


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
        hidden.at(filled.spread).float(),
        sigma[hidden.cell].float(),
        hidden.at(steps_to_observation(record.observed, record.segment)).float(),
        hidden.at(distance).float(),
        counts(record.observed)[1][hidden.cell].float(),
    )
    spread = cross_fitted(error, claims, hidden)
    crps = float((hidden.weight * normal_crps(error, spread)).sum())
    of_series = claims_of(filled.spread, record, distance, sigma, columns)
    return Trial(name, error, claims, spread, crps, filled.mean[:, columns], of_series)


def error_statistics(trials: Sequence[Trial], selections: Sequence[Hidden]) -> ErrorStatistics:
    """Fit the variance of the errors of a filler to its trials with several selections of hidden values."""
    hidden, error = joined(selections), torch.cat([trial.error for trial in trials])
    claims = Claims.joined([trial.claims for trial in trials])
    variances = fitted(error, claims, hidden, torch.ones_like(hidden.whole))
    return ErrorStatistics(hidden, error, claims, cross_fitted(error, claims, hidden), variances)


def cross_fitted(error: Float[Tensor, " hidden"], claims: Claims, hidden: Hidden) -> Float[Tensor, " hidden"]:
    """Spread of each hidden value by the errors of other gaps: those of the other folds."""
    spread, fold = torch.empty_like(error), hidden.group % FOLDS
    for number in fold.unique().tolist():
        scored = fold == number
        variances = fitted(error, claims, hidden, ~scored)
        spread[scored] = variances(claims.at(scored), hidden.whole[scored]).sqrt()
    return spread


def fitted(
    error: Float[Tensor, " hidden"], claims: Claims, hidden: Hidden, selected: Bool[Tensor, " hidden"]
) -> ErrorVariances:
    """Variance of errors in gaps and at whole times, fitted to selected ones.

    To those of the other kind, if none of a kind is selected, and to all if none is selected.
    """
    variances = []
    for kind in (~hidden.whole, hidden.whole):
        source = next(where for where in (selected & kind, selected, torch.ones_like(kind)) if where.any())
        variances.append(error_variance(error[source], claims.at(source), hidden.weights(source)[source]))
    return ErrorVariances(*variances)


def claims_of(
    claimed: Float[Tensor, "time cell"], record: Record, distance: Float[Tensor, "time cell"],
    climatological: Float[Tensor, " cell"], columns: slice | Int[Tensor, " series"],
) -> Claims:  # fmt: skip
    """Claims of some columns at all times."""
    return Claims(
        claimed[:, columns],
        climatological[columns].expand(len(claimed), -1),
        steps_to_observation(record.observed[:, columns], record.segment),
        distance[:, columns],
        record.observed[:, columns].sum(0).float().expand(len(claimed), -1),
    )


def error_spread(
    claimed: Float[Tensor, "time cell"], record: Record, distance: Float[Tensor, "time cell"],
    climatological: Float[Tensor, " cell"], variances: ErrorVariances,
) -> Float[Tensor, "time cell"]:  # fmt: skip
    """Standard deviation of the error, 0 where observed.

    Parameters
    ----------
    claimed
        What the filler claims.
    record
        The record that was filled.
    distance
        From the nearest observation of the time.
    climatological
        Standard deviation of each cell.
    variances
        Variance of the error in gaps, and at times without observations of the variable.
    """
    spread, variable = torch.empty_like(claimed), record.places.variable
    absent = ~present_variables(record.observed, variable)
    for cells in pieces(claimed.shape[1], 8 * len(claimed)):  # tables of the terms in double precision
        claims = claims_of(claimed, record, distance, climatological, cells)
        spread[:, cells] = variances(claims, absent[:, variable[cells]]).sqrt().to(spread)
    return spread.masked_fill_(record.observed, 0.0)


def with_fitted_spread(
    filled: Filling, variances: ErrorVariances, record: Record, distance: Float[Tensor, "time cell"]
) -> Filling:
    """The filling with spreads and members scaled to the variance of the errors of its method.

    The spread of a cell with fewer than `FEWEST` observations, from which no method can learn how it varies with
    others, is at least the climatological one. `distance` is that from the nearest observation of the time.
    """
    observed, sigma = record.observed, deviations(record.x, record.observed)
    spread = error_spread(filled.spread, record, distance, sigma, variances)
    least = torch.where(counts(observed)[1] < FEWEST, sigma, 0.0)
    spread = torch.maximum(spread, least, out=spread).masked_fill_(observed, 0.0)
    if not filled.members.shape[1]:
        return Filling(filled.mean, spread, filled.members)
    ratio = spread / filled.spread.clamp(min=torch.finfo(spread.dtype).tiny)
    mean = filled.mean[:, None]
    members = (filled.members - mean).mul_(ratio.masked_fill_(observed, 0.0)[:, None]).add_(mean)
    return Filling(filled.mean, spread, members)
