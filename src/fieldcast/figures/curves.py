"""Scores against the fraction observed or the lead time, and errors over time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateFormatter, AutoDateLocator, num2date
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from fieldcast.calendars import UNITS, unit_of
from fieldcast.figures.style import (
    LOGARITHMIC_RATIO,
    SMALL_FONT,
    WIDTH,
    LineStyle,
    draw_legend,
    escape,
    looks_of,
    new_figure,
    panel_title,
    percent,
    plain_logarithmic,
    style_axes,
    times_of_index,
)
from fieldcast.scores.metrics import METRICS

ROW_HEIGHT, SMALL_ROW_HEIGHT = 3.1, 2.4  # of panels, and of those of a single variable [inches]
NARROW = 8.0  # width of a figure of one or two panels side by side [inches]
PANELS_ACROSS = 5  # panels of errors over time, side by side
FIRST_FOUR_DIGIT_YEAR = 1000
HEADROOM = 1.35  # upper end of a panel, relative to the worst free forecast, however bad a model is
MIN_SKILL, MAX_RATIO = -0.6, 2.0  # ends of the axes of skill and of the spread-skill ratio against the lead
# colours of scores worse than a free baseline, and of scores better than the bound
REGIONS = {"worse than a free baseline": "#f0e2df", "better than the bound": "#c4dece"}
Column = Literal["k", "lead"]  # horizontal axis of a panel: the fraction observed, or the lead time


def against_k(
    leaderboard: pd.DataFrame,
    looks: Mapping[str, LineStyle] | None = None,
    *,
    scores: Sequence[str] = ("crps", "rmse", "ssr"),
    pattern: str = "random",
    cells: str = "unobserved",
) -> Figure:
    """Draw scores over all variables, of one pattern, against the fraction observed."""
    table = leaderboard.query("variable == 'all' and pattern == @pattern and cells == @cells")
    return score_panels(table, looks, scores, "k", "fraction observed")


def variables_against_k(
    leaderboard: pd.DataFrame,
    units: Mapping[str, str],
    looks: Mapping[str, LineStyle] | None = None,
    *,
    scores: Sequence[str] = ("crps", "rmse", "ssr"),
    pattern: str = "random",
    cells: str = "unobserved",
) -> Figure:
    """Draw scores (rows) of variables (columns, in the order of `units`), each in its own unit."""
    table = leaderboard.query("variable != 'all' and pattern == @pattern and cells == @cells")
    return score_panels(table, looks, scores, "k", "fraction observed", units)


def against_lead(
    leaderboard: pd.DataFrame,
    region: str,
    looks: Mapping[str, LineStyle] | None = None,
    *,
    scores: Sequence[str] = ("crps", "rmse", "acc"),
) -> Figure:
    """Draw scores over all variables, in one region, against the lead time.

    Reddish: no better than a free baseline. Greenish: better than the upper bound on skill."""
    table, title = by_lead_unit(leaderboard.query("variable == 'all' and region == @region"))
    return score_panels(table, looks, scores, "lead", title)


def variables_against_lead(
    leaderboard: pd.DataFrame,
    units: Mapping[str, str],
    region: str,
    looks: Mapping[str, LineStyle] | None = None,
    *,
    scores: Sequence[str] = ("crps", "rmse", "acc", "skill", "ssr"),
) -> Figure:
    """Draw scores (rows) of variables (columns), with the shading of `against_lead`."""
    table, title = by_lead_unit(leaderboard.query("variable != 'all' and region == @region"))
    return score_panels(table, looks, scores, "lead", title, units)


def by_lead_unit(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Add a column `lead`, the lead time in days, or in months or years of the calendar; and its title."""
    unit = unit_of(table["lead_hours"].max()) if len(table) else "day"
    unit = "day" if unit == "hour" else unit
    return table.assign(lead=table["lead_hours"] / UNITS[unit]), f"lead, {unit}s"


