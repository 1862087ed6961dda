"""Tables of a comparison: answers to its questions, scores, also at equal cost; tables of tuned values and costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from fieldcast.experiments import Comparison
from fieldcast.figures.style import percent
from fieldcast.figures.training import tuning_rows
from fieldcast.kinds import LEAD
from fieldcast.report import score_tables
from fieldcast.report.results import Results
from fieldcast.report.score_tables import paired_differences
from fieldcast.report.scores_by_case import Lead, Sampled
from fieldcast.report.tables import Cell, Table, amount_cell, number_cell, score_cell
from fieldcast.scores.bootstrap import Score
from fieldcast.scores.metrics import METRICS
from fieldcast.scores.numbers import plain, significant
from fieldcast.scores.sample_metrics import SAMPLE_METRICS
from fieldcast.scores.stability import third_of_waves

VERDICTS = {  # of A against B, the same in all cases
    "better": "A is better",
    "worse": "B is better",
    "not separated": "not separated",
    "no interval": "too few times for intervals",
}
COMPARED_COSTS = ("train_steps", "train_seconds", "evaluations", "sample_ms", "parameters")
COSTS = {
    "parameters": "parameters",
    "train_steps": "training steps",
    "train_seconds": "training [s]",
    "step_ms": "training step [ms]",
    "sample_ms": "one draw [ms]",
    "evaluations": "network evaluations per step",
    "peak_mb": "peak memory [MB]",
}
LATENT_USE = {  # the facts of `training.latent_use`, which are stored with the costs
    "latent_kl": "KL divergence [nats]",
    "rmse_posterior": "RMSE, z of the posterior",
    "rmse_other": "z of another datum",
    "rmse_prior": "z of the prior",
}
FRACTION = "k"  # column of the observed fraction that a filter was tuned for


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


def trials(histories: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Tuning trials of each experiment that has any."""
    tables = {name: tuning_rows(history) for name, history in histories.items()}
    return {name: table for name, table in tables.items() if len(table) and choices(table)}


def choices(table: pd.DataFrame) -> list[str]:
    """Columns that were tuned."""
    return [str(name) for name in table.columns if name not in ("step", "seconds", "validation", FRACTION)]


def tuned_table(results: Results, score: str) -> Table:
    """The values with the lowest validation score of each experiment, and of each observed fraction it was tuned for.

    `score` names that score.
    """
    body = []
    for name, table in trials(results.ordered("history")).items():
        fractions = table.groupby(FRACTION) if FRACTION in table else [(None, table)]
        for k, trials_at_k in fractions:
            scored = trials_at_k["validation"].notna().any()
            best = trials_at_k.loc[trials_at_k["validation"].idxmin()] if scored else trials_at_k.iloc[-1]
            values = ", ".join(f"{choice} = {plain(best[choice])}" for choice in choices(trials_at_k))
            values += "" if k is None else f" at {percent(float(k))}"
            lowest = float(best["validation"])
            count = Cell(str(len(trials_at_k)), float(len(trials_at_k)))
            body.append([results.head(name), Cell(values), Cell(significant(lowest, 4), lowest), count])
    return Table(["experiment", "selected values", f"{score} on validation data", "trials"], body, "texts")


def trial_tables(results: Results, score: str) -> dict[str, Table]:
    """Table of all trials of each tuned experiment."""
    tables = {}
    for name, table in trials(results.ordered("history")).items():
        columns = [*([FRACTION] if FRACTION in table else []), *choices(table)]
        body = [
            [
                Cell(str(row["step"]), float(row["step"])),
                *(Cell(plain(row[choice])) for choice in columns),
                Cell(significant(float(row["validation"]), 4), float(row["validation"])),
            ]
            for row in table.to_dict("records")
        ]
        tables[name] = Table(["trial", *columns, score], body)
    return tables


def costs_table(results: Results) -> Table:
    """Parameters, seconds and memory of each experiment."""
    names = [name for name in results.order if name in results.costs]
    columns = recorded_costs(results, names)
    body = [[results.head(name), *cost_cells(results, name, columns)] for name in names]
    return Table(["experiment", *(COSTS[column] for column in columns)], body)


def latent_use_table(results: Results) -> Table:
    """Whether the decoder of each VAE uses its latent: the error with latents of three sources."""
    names = [name for name in results.order if name in results.costs]
    columns = recorded_costs(results, names, tuple(LATENT_USE))
    body = [
        [results.head(name), *(number_cell(float(row[column])) for column in columns)]
        for name in names
        if columns and pd.notna((row := results.costs[name].iloc[0]).get(columns[0]))
    ]
    return Table(["experiment", *(LATENT_USE[column] for column in columns)], body)


def recorded_costs(
    results: Results, names: Sequence[str], columns: Sequence[str] = tuple(COSTS)
) -> list[str]:
    """The columns of costs that any of these experiments has."""
    costs = [results.costs[name].iloc[0] for name in names if name in results.costs]
    return [column for column in columns if any(column in row and pd.notna(row[column]) for row in costs)]


def cost_cells(results: Results, name: str, columns: Sequence[str]) -> list[Cell]:
    row: Mapping[str, object] = results.costs[name].iloc[0] if name in results.costs else {}
    return [amount_cell(row.get(column)) for column in columns]


def shared_context(results: Results, tuning: str, members: int = 0) -> dict[str, Any]:
    """Functions and tables for the sections that tasks share.

    `tuning` names the score used for tuning; `members` is the ensemble size of the reference at equal cost.
    """
    return {
        "board": results.board,
        "costs": costs_table(results),
        "tuned": tuned_table(results, tuning),
        "latent_use": latent_use_table(results),
        "trials": trial_tables(results, tuning),
        "score_table": partial(score_tables.score_table, results),
        "difference_table": partial(score_tables.difference_table, results),
        "comparisons": [
            comparison_context(results, comparison, members) for comparison in results.comparisons
        ],
    }


def comparison_context(results: Results, comparison: Comparison, members: int) -> Mapping[str, Any]:
    """A comparison with its tables; it is empty unless two of its experiments have run."""
    names = [name for name in comparison.experiments if name in results.board.order]
    if len(names) < 2:
        return {"comparison": comparison, "names": []}
    return {
        "comparison": comparison,
        "names": names,
        "absent": [name for name in comparison.experiments if name not in names],
        "answers": answers_table(results, comparison),
        "feedback": feedback_table(results, comparison),
        "table": comparison_table(results, comparison),
        "equal": equal_cost(results, comparison, members),
    }
