"""The comparison of the reports: which choice of a model made which difference, from the numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from fieldcast.report.board import Score
from fieldcast.report.equal_cost import EqualCost
from fieldcast.report.forecast_results import Lead, LeadBoard, Results, few
from fieldcast.report.html import Markup, join, missing, paragraph, significant, tag
from fieldcast.report.training import cost
from fieldcast.report.variant_costs import number, variants_table
from fieldcast.scores.leaderboard import leaderboard
from fieldcast.scores.leaderboard_schema import FORECAST
from fieldcast.scores.metrics import METRICS, crps_difference
from fieldcast.scores.stability import third

VARIANTS = (
    *("vae", "vae_rk4", "vae_rk4_trained", "vae_direct", "vae_mean"),
    *("decoder_l1", "decoder_l2", "decoder_l5"),
)


SAME_COST = 0.15  # measured times differ by so much of themselves from run to run


class Question(NamedTuple):
    """What differs between two experiments."""

    words: str
    own: str
    reference: str


QUESTIONS = (
    Question("Stepping by RK4 with the weights trained for an Euler step", "vae_rk4", "vae"),
    Question("Training through RK4", "vae_rk4_trained", "vae"),
    Question("Training through RK4 rather than only stepping by it", "vae_rk4_trained", "vae_rk4"),
    Question("Predicting the next state rather than its tendency", "vae_direct", "vae"),
    Question("Going on from the ensemble mean rather than from each member", "vae_mean", "vae"),
    Question("Leaving out the encoder", "decoder_l1", "vae"),
    Question("Showing the decoder two states rather than one", "decoder_l2", "decoder_l1"),
    Question("Showing the decoder five states rather than one", "decoder_l5", "decoder_l1"),
)
INTRODUCTION = (
    "Same data, same starts. Differences of fair CRPS are paired start by start, with 95 % intervals. What each was "
    "trained for, in steps and seconds, stands in the table: as configured the steps take all of them about the same "
    "time. A step of RK4 asks the network four times, so it is fair to look at the cost beside the score."
)


def comparison(results: Results) -> Markup:
    """A sentence for each question that can be answered, then the variants with their costs."""
    board = results.board
    names = [name for name in VARIANTS if board and name in board.order]
    if board is None or len(names) < 2:
        return missing("No comparison of variants: fewer than two of them have run.")
    sentences = [sentence for one in QUESTIONS if (sentence := answered(results, board, one))]
    sentences += of_the_mean(results)
    equal = EqualCost.of(results, names)
    sentences += [equal.sentence()] if equal else []
    listed = tag("ul", *(tag("li", sentence) for sentence in sentences)) if sentences else Markup("")
    absent = [name for name in VARIANTS if name not in names]
    notes = [missing(f"Not run: {', '.join(absent)}.")] if absent else []
    tables = [variants_table(results, board, names), *([equal.table(names)] if equal else [])]
    return join([paragraph(INTRODUCTION, kind="note"), listed, *tables, *notes])


def answered(results: Results, board: LeadBoard, question: Question) -> Markup | None:
    """The CRPS of both at a short, a middle and a long lead, and how they compare; None where one is missing."""
    leads = few(board.shown)
    given = {name: results.scores.get(name) for name in (question.own, question.reference)}
    tables = {
        name: overall(one, results.region, leads).assign(experiment=name)
        for name, one in given.items()
        if one is not None
    }
    if len(tables) < 2 or any(one.empty for one in tables.values()):
        return None
    paired = differences(tables, question.reference, results.region)
    parts = []
    for lead in leads:
        own, other = (board.scores.get((name, lead, "crps")) for name in (question.own, question.reference))
        if own is None or other is None:
            continue
        both = f"{number(own.value)} against {number(other.value)}"
        parts.append(
            join([f"at {lead} {both}", verdict(paired.scores.get((question.own, lead, "crps_minus")))])
        )
    if not parts:
        return None
    named = [" (", tag("code", question.own), " against ", tag("code", question.reference), "): fair CRPS "]
    return join([question.words, *named, join(parts, "; "), costs_against(results, question), "."])


def overall(scores: pd.DataFrame, region: str, leads: Sequence[Lead]) -> pd.DataFrame:
    """The rows of a scores table that hold the CRPS over all variables."""
    chosen = (scores["region"] == region) & (scores["variable"] == "all") & (scores["statistic"] == "crps")
    return scores[chosen & scores["lead_hours"].isin([lead.hours for lead in leads])]


def differences(tables: Mapping[str, pd.DataFrame], reference: str, region: str) -> LeadBoard:
    """The paired differences of CRPS from that of one of the experiments."""
    paired = crps_difference(reference, reference, ("forecast",))
    metrics = {"crps": METRICS["crps"], "crps_minus": paired}
    data, scored = tables[reference].iloc[0][["data", "scored"]]
    return LeadBoard(leaderboard(tables, data, scored, layout=FORECAST, metrics=metrics), region=region)


def verdict(found: Score | None) -> str:
    """In brackets."""
    if found is None or found.verdict == "no interval":
        return ""
    by = f" by {significant(abs(found.value), 2)}" if found.verdict in ("better", "worse") else ""
    return f" ({found.verdict}{by})"


def costs_against(results: Results, question: Question) -> str:
    """What a step costs, of both, where that differs."""
    rows = [results.costs.get(name) for name in (question.own, question.reference)]
    said = []
    for column, words in (("evaluations", "network evaluations a step"), ("sample_ms", "ms a draw")):
        values = [
            float("nan") if row is None else float(row.iloc[0].get(column, float("nan"))) for row in rows
        ]
        if not any(map(pd.isna, values)) and abs(values[0] / values[1] - 1) > SAME_COST:
            said.append(f"{cost(values[0]).text} against {cost(values[1]).text} {words}")
    return f" – {', '.join(said)}" if said else ""


def of_the_mean(results: Results) -> list[Markup]:
    """What going on from the mean does to the spectrum: its power over that of members, at long and short waves."""
    fed, free = (results.diagnostics.get(name) for name in ("vae_mean", "vae"))
    if fed is None or free is None:
        return []
    leads = few([Lead(float(hours)) for hours in fed["lead"].to_numpy()])
    told = [
        f"{lead} ahead {share(fed, free, lead, shortest=False)} at long waves, "
        f"{share(fed, free, lead, shortest=True)} at short"
        for lead in dict.fromkeys((leads[0], leads[-1]))
    ]
    names = tag("code", "vae_mean"), tag("code", "vae")
    start = "What going on from the mean does to the spectrum: of the power of members of "
    thirds = "; the longest and the shortest third of the wavelengths that the truth has."
    return [join([start, names[1], " the mean of ", names[0], " has, ", join(told, "; "), thirds])]


def share(fed: xr.Dataset, free: xr.Dataset, lead: Lead, *, shortest: bool) -> str:
    """The least and the largest ratio of powers, over variables, in per cent."""
    mean, members, truth = (
        one[name].isel(lead=int(np.abs(one["lead"].to_numpy() - lead.hours).argmin())).to_numpy()
        for one, name in ((fed, "spectrum_mean"), (free, "spectrum_members"), (free, "spectrum_truth"))
    )
    waves = [third(of_truth, shortest=shortest) for of_truth in truth]
    ratios = [100 * a[w].sum() / b[w].sum() for a, b, w in zip(mean, members, waves, strict=True)]
    if not np.isfinite(ratios).all():
        return "no finite share"
    low, high = (significant(value, 2) for value in (min(ratios), max(ratios)))
    return f"{low} %" if low == high else f"{low} to {high} %"
