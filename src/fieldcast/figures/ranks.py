"""Rank histograms: the rank of the truth among the members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from fieldcast.calendars import lead_label
from fieldcast.figures.style import (
    INK,
    NORMAL_FONT,
    SMALL_FONT,
    WIDTH,
    LineStyle,
    looks_of,
    percent,
    style_axes,
    wrap_name,
)
from fieldcast.kinds import CASE, LEAD

Bars = tuple[np.ndarray, np.ndarray, np.ndarray]  # value, low, high of each rank
FREQUENCY_TICKS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


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
