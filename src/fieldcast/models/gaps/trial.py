"""Trials of the fillers of a record: each fills it without some observed values (`held_out`), where it is scored.

A model of the error variance (`error_variance`) is fitted to the errors at held-out values, separately in gaps and at
whole times; the spreads and members of the final filling are scaled to it. A trial is scored with spreads that were
fitted to the errors of other gaps. The spread of a method that draws all unknowns, its parameters among them, is left
as it is: few gaps would decide its fit.

The errors of neighbouring values depend on each other, so that one selection of held-out values determines the error
variance poorly. For the final filling it is fitted to the errors at several selections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.gaps.censored import censored_crps
from fieldcast.models.gaps.error_variance import (
    AS_REPORTED,
    MAX_ERRORS,
    ErrorPredictors,
    ErrorVariances,
    error_variance,
)
from fieldcast.models.gaps.held_out import HeldOut, join_selections
from fieldcast.models.gaps.in_time import TABLES, counts, pieces
from fieldcast.models.gaps.reach import nearest_observation, present_variables, steps_to_observation
from fieldcast.models.gaps.record import Filler, Filling, Parameters, Record, deviations, one_thread
from fieldcast.models.layers.crps import normal_crps
from fieldcast.models.space import evenly
from fieldcast.runtime import release_memory

MIN_OBSERVATIONS = 10  # observations of a cell, below which its spread is at least the climatological one
FOLDS = 5  # number of folds for cross-validation over the held-out gaps


@dataclass(frozen=True, eq=False)
class Trial:
    """Result of one filler at the held-out values.

    Parameters
    ----------
    name
        Name of the filler.
    error
        Mean minus truth.
    predictors
        Predictors of the error variance.
    spread
        Standard deviation of the error, fitted to the errors in other gaps, unless it is `of_all` unknowns.
    crps
        Mean of the CRPS, exact for a Gaussian, which may be censored: the limit of the fair CRPS of its members.
    mean_of_series, predictors_of_series
        Mean and predictors at all times, in the cells whose series were requested.
    parameters
        Parameters of the filler, where a fit to a similar record begins; none for a filler without stored ones.
    of_all
        Whether the spread is that of the filler, which holds the uncertainty of all that it estimates.
    """

    name: str
    error: Float[Tensor, " held_out"]
    predictors: ErrorPredictors
    spread: Float[Tensor, " held_out"]
    crps: float
    mean_of_series: Float[Tensor, "time series"]
    predictors_of_series: ErrorPredictors
    parameters: Parameters = field(default_factory=Parameters)
    of_all: bool = False

    def without_errors(self) -> Trial:
        """The trial at none of its held-out values, whose errors take much memory."""
        nothing = self.error.new_empty(0)
        predictors = ErrorPredictors(*[nothing] * len(self.predictors))
        return replace(self, error=nothing, spread=nothing, predictors=predictors)


@dataclass(frozen=True, eq=False)
class ErrorStatistics:
    """Errors of a filler at several selections of held-out values, and their variance.

    Parameters
    ----------
    held_out
        The held-out values of all selections.
    error
        Errors of the filler at all of them.
    spread
        Standard deviation of each error, fitted to the errors in other gaps of all selections; it includes the error
        of the observed value.
    variances
        Models of the error variance, fitted to all errors.
    """

    held_out: HeldOut
    error: Float[Tensor, " held_out"]
    spread: Float[Tensor, " held_out"]
    variances: ErrorVariances


def run_trial(
    name: str, filler: Filler, record: Record, held_out: HeldOut, series: Int[Tensor, " series"] | None = None
) -> Trial:
    """Fill a record without its held-out values, and score the result there.

    Parameters
    ----------
    name, filler
        The filler.
    record
        The record, in which the held-out values count as missing.
    held_out
        The held-out values.
    series
        Cells whose filled series the result includes; by default none.
    """
    columns = held_out.cell[:0] if series is None else series
    requested = held_out.mask
    requested[:, columns] = True
    release_memory()
    with one_thread(record.x.numel()):
        filled = filler(record, None)
    error, reported = held_out.at(filled.mean) - held_out.truth, held_out.at(filled.spread).float()
    of_series, of_all = (filled.mean[:, columns], filled.spread[:, columns]), filled.of_all
    del filled  # as large as the record, like each of the following tables
    release_memory()
    sigma = deviations(record.x, record.observed)
    steps = held_out.at(steps_to_observation(record.observed, record.segment, record.masked)).float()
    distance = nearest_observation(record.observed, record.columns, requested)
    count = counts(record.observed)[1][held_out.cell].float()
    predictors = ErrorPredictors(
        reported, sigma[held_out.cell].float(), steps, held_out.at(distance).float(), count
    )
    spread = spread_of(error, predictors, held_out, of_all)
    crps = float((held_out.weight * crps_of_each(error, spread, held_out)).sum())
    predictors_of_series = predictors_of(of_series[1], record, distance[:, columns], sigma, columns)
    return Trial(name, error, predictors, spread, crps, of_series[0], predictors_of_series, of_all=of_all)


def crps_of_each(
    error: Float[Tensor, " held_out"], spread: Float[Tensor, " held_out"], held_out: HeldOut
) -> Float[Tensor, " held_out"]:
    """CRPS at each held-out value, exact for a Gaussian, which is censored if the values have bounds."""
    beyond = held_out.beyond
    return normal_crps(error, spread) if beyond is None else censored_crps(error, beyond, spread)


def error_statistics(trials: Sequence[Trial], selections: Sequence[HeldOut]) -> ErrorStatistics:
    """Fit the variance of the errors of a filler to its trials with several selections of held-out values."""
    held_out, error = join_selections(selections), torch.cat([trial.error for trial in trials])
    predictors = ErrorPredictors.concatenate([trial.predictors for trial in trials])
    of_all = all(trial.of_all for trial in trials)
    variances = (
        ErrorVariances(AS_REPORTED, AS_REPORTED)
        if of_all
        else fit_error_variances(error, predictors, held_out, torch.ones_like(held_out.whole))
    )
    return ErrorStatistics(held_out, error, spread_of(error, predictors, held_out, of_all), variances)


def spread_of(
    error: Float[Tensor, " held_out"], predictors: ErrorPredictors, held_out: HeldOut, of_all: bool
) -> Float[Tensor, " held_out"]:
    """Spread at each held-out value, fitted to the errors of the other folds: those in other gaps.

    It is the one that the filler reports if this is `of_all` unknowns, and includes the error of the observed value.
    """
    if of_all:
        return AS_REPORTED(predictors).sqrt().to(error)
    spread, fold = torch.empty_like(error), held_out.group % FOLDS
    for number in fold.unique().tolist():
        in_fold = fold == number
        variances = fit_error_variances(error, predictors, held_out, ~in_fold)
        spread[in_fold] = variances(predictors.at(in_fold), held_out.whole[in_fold]).sqrt()
    return spread if held_out.noise is None else (spread.square() + held_out.noise).sqrt()


def fit_error_variances(
    error: Float[Tensor, " held_out"],
    predictors: ErrorPredictors,
    held_out: HeldOut,
    selected: Bool[Tensor, " held_out"],
) -> ErrorVariances:
    """Fit the error variance in gaps and at whole times, each to the selected errors of its kind.

    If no error of a kind is selected, its variance is fitted to the selected errors of the other kind; if none at all
    is selected, to all errors.
    """
    sources = [
        next(mask for mask in (selected & kind, selected, torch.ones_like(kind)) if mask.any())
        for kind in (~held_out.whole, held_out.whole)
    ]
    if torch.equal(*sources):
        sources.pop()
    variances = []
    for source in sources:
        index = source.nonzero()[:, 0]
        # before copies of millions of values are made; `error_variance` takes as many
        index = index[evenly(len(index), MAX_ERRORS).to(index)]
        variances.append(
            error_variance(
                error[index],
                predictors.at(index),
                held_out.weights(source)[index],
                held_out.beyond and held_out.beyond.at(index),
                None if held_out.noise is None else held_out.noise[index],
            )
        )
    return ErrorVariances(variances[0], variances[-1])


def predictors_of(
    spread: Float[Tensor, "time some"], record: Record, distance: Float[Tensor, "time some"],
    climatological: Float[Tensor, " cell"], columns: slice | Int[Tensor, " some"],
) -> ErrorPredictors:  # fmt: skip
    """Predictors of the errors in some columns at all times, of their spreads and distances."""
    fitted = record.fitted
    count = record.observed[:, columns].sum(0) if fitted is None else fitted.count[columns]
    return ErrorPredictors(
        spread,
        climatological[columns].expand(len(spread), -1),
        steps_to_observation(record.observed[:, columns], record.segment, record.masked_in(columns)),
        distance,
        count.float().expand(len(spread), -1),
    )


def with_fitted_spread(
    filled: Filling, variances: ErrorVariances, record: Record, distance: Float[Tensor, "time cell"]
) -> Filling:
    """Scale the spreads and members of a filling to the error variance of its method, in place: they are large.

    In a cell with fewer than `MIN_OBSERVATIONS` observations, too few to learn how it varies with other cells, the
    spread is at least the climatological one. `distance` is the distance from the nearest observation of the same time.
    """
    observed, (sigma, count, times, _) = record.observed, record.statistics()
    spread, variable, tiny = filled.spread, record.columns.variable, torch.finfo(filled.spread.dtype).tiny
    absent = ~present_variables(observed, variable)
    least = torch.where(count < min(MIN_OBSERVATIONS, times // 3), sigma, 0.0)
    for cells in pieces(spread.shape[1], TABLES * len(spread)):
        predictors = predictors_of(spread[:, cells], record, distance[:, cells], sigma, cells)
        fitted = variances(predictors, absent[:, variable[cells]]).sqrt().to(spread)
        fitted = torch.maximum(fitted, least[cells]).masked_fill_(observed[:, cells], 0.0)
        if filled.members.shape[1]:
            ratio = (fitted / spread[:, cells].clamp(min=tiny)).masked_fill_(observed[:, cells], 0.0)
            mean = filled.mean[:, None, cells]
            filled.members[:, :, cells].sub_(mean).mul_(ratio[:, None]).add_(mean)
        spread[:, cells] = fitted
    return filled
