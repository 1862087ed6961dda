"""Scores at equal inference cost: each model draws as many members as the same time allows.

The fair CRPS does not depend on the number of members (on average; Ferro 2014, doi:10.1002/qj.2270), so a cheaper model
gains none by drawing more. The mean of the members does: with m of M exchangeable members, averaged over all choices of
m, its squared error is

    ⟨(x̄_M - y)² - s²/M⟩ + ⟨s²⟩/m,

where s² is their variance with divisor M - 1; for m > M it is the expectation for m members. With the spread-skill
ratio r² = ⟨s²⟩ / ⟨(x̄_M - y)² - s²/M⟩ and the error e² = ⟨(x̄_M - y)²⟩ of the M members it is e² (1 + r²/m) / (1 +
r²/M), so the leaderboard suffices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

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
