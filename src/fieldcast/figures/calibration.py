"""Calibration: ranks of the truth among the members; reliability and economic value of forecasts of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from fieldcast.calendars import lead_label
from fieldcast.figures.style import (
    INK,
    NORMAL_FONT,
    SMALL_FONT,
    WIDTH,
    LineStyle,
    draw_legend,
    escape,
    looks_of,
    new_figure,
    percent,
    style_axes,
    wrap_name,
)
from fieldcast.kinds import CASE, LEAD
from fieldcast.scores.event_tables import Curves

Bars = tuple[np.ndarray, np.ndarray, np.ndarray]  # value, low, high of each rank
FREQUENCY_TICKS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
ByExperiment = Mapping[str, Curves]
COST_LOSS_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # ticks of the axis of cost-loss ratios
MIN_COST_LOSS = 0.005  # lower end of that axis


def rank_histograms(
    diagnostics: Mapping[str, xr.Dataset],
    fractions: Sequence[float],
    looks: Mapping[str, LineStyle] | None = None,
    *,
    pattern: str = "random",
    variable: str | None = None,
) -> Figure:
    """Draw experiments with several members (columns) by observed fraction (rows).

    Bars are relative frequencies times M + 1 on a logarithmic axis, so they rise above and hang below the
    flat line at 1; whiskers are 95 % intervals. Averaged over variables, or of one `variable`; an average of
    intervals is at least as wide as that of the average.
    """
    ensembles = {name: stored for name, stored in diagnostics.items() if stored.sizes["rank"] > 2}
    columns = {
        name: [bins(stored, pattern, k, variable) for k in fractions] for name, stored in ensembles.items()
    }
    return histogram_panels(
        columns, [f"{percent(k)} observed" for k in fractions], looks_of(diagnostics, looks)
    )


def lead_rank_histograms(
    diagnostics: Mapping[str, xr.Dataset],
    leads: Sequence[float],
    looks: Mapping[str, LineStyle] | None = None,
    *,
    variable: str | None = None,
) -> Figure:
    """Draw rank histograms of forecasts: experiments (columns) by lead time [hours] (rows)."""
    ensembles = {name: stored for name, stored in diagnostics.items() if stored.sizes["rank"] > 2}
    columns = {
        name: [lead_bins(stored, lead, variable) for lead in leads] for name, stored in ensembles.items()
    }
    return histogram_panels(columns, [lead_label(lead) for lead in leads], looks_of(diagnostics, looks))


def histogram_panels(
    columns: Mapping[str, Sequence[Bars | None]], labels: Sequence[str], looks: Mapping[str, LineStyle]
) -> Figure:
    """Draw histograms of experiments (columns) with labels (rows)."""
    across = max(1, len(columns))
    size = (min(WIDTH, 1.2 + 2.6 * across), 0.7 + 1.5 * max(1, len(labels)))
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    panels = figure.subplots(max(1, len(labels)), across, squeeze=False, sharex="col", sharey=True)
    for column, (name, bars) in enumerate(columns.items()):
        for row, (label, histogram) in enumerate(zip(labels, bars, strict=True)):
            draw_ranks(
                style_axes(panels[row, column], y=label if column == 0 else ""), histogram, looks[name]
            )
        panels[0, column].set_title(
            wrap_name(name, 18 if across < 7 else 11), fontsize=NORMAL_FONT, color=INK
        )
    panels[0, 0].set_yscale("log")
    panels[0, 0].yaxis.set_major_locator(FixedLocator(FREQUENCY_TICKS))
    panels[0, 0].yaxis.set_minor_locator(NullLocator())
    panels[0, 0].yaxis.set_major_formatter(lambda value, _: f"{value:.3g} ×")
    low, high = panels[0, 0].get_ylim()
    panels[0, 0].set_ylim(max(min(low, 0.45), 0.06), max(high, 2.2))
    figure.supxlabel("number of members below the truth", fontsize=SMALL_FONT, color=INK)
    return figure


def draw_ranks(axes: Axes, bars: Bars | None, look: LineStyle) -> None:
    """Draw bars from the flat line, with whiskers; nothing if the case was not scored."""
    if bars is None:
        return
    value, low, high = bars
    borders = np.arange(len(value) + 1) - 0.5
    axes.stairs(value, borders, baseline=1.0, fill=True, color=look.colour, alpha=0.6)
    axes.vlines(np.arange(len(value)), low, high, color=INK, linewidth=0.7)
    axes.axhline(1.0, color="black", linewidth=0.9, linestyle="--")
    axes.set_xticks([0, len(value) // 2, len(value) - 1])


def bins(diagnostics: xr.Dataset, pattern: str, k: float, variable: str | None) -> Bars | None:
    """Relative frequency times M + 1 of each rank, and its interval; None where the case was not scored."""
    indices = np.flatnonzero((diagnostics["pattern"] == pattern) & np.isclose(diagnostics["k"], k))
    return relative_frequencies(diagnostics.isel({CASE: int(indices[0])}), variable) if len(indices) else None


def lead_bins(diagnostics: xr.Dataset, lead: float, variable: str | None) -> Bars | None:
    """Relative frequency of each rank at one lead time; None if no forecast was scored."""
    indices = np.flatnonzero(np.isclose(diagnostics[LEAD], lead))
    bars = relative_frequencies(diagnostics.isel({LEAD: int(indices[0])}), variable) if len(indices) else None
    return None if bars is None or np.isnan(bars[0]).all() else bars


def relative_frequencies(case: xr.Dataset, variable: str | None) -> Bars:
    """Frequency of ranks times M + 1, averaged over variables or of one."""
    histogram = case.mean("variable") if variable is None else case.sel(variable=variable)
    names = ("rank_histogram", "rank_low", "rank_high")
    value, low, high = (histogram[name].to_numpy() * case.sizes["rank"] for name in names)
    return value, low, high


def event_page(columns: Mapping[str, ByExperiment], looks: Mapping[str, LineStyle] | None = None) -> Figure:
    """Draw reliability diagrams, ROC curves and economic values (rows) of cases (columns, by their titles).

    Reliability: consistency bars about the diagonal hold 95 % of the frequencies of a reliable forecast; the dotted
    lines are the frequency of the event.
    """
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    appearance = looks_of(names, looks)
    figure = new_figure(9.2)
    panels = figure.subplots(3, len(columns), squeeze=False)
    for index, (title, column) in enumerate(columns.items()):
        first = index == 0
        reliability, roc, value = panels[:, index]
        draw_diagonal(
            style_axes(reliability, title, "forecast probability", "frequency of the event" * first)
        )
        draw_diagonal(style_axes(roc, "", "false-alarm rate", "hit rate" * first))
        draw_value(style_axes(value, "", "cost of protection / loss", "relative economic value" * first))
        drawn = {name: column[name] for name in appearance if name in column}
        for number, (name, curves) in enumerate(drawn.items()):
            draw(panels[:, index], name, curves, appearance[name], dodge(number, len(drawn)))
        for curves in list(drawn.values())[:1]:
            for line in (reliability.axhline, reliability.axvline, value.axvline):
                line(curves.base_rate, color=INK, linewidth=0.7, linestyle=":", zorder=1)
    draw_legend(figure, *panels.ravel())
    return figure


def dodge(number: int, count: int) -> float:
    """Shift along the axis of probabilities, which keeps the bars of several experiments apart."""
    return 0.006 * (number - (count - 1) / 2)


def draw(panels: np.ndarray, name: str, curves: Curves, look: LineStyle, shift: float) -> None:
    """Draw the curves of one experiment in its three panels."""
    reliability, roc, value = panels
    line = look.line
    scored = np.isfinite(curves.frequency)
    reliability.plot(
        curves.probability[scored], curves.frequency[scored], label=escape(name), zorder=3, **line
    )
    bars = np.isfinite(curves.low) & scored
    reliability.vlines(
        curves.probability[bars] + shift, curves.low[bars], curves.high[bars], color=look.colour,
        linewidth=2.2, alpha=0.45, zorder=2,
    )  # fmt: skip
    roc.plot(curves.false_alarm_rate, curves.hit_rate, zorder=3, **{**line, "markersize": 3})
    value.plot(curves.cost_loss, curves.value, zorder=3, **{**line, "marker": ""})


def draw_diagonal(axes: Axes) -> None:
    """Draw the diagonal, on which forecasts are reliable, or without information in a ROC diagram."""
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, zorder=1)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))


def draw_value(axes: Axes) -> None:
    """Set a logarithmic axis of cost-loss ratios, because most rare events are cheap to protect against."""
    axes.set_xscale("log")
    axes.set(xlim=(MIN_COST_LOSS, 1.0), ylim=(0.0, 1.0))
    axes.xaxis.set_major_locator(FixedLocator(COST_LOSS_TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda ratio, _: percent(ratio))
    axes.xaxis.set_minor_formatter(NullFormatter())
