"""Scores of forecasts against lead time, between free baselines and the perfect model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from fieldcast.calendars import UNITS, unit_of
from fieldcast.figures.curves import ScoreAxis, score_panels, variable_panels
from fieldcast.figures.style import Look
from fieldcast.scores.metrics import METRICS

# colours of scores worse than a free baseline, and of scores better than the bound
WORSE_COLOUR, UNREACHABLE_COLOUR = "#c08a80", "#7fb89a"
HEADROOM = 1.35  # upper end of a panel, relative to the worst free forecast, however bad a model is


def against_lead(
    leaderboard: pd.DataFrame,
    region: str,
    looks: Mapping[str, Look] | None = None,
    *,
    scores: Sequence[str] = ("crps", "rmse", "acc"),
) -> Figure:
    """Draw `score_panels` of one region over all variables.

    Reddish: no better than a free baseline. Greenish: better than the upper bound on skill."""
    table = leaderboard.query("variable == 'all' and region == @region")
    table, axis = by_lead_unit(table)
    return score_panels(table, looks, scores, axis)


def variables_against_lead(
    leaderboard: pd.DataFrame,
    units: Mapping[str, str],
    region: str,
    looks: Mapping[str, Look] | None = None,
    *,
    scores: Sequence[str] = ("crps", "rmse"),
) -> Figure:
    """Draw `variable_panels` of one region, with the shading of `against_lead`."""
    table = leaderboard.query("variable != 'all' and region == @region")
    table, axis = by_lead_unit(table)
    return variable_panels(table, units, looks, scores, axis)


def by_lead_unit(table: pd.DataFrame) -> tuple[pd.DataFrame, ScoreAxis]:
    """Add a column `lead`, the lead time in the unit of `with_leads`; and the axis that names it."""
    table, unit = with_leads(table)
    return table, ScoreAxis("lead", f"lead, {unit}s", lead_ticks, shade_bounds)


def with_leads(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Add a column `lead`, the lead time in days, or in months or years of the calendar; and name its unit."""
    unit = unit_of(table["lead_hours"].max()) if len(table) else "day"
    unit = "day" if unit == "hour" else unit
    return table.assign(lead=table["lead_hours"] / UNITS[unit]), unit


def lead_ticks(axes: Axes, levels: Sequence[float]) -> None:
    """Set at most eight ticks, at whole days, months or years if possible."""
    axes.set_xlim(0, max(levels) * 1.02)
    wide = max(levels) / 8
    step = next((size for size in (0.25, 0.5, 1, 2, 5, 10, 20, 50) if size >= wide), 100)
    axes.xaxis.set_major_locator(MultipleLocator(step))


def shade_bounds(axes: Axes, table: pd.DataFrame, score: str, looks: Mapping[str, Look]) -> None:
    """Shade scores worse than the free baselines and better than the upper bound; much worse models leave the panel."""
    free = table[table["experiment"].isin([name for name, look in looks.items() if look.free])]
    bound_names = [name for name, look in looks.items() if look.family == "bound"]
    if score == "skill":
        axes.axhline(0.0, color="black", linewidth=0.8, zorder=1)
        axes.set_ylim(max(-0.6, axes.get_ylim()[0]), min(1.0, axes.get_ylim()[1]))
    elif score == "ssr":
        axes.set_ylim(0, min(axes.get_ylim()[1], 2.0))
    elif not free.empty and METRICS[score].better in ("lower", "higher"):
        up = METRICS[score].better == "higher"
        by_lead = free.groupby("lead")["value"]
        line = by_lead.max() if up else by_lead.min()
        worst = float(by_lead.max().max())
        low, high = (
            (min(axes.get_ylim()[0], 0.0), 1.0) if up else (0.0, min(axes.get_ylim()[1], HEADROOM * worst))
        )
        axes.set_ylim(low, high)
        shade = {"linewidth": 0, "zorder": 0}
        axes.fill_between(
            line.index,
            line,
            low if up else high,
            color=WORSE_COLOUR,
            alpha=0.22,
            label="worse than a free baseline",
            **shade,
        )
        perfect = table[table["experiment"].isin(bound_names)].groupby("lead")["value"].mean()
        if len(perfect):
            beyond = np.full(len(perfect), high if up else low)
            axes.fill_between(
                perfect.index,
                perfect,
                beyond,
                color=UNREACHABLE_COLOUR,
                alpha=0.45,
                label="better than the bound",
                **shade,
            )