def score_panels(
    table: pd.DataFrame,
    looks: Mapping[str, LineStyle] | None,
    scores: Sequence[str],
    column: Column,
    title: str,
    units: Mapping[str, str] | None = None,
) -> Figure:
    """Draw a line with its 95 % interval for each experiment, in a panel for each score.

    With `units`, panels are scores (rows) by variables (columns, in the order of `units`), each in its own unit; else
    all variables together [anomaly standard deviations]. Seeds are averaged; values that are not finite end a line.
    """
    table = table[np.isfinite(table["value"])]
    scores = [score for score in scores if score in set(table["score"])] or list(scores[:1])
    names = [*(units or {}), *table["variable"].unique()]
    variables = sorted(table["variable"].unique(), key=names.index)
    keys = ["variable", "score", "experiment", column]
    means = table.groupby(keys)[["value", "low", "high"]].mean().reset_index()
    rows, across = (1, len(scores)) if units is None else (len(scores), max(1, len(variables)))
    height = ROW_HEIGHT if units is None else SMALL_ROW_HEIGHT
    figure = new_figure(0.8 + height * rows, WIDTH if across > 2 else NARROW)
    panels = figure.subplots(rows, across, squeeze=False)
    appearance = looks_of(table["experiment"].unique(), looks)
    for axes, (score, variable) in zip(panels.flat, itertools.product(scores, variables), strict=False):
        part = means[(means["variable"] == variable) & (means["score"] == score)]
        draw_score(axes, part, score, appearance, column)
        name = METRICS[score].title if units is None else f"{variable}: {METRICS[score].title}"
        unit = "anomaly standard deviations" if units is None else units.get(variable, "")
        below = title if units is None or score == scores[-1] else ""
        style_axes(axes, panel_title(name, across), below, unit_of_score(score, unit))
    draw_legend(figure, *panels.flat, loc="outside lower center", ncols=4)
    return figure


def draw_score(
    axes: Axes, table: pd.DataFrame, score: str, looks: Mapping[str, LineStyle], column: Column
) -> None:
    """Draw a line with a shaded interval for each experiment, and the ideal value of the score if it has one."""
    low, high, logarithmic = limits(table, score, looks, column)
    axes.set_ylim(low, high)
    if column == "lead":
        shade(axes, table, score, looks)
    ideal = 0.0 if score == "skill" else METRICS[score].better
    if isinstance(ideal, float):
        axes.axhline(ideal, color="black", linewidth=0.8, zorder=1)
    for experiment, look in looks.items():
        line = table[table["experiment"] == experiment]
        axes.plot(line[column], line["value"], label=escape(experiment), zorder=3, **look.line)
        axes.fill_between(
            line[column], line["low"], line["high"], color=look.colour, alpha=0.18, linewidth=0, zorder=2
        )
    axes.set_ylim(low, high)
    if logarithmic:
        plain_logarithmic(axes)
    if column == "lead":
        axes.set_xlim(0, 1.02 * table[column].max() if len(table) else 1)
    elif len(table):
        levels = sorted(table[column].unique())
        axes.set_xscale("log")
        axes.set_xticks(levels, map(percent, levels), rotation=45 if len(levels) > 4 else 0)
        axes.xaxis.set_minor_locator(NullLocator())


def unit_of_score(score: str, unit: str) -> str:
    """Unit of a score of a variable in `unit`; ratios and correlations have none."""
    power = METRICS[score].power
    return "" if power == 0 or not unit else unit if power == 1 else f"({unit})^{power}"


