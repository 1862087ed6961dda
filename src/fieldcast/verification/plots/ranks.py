"""Rank histograms: where the truth lies among the members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from .style import INK, NORMAL, SMALL, WIDTH, Look, calm, chosen, percent, wrapped

TICKS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def rank_histograms(
    diagnostics: Mapping[str, xr.Dataset],
    fractions: Sequence[float],
    looks: Mapping[str, Look] | None = None,
    *,
    pattern: str = "random",
    variable: str | None = None,
) -> Figure:
    """Columns are experiments with more than one member, rows fractions observed.

    Bars are relative frequencies times M + 1 on a logarithmic axis, so they rise above and hang below the
    flat line at 1; whiskers are 95 % intervals. Averaged over variables, or of one `variable`; an average of
    intervals is at least as wide as that of the average.
    """
    shown = {name: found for name, found in diagnostics.items() if found.sizes["rank"] > 2}
    appearance = chosen(diagnostics, looks)
    rows, columns = max(1, len(fractions)), max(1, len(shown))
    size = (min(WIDTH, 1.2 + 2.6 * columns), 0.7 + 1.5 * rows)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    panels = figure.subplots(rows, columns, squeeze=False, sharex="col", sharey=True)
    for column, (name, found) in enumerate(shown.items()):
        for row, k in enumerate(fractions):
            label = f"{percent(k)} observed" if column == 0 else ""
            draw_ranks(
                calm(panels[row, column], y=label), bins(found, pattern, k, variable), appearance[name]
            )
        panels[0, column].set_title(wrapped(name, 18), fontsize=NORMAL, color=INK)
    panels[0, 0].set_yscale("log")
    panels[0, 0].yaxis.set_major_locator(FixedLocator(TICKS))
    panels[0, 0].yaxis.set_minor_locator(NullLocator())
    panels[0, 0].yaxis.set_major_formatter(lambda value, _: f"{value:.3g} ×")
    low, high = panels[0, 0].get_ylim()
    panels[0, 0].set_ylim(max(min(low, 0.45), 0.06), max(high, 2.2))
    figure.supxlabel("number of members below the truth", fontsize=SMALL, color=INK)
    return figure


def draw_ranks(axes: Axes, bars: tuple[np.ndarray, np.ndarray, np.ndarray] | None, look: Look) -> None:
    """Bars from the flat line, whiskers; nothing where the case was not scored."""
    if bars is None:
        return
    value, low, high = bars
    borders = np.arange(len(value) + 1) - 0.5
    axes.stairs(value, borders, baseline=1.0, fill=True, color=look.colour, alpha=0.6)
    axes.vlines(np.arange(len(value)), low, high, color=INK, linewidth=0.7)
    axes.axhline(1.0, color="black", linewidth=0.9, linestyle="--")
    axes.set_xticks([0, len(value) // 2, len(value) - 1])


def bins(
    diagnostics: xr.Dataset, pattern: str, k: float, variable: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Relative frequency times M + 1 of each rank, and its interval; None where the case was not scored."""
    place = np.flatnonzero((diagnostics["pattern"] == pattern) & np.isclose(diagnostics["k"], k))
    if not len(place):
        return None
    case = diagnostics.isel(case=int(place[0]))
    one = case.mean("variable") if variable is None else case.sel(variable=variable)
    names = ("rank_histogram", "rank_low", "rank_high")
    value, low, high = (one[name].to_numpy() * diagnostics.sizes["rank"] for name in names)
    return value, low, high
