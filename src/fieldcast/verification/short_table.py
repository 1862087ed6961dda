"""The few lines that a run ends with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan, nan

import pandas as pd

from .regions import WHOLE

RECONSTRUCT = {
    "crps": "fair CRPS",
    "rmse": "RMSE",
    "crps_minus_oi": "CRPS minus that of optimal interpolation (* its 95 % interval leaves out 0)",
}
FORECAST = {
    "crps": "fair CRPS",
    "rmse": "RMSE of the ensemble mean",
    "ssr": "spread-skill ratio (1: the ensemble knows its error)",
    "crps_minus_lim": "CRPS minus that of the linear inverse model (* its 95 % interval leaves out 0)",
}
DAYS = (1, 2, 3, 5, 10)  # leads to show, where they exist
NONE = "No experiment has been scored yet."
SAMPLE = {  # by score: its heading, and how a value is written
    "fid": ("FID", ".4g"),
    "kid": ("KID", ".3g"),
    "c2st": ("C2ST", ".3f"),
    "elbo": ("ELBO", ".5g"),
    "iwae": ("IWAE", ".5g"),
    "bits_per_dim": ("bits/dim", ".4g"),
    "test_loss": ("loss", ".3g"),
}
REAL = "(real states)"


def short_table(leaderboard: pd.DataFrame) -> str:
    """Plain text: experiments by k, mean over variables in anomaly standard deviations, on unobserved cells.

    Of the pattern `random`, or the first there is; experiments in order of their CRPS; lower is better
    throughout.
    """
    chosen = leaderboard[(leaderboard["variable"] == "all") & (leaderboard["cells"] == "unobserved")]
    if chosen.empty:
        return NONE
    patterns = list(chosen["pattern"].unique())
    pattern = "random" if "random" in patterns else patterns[0]
    chosen = chosen[chosen["pattern"] == pattern]
    levels = {k: f"{100 * k:>7.4g} %" for k in map(float, sorted(chosen["k"].unique()))}
    title = (
        f"Unobserved cells, all variables, pattern {pattern}; anomaly standard deviations, lower is better"
    )
    return "\n".join([title, *blocks(chosen, "k", levels, RECONSTRUCT)])


def forecast_short_table(leaderboard: pd.DataFrame) -> str:
    """Plain text: experiments by lead, mean over variables in anomaly standard deviations, over the whole grid.

    At 1, 2, 3, 5 and 10 days where these were scored, else at the first five leads.
    """
    chosen = leaderboard[(leaderboard["variable"] == "all") & leaderboard["region"].isin(WHOLE)]
    if chosen.empty:
        return NONE
    leads = sorted(float(lead) for lead in chosen["lead_hours"].unique())
    shown = [lead for lead in leads if lead / 24 in DAYS] or leads[:5]
    levels = {lead: f"{lead / 24:>7.4g} d" for lead in shown}
    title = f"Forecasts, all variables, {chosen['region'].iloc[0]}; anomaly standard deviations"
    return "\n".join([title, *blocks(chosen, "lead_hours", levels, FORECAST)])


def sample_short_table(leaderboard: pd.DataFrame) -> str:
    """Plain text: a line an experiment, nearest to real states first; a column for each score that one of them has.

    The first line is what training states score in the place of samples: no model can be expected below it.
    """
    scores = leaderboard.groupby(["experiment", "score"])["value"].mean().unstack("score")
    if scores.empty:
        return NONE
    shown = [name for name in SAMPLE if name in scores and scores[name].notna().any()]
    order = scores["fid"].sort_values().index if "fid" in scores else scores.index
    wide = max(len(name) for name in (*order, REAL)) + 2
    lines = [
        "Samples beside test states: FID, KID and C2ST (a classifier's accuracy; 0.5: not told apart) low is good;",
        "ELBO and IWAE in nats, high is good; bits/dim and loss (mean squared error of reconstructions) low",
        "",
        " " * wide + "".join(f"{SAMPLE[name][0]:>10}" for name in shown),
    ]
    floors = {name: float(scores[f"{name}_floor"].mean()) for name in shown if f"{name}_floor" in scores}
    rows = ({REAL: floors} if floors else {}) | {str(name): dict(scores.loc[name]) for name in order}
    for name, values in rows.items():
        cells = (_sample_cell(values.get(score, nan), SAMPLE[score][1]) for score in shown)
        lines.append(f"{name:<{wide}}{''.join(cells)}".rstrip())
    return "\n".join(lines)


def _sample_cell(value: float, style: str) -> str:
    """Ten characters; blank where there is no value."""
    return f"{'' if isnan(value) else format(value, style):>10}"


def blocks(
    rows: pd.DataFrame, column: str, levels: Mapping[float, str], titles: Mapping[str, str]
) -> Sequence[str]:
    """A table for each score: experiments in order of their CRPS, by the levels of `column`."""
    rows = rows[rows[column].isin(list(levels))]
    crps = rows[rows["score"] == "crps"].groupby("experiment")["value"].mean()
    order = list(crps.sort_values().index)
    wide = max((len(name) for name in order), default=0) + 2
    head = {"lead_hours": "lead"}.get(column, column)
    lines = []
    for score, title in titles.items():
        own = rows[(rows["score"] == score) & rows["value"].notna()]
        if own.empty:
            continue
        lines += ["", title, f"{head:<{wide}}" + "".join(levels.values())]
        for name in (name for name in order if name in set(own["experiment"])):
            cells = own[own["experiment"] == name].groupby(column)[["value", "low", "high"]].mean()
            lines.append(f"{name:<{wide}}" + "".join(_cell(cells, level, score) for level in levels))
    return lines


def _cell(cells: pd.DataFrame, level: float, score: str) -> str:
    """Nine characters: the value, with a star where a difference is significant."""
    if level not in cells.index:
        return " " * 9
    row = cells.loc[level]
    if "_minus_" not in score:
        style = ">8.3f" if abs(row["value"]) < 1000 else ">8.2g"  # on its way to blow up
        return f"{row['value']:{style}} "
    star = "*" if row["low"] > 0 or row["high"] < 0 else " "
    return f"{row['value']:>+8.3f}{star}"
