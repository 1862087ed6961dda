"""Fill the gaps of a record by the method that predicts its own held-out values best.

The methods are those of `models.gaps.fillers`, and others of the same form. Each fills the record without some observed
values (`models.gaps.trial`); the one with the smallest CRPS there is tried again without other values, and then fitted
to all of them. Its spreads are scaled to the errors of its trials.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int8, Shaped
from scipy.special import ndtri
from torch import Tensor

from fieldcast import arguments
from fieldcast.encoding.field_layout import layout_of
from fieldcast.encoding.gappy_record import GappyRecord, OwnVariable
from fieldcast.errors import InputError, counted
from fieldcast.fields import domain
from fieldcast.fields.climatology import CONSTANT
from fieldcast.fields.conventions import EXTRAPOLATED, FILLED, OBSERVED
from fieldcast.fields.quantities import Clip
from fieldcast.geometry import great_circle_km
from fieldcast.inference.gaps.calibration import calibration_table
from fieldcast.inference.gaps.own_units import (
    OwnFilling,
    beyond_predictions,
    largest_predictions,
    of_variable,
    own_fillings,
    own_statistics,
    predictions,
    spread_exceeds,
)
from fieldcast.inference.gaps.result import MAX_LENGTHS, MAX_SPREAD_SHARE, as_fields, in_layout_of
from fieldcast.inference.gaps.stored_fit import OPTIONS, StoredFit, options_text
from fieldcast.inference.gaps.trials import Comparison, Tried
from fieldcast.inference.quantities import as_lines
from fieldcast.inference.result_attributes import with_attributes
from fieldcast.lineage import digest
from fieldcast.models.gaps import reach
from fieldcast.models.gaps.error_variance import ErrorPredictors
from fieldcast.models.gaps.fillers import FILLERS, local_kriging
from fieldcast.models.gaps.held_out import HeldOut
from fieldcast.models.gaps.in_time import gap_lengths, pieces
from fieldcast.models.gaps.observation_error import with_spread_of_observed
from fieldcast.models.gaps.record import Filling, Parameters, one_thread
from fieldcast.models.gaps.trial import ErrorStatistics, with_fitted_spread
from fieldcast.models.random_streams import RandomStreams
from fieldcast.runtime import Progress, release_memory
from fieldcast.scores.held_out import (
    CELL_WIDTH,
    NOMINAL_COVERAGE,
    as_text,
    held_out_statistics,
    score_held_out,
)
from fieldcast.scores.numbers import significant
from fieldcast.scores.summary import text_table

SUMMARY = (
    "{} with gaps filled by {} from the observed values of the record itself; the spread is the standard deviation of "
    "the error, {}."
)
COMPRESSED = {"zlib": True, "complevel": 1, "shuffle": True}  # in files
CALIBRATED, AS_DRAWN = "calibrated at held-out values", "as the method draws all that it does not know"


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

    def beyond(
        self, gappy: GappyRecord, filling: Filling, own: Mapping[str, OwnFilling]
    ) -> Bool[Tensor, "time column"]:
        """Mask of the filled values that exceed the limits; `own` are the mapped variables in their own units."""
        observed, scale = gappy.record.observed, gappy.scale
        of_parts = [self.largest_spread(name) for name, _, parts in gappy.own for _ in parts]
        beyond_limits = filling.spread > torch.tensor(of_parts).to(scale)[gappy.variable] / scale
        for name, _, parts in gappy.own:
            if name in own:
                spread = own[name].on_columns(own[name].moments.spread)
                for part in parts:
                    too_large = torch.from_numpy(spread > self.largest_spread(name))
                    beyond_limits[:, gappy.columns_of(part)] = too_large.to(beyond_limits.device)
        if self.max_gap is not None:
            beyond_limits |= gap_lengths(gappy.record.bounded, gappy.record.segment) > self.max_gap
        return beyond_limits.masked_fill_(observed, False)


@torch.no_grad()
def fill(
    comparison: Comparison,
    tried: Tried,
    statistics: ErrorStatistics,
    dataset: xr.Dataset,
    members: int,
    trust: TrustLimits,
    seed: int,
    choices: pd.DataFrame,
    options: Mapping[str, Any],
) -> tuple[xr.Dataset, StoredFit | None]:
    """Fill the fields of a comparison by the best method of its trials, in the layout of the data set of the fields.

    Also returns the fit, by which later times are filled (`appending`), unless the method can only be fitted again.

    Each variable v becomes v, the observed or filled values (observed ones stay as they are, see `in_layout_of`),
    v_mean, v_spread, v_members and v_flag (`result`), and v_median, v_p05 and v_p95 if it is mapped; the attribute
    `comment` holds the report. Observed values with errors are smoothed, and v_observed holds them as they are.
    `choices` are the scores by which the mappings were chosen, and `options` those of the fill, which the fit holds.
    """
    best, parameters = tried.best, Parameters()
    if not domain.predicted_variables(comparison.fields):
        options = {**options, "predictors": None}  # later times need none
    steps = len(tried.rounds) + len(tried.trials) + 1
    work = [*[0.0] * (steps - 1), tried.fill_seconds] if tried.fill_seconds else None
    bar = Progress(total=steps, initial=steps - 1, unit="step", work=work)
    with bar, one_thread(math.prod(comparison.held_out.shape)):
        gappy = comparison.record().with_latent_values(parameters)
        trust.check_names([variable.name for variable in gappy.own])
        fit = StoredFit(
            best.name, parameters, statistics.variances, e_folding_lengths(gappy),
            largest_predictions(gappy, statistics.held_out, statistics.error, comparison.fields),
            gappy.record.statistics(), gappy.continued(), sea_of(comparison.fields), gappy.mappings, options,
        )  # fmt: skip
        filler = comparison.fillers[best.name]
        stored = filler is FILLERS.get(best.name)
        # kriging is fitted to the part of a record that more times leave as it is
        start = None if best.name == local_kriging.__name__ else best.parameters or None
        times = torch.arange(len(gappy.record.x), device=gappy.record.x.device)
        streams = RandomStreams(seed, times, members) if members else None
        if stored:
            filler = partial(FILLERS[best.name], fitted=parameters, start=start)
        release_memory()
        filling = filler(gappy.record, streams)
        release_memory()
        # which has the observed values, too: those of the record are as large
        gappy = replace(gappy, record=replace(gappy.record, x=filling.mean, fitted=fit.statistics))
        filling, own, flag, distance = with_flags(gappy, filling, fit, streams)
    beyond_limits = trust.beyond(gappy, filling, own)
    smoothing = smoothing_report(comparison, gappy, filling)
    far = far_from_observations(comparison.held_out, tried.best.predictors, gappy, distance)
    del distance  # as large as the record
    trusted = trust_table(comparison, gappy, statistics, filling, own, far, flag, beyond_limits)
    del far
    calibration = calibration_table(gappy, comparison.fields, statistics)
    text = report(comparison, tried, gappy, fit, trusted, choices, smoothing + calibration)
    result = in_layout_of(
        dataset,
        comparison.fields,
        as_fields(comparison.fields, comparison.errors, gappy, filling, own, flag, beyond_limits),
        layout_of(comparison.fields),
    )
    used = {"method": best.name, "members": members, "seed": seed, **choices_used(gappy, comparison.fields)}
    if "predictors" in used:
        stored = False  # the file of a fit lacks their coefficients, and the result their values
    result = with_attributes(result, dataset.attrs, "Reconstruction", best.name, used)
    for array in result.data_vars.values():
        if array.ndim and array.dtype.kind in "fi":
            array.encoding.pop("contiguous", None)  # as a file without compression is
            array.encoding.update(COMPRESSED)
    origin = AS_DRAWN if best.of_all else CALIBRATED
    summary = SUMMARY.format(", ".join(variable.name for variable in gappy.own), best.name, origin)
    result = result.assign_attrs({"summary": summary, "comment": text, OPTIONS: options_text(options)})
    return result, replace(
        fit, report=text, digest=digest(comparison.lineage, used, options)
    ) if stored else None


def choices_used(gappy: GappyRecord, fields: xr.Dataset) -> dict[str, str]:
    """The mappings and the predictors of a record, for the attributes of the result."""
    used = {}
    if gappy.mappings:
        used["quantities"] = ", ".join(f"{name}={each.kind}" for name, each in gappy.mappings.items())
    if by := domain.predicted_variables(fields):
        used["predictors"] = f"{', '.join(domain.predictors(fields))} of {', '.join(by)}"
    return used


def sea_of(fields: xr.Dataset) -> Bool[Tensor, "y x"] | None:
    """Cells of the sea, by a mask of the land; None without one."""
    sea = domain.sea(fields)
    return None if sea is None else torch.from_numpy(sea)


class FilledRecord(NamedTuple):
    """A filled record: its values, those of mapped variables in own units, and flags.

    `distance` is the chord from each missing value to the nearest observation of its time.
    """

    filling: Filling
    own: Mapping[str, OwnFilling]
    flag: Int8[Tensor, "time column"]
    distance: Float[Tensor, "time column"]


def with_flags(
    gappy: GappyRecord, filling: Filling, fit: StoredFit, streams: RandomStreams | None
) -> FilledRecord:
    """A filling of a record with spreads and flags by a fit; of the record, its statistics and masks are used."""
    record = gappy.record
    distance = reach.nearest_observation(record.observed, record.columns, ~record.observed)
    filling = with_fitted_spread(filling, fit.variances, record, distance)
    filling = with_spread_of_observed(filling, record, streams)
    far = ~within_reach(gappy, distance, fit.lengths)
    if gappy.determined is not None:  # far from observations, too, predictors determine a value
        far &= ~gappy.determined
    far |= spread_exceeds(gappy, filling, MAX_SPREAD_SHARE)
    far |= beyond_predictions(gappy, filling, fit.largest)
    flag = torch.full_like(far, FILLED, dtype=torch.int8).masked_fill_(far, EXTRAPOLATED)
    flag.masked_fill_(record.observed, OBSERVED)
    return FilledRecord(filling, own_fillings(gappy, filling), flag, distance)


def e_folding_lengths(gappy: GappyRecord) -> list[tuple[float, int]]:
    """The e-folding lengths of each variable of the record: a chord, and steps."""
    scaled, lengths = gappy.record.scaled()[0], []
    for v in range(len(gappy.codec.variables)):
        columns = gappy.columns_of(v)
        x, observed = scaled.x[:, columns], scaled.observed[:, columns]
        points = torch.from_numpy(gappy.record.columns.points[columns]).to(x)
        steps = reach.e_folding_steps(x, observed, scaled.segment)
        lengths.append((reach.e_folding_distance(x, observed, points), steps))
    return lengths


def within_reach(
    gappy: GappyRecord, distance: Float[Tensor, "time column"], lengths: Sequence[tuple[float, int]]
) -> Bool[Tensor, "time column"]:
    """Mask of the values near an observation, by the e-folding lengths of each variable.

    `distance` is the chord to the nearest observation of the same time.
    """
    near = torch.empty_like(gappy.record.observed)
    for v, e_folding in enumerate(lengths):
        columns = gappy.columns_of(v)
        near[:, columns] = reach.is_within_reach(
            distance[:, columns], gappy.record.segment, *e_folding, MAX_LENGTHS
        )
    return near


# The report on a filled record: errors of all methods at held-out values, and how far to trust the result.


IN_GAPS, AT_WHOLE_TIMES = "in gaps", "at whole times"
TAIL = 0.05  # share of the held-out values beyond the distance within which the spread counts as checked
LARGE_ERROR = 5.0  # size of an error, in spreads, above which it is counted
HEADINGS = (
    "missing", "extrapolated", "left missing", "expected RMSE", "held out", "spread-skill", "coverage",
    f"> {LARGE_ERROR:g} spreads", "far in time", "far in space",
)  # fmt: skip
LEGEND = f"""expected RMSE: the root mean square of the spread of the missing values, in the unit of the data.
spread-skill, coverage of 90 %, share of large errors: in all selections of held-out values.
far: missing values farther from observations (of their cell in time, of their time in space) than {1 - TAIL:.0%} of the
held-out ones; the spread is unchecked there, and may be far too small.
extrapolated (flag 2): the spread exceeds {MAX_SPREAD_SHARE:g} of the climatological one, or every observation is more
than {MAX_LENGTHS:g} e-folding lengths (1/e) of the correlation away, or the value of a mapped variable is above every
prediction of a held-out one; do not trust these values.
left missing: by max_gap or max_spread."""
PREDICTED = (
    "The climatology of {} has the part that {} of the same time determines; a value there, where all of them are "
    "known, is not extrapolated for its distance from observations alone."
)
SEASONS = {
    CONSTANT: "The record spans less than two years: the methods work on departures from each cell's mean, "
    "which include the seasonal cycle.",
    "harmonics": "The methods work on anomalies from an annual cycle, fitted to each cell's own values.",
}


def report(
    comparison: Comparison, tried: Tried, gappy: GappyRecord, fit: StoredFit,
    trust: Mapping[str, Sequence[str]], choices: pd.DataFrame, notes: str,
) -> str:  # fmt: skip
    """Tables of the record, the choice of mappings, the errors of all methods at held-out values, and of trust."""
    record, facts = gappy.record, {}
    names = ", ".join(domain.predicted_variables(comparison.fields))
    in_steps = bool((record.segment.diff() == 0).any())
    for name, _, (v, *_) in gappy.own:
        columns = gappy.columns_of(v)
        observed, missing = record.observed[:, columns], record.missing[:, columns]
        number_missing = int(missing.count_nonzero())
        share = number_missing / max(1, number_missing + int(observed.count_nonzero()))
        (chord, steps) = fit.lengths[v]
        numbers = observed.shape[1], int((~observed.any(1) & missing.any(1)).sum())
        facts[name] = [
            *map(str, numbers), significant(100 * share),
            f"{great_circle_km(chord):.0f}", str(steps) if in_steps else "",
        ]  # fmt: skip
    number = len(tried.of(tried.best.name))
    several = len(tried.trials) >= len(tried.finalists) + number  # more than one method was tried again
    others = f" of {number} selections; the tables show the first" if several else ""
    headings = ["cells", "empty times", "missing [%]", "1/e [km]", "1/e [steps]"]
    kinds = {IN_GAPS: False, AT_WHOLE_TIMES: True}
    scores = {kind: method_scores(comparison, tried, gappy, whole) for kind, whole in kinds.items()}
    texts = [
        as_text(table, f"values held out {kind}, weighted like the missing ones")
        for kind, table in scores.items()
        if len(table)
    ]
    return "\n\n".join(
        [
            f"Filled by {tried.best.name}"
            + (
                f", the best method after {counted(len(tried.rounds), 'round')} of a race."
                if tried.ended_early and comparison.rounds
                else ", the best method when Ctrl-C ended the race."
                if tried.ended_early
                else f", the method with the lowest CRPS at held-out values{others}."
                if len(comparison.fillers) > 1
                else "."
            ),
            "\n".join(text_table("", headings, facts, CELL_WIDTH)),
            *([as_lines(choices)] if len(choices) else ()),
            *([race_table(comparison, tried)] if tried.rounds else ()),
            *texts,
            *([notes] if notes else ()),
            "\n".join([*text_table("", HEADINGS, trust, CELL_WIDTH), LEGEND]),
            SEASONS[gappy.seasons],
            *([PREDICTED.format(names, ", ".join(domain.predictors(comparison.fields)))] if names else ()),
        ]
    )


def race_table(comparison: Comparison, tried: Tried) -> str:
    """CRPS of each method in the rounds of the race, and after which of them it left; the finalists' scores follow."""
    headings = [f"{each.times} x {each.cells}" for each in tried.rounds]
    cells = {}
    for name in tried.rounds[0].standings:
        scores = [each.standings[name].crps for each in tried.rounds if name in each.standings]
        last = "whole record" if name in tried.finalists else f"round {len(scores)}"
        cells[name] = [*map(significant, scores), *[""] * (len(headings) - len(scores)), last]
    title = f"Race: CRPS in {comparison.scale} at held-out values of samples, times x cells"
    return "\n".join([title, *text_table("", [*headings, "went up to"], cells, CELL_WIDTH)])


