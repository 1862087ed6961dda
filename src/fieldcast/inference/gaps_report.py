"""Report on a filled record: the errors of all methods at hidden values, and how reliable the result is."""

from __future__ import annotations

import math
from collections.abc import Iterator

from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast.fields.climatology import CONSTANT
from fieldcast.inference.gaps_outcome import Outcome
from fieldcast.inference.gaps_reliability import reliability, spread_error_ratio
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