def limits(
    table: pd.DataFrame, score: str, looks: Mapping[str, LineStyle], column: Column
) -> tuple[float, float, bool]:
    """Ends of the vertical axis, and whether it is logarithmic, as for positive values that differ by a factor of 5.

    Against the lead time it is linear, and experiments that are far worse than the free baselines leave the panel.
    """
    numbers = table[["value", "low", "high"]].to_numpy(dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (0.0, 1.0)
    against_time = column == "lead"
    if not against_time and low > 0 and table["value"].max() > LOGARITHMIC_RATIO * table["value"].min():
        return low / 1.1, high * 1.1, True
    margin = 0.04 * (high - low) or 0.5
    low, high = low - margin, high + margin
    better = METRICS[score].better
    free = table.loc[table["experiment"].map(lambda name: looks[name].free), "value"]
    if against_time and score == "skill":
        low, high = max(MIN_SKILL, low), min(1.0, high)
    elif against_time and isinstance(better, float):
        low, high = 0.0, min(high, MAX_RATIO)
    elif against_time and len(free) and better == "higher":
        low, high = min(low, 0.0), 1.0
    elif against_time and len(free):
        low, high = 0.0, min(high, HEADROOM * float(free.max()))
    return low, high, False


def shade(axes: Axes, table: pd.DataFrame, score: str, looks: Mapping[str, LineStyle]) -> None:
    """Fill the scores worse than the free baselines and better than the upper bound, to the ends of the panel."""
    free, bound = (
        table[table["experiment"].isin([name for name, look in looks.items() if selected(look)])]
        for selected in (lambda look: look.free, lambda look: look.family == "bound")
    )
    better, ends = METRICS[score].better, axes.get_ylim()
    if score == "skill" or better not in ("lower", "higher") or free.empty:
        return
    by_lead = free.groupby("lead")["value"]
    borders = by_lead.min() if better == "lower" else by_lead.max(), bound.groupby("lead")["value"].mean()
    for region, border, end in zip(REGIONS, borders, ends[::-1] if better == "lower" else ends, strict=True):
        axes.fill_between(
            border.index, border, end, color=REGIONS[region], linewidth=0, zorder=0, label=region
        )


def over_time(errors: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw one panel per experiment: error at each time (rows of its frame) for each k (columns)."""
    rows = -(-max(1, len(errors)) // PANELS_ACROSS)
    columns = -(-max(1, len(errors)) // rows)  # rows of nearly equal length
    figure = new_figure(0.8 + SMALL_ROW_HEIGHT * rows, WIDTH)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    levels = sorted({k for frame in errors.values() for k in frame.columns})
    shades = colormaps["plasma_r"](np.linspace(0.1, 1.0, len(levels)))
    for axes, (experiment, frame) in zip(panels, errors.items(), strict=False):
        when = times_of_index(frame.index)
        finite = frame.where(np.isfinite(frame))  # a time that blew up is a gap
        for k, colour in zip(levels, shades, strict=True):
            if k in frame.columns:
                axes.plot(when, finite[k], color=colour, linewidth=1.2, label=percent(k))
        style_axes(axes, panel_title(experiment, columns))
        axes.tick_params(axis="x", labelsize=SMALL_FONT - 1)
        set_time_axis(axes, when)
    for axes in panels[len(errors) :]:
        axes.set_visible(False)
    values = np.concatenate(
        [frame.to_numpy(dtype=float).ravel() for frame in errors.values()] or [np.ones(1)]
    )
    values = values[np.isfinite(values)] if np.isfinite(values).any() else np.ones(1)
    # lines far above zero could not be told apart on an axis from zero
    bottom = 0.96 * values.min() if values.min() > values.max() / 2 else 0.0
    panels[0].set_ylim(bottom, 1.04 * values.max() or 1.0)
    figure.supylabel("RMSE, anomaly standard deviations", fontsize=SMALL_FONT)
    options = {"title": "observed", "title_fontsize": SMALL_FONT, "ncols": len(levels) or 1}
    draw_legend(figure, *panels[: len(errors)], loc="outside lower center", **options)
    return figure


def set_time_axis(axes: Axes, when: pd.Index) -> None:
    """Set a few dates, or numbers of times, below a panel; years of the simulated planet are called years."""
    if not isinstance(when, pd.DatetimeIndex):
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        return
    locator = AutoDateLocator(minticks=2, maxticks=4)
    axes.xaxis.set_major_locator(locator)
    dates = AutoDateFormatter(locator)

    def label(value: float, position: int | None = None) -> str:
        date = num2date(value)
        if date.year >= FIRST_FOUR_DIGIT_YEAR:
            return str(dates(value, position))
        return f"year {date.year}" if (date.month, date.day) == (1, 1) else f"{date:%b %d}"

    axes.xaxis.set_major_formatter(label)