def smoothing_report(comparison: Comparison, gappy: GappyRecord, filling: Filling) -> str:
    """Sentences on the errors of observed values, before and after they are smoothed if they are given."""
    if not comparison.errors.deviation:
        return "Scores and spreads include the errors of observed values; given by noise, the spread leaves them out.\n"
    before = comparison.record().record.noise
    assert before is not None
    sentences, observed = [], gappy.record.observed
    for name, quantity, (v, *_) in gappy.own:
        if name not in comparison.errors.deviation:
            continue
        columns, scale = gappy.columns_of(v), float(gappy.codec.deviation[v])
        here = observed[:, columns]
        error, spread = (
            significant(scale * float(x[:, columns][here].double().mean().sqrt()))
            for x in (before, filling.spread.square())
        )
        unit = (
            comparison.fields[name].attrs.get("units", "1")
            if quantity is None
            else f"mapped by {quantity.kind}"
        )
        sentences.append(
            f"The observed values of {name} are smoothed: root mean square error {error} as given, {spread} expected "
            f"after it ({unit})."
        )
    return "\n".join([*sentences, "Scores at held-out values include the errors of these values.", ""])


def missing_values(gappy: GappyRecord) -> tuple[Bool[Tensor, "time column"], Bool[Tensor, "time column"]]:
    """Masks of the missing values, and of those at times without any observation of their variable."""
    observed = gappy.record.observed
    missing = gappy.record.missing & observed.any(0)
    return missing, missing & ~reach.present_variables(observed, gappy.variable)[:, gappy.variable]


