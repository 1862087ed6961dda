"""Tables of a comparison: answers to its questions, its scores and costs, and scores at equal inference cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from fieldcast.experiments import Comparison
from fieldcast.kinds import LEAD
from fieldcast.report.results import Results
from fieldcast.report.score_tables import paired_differences
from fieldcast.report.scores_by_case import Lead, Sampled
from fieldcast.report.tables import Cell, Table, amount_cell, number_cell, score_cell
from fieldcast.report.training import COSTS, cost_cells, recorded_costs
from fieldcast.scores.bootstrap import Score
from fieldcast.scores.metrics import METRICS
from fieldcast.scores.numbers import significant
from fieldcast.scores.sample_metrics import SAMPLE_METRICS
from fieldcast.scores.stability import third_of_waves

VERDICTS = {  # of A against B, the same in all cases
    "better": "A is better",
    "worse": "B is better",
    "not separated": "not separated",
    "no interval": "too few times for intervals",
}
COMPARED_COSTS = ("train_steps", "train_seconds", "evaluations", "sample_ms", "parameters")


def answers_table(results: Results, comparison: Comparison) -> Table:
    """A row for each question whose experiments A and B have both been scored: fair CRPS of A minus that of B."""
    cases, body = representative_cases(results.board.cases), []
    for question in comparison.questions:
        pair = question.experiment, question.reference
        differences = paired_differences(results, *pair, cases)
        cells = [answer_cell(results, pair, case, differences.get(case)) for case in cases]
        if any(cell.order is not None for cell in cells):
            verdicts = {score.verdict for score in differences.values()}
            verdict = VERDICTS[verdicts.pop()] if len(verdicts) == 1 else "depends on the case"
            labels = [Cell(results.label(name)) for name in pair]
            body.append([Cell(question.question), *labels, Cell(verdict), *cells])
    return Table(["question", "A", "B", "verdict", *(f"A − B, {case}" for case in cases)], body, "texts")


def answer_cell(results: Results, pair: tuple[str, str], case: Any, difference: Score | None) -> Cell:
    """The difference of two experiments in one case, its interval and verdict, and the scores of both."""
    values = [results.board.value(name, "crps", case) for name in pair]
    if difference is None or any(map(math.isnan, values)):
        return Cell()
    verdict = (difference.verdict, difference.verdict.replace(" ", "-"))
    return score_cell(difference, verdict, (" − ".join(map(significant, values)), ""), sign=True)


def feedback_table(results: Results, comparison: Comparison) -> Table:
    """Power of means that are fed back, as a share of that of the reference's members, at long and short waves."""
    body = [
        [
            results.head(question.experiment),
            Cell(results.label(question.reference)),
            Cell(str(lead), lead.hours),
            *shares,
        ]
        for question in comparison.questions
        for lead, *shares in spectrum_shares(results, question.experiment, question.reference)
    ]
    return Table(["experiment", "relative to members of", "lead", "long waves", "short waves"], body)


