"""Ensembles at equal cost: as many members of each model as are drawn in the same time, and what their mean is worth.

The fair CRPS does not depend on the number of members (on average; Ferro 2014, doi:10.1002/qj.2270), so a cheaper model
gains none by drawing more. The mean of the members does: of m of M exchangeable members, averaged over which ones, it
has the squared error

    ⟨(x̄_M - y)² - s²/M⟩ + ⟨s²⟩/m,

s² their variance with M - 1 below; for m > M it is what m members would have on average. With the spread-skill ratio
r² = ⟨s²⟩ / ⟨(x̄_M - y)² - s²/M⟩ and the error e² = ⟨(x̄_M - y)²⟩ of the M members it is e² (1 + r²/m) / (1 + r²/M), so
the leaderboard suffices.
"""

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

    `leaderboard` holds one row a lead time and score of each experiment (one variable or "all", one region), scored
    with `members` members; `costs` are frames of one row with `sample_ms`, the time of a member in a step. The
    reference has `members`, every other model as many as it draws in that time: it is taken to grow in proportion to
    the members, as it does on a processor. Not for ensembles that feed back their mean: their members depend on how
    many they are.

    Returns one row an experiment and lead time: experiment, lead_hours, members, crps, rmse_at_cost, which is NaN for a
    model of one member and infinite where the RMSE is. Empty without costs of the reference.
    """
    times = {
        name: float(row["sample_ms"].iloc[0])
        for name, row in costs.items()
        if len(row) and "sample_ms" in row
    }
    chosen = leaderboard[leaderboard["lead_hours"].isin(leads) & leaderboard["experiment"].isin(times)]
    columns = ["experiment", "lead_hours", "members", "crps", "rmse_at_cost"]
    if reference not in times or chosen.empty:
        return pd.DataFrame(columns=columns)
    wide = chosen.groupby(["experiment", "lead_hours", "score"])["value"].mean().unstack()
    wide = wide.reindex(columns=["crps", "rmse", "ssr"]).reset_index()
    counts = {name: max(1, int(members * (times[reference] / time))) for name, time in times.items()}
    count = wide["experiment"].map(counts)
    ratio = wide["ssr"] ** 2
    rmse = wide["rmse"] * np.sqrt((1 + ratio / count) / (1 + ratio / members))
    return wide.assign(members=count, rmse_at_cost=rmse.where(np.isfinite(wide["rmse"]), wide["rmse"]))[
        columns
    ]