def method_scores(comparison: Comparison, tried: Tried, gappy: GappyRecord, whole: bool) -> pd.DataFrame:
    """Scores of all methods at the held-out values in gaps or at whole times, if values of this kind are missing."""
    held_out, codec, tables = comparison.held_out, gappy.codec, []
    missing, at_whole_times = missing_values(gappy)
    of_kind = at_whole_times if whole else missing & ~at_whole_times
    for variable in gappy.own:
        name, quantity, parts = variable
        selected = (held_out.whole == whole) & of_variable(gappy, held_out, variable)
        if not selected.any() or not of_kind[:, gappy.variable == parts[0]].any():
            continue
        units = comparison.fields[name].attrs.get("units", "1")
        normal = (
            "predictors alone" if name in domain.predicted_variables(comparison.fields) else "climatology"
        )
        methods = [(trial.name, trial.error, trial.spread) for trial in tried.compared]
        baselines = [("linear in time", comparison.linear, None), (normal, -held_out.truth, None)]
        for method, error, spread in (*methods, *baselines):
            if quantity is not None:
                predicted = predictions(
                    gappy,
                    comparison.fields,
                    held_out,
                    error,
                    torch.zeros_like(error) if spread is None else spread,
                    variable,
                    selected,
                )
                of_own = own_statistics(quantity, predicted, spread is None)
                table = score_held_out("", "", of_own, weights_of(held_out, selected))
                tables.append(table.assign(experiment=method, variable=name, unit=units))
            for part in parts if quantity is None or not isinstance(quantity, Clip) else ():
                of_part = (held_out.whole == whole) & (gappy.variable[held_out.cell] == part)
                table = score_errors(held_out, of_part, error, spread, float(codec.deviation[part]))
                mapped_name = (
                    name if quantity is None else f"{codec.variables[part]}, mapped by {quantity.kind}"
                )
                unit = units if quantity is None else "1"
                tables.append(table.assign(experiment=method, variable=mapped_name, unit=unit))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def score_errors(
    held_out: HeldOut, selected: Bool[Tensor, " held_out"], error: Float[Tensor, " held_out"],
    spread: Float[Tensor, " held_out"] | None, scale: float = 1.0,
) -> pd.DataFrame:  # fmt: skip
    """Scores of the selected errors, weighted like the missing values."""
    e = error[selected].double().cpu().numpy()
    s = None if spread is None else spread[selected].double().cpu().numpy()
    statistics = held_out_statistics(np.zeros_like(e), e[None], s)
    return score_held_out("", "", statistics, weights_of(held_out, selected), scale=scale)