def representative_cases(cases: Sequence[Any]) -> list[Any]:
    """First, middle and last case, among lead times up to ten days or cases of the random pattern."""
    if cases and isinstance(cases[0], Lead):
        cases = [lead for lead in cases if lead.hours <= 240] or list(cases)
    else:
        cases = [case for case in cases if getattr(case, "pattern", "random") == "random"] or list(cases)
    return list(dict.fromkeys((cases[0], cases[len(cases) // 2], cases[-1]))) if cases else []


def fed_on_mean(results: Results, name: str) -> bool:
    """Whether every step of an experiment starts from its ensemble mean, as its forecasts declare."""
    forecasts = results.diagnostics.get(name)
    return forecasts is not None and forecasts.attrs.get("feedback") == "mean"


def spectrum_shares(results: Results, name: str, reference: str) -> list[tuple[Lead, Cell, Cell]]:
    """Power of an ensemble mean that is fed back, as a share of the power of the reference's members."""
    fed, members = (results.diagnostics.get(experiment) for experiment in (name, reference))
    if fed is None or members is None or not fed_on_mean(results, name):
        return []
    leads = representative_cases([Lead(float(hours)) for hours in fed[LEAD].to_numpy()])
    ends = dict.fromkeys((leads[0], leads[-1]))
    return [
        (lead, share(fed, members, lead, shortest=False), share(fed, members, lead, shortest=True))
        for lead in ends
    ]


def share(fed: xr.Dataset, members: xr.Dataset, lead: Lead, *, shortest: bool) -> Cell:
    """Smallest and largest ratio of powers over the variables, in percent."""
    mean, free, truth = (
        dataset[name].isel({LEAD: int(np.abs(dataset[LEAD].to_numpy() - lead.hours).argmin())}).to_numpy()
        for dataset, name in (
            (fed, "spectrum_mean"),
            (members, "spectrum_members"),
            (members, "spectrum_truth"),
        )
    )
    waves = [third_of_waves(spectrum, shortest=shortest) for spectrum in truth]
    ratios = [100 * a[w].sum() / b[w].sum() for a, b, w in zip(mean, free, waves, strict=True)]
    if not np.isfinite(ratios).all():
        return Cell()
    low, high = (significant(value, 2) for value in (min(ratios), max(ratios)))
    return Cell(f"{low} %" if low == high else f"{low} to {high} %", min(ratios))


def comparison_table(results: Results, comparison: Comparison) -> Table:
    """Scores of the experiments of a comparison in representative cases, and their costs."""
    board = results.board
    names = [name for name in comparison.experiments if name in board.order]
    cases = representative_cases(board.cases) or [Sampled()]
    columns = [
        (score, case) for score in comparison.scores for case in cases if board.having(score, cases=[case])
    ]
    costs = recorded_costs(results, names, COMPARED_COSTS)
    body = [
        [
            results.head(name),
            *(score_cell(board.scores.get((name, case, score))) for score, case in columns),
            *cost_cells(results, name, costs),
        ]
        for name in names
    ]
    titles = {name: metric.title for name, metric in {**METRICS, **SAMPLE_METRICS}.items()}
    heads = [f"{titles[score]}, {case}" if case else titles[score] for score, case in columns]
    return Table(["experiment", *heads, *(COSTS[column] for column in costs)], body)


class EqualCost(NamedTuple):
    """Experiments with as many members as can be drawn in the time of the reference's."""

    label: str  # of the reference
    members: int  # number of members of the reference
    table: Table


def equal_cost(results: Results, comparison: Comparison, members: int) -> EqualCost | None:
    """RMSE of the ensemble mean at equal inference cost, the lowest in bold; None unless two experiments have it."""
    board = results.board
    names = [
        name for name in comparison.experiments if name in board.order and not fed_on_mean(results, name)
    ]
    reference = comparison.equal_cost
    if reference not in names or not members:
        return None
    costs = {name: results.costs[name] for name in names if name in results.costs}
    scores = at_equal_cost(board.table, costs, reference=reference, members=members)
    if scores.loc[scores["rmse_at_cost"].notna(), "experiment"].nunique() < 2:
        return None
    counts = dict(zip(scores["experiment"], scores["members"].astype(int), strict=True))
    errors = scores.set_index(["lead_hours", "experiment"])["rmse_at_cost"].dropna()
    lowest = errors.groupby("lead_hours").min()
    leads = [Lead(hours) for hours in sorted(scores["lead_hours"].unique())]
    body = [
        [
            results.head(name),
            *cost_cells(results, name, ("evaluations", "sample_ms")),
            amount_cell(counts[name]),
            *(score_cell(board.scores.get((name, lead, "crps"))) for lead in leads),
            *(
                number_cell(error)._replace(kind="best" if error == lowest.get(lead.hours) else "")
                for lead in leads
                for error in [float(errors.get((lead.hours, name), math.nan))]
            ),
        ]
        for name in names
        if name in counts
    ]
    head = ["experiment", COSTS["evaluations"], COSTS["sample_ms"], "members at equal cost"]
    head += [f"{title}, {lead}" for title in ("fair CRPS", "RMSE at equal cost") for lead in leads]
    return EqualCost(results.label(reference), members, Table(head, body))


# Scores at equal inference cost: each model draws as many members as the same time allows.
#
# The fair CRPS does not depend on the number of members (on average; Ferro 2014, doi:10.1002/qj.2270), so a cheaper
# model gains none by drawing more. The mean of the members does: with m of M exchangeable members, averaged over all
# choices of m, its squared error is
#
#     ⟨(x̄_M - y)² - s²/M⟩ + ⟨s²⟩/m,
#
# where s² is their variance with divisor M - 1; for m > M it is the expectation for m members. With the spread-skill
# ratio r² = ⟨s²⟩ / ⟨(x̄_M - y)² - s²/M⟩ and the error e² = ⟨(x̄_M - y)²⟩ of the M members it is e² (1 + r²/m) / (1 +
# r²/M), so the leaderboard suffices.


DAYS = (1, 3, 5)


def at_equal_cost(
    leaderboard: pd.DataFrame,
    costs: Mapping[str, pd.DataFrame],
    *,
    reference: str,
    members: int,
    leads: Sequence[float] = tuple(24.0 * day for day in DAYS),
) -> pd.DataFrame:
    """CRPS and RMSE of the ensemble mean at equal inference cost, beside that cost.

    `leaderboard` holds one row per lead time and score of each experiment (one variable or "all", one region), scored
    with `members` members; `costs` are frames of one row with `sample_ms`, the time of a member in a step. The
    reference has `members`; every other model has as many as it draws in that time, which is taken to be proportional
    to the number of members, as it is on a CPU. Ensembles that feed back their mean do not qualify: each member
    depends on how many there are.

    Returns one row per experiment and lead time: experiment, lead_hours, members, crps, rmse_at_cost, which is NaN for
    a model of one member and infinite where the RMSE is. Empty without costs of the reference.
    """
    times = {
        name: float(row["sample_ms"].iloc[0])
        for name, row in costs.items()
        if len(row) and "sample_ms" in row
    }
    selected = leaderboard[leaderboard["lead_hours"].isin(leads) & leaderboard["experiment"].isin(times)]
    columns = ["experiment", "lead_hours", "members", "crps", "rmse_at_cost"]
    if reference not in times or selected.empty:
        return pd.DataFrame(columns=columns)
    wide = selected.groupby(["experiment", "lead_hours", "score"])["value"].mean().unstack()
    wide = wide.reindex(columns=["crps", "rmse", "ssr"]).reset_index()
    counts = {name: max(1, int(members * (times[reference] / time))) for name, time in times.items()}
    count = wide["experiment"].map(counts)
    ratio = wide["ssr"] ** 2
    rmse = wide["rmse"] * np.sqrt((1 + ratio / count) / (1 + ratio / members))
    return wide.assign(members=count, rmse_at_cost=rmse.where(np.isfinite(wide["rmse"]), wide["rmse"]))[
        columns
    ]
