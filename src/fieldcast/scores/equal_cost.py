"""Ensembles at equal cost: as many members of each model as are drawn in the same time, and what their mean is worth.

Time is taken to grow in proportion to the members, as it does on a processor.

The fair CRPS does not depend on how many members are drawn (on average; Ferro 2014, doi:10.1002/qj.2270), so a cheaper
model gains none by drawing more. The mean of the members does: of m of M exchangeable members, averaged over which
ones, it has the squared error

    ⟨(x̄_M - y)² - s²/M⟩ + ⟨s²⟩/m,

s² their variance with M - 1 below; for m > M it is what m members would have on average. The first term is the stored
`debiased_squared_error`, so no forecast is needed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fieldcast.scores.leaderboard import leaderboard
from fieldcast.scores.leaderboard_schema import FORECAST
from fieldcast.scores.metrics import METRICS, Means, Metric

REFERENCE = "vae_rk4"  # four evaluations of the network a step: the dearest of its kind
DAYS = (1, 3, 5)
COSTS = ("evaluations", "sample_ms", "members")
COLUMNS = (
    *("experiment", "seed", "data", *FORECAST.by),
    *("variable", "score", "value", "low", "high", *COSTS),
)


def at_equal_cost(
    scores: Mapping[str, pd.DataFrame],
    costs: Mapping[str, pd.DataFrame],
    region: str,
    *,
    members: int = 10,
    reference: str = REFERENCE,
    leads: Sequence[float] = tuple(24.0 * day for day in DAYS),
) -> pd.DataFrame:
    """Scores beside costs, over all variables of one region at some leads [hours], in anomaly standard deviations.

    `scores` are stamped scores tables and `costs` frames of one row, by experiment; those of other data or starts than
    the reference's are left out. Columns are those of `leaderboard`, then `evaluations` (of the network, a step),
    `sample_ms` (of one member, a step; measured) and `members`: how many are drawn while the reference draws
    `members`, at least one. Score `rmse` is of the members that were scored, `rmse_at_cost` of these; NaN for a model
    that has only one. Empty without the reference. Not for ensembles whose mean is fed on: their members depend on
    how many they are.
    """
    known = {name: one.iloc[0] for name, one in costs.items() if len(one) and len(scores.get(name, ()))}
    if reference not in known:
        return pd.DataFrame(columns=COLUMNS)
    stamp = scores[reference].iloc[0][["data", "scored"]]
    parts = []
    for name, cost in known.items():
        count = max(1, int(members * (known[reference]["sample_ms"] / cost["sample_ms"])))
        own = selected(scores[name], stamp, region, leads).assign(experiment=name)
        metrics = {"crps": METRICS["crps"], "rmse": METRICS["rmse"], "rmse_at_cost": of_mean(count)}
        board = leaderboard({name: own}, stamp["data"], stamp["scored"], layout=FORECAST, metrics=metrics)
        spent = {key: cost.get(key, np.nan) for key in COSTS[:2]}
        parts.append(board.assign(**spent, members=count))
    return pd.concat([part for part in parts if len(part)] or [pd.DataFrame()]).reindex(columns=COLUMNS)


def selected(scores: pd.DataFrame, stamp: pd.Series, region: str, leads: Sequence[float]) -> pd.DataFrame:
    """Rows over all variables of a region at some leads, of the data and starts of `stamp`."""
    same = (scores[["data", "scored"]] == stamp).all(axis=1)
    where = (scores["region"] == region) & (scores["variable"] == "all") & scores["lead_hours"].isin(leads)
    return scores[same & where]


def of_mean(members: int) -> Metric:
    """Root mean squared error of the mean of so many members."""

    def root(debiased: Means, variance: Means) -> Means:
        found = debiased + variance / members
        return np.sqrt(np.where(found >= 0, found, np.nan))

    return Metric(
        ("debiased_squared_error", "variance"),
        root,
        title=f"RMSE of the mean of {members}",
        explanation="the root mean squared error that the mean of so many members has on average.",
    )