def weights_of(held_out: HeldOut, selected: Bool[Tensor, " held_out"]) -> Float[np.ndarray, " some"]:
    """Weights of the selected values."""
    return held_out.weights(selected)[selected].double().cpu().numpy()


def trust_table(
    comparison: Comparison, gappy: GappyRecord, statistics: ErrorStatistics, filling: Filling,
    own: Mapping[str, OwnFilling], far: Sequence[Bool[Tensor, "time column"]],
    flag: Int8[Tensor, "time column"], beyond_limits: Bool[Tensor, "time column"],
) -> dict[str, list[str]]:  # fmt: skip
    """Cells of HEADINGS for the missing values of each variable, and for those in gaps and at whole times beside.

    `far` are the masks of `far_from_observations`.
    """
    pooled = statistics.held_out
    missing, at_whole_times = missing_values(gappy)
    table: dict[str, list[str]] = {}
    for variable in gappy.own:
        name, quantity, (v, *_) = variable
        missing_here = missing & (gappy.variable == v)
        if quantity is None:
            spread, scale = filling.spread[:, gappy.columns_of(v)], float(gappy.codec.deviation[v])
        else:
            scale = 1.0
            spread = torch.from_numpy(own[name].on_columns(own[name].moments.spread)).to(filling.spread)
        for kind in ("", IN_GAPS, AT_WHOLE_TIMES):
            here = missing_here & (at_whole_times == (kind == AT_WHOLE_TIMES)) if kind else missing_here
            if not here.any() or (kind and torch.equal(here, missing_here)):
                continue
            selected = of_variable(gappy, pooled, variable)
            if kind:
                selected &= pooled.whole == (kind == AT_WHOLE_TIMES)
            expected = scale * root_mean_square(spread, here[:, gappy.columns_of(v)])
            table[f"{name} {kind}".strip()] = [
                str(int(here.count_nonzero())), percent(flag == EXTRAPOLATED, here),
                str(int((beyond_limits & here).count_nonzero())), significant(expected),
                *checked_spread(comparison, gappy, statistics, variable, selected),
                *(percent(mask, here) for mask in far),
            ]  # fmt: skip
    return table


