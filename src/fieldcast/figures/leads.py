"""Scores of forecasts against the lead, between what costs nothing and what nobody can pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from fieldcast.figures.curves import Against, score_panels, variable_panels
from fieldcast.figures.style import Look
from fieldcast.scores.metrics import METRICS

WORSE_THAN_FREE, UNREACHABLE = "#c08a80", "#7fb89a"
ROOM = 1.35  # of a panel: how far above the worst free forecast it reaches, however bad a model is


def against_lead(
    leaderboard: pd.DataFrame,
    region: str,
    looks: Mapping[str, Look] | None = None,
    *,
    scores: Sequence[str] = ("crps", "rmse", "acc"),
) -> Figure:
    """`score_panels` of one region, overall. Above: no better than what costs nothing (reddish); below: better
    than the perfect model (greenish)."""
    rows = leaderboard.query("variable == 'all' and region == @region")
    return score_panels(in_days(rows), looks, scores, LEAD)


def variables_against_lead(
    leaderboard: pd.DataFrame,
    units: Mapping[str, str],
    region: str,
    looks: Mapping[str, Look] | None = None,
    *,
    scores: Sequence[str] = ("crps", "rmse"),
) -> Figure:
    """`variable_panels` of one region, with the bounds of `against_lead`."""
    rows = leaderboard.query("variable != 'all' and region == @region")
    return variable_panels(in_days(rows), units, looks, scores, LEAD)


def in_days(rows: pd.DataFrame) -> pd.DataFrame:
    """With a column `days`."""
    return rows.assign(days=rows["lead_hours"] / 24)


def day_ticks(axes: Axes, levels: Sequence[float]) -> None:
    """Whole days, at most eight of them."""
    axes.set_xlim(0, max(levels) * 1.02)
    wide = max(levels) / 8
    step = next((one for one in (0.25, 0.5, 1, 2, 5, 10, 20, 50) if one >= wide), 100)
    axes.xaxis.set_major_locator(MultipleLocator(step))


def bounds(axes: Axes, rows: pd.DataFrame, score: str, looks: Mapping[str, Look]) -> None:
    """Shade what is of no use and what nobody can reach; a model far beyond the free ones leaves the panel."""
    free = rows[rows["experiment"].isin([name for name, look in looks.items() if look.free])]
    bounding = [name for name, look in looks.items() if look.family == "bound"]
    if score == "skill":
        axes.axhline(0.0, color="black", linewidth=0.8, zorder=1)
        axes.set_ylim(max(-0.6, axes.get_ylim()[0]), min(1.0, axes.get_ylim()[1]))
    elif score == "ssr":
        axes.set_ylim(0, min(axes.get_ylim()[1], 2.0))
    elif not free.empty and METRICS[score].better in ("lower", "higher"):
        up = METRICS[score].better == "higher"
        of_leads = free.groupby("days")["value"]
        line = of_leads.max() if up else of_leads.min()
        worst = float(of_leads.max().max())
        low, high = (
            (min(axes.get_ylim()[0], 0.0), 1.0) if up else (0.0, min(axes.get_ylim()[1], ROOM * worst))
        )
        axes.set_ylim(low, high)
        shade = {"linewidth": 0, "zorder": 0}
        axes.fill_between(
            line.index,
            line,
            low if up else high,
            color=WORSE_THAN_FREE,
            alpha=0.22,
            label="worse than free",
            **shade,
        )
        perfect = rows[rows["experiment"].isin(bounding)].groupby("days")["value"].mean()
        if len(perfect):
            beyond = np.full(len(perfect), high if up else low)
            axes.fill_between(
                perfect.index, perfect, beyond, color=UNREACHABLE, alpha=0.45, label="out of reach", **shade
            )


LEAD = Against("days", "lead, days", day_ticks, bounds)
