"""Scores against the fraction observed or another column, and errors over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from fieldcast.figures.style import (
    SMALL_FONT,
    WIDTH,
    Look,
    draw_legend,
    escape,
    looks_of,
    new_figure,
    panel_title,
    percent,
    style_axes,
)
from fieldcast.scores.metrics import METRICS

PANELS_ACROSS = 5  # panels of errors over time, side by side
POWERS_OF_TEN_RATIO = 1000.0  # ratio of the ends of an axis from which it shows powers of ten only
FIRST_FOUR_DIGIT_YEAR = 1000
LOGARITHMIC_RATIO = 5.0  # ratio of positive values from which their axis is logarithmic


class ScoreAxis(NamedTuple):
    """Horizontal axis of a figure of scores: a column of the leaderboard."""

    column: str
    label: str
    ticks: Callable[[Axes, Sequence[float]], None]
    # draws below the lines
    background: Callable[[Axes, pd.DataFrame, str, Mapping[str, Look]], None] | None = None


def fraction_ticks(axes: Axes, levels: Sequence[float]) -> None:
    """Set a logarithmic axis of observed fractions."""
    axes.set_xscale("log")
    axes.set_xticks(levels, [percent(k) for k in levels], rotation=45 if len(levels) > 4 else 0)
    axes.xaxis.set_minor_locator(NullLocator())


FRACTION = ScoreAxis("k", "fraction observed", fraction_ticks)


def against_k(
    leaderboard: pd.DataFrame,
    looks: Mapping[str, Look] | None = None,
    *,
    scores: Sequence[str] = ("crps", "rmse", "ssr"),
    pattern: str = "random",
    cells: str = "unobserved",
) -> Figure:
    """Draw `score_panels` of one pattern over all variables."""
    table = leaderboard.query("variable == 'all' and pattern == @pattern and cells == @cells")
    return score_panels(table, looks, scores, FRACTION)


def variables_against_k(
    leaderboard: pd.DataFrame,
    units: Mapping[str, str],
    looks: Mapping[str, Look] | None = None,
    *,
    scores: Sequence[str] = ("crps", "rmse"),
    pattern: str = "random",
    cells: str = "unobserved",
) -> Figure:
    """Draw `variable_panels` of one pattern."""
    table = leaderboard.query("variable != 'all' and pattern == @pattern and cells == @cells")
    return variable_panels(table, units, looks, scores, FRACTION)


def score_panels(
    table: pd.DataFrame, looks: Mapping[str, Look] | None, scores: Sequence[str], against: ScoreAxis
) -> Figure:
    """Draw one panel per available score over all variables, with 95 % intervals [anomaly standard deviations]."""
    present = set(table.loc[table["value"].notna(), "score"])
    scores = [score for score in scores if score in present] or scores[:1]
    figure = new_figure(3.7, WIDTH if len(scores) > 2 else 8.0)
    panels = figure.subplots(1, len(scores), squeeze=False)[0]
    appearance = looks_of(table["experiment"].unique(), looks)
    for axes, score in zip(panels, scores, strict=True):
        draw_score(axes, table, score, appearance, against)
        style_axes(axes, METRICS[score].title, against.label, unit_of(score, "anomaly standard deviations"))
    draw_legend(figure, *panels)
    return figure


def variable_panels(
    table: pd.DataFrame,
    units: Mapping[str, str],
    looks: Mapping[str, Look] | None,
    scores: Sequence[str],
    against: ScoreAxis,
) -> Figure:
    """Draw scores (rows) of variables (columns, in the order of `units`), each in its own unit."""
    present = list(table["variable"].unique())
    variables = [name for name in units if name in present] + [name for name in present if name not in units]
    figure = new_figure(0.6 + 2.5 * len(scores))
    panels = figure.subplots(len(scores), max(1, len(variables)), squeeze=False)
    appearance = looks_of(table["experiment"].unique(), looks)
    for line, score in zip(panels, scores, strict=True):
        for axes, variable in zip(line, variables, strict=False):
            draw_score(axes, table[table["variable"] == variable], score, appearance, against)
            title = f"{variable}\n{METRICS[score].title}"
            below = against.label if score == scores[-1] else ""
            style_axes(axes, title, below, unit_of(score, units.get(variable, "")))
    draw_legend(figure, *panels.ravel())
    return figure


def unit_of(score: str, unit: str) -> str:
    """Unit of a score of a variable in `unit`; ratios and correlations have none."""
    power = METRICS[score].power
    return "" if power == 0 or not unit else unit if power == 1 else f"({unit})^{power}"


def draw_score(
    axes: Axes, table: pd.DataFrame, score: str, looks: Mapping[str, Look], against: ScoreAxis = FRACTION
) -> None:
    """Draw a line with a shaded interval for each experiment, and the ideal value of the score if it has one."""
    table = table[(table["score"] == score) & np.isfinite(table["value"])]
    ideal = METRICS[score].better
    if isinstance(ideal, float):
        axes.axhline(ideal, color="black", linewidth=0.8, zorder=1)
    for experiment, look in looks.items():
        scores = (
            table[table["experiment"] == experiment].groupby(against.column)[["value", "low", "high"]].mean()
        )
        if scores.empty:
            continue
        axes.plot(scores.index, scores["value"], label=escape(experiment), zorder=3, **look.line)
        axes.fill_between(
            scores.index, scores["low"], scores["high"], color=look.colour, alpha=0.18, linewidth=0
        )
    if against.background:
        against.background(axes, table, score, looks)
    levels = sorted(table[against.column].unique())
    if levels:
        against.ticks(axes, levels)
    values = table["value"].to_numpy(dtype=float)
    if (
        against is FRACTION
        and len(values)
        and values.min() > 0
        and values.max() > LOGARITHMIC_RATIO * values.min()
    ):
        plain_logarithmic(axes)


def plain_logarithmic(axes: Axes) -> None:
    """Set a logarithmic vertical axis with plain numbers: 0.1, 0.2, 0.5, 1, or only powers of ten if it spans many."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    steps = (1.0, 2.0, 5.0) if high < POWERS_OF_TEN_RATIO * low else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=8))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def over_time(errors: Mapping[str, pd.DataFrame], unit: str = "anomaly standard deviations") -> Figure:
    """Draw one panel per experiment: error at each time (rows of its frame) for each k (columns)."""
    lines = -(-max(1, len(errors)) // PANELS_ACROSS)
    columns = -(-max(1, len(errors)) // lines)  # rows of nearly equal length
    figure = new_figure(0.6 + 2.1 * lines)
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    levels = sorted({k for frame in errors.values() for k in frame.columns})
    shades = colormaps["viridis_r"](np.linspace(0.12, 1.0, max(1, len(levels))))
    for axes, (experiment, frame) in zip(panels, errors.items(), strict=False):
        when = times_of_index(frame.index)
        for k, shade in zip(levels, shades, strict=True):
            if k in frame.columns:
                axes.plot(when, frame[k], color=shade, linewidth=1.2, label=percent(k))
        style_axes(axes, panel_title(experiment, columns))
        axes.tick_params(axis="x", labelsize=SMALL_FONT - 1)
        if isinstance(when, pd.DatetimeIndex):
            locator = AutoDateLocator(minticks=2, maxticks=5)  # with 4, no interval suits 19 to 23 months
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(date_labels(locator, when))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(4))
    for axes in panels[len(errors) :]:
        axes.set_visible(False)
    values = np.concatenate(
        [frame.to_numpy(dtype=float).ravel() for frame in errors.values()] or [np.ones(1)]
    )
    largest = np.max(values, initial=0.0, where=np.isfinite(values))  # Inf is a time that blew up
    panels[0].set_ylim(0, 1.04 * float(largest) or 1.0)
    figure.supylabel(f"RMSE,\n{unit}", fontsize=SMALL_FONT)
    draw_legend(figure, panels[0], title="observed", title_fontsize=SMALL_FONT)
    return figure


def date_labels(locator: AutoDateLocator, when: pd.DatetimeIndex) -> ConciseDateFormatter:
    """Labels of dates; the years of a simulated planet, which have few digits, are called years."""
    formats = ConciseDateFormatter(locator).formats
    if len(when) and when[-1].year < FIRST_FOUR_DIGIT_YEAR:
        formats[0] = "year %Y"
    return ConciseDateFormatter(locator, formats=formats)


def times_of_index(index: pd.Index) -> pd.Index:
    """Times from text, or their numbers if the calendar is not the standard one."""
    try:
        return pd.DatetimeIndex(index)
    except ValueError:
        return pd.RangeIndex(len(index))