def far_from_observations(
    held_out: HeldOut, predictors: ErrorPredictors, gappy: GappyRecord, distance: Float[Tensor, "time column"]
) -> list[Bool[Tensor, "time column"]]:
    """Masks of the missing values that are farther from observations, in time and in space, than held-out values are.

    Values in gaps are compared with held-out values in gaps, and those at whole times with held-out whole times; if
    there are none, all are far. `predictors` are those of the errors at the held-out values, `distance` the chord from
    the nearest observation of the same time.
    """
    observed, variable = gappy.record.observed, gappy.variable
    missing, at_whole_times = missing_values(gappy)
    of_each = [variable[held_out.cell] == v for v in range(len(gappy.codec.variables))]
    of_kind = ~held_out.whole, held_out.whole
    limits = [
        [torch.stack([tail(x[here & kind]) for here in of_each]) for kind in of_kind]
        for x in (predictors.steps, predictors.distance)
    ]
    far = [torch.empty_like(missing) for _ in limits]
    for cells in pieces(observed.shape[1], len(observed)):
        masked_here = gappy.record.masked_in(cells)
        steps = reach.steps_to_observation(observed[:, cells], gappy.record.segment, masked_here)
        of_missing = steps, distance[:, cells]
        for mask, x, (in_gaps, of_whole) in zip(far, of_missing, limits, strict=True):
            limit = torch.where(at_whole_times[:, cells], of_whole[variable[cells]], in_gaps[variable[cells]])
            mask[:, cells] = missing[:, cells] & (x > limit)
    return far


