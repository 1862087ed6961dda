"""Scores at held-out stations as maps: where a filled field is accurate, and which stations are outliers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from fieldcast.figures.maps import ERROR, SPREAD_COLOURMAP
from fieldcast.figures.sheet import Outline
from fieldcast.figures.style import INK, SMALL_FONT, escape, new_figure, style_axes

COLOUR_QUANTILE = 0.95  # share of stations within the scale of colours; arrows of its bar stand for the rest
MARGIN = 0.05  # around the stations, as a share of their extent


def station_maps(
    scores: pd.DataFrame, by_station: pd.DataFrame, outline: Outline = (), west: float = -180.0
) -> Iterator[tuple[str, Figure]]:
    """Figures by name, one for each variable: CRPS and bias of the experiment with the lowest CRPS at each station.

    Parameters
    ----------
    scores, by_station
        The tables of `inference.stations.held_out.scores_at_held_out`; scores of mapped values are not drawn.
    outline
        Lines that orient the reader of a map.
    west
        Longitude at which the map begins.
    """
    by_station = by_station.assign(longitude=(by_station["longitude"] - west) % 360.0 + west)
    crps = scores[(scores["score"] == "crps") & scores["variable"].isin(by_station["variable"])]
    for variable, scores_of_variable in crps.groupby("variable", sort=False):
        best = scores_of_variable.loc[scores_of_variable["value"].idxmin(), "experiment"]
        stations = by_station[(by_station["variable"] == variable) & (by_station["experiment"] == best)]
        figure = new_figure(3.4)
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        unit = escape(stations["unit"].iloc[0])
        worst = float(stations["crps"].quantile(COLOUR_QUANTILE))
        largest = float(stations["bias"].abs().quantile(COLOUR_QUANTILE))
        points(figure, left, stations, "crps", (0.0, worst), SPREAD_COLOURMAP, f"CRPS, {unit}")
        points(figure, right, stations, "bias", (-largest, largest), ERROR, f"bias, {unit}")
        for axes in (left, right):
            axes.add_collection(
                LineCollection(list(outline), colors=INK, linewidths=0.5, alpha=0.7, zorder=1)
            )
        style_axes(left, f"{variable}, {best}, at held-out stations", "longitude", "latitude")
        style_axes(right, "mean of the members minus reading", "longitude")
        yield f"{variable}_stations", figure


def variograms(table: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    """Figures by name, one for each variable or part of it: the empirical variogram beside the fitted covariance.

    The table is that of `inference.stations.covariance.variogram`.
    """
    for number, (variable, part) in enumerate(table.groupby("variable", sort=False)):
        figure = new_figure(3.0)
        axes = figure.subplots()
        size = 10 + 90 * part["pairs"] / part["pairs"].max()
        axes.scatter(
            part["distance_km"], part["empirical"], s=size, color=INK, alpha=0.7, label="pairs of gauges"
        )
        axes.plot(part["distance_km"], part["fitted"], color="#0072B2", label="fitted covariance")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=SMALL_FONT, frameon=False)
        style_axes(
            axes,
            f"{escape(variable)}: variogram of anomalies",
            "distance, km",
            "half the mean squared difference",
        )
        name = str(variable).split(",")[0]
        yield f"{name}_variogram{f'_{number}' if ',' in str(variable) else ''}", figure


def points(
    figure: Figure, axes: Axes, table: pd.DataFrame, column: str, ends: tuple[float, float],
    colours: str, label: str,
) -> None:  # fmt: skip
    """Draw a point for each station, and the colour bar."""
    low, high = ends
    high = high if high > low else low + 1.0
    drawn = axes.scatter(
        table["longitude"], table["latitude"], c=table[column], cmap=colours, vmin=low, vmax=high, s=28,
        edgecolors=INK, linewidths=0.4, zorder=3,
    )  # fmt: skip
    beyond = float(table[column].min()) < low, float(table[column].max()) > high
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max"}.get(beyond, "both")
    bar = figure.colorbar(drawn, ax=axes, extend=extend, shrink=0.85)
    bar.set_label(label, fontsize=SMALL_FONT)
    bar.ax.tick_params(labelsize=SMALL_FONT - 1)
    for values, limit in ((table["longitude"], axes.set_xlim), (table["latitude"], axes.set_ylim)):
        room = MARGIN * max(float(np.ptp(values)), 1.0)
        limit(float(values.min()) - room, float(values.max()) + room)
