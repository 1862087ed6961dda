"""The few lines that a run ends with."""

from __future__ import annotations

import pandas as pd

TITLES = {
    "crps": "fair CRPS",
    "rmse": "RMSE",
    "crps_minus_oi": "CRPS minus that of optimal interpolation (* its 95 % interval leaves out 0)",
}


def short_table(leaderboard: pd.DataFrame) -> str:
    """Plain text: experiments by k, mean over variables in anomaly standard deviations, on unobserved cells.

    Of the pattern `random`, or the first there is; experiments in order of their CRPS; lower is better
    throughout.
    """
    chosen = leaderboard[(leaderboard["variable"] == "all") & (leaderboard["cells"] == "unobserved")]
    if chosen.empty:
        return "No experiment has been scored yet."
    patterns = list(chosen["pattern"].unique())
    pattern = "random" if "random" in patterns else patterns[0]
    chosen = chosen[chosen["pattern"] == pattern]
    crps = chosen[chosen["score"] == "crps"].groupby("experiment")["value"].mean()
    order = list(crps.sort_values().index)
    levels = sorted(chosen["k"].unique())
    lines = [
        f"Unobserved cells, all variables, pattern {pattern}; anomaly standard deviations, lower is better"
    ]
    wide = max(len(name) for name in order) + 2
    for score, title in TITLES.items():
        rows = chosen[chosen["score"] == score]
        if rows.empty:
            continue
        lines += ["", title, f"{'k':<{wide}}" + "".join(f"{100 * k:>7.4g} %" for k in levels)]
        for name in (name for name in order if name in set(rows["experiment"])):
            cells = rows[rows["experiment"] == name].groupby("k")[["value", "low", "high"]].mean()
            lines.append(f"{name:<{wide}}" + "".join(_cell(cells, k, score) for k in levels))
    return "\n".join(lines)


def _cell(cells: pd.DataFrame, k: float, score: str) -> str:
    """Nine characters: the value, with a star where a difference is significant."""
    if k not in cells.index:
        return " " * 9
    row = cells.loc[k]
    if score in ("crps", "rmse"):
        return f"{row['value']:>8.3f} "
    star = "*" if row["low"] > 0 or row["high"] < 0 else " "
    return f"{row['value']:>+8.3f}{star}"