def checked_spread(
    comparison: Comparison, gappy: GappyRecord, statistics: ErrorStatistics, variable: OwnVariable,
    selected: Bool[Tensor, " held_out"],
) -> list[str]:  # fmt: skip
    """Number of the selected errors, spread-skill ratio, coverage, and share of large errors, as cells of HEADINGS.

    They are those of the variable in its own units.
    """
    number, held_out = int(selected.count_nonzero()), statistics.held_out
    if not number:
        return ["0", *3 * ["–"]]
    if variable.quantity is None:
        error, spread, weight = statistics.error, statistics.spread, held_out.weights(selected)
        large = error[selected].abs() > LARGE_ERROR * spread[selected]
        inside = error.abs() < float(ndtri((1 + NOMINAL_COVERAGE) / 2)) * spread
        # not by `score_errors`, whose tables of millions of errors take ten times as much memory
        square, variance, coverage = (
            float((weight * x).sum() / weight.sum()) for x in (error.square(), spread.square(), inside)
        )
        ratio = math.sqrt(variance / square) if square else math.nan
    else:
        predicted = predictions(
            gappy, comparison.fields, held_out, statistics.error, statistics.spread, variable, selected
        )
        of_own = own_statistics(variable.quantity, predicted)
        large = torch.from_numpy(of_own["square"] > LARGE_ERROR**2 * of_own["variance"])
        table = score_held_out("", "", of_own, weights_of(held_out, selected))
        ratio, coverage = table.set_index("score").loc[["ssr", "coverage90"], "value"]
    return [str(number), significant(ratio), significant(coverage), percent(large)]


def root_mean_square(x: Float[Tensor, "time column"], selected: Bool[Tensor, "time column"]) -> float:
    """Root mean square of some values, summed in pieces."""
    total = sum(
        float(x[:, cells].double().square().masked_fill_(~selected[:, cells], 0.0).sum())
        for cells in pieces(x.shape[1], len(x))
    )
    return math.sqrt(total / int(selected.count_nonzero()))


def percent(selected: Bool[Tensor, "*n"], among: Bool[Tensor, "*n"] | None = None) -> str:
    """Share of the selected values in percent, of all or among some; a small share is never written as 0."""
    number = selected.numel() if among is None else int(among.count_nonzero())
    selected = selected if among is None else selected & among
    return f"{significant(100 * (int(selected.count_nonzero()) / number))}%"


def tail(distance: Shaped[Tensor, " held_out"]) -> Shaped[Tensor, ""]:
    """Distance to observations within which nearly all held-out values lie; below all distances if there is none."""
    if not len(distance):
        return distance.new_full((), -1)
    return distance.sort().values[int((1 - TAIL) * (len(distance) - 1))]
