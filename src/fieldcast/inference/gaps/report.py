"""Report on a filled record: the errors of all methods at hidden values, and how reliable the result is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float, Int8, Shaped
from torch import Tensor

from fieldcast import calendars
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.errors import counted
from fieldcast.fields.climatology import CONSTANT
from fieldcast.fields.conventions import EXTRAPOLATED, FILLED
from fieldcast.geometry import great_circle_km
from fieldcast.inference.gaps.result import MAX_LENGTHS, MAX_SPREAD_SHARE
from fieldcast.models.gaps.hiding import SELECTIONS, Hidden
from fieldcast.models.gaps.in_time import counts
from fieldcast.models.gaps.reach import nearest_observation, steps_to_observation
from fieldcast.models.gaps.trial import ErrorStatistics, Trial
from fieldcast.models.layers.crps import normal_crps
from fieldcast.scores.numbers import significant

FULLY_HIDDEN = "fully hidden times"
SEASONS = {
    CONSTANT: "The record spans less than two years: the methods work on departures from each cell's mean, "
    "which include the seasonal cycle.",
    "harmonics": "The methods work on anomalies from an annual cycle, fitted to each cell's own values.",
}


def report(outcome: Outcome) -> str:
    """The text: a paragraph for each variable, and one about the seasonal cycle."""
    names = outcome.gappy.codec.variables
    paragraphs = ["\n".join(variable_lines(outcome, v, name)) for v, name in enumerate(names)]
    return "\n\n".join([*paragraphs, SEASONS[outcome.gappy.seasons]])


def variable_lines(outcome: Outcome, v: int, name: str) -> Iterator[str]:
    """Lines about one variable."""
    columns = outcome.gappy.variable == v
    observed = outcome.gappy.record.observed[:, columns]
    empty = int((~observed.any(1)).sum())
    share = 1 - int(observed.count_nonzero()) / observed.numel()
    if observed.all():
        yield f"{name}: no value is missing."
        return
    yield (
        f"{name}: {share:.1%} of the values in {observed.shape[1]} cells are missing; "
        f"{empty} of {len(observed)} times have none at all. Filled by {outcome.best.name}."
    )
    yield from table(outcome, columns, v, name)
    yield from reliability(outcome, columns, name)


def table(outcome: Outcome, columns: Bool[Tensor, " column"], v: int, name: str) -> Iterator[str]:
    """Scores of all methods at the hidden values, best first."""
    hidden, codec = outcome.hidden, outcome.gappy.codec
    scale, units = float(codec.deviation[v]), codec.attrs[name].get("units", "1")
    kinds = {"hidden in gaps": ~hidden.whole, FULLY_HIDDEN: hidden.whole}
    weights = {kind: hidden.weights(of_kind & columns[hidden.cell]) for kind, of_kind in kinds.items()}
    weights = {kind: weight / weight.sum() for kind, weight in weights.items() if weight.any()}
    if not (hidden.weight * hidden.whole).any() and len(weights) > 1:
        del weights[FULLY_HIDDEN]  # no missing value is of a time without observations
    yield "Errors at hidden values, weighted to match the missing values:"
    heading = "".join(f"{f'{kind}: RMSE':>28}{'CRPS':>9}{'spread/error':>14}" for kind in weights)
    yield f"{f'errors in {units}':<26}{heading}"
    for trial in sorted(outcome.trials, key=lambda trial: trial.crps):
        yield f"{trial.name:<26}" + "".join(
            scores(trial.error, weight, scale, trial.spread) for weight in weights.values()
        )
    for label, error in (("linear in time", outcome.linear), ("climatology", -hidden.truth)):
        yield (f"{label:<26}" + "".join(scores(error, weight, scale) for weight in weights.values())).rstrip()
    if FULLY_HIDDEN in weights:
        yield from better_at_fully_hidden_times(outcome, weights[FULLY_HIDDEN])


def better_at_fully_hidden_times(outcome: Outcome, weight: Float[Tensor, " hidden"]) -> Iterator[str]:
    """Sentence on a method with a lower CRPS at fully hidden times than that of the method with the lowest in all."""
    best = min(outcome.trials, key=lambda trial: mean_crps(trial.error, trial.spread, weight))
    if best.name != outcome.best.name:
        yield (
            f"{outcome.best.name} has the lowest CRPS over all of these values; at fully hidden times that of "
            f"{best.name} is lower."
        )


def mean_crps(
    error: Float[Tensor, " hidden"], spread: Float[Tensor, " hidden"] | None, weight: Float[Tensor, " hidden"]
) -> float:
    """Weighted mean CRPS of a Gaussian with this error and spread; the mean absolute error without a spread."""
    return float((weight * (error.abs() if spread is None else normal_crps(error, spread))).sum())


def scores(
    error: Float[Tensor, " hidden"], weight: Float[Tensor, " hidden"], scale: float,
    spread: Float[Tensor, " hidden"] | None = None,
) -> str:  # fmt: skip
    """RMSE, CRPS (the mean absolute error without a spread) and spread-error ratio of one method."""
    square = float((weight * error.square()).sum())
    ratio = "-" if spread is None else f"{spread_error_ratio(spread, error, weight):.2f}"
    rmse, mean = (significant(scale * x) for x in (math.sqrt(square), mean_crps(error, spread, weight)))
    return f"{rmse:>28}{mean:>9}{ratio:>14}"


# Sentences on whether the spread of a filled record is right, and where not to trust the result.


CALIBRATED_RATIO = (0.85, 1.15)  # range of spread-error ratios that counts as calibrated
HIDDEN_TAIL = 0.05  # share of hidden values beyond the distance within which the spread counts as checked
MIN_FAR_SHARE = 0.1  # share of missing values beyond that distance above which the report warns
MAX_LISTED = 5  # times with extrapolated values that the report lists
LARGE_ERROR = 5.0  # size of an error, in spreads, above which the report counts it
UNCHECKED = (
    f"{{}} of the missing values {{}}, but at most {HIDDEN_TAIL:.0%} of the hidden ones there, are more than {{}}: "
    "there the spread is unchecked, and may be far too small."
)


def share_of(number: int, total: int) -> str:
    """The share of a number in a total, in percent; a small share is never written as 0 %."""
    return f"{number / total:.1%}" if number >= total / 1000 else "less than 0.1%"


def reliability(outcome: Outcome, columns: Bool[Tensor, " column"], name: str) -> Iterator[str]:
    """Sentences on whether the spread is right, and where not to trust the result."""
    statistics, hidden = outcome.statistics, outcome.statistics.hidden
    of_kind = columns[hidden.cell]
    if not of_kind.any():
        yield f"No value of {name} was hidden, so its spread is unchecked."
        return
    error, spread, weight = (
        statistics.error[of_kind],
        statistics.spread[of_kind],
        hidden.weights(of_kind)[of_kind],
    )
    ratio = spread_error_ratio(spread, error, weight)
    low, high = CALIBRATED_RATIO
    verdict = "right" if low <= ratio <= high else "too small" if ratio < 1 else "too large"
    beyond = float((error.abs() > LARGE_ERROR * spread).double().mean())
    doubts = list(distance_warnings(outcome, columns))
    subject = "Where it could be checked (but see below), the spread" if doubts else "The spread"
    yield (
        f"{subject} is {verdict} on average in {SELECTIONS} selections of hidden values: {ratio:.2f} of the error, "
        f"weighted like the missing values; {beyond:.2%} of {len(error)} errors exceed {LARGE_ERROR:g} spreads; "
        f"the largest is {float((error.abs() / spread).max()):.1f} spreads."
    )
    yield from by_variability(error, spread, weight, statistics.predictors.climatological[of_kind])
    yield from doubts
    yield from extrapolation(outcome, columns, name)
    beyond_limits = int(outcome.beyond_limits[:, columns].count_nonzero())
    if beyond_limits:
        yield f"{beyond_limits} values are left missing by max_gap or max_spread."


def spread_error_ratio(
    spread: Float[Tensor, " hidden"], error: Float[Tensor, " hidden"], weight: Float[Tensor, " hidden"]
) -> float:
    """Ratio of the root-mean-square spread to the root-mean-square error."""
    return math.sqrt(float((weight * spread.square()).sum() / (weight * error.square()).sum()))


def by_variability(
    error: Float[Tensor, " hidden"], spread: Float[Tensor, " hidden"], weight: Float[Tensor, " hidden"],
    climatological: Float[Tensor, " hidden"],
) -> Iterator[str]:  # fmt: skip
    """The spread-error ratio in thirds of the hidden values, ordered by the variability of their cells."""
    thirds = [third for third in climatological.argsort().tensor_split(3) if weight[third].any()]
    if len(thirds) == 3:
        ratios = (f"{spread_error_ratio(spread[third], error[third], weight[third]):.2f}" for third in thirds)
        yield "In the cells that vary least, moderately and most it is {}, {} and {}.".format(*ratios)


def distance_warnings(outcome: Outcome, columns: Bool[Tensor, " column"]) -> Iterator[str]:
    """Warnings if many missing values are farther from observations, in time or in space, than the hidden values.

    Missing values at times with observations, and at times without any, are compared to hidden values of the same kind.
    """
    record, hidden = outcome.gappy.record, outcome.hidden.mask & columns
    visible = record.observed & ~outcome.hidden.mask
    missing = ~record.observed & record.observed.any(0) & columns
    steps = (
        steps_to_observation(visible, record.segment),
        steps_to_observation(record.observed, record.segment),
    )
    chords = (
        nearest_observation(visible, record.columns, hidden),
        nearest_observation(record.observed, record.columns, missing),
    )
    for whole, kind in ((False, "in gaps"), (True, "at fully hidden times")):
        of_kind = hidden & (chords[0].isinf() == whole), missing & (chords[1].isinf() == whole)
        if of_kind[1].any() and not of_kind[0].any():
            yield f"No value was hidden {kind}, so the spread is unchecked there."
        elif far := unchecked_distance(
            *(distance[mask] for distance, mask in zip(steps, of_kind, strict=True))
        ):
            yield UNCHECKED.format(
                far.share, kind, f"{steps_in_words(far.limit)} from an observation of their cell"
            )
        if not whole and (
            far := unchecked_distance(
                *(distance[mask] for distance, mask in zip(chords, of_kind, strict=True))
            )
        ):
            limit = f"{great_circle_km(far.limit):.0f} km from the observations of their time"
            yield UNCHECKED.format(far.share, kind, limit)


def steps_in_words(number: float) -> str:
    """A rounded number with the word "step" or "steps"."""
    return counted(round(number), "step")


class Unchecked(NamedTuple):
    """Distance to observations within which nearly all hidden values lie, and the share of missing values beyond it."""

    limit: float
    share: str


def unchecked_distance(
    hidden: Shaped[Tensor, " hidden"], missing: Shaped[Tensor, " missing"]
) -> Unchecked | None:
    """Compare distances to observations; None unless many missing values are farther away than the hidden ones."""
    if not len(hidden):
        return None
    limit = hidden.sort().values[int((1 - HIDDEN_TAIL) * (len(hidden) - 1))]
    far = int((missing > limit).count_nonzero())
    return (
        Unchecked(float(limit), share_of(far, len(missing))) if far > MIN_FAR_SHARE * len(missing) else None
    )


def extrapolation(outcome: Outcome, columns: Bool[Tensor, " column"], name: str) -> Iterator[str]:
    """Correlation lengths, and the number of extrapolated values, with the times that have most of them."""
    space, time = outcome.lengths[name]
    flag = outcome.flag[:, columns]
    filled, extrapolated = ((flag == value) for value in (FILLED, EXTRAPOLATED))
    missing = int(filled.count_nonzero() + extrapolated.count_nonzero())
    segment = outcome.gappy.record.segment
    steps = f" and at {counted(time, 'step')}" if (segment.diff() == 0).any() else ""
    yield f"Correlation falls to 1/e at {great_circle_km(space):.0f} km{steps}."
    count = counts(extrapolated)[0]
    if not count.any():
        yield (
            f"None of the {missing} missing values is extrapolated (flag 2): the spread of each is below "
            f"{MAX_SPREAD_SHARE:g} of the climatological one, and each is within {MAX_LENGTHS:g} e-folding lengths "
            "of an observation."
        )
    else:
        number = int(count.sum())
        yield (
            f"Of {missing} missing values {number} ({share_of(number, missing)}) are extrapolated (flag 2): their "
            f"spread exceeds {MAX_SPREAD_SHARE:g} of the climatological one, or they are farther than {MAX_LENGTHS:g} "
            "e-folding lengths from any observation. Do not trust them."
        )
        worst = torch.argsort(count, descending=True, stable=True)[:MAX_LISTED]
        dates = outcome.gappy.times
        listed = ", ".join(
            f"{calendars.without_midnight(calendars.date(dates[t]))} ({int(count[t])})"
            for t in worst.tolist()
            if count[t]
        )
        yield f"Times with the most extrapolated values: {listed}."


# A filled record, the methods that were compared to fill it, and their errors.


Lengths: TypeAlias = dict[
    str, tuple[float, int]
]  # e-folding chord on the unit sphere and number of steps, by variable


@dataclass(frozen=True, eq=False)
class Outcome:
    """A filled record with the errors of its methods, for the report.

    Parameters
    ----------
    gappy
        The record.
    hidden
        Values at which the methods are scored.
    trials, best
        The trials of all methods at these values, and the trial of the method that filled the record.
    statistics
        Errors of this method at all selections of hidden values.
    linear
        Errors of linear interpolation in time.
    flag
        Flags of the result (`gaps_result`).
    beyond_limits
        Values that were left missing because they cannot be trusted.
    lengths
        E-folding lengths of the correlation.
    """

    gappy: GappyRecord
    hidden: Hidden
    trials: Sequence[Trial]
    best: Trial
    statistics: ErrorStatistics
    linear: Float[Tensor, " hidden"]
    flag: Int8[Tensor, "time column"]
    beyond_limits: Bool[Tensor, "time column"]
    lengths: Lengths
