"""Fill the gaps of a record by the method that predicts its own held-out values best.

The methods are those of `models.gaps.fillers`, and others of the same form. Each fills the record without some observed
values (`models.gaps.trial`); the one with the smallest CRPS there is tried again without other values, and then fitted
to all of them. Its spreads are scaled to the errors of its trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int8, Shaped
from torch import Tensor

from fieldcast import arguments
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.errors import InputError
from fieldcast.fields.climatology import CONSTANT
from fieldcast.fields.conventions import EXTRAPOLATED, FILLED, OBSERVED
from fieldcast.geometry import great_circle_km
from fieldcast.inference.gaps.result import MAX_LENGTHS, MAX_SPREAD_SHARE, as_fields, in_layout_of
from fieldcast.inference.gaps.trials import Comparison
from fieldcast.inference.result_attributes import with_attributes
from fieldcast.models.gaps import reach
from fieldcast.models.gaps.held_out import SELECTIONS, HeldOut
from fieldcast.models.gaps.in_time import gap_lengths
from fieldcast.models.gaps.record import Filling, deviations
from fieldcast.models.gaps.trial import ErrorStatistics, Trial, with_fitted_spread
from fieldcast.models.random_streams import RandomStreams
from fieldcast.scores.held_out import CELL_WIDTH, as_text, held_out_statistics, score_held_out
from fieldcast.scores.numbers import significant
from fieldcast.scores.summary import text_table

SUMMARY = (
    "{} with gaps filled by {} from the observed values of the record itself; the spread is the standard deviation of "
    "the error, calibrated at held-out values."
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
    v_mean, v_spread, v_members and v_flag (`result`); the attribute `comment` holds the report.
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
    trusted = trust_table(comparison, gappy, statistics, distance, flag, beyond_limits)
    text = report(comparison, trials, gappy, lengths, trusted)
    result = in_layout_of(
        dataset,
        comparison.fields,
        as_fields(comparison.fields, gappy, filling, flag, beyond_limits),
        gappy.codec,
    )
    options = {"method": best.name, "members": members, "seed": seed}
    result = with_attributes(result, dataset.attrs, "Reconstruction", best.name, options)
    summary = SUMMARY.format(", ".join(gappy.codec.variables), best.name)
    return result.assign_attrs(summary=summary, comment=text)


def within_reach(
    gappy: GappyRecord, distance: Float[Tensor, "time column"]
) -> tuple[Bool[Tensor, "time column"], dict[str, tuple[float, int]]]:
    """Mask of the values near an observation, and the e-folding lengths of each variable: a chord, and steps.

    `distance` is the chord to the nearest observation of the same time.
    """
    scaled, near, lengths = gappy.record.scaled()[0], torch.empty_like(gappy.record.observed), {}
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


# The report on a filled record: errors of all methods at held-out values, and how far to trust the result.


IN_GAPS, AT_WHOLE_TIMES = "in gaps", "at whole times"
TAIL = 0.05  # share of the held-out values beyond the distance within which the spread counts as checked
LARGE_ERROR = 5.0  # size of an error, in spreads, above which it is counted
HEADINGS = (
    "missing", "extrapolated", "left missing", "held out", "spread-skill", "coverage", f"> {LARGE_ERROR:g} spreads",
    "far in time", "far in space",
)  # fmt: skip
LEGEND = f"""spread-skill, coverage of 90 %, share of large errors: in {SELECTIONS} selections of held-out values.
far: missing values farther from observations (of their cell in time, of their time in space) than {1 - TAIL:.0%} of the
held-out ones; the spread is unchecked there, and may be far too small.
extrapolated (flag 2): the spread exceeds {MAX_SPREAD_SHARE:g} of the climatological one, or every observation is more
than {MAX_LENGTHS:g} e-folding lengths (1/e) of the correlation away; do not trust these values.
left missing: by max_gap or max_spread."""
SEASONS = {
    CONSTANT: "The record spans less than two years: the methods work on departures from each cell's mean, "
    "which include the seasonal cycle.",
    "harmonics": "The methods work on anomalies from an annual cycle, fitted to each cell's own values.",
}


def report(
    comparison: Comparison, trials: Sequence[Trial], gappy: GappyRecord, lengths: Mapping[str, tuple[float, int]],
    trust: Mapping[str, Sequence[str]],
) -> str:  # fmt: skip
    """Tables of the record, of the errors of all methods at held-out values, and of how far to trust the result."""
    record, facts = gappy.record, {}
    in_steps = bool((record.segment.diff() == 0).any())
    for v, name in enumerate(gappy.codec.variables):
        observed = record.observed[:, gappy.variable == v]
        share, (chord, steps) = 100 * float((~observed).double().mean()), lengths[name]
        numbers = observed.shape[1], int((~observed.any(1)).sum())
        facts[name] = [
            *map(str, numbers), significant(share), f"{great_circle_km(chord):.0f}", str(steps) if in_steps else "",
        ]  # fmt: skip
    headings = ["cells", "empty times", "missing [%]", "1/e [km]", "1/e [steps]"]
    kinds = {IN_GAPS: False, AT_WHOLE_TIMES: True}
    scores = {kind: method_scores(comparison, trials, gappy, whole) for kind, whole in kinds.items()}
    texts = [
        as_text(table, f"values held out {kind}, weighted like the missing ones")
        for kind, table in scores.items()
        if len(table)
    ]
    return "\n\n".join(
        [
            f"Filled by {comparison.best(trials).name}, the method with the lowest CRPS at held-out values.",
            "\n".join(text_table("", headings, facts, CELL_WIDTH)),
            *texts,
            "\n".join([*text_table("", HEADINGS, trust, CELL_WIDTH), LEGEND]),
            SEASONS[gappy.seasons],
        ]
    )


def missing_values(gappy: GappyRecord) -> tuple[Bool[Tensor, "time column"], Bool[Tensor, "time column"]]:
    """Masks of the missing values, and of those at times without any observation of their variable."""
    observed = gappy.record.observed
    missing = ~observed & observed.any(0)
    return missing, missing & ~reach.present_variables(observed, gappy.variable)[:, gappy.variable]


def method_scores(
    comparison: Comparison, trials: Sequence[Trial], gappy: GappyRecord, whole: bool
) -> pd.DataFrame:
    """Scores of all methods at the held-out values in gaps or at whole times, if values of this kind are missing."""
    held_out, codec, tables = comparison.held_out, gappy.codec, []
    missing, at_whole_times = missing_values(gappy)
    of_kind = at_whole_times if whole else missing & ~at_whole_times
    for v, name in enumerate(codec.variables):
        selected = (held_out.whole == whole) & (gappy.variable[held_out.cell] == v)
        if not selected.any() or not of_kind[:, gappy.variable == v].any():
            continue
        scale, units = float(codec.deviation[v]), codec.attrs[name].get("units", "1")
        methods = [(trial.name, trial.error, trial.spread) for trial in comparison.comparable_trials(trials)]
        baselines = [("linear in time", comparison.linear, None), ("climatology", -held_out.truth, None)]
        for method, error, spread in (*methods, *baselines):
            table = score_errors(held_out, selected, error, spread, scale)
            tables.append(table.assign(experiment=method, variable=name, unit=units))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def score_errors(
    held_out: HeldOut, selected: Bool[Tensor, " held_out"], error: Float[Tensor, " held_out"],
    spread: Float[Tensor, " held_out"] | None, scale: float = 1.0,
) -> pd.DataFrame:  # fmt: skip
    """Scores of the selected errors, weighted like the missing values."""
    e, weight = (x[selected].double().cpu().numpy() for x in (error, held_out.weights(selected)))
    s = None if spread is None else spread[selected].double().cpu().numpy()
    return score_held_out("", "", held_out_statistics(np.zeros_like(e), e[None], s), weight, scale=scale)


def trust_table(
    comparison: Comparison, gappy: GappyRecord, statistics: ErrorStatistics, distance: Float[Tensor, "time column"],
    flag: Int8[Tensor, "time column"], beyond_limits: Bool[Tensor, "time column"],
) -> dict[str, list[str]]:  # fmt: skip
    """Cells of HEADINGS for the missing values of each variable, and for those in gaps and at whole times beside.

    `distance` is the chord from the nearest observation of the same time.
    """
    far, pooled = far_from_observations(comparison, gappy, distance), statistics.held_out
    missing, at_whole_times = missing_values(gappy)
    table: dict[str, list[str]] = {}
    for v, name in enumerate(gappy.codec.variables):
        of_variable = missing & (gappy.variable == v)
        for kind in ("", IN_GAPS, AT_WHOLE_TIMES):
            here = of_variable & (at_whole_times == (kind == AT_WHOLE_TIMES)) if kind else of_variable
            if not here.any() or (kind and torch.equal(here, of_variable)):
                continue
            selected = gappy.variable[pooled.cell] == v
            if kind:
                selected &= pooled.whole == (kind == AT_WHOLE_TIMES)
            table[f"{name} {kind}".strip()] = [
                str(int(here.count_nonzero())), percent(flag[here] == EXTRAPOLATED),
                str(int(beyond_limits[here].count_nonzero())), *checked_spread(statistics, selected),
                *(percent(mask[here]) for mask in far),
            ]  # fmt: skip
    return table


def far_from_observations(
    comparison: Comparison, gappy: GappyRecord, distance: Float[Tensor, "time column"]
) -> tuple[Bool[Tensor, "time column"], Bool[Tensor, "time column"]]:
    """Masks of the missing values that are farther from observations, in time and in space, than held-out values are.

    Values in gaps are compared with held-out values in gaps, and those at whole times with held-out whole times; if
    there are none, all are far.
    """
    record, held_out = gappy.record, comparison.held_out
    visible, (missing, at_whole_times) = record.observed & ~held_out.mask, missing_values(gappy)
    steps = [reach.steps_to_observation(observed, record.segment) for observed in (visible, record.observed)]
    measures = steps, (reach.nearest_observation(visible, record.columns, held_out.mask), distance)
    far = torch.zeros_like(missing), torch.zeros_like(missing)
    for v in range(len(gappy.codec.variables)):
        for whole in (False, True):
            here = missing & (gappy.variable == v) & (at_whole_times == whole)
            selected = (gappy.variable[held_out.cell] == v) & (held_out.whole == whole)
            for mask, (of_held_out, of_missing) in zip(far, measures, strict=True):
                mask[here] = of_missing[here] > tail(held_out.at(of_held_out)[selected])
    return far


def checked_spread(statistics: ErrorStatistics, selected: Bool[Tensor, " held_out"]) -> list[str]:
    """Number of the selected errors, spread-skill ratio, coverage, and share of large errors, as cells of HEADINGS."""
    number = int(selected.count_nonzero())
    if not number:
        return ["0", *3 * ["–"]]
    error, spread = statistics.error[selected], statistics.spread[selected]
    table = score_errors(statistics.held_out, selected, statistics.error, statistics.spread)
    value = table.set_index("score")["value"]
    scores = significant(value["ssr"]), significant(value["coverage90"])
    return [str(number), *scores, percent(error.abs() > LARGE_ERROR * spread)]


def percent(selected: Bool[Tensor, " n"]) -> str:
    """Share of the selected values in percent; a small share is never written as 0."""
    return f"{significant(100 * float(selected.double().mean()))}%"


def tail(distance: Shaped[Tensor, " held_out"]) -> float:
    """Distance to observations within which nearly all held-out values lie; below all distances if there is none."""
    return float(distance.sort().values[int((1 - TAIL) * (len(distance) - 1))]) if len(distance) else -1.0
