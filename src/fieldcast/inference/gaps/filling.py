"""Fill the gaps of a record by the method that predicts its own hidden values best.

The methods are those of `models.gaps.fillers`, and others of the same form. Each fills the record without some observed
values (`models.gaps.trial`); the one with the smallest CRPS there is tried again without other values, and then fitted
to all of them. Its spreads are scaled to the errors of its trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast import arguments
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.errors import InputError
from fieldcast.fields.conventions import EXTRAPOLATED, FILLED, OBSERVED
from fieldcast.inference.gaps.report import Lengths, Outcome, report
from fieldcast.inference.gaps.result import (
    MAX_LENGTHS,
    MAX_SPREAD_SHARE,
    as_fields,
    in_layout_of,
)
from fieldcast.inference.gaps.trials import Comparison
from fieldcast.inference.result_attributes import with_attributes
from fieldcast.models.gaps import reach
from fieldcast.models.gaps.in_time import gap_lengths
from fieldcast.models.gaps.record import Filling, deviations
from fieldcast.models.gaps.trial import ErrorStatistics, Trial, with_fitted_spread
from fieldcast.models.random_streams import RandomStreams

SUMMARY = (
    "{} with gaps filled by {} from the observed values of the record itself; the spread is the standard deviation of "
    "the error, calibrated at hidden values."
)


@dataclass(frozen=True)
class TrustLimits:
    """Limits beyond which filled values are left missing.

    Parameters
    ----------
    max_gap
        Longest gap of a cell that is filled [steps]; longer ones stay missing as a whole.
    max_spread
        Largest spread of a filled value in the units of the variable; by name, if there are several variables.
    """

    max_gap: int | None = None
    max_spread: float | Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if self.max_gap is not None:
            arguments.whole_number(self.max_gap, "max_gap", 1)
        limits = self.max_spread if isinstance(self.max_spread, Mapping) else {"": self.max_spread}
        for variable, spread in limits.items():
            if spread is not None:
                arguments.positive_number(spread, f"max_spread of {variable}" if variable else "max_spread")

    def check_names(self, variables: Sequence[str]) -> None:
        """Raise an InputError if `max_spread` names a variable that the data lack."""
        limits = self.max_spread if isinstance(self.max_spread, Mapping) else {}
        if unknown := sorted(set(limits) - set(variables)):
            raise InputError(
                f"max_spread names {', '.join(unknown)}, but the variables are {', '.join(variables)}."
            )

    def largest_spread(self, variable: str) -> float:
        """Largest spread of a variable; infinite without a limit."""
        limit = self.max_spread
        largest = limit.get(variable) if isinstance(limit, Mapping) else limit
        return np.inf if largest is None else largest

    def beyond(self, gappy: GappyRecord, filling: Filling) -> Bool[Tensor, "time column"]:
        """Mask of the filled values that exceed the limits."""
        observed, scale = gappy.record.observed, gappy.scale
        largest = torch.tensor([self.largest_spread(name) for name in gappy.codec.variables]).to(scale)
        beyond_limits = filling.spread > largest[gappy.variable] / scale
        if self.max_gap is not None:
            beyond_limits |= gap_lengths(observed, gappy.record.segment) > self.max_gap
        return beyond_limits.masked_fill_(observed, False)


@torch.no_grad()
def fill(
    comparison: Comparison,
    trials: Sequence[Trial],
    statistics: ErrorStatistics,
    dataset: xr.Dataset,
    members: int,
    trust: TrustLimits,
    seed: int,
) -> xr.Dataset:
    """Fill the fields of a comparison by the best method of its trials, in the layout of the data set of the fields.

    Each variable v becomes v, the observed or filled values (observed ones stay as they are, see `in_layout_of`),
    v_mean, v_spread, v_members and v_flag (`gaps_result`); the attribute `comment` holds the report.
    """
    gappy, best = comparison.record(), comparison.best(trials)
    record = gappy.record
    trust.check_names(gappy.codec.variables)
    distance = reach.nearest_observation(record.observed, record.columns, ~record.observed)
    near, lengths = within_reach(gappy, distance)
    times = torch.arange(len(record.x), device=record.x.device)
    streams = RandomStreams(seed, times, members) if members else None
    with comparison.progress(comparison.number):
        filled = comparison.fillers[best.name](record, streams)
    filling = with_fitted_spread(filled, statistics.variances, record, distance)
    far = ~near | (filling.spread > MAX_SPREAD_SHARE * deviations(record.x, record.observed))
    flag = torch.where(far, EXTRAPOLATED, FILLED).to(torch.int8).masked_fill_(record.observed, OBSERVED)
    beyond_limits = trust.beyond(gappy, filling)
    outcome = Outcome(
        gappy, comparison.hidden, comparison.comparable_trials(trials), best, statistics, comparison.linear, flag,
        beyond_limits, lengths,
    )  # fmt: skip
    result = in_layout_of(
        dataset,
        comparison.fields,
        as_fields(comparison.fields, gappy, filling, flag, beyond_limits),
        gappy.codec,
    )
    options = {"method": best.name, "members": members, "seed": seed}
    result = with_attributes(result, dataset.attrs, "Reconstruction", best.name, options)
    summary = SUMMARY.format(", ".join(gappy.codec.variables), best.name)
    return result.assign_attrs(summary=summary, comment=report(outcome))


def within_reach(
    gappy: GappyRecord, distance: Float[Tensor, "time column"]
) -> tuple[Bool[Tensor, "time column"], Lengths]:
    """Mask of the values near an observation, and the e-folding lengths of each variable.

    `distance` is the chord to the nearest observation of the same time.
    """
    scaled, near, lengths = gappy.record.scaled()[0], torch.empty_like(gappy.record.observed), Lengths()
    for v, name in enumerate(gappy.codec.variables):
        columns = (gappy.variable == v).nonzero()[:, 0]
        of_variable = slice(int(columns[0]), int(columns[-1]) + 1)
        x, observed = scaled.x[:, of_variable], scaled.observed[:, of_variable]
        points = torch.from_numpy(gappy.record.columns.points[of_variable]).to(x)
        e_folding_distance = reach.e_folding_distance(x, observed, points)
        e_folding_steps = reach.e_folding_steps(x, observed, scaled.segment)
        near[:, of_variable] = reach.is_within_reach(
            distance[:, of_variable], scaled.segment, e_folding_distance, e_folding_steps, MAX_LENGTHS
        )
        lengths[name] = e_folding_distance, e_folding_steps
    return near, lengths
