"""Truth, observations and reconstructions side by side; the masks of observations; scores at held-out stations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from fieldcast import calendars
from fieldcast.fields.meaning import circle_of
from fieldcast.fields.quantities import Circle
from fieldcast.figures.sheet import UNOBSERVED_COLOUR, Map, Outline, Sheet, shades
from fieldcast.figures.style import (
    INK,
    NORMAL_FONT,
    SMALL_FONT,
    escape,
    new_figure,
    percent,
    style_axes,
    wrap_name,
)
from fieldcast.kinds import CASE
from fieldcast.scores.examples import example_cases

FIELD, ANOMALY, ERROR, SPREAD_COLOURMAP = "viridis", "RdBu_r", "PuOr_r", "magma_r"  # names of colour maps
CIRCULAR = "twilight_shifted"  # colours that begin and end alike, light in the middle
Levels = Float[np.ndarray, " level"]
ROWS = ("mean", "one member", "mean − truth", "spread")
CONTOUR_QUANTILES = (0.3, 0.7)  # quantiles of the truth at which contours are drawn
COLOUR_QUANTILE = 0.95  # share of stations within the scale of colours; arrows of its bar stand for the rest
MARGIN = 0.05  # around the stations, as a share of their extent


def reconstruction_maps(
    examples: Mapping[str, xr.Dataset], variable: str, pattern: str, k: float, *, time: int = 0,
    outline: Outline = (),
) -> Figure:  # fmt: skip
    """Draw one case at one time: truth and observations, then mean, one member, error and spread per experiment.

    All maps of the field share one colour scale, all errors one, all spreads one. Anomalies, which have the attribute
    `anomaly`, are in colours centred on 0; other fields have two contours at common levels. Cells that never exist
    are white, cells that were not observed grey.
    """
    cases = {name: one_case(stored, variable, pattern, k, time) for name, stored in examples.items()}
    first = next(iter(cases.values()))
    truth = first.sel(kind="truth").to_numpy()
    fields = {
        name: {kind: case.sel(kind=kind).to_numpy() for kind in ("mean", "member", "spread")}
        for name, case in cases.items()
    }
    anomaly = any("anomaly" in stored.attrs for stored in examples.values())
    circle = circle_of(first)
    scales = common_scales(truth, fields, anomaly, circle)
    levels = np.array([]) if anomaly or circle else np.nanquantile(truth, CONTOUR_QUANTILES)
    grid = first["latitude"].to_numpy(), first["longitude"].to_numpy()
    top = max(0.22, 0.055 * (len(cases) + 1))  # two lines of text, however wide a map is
    sheet = Sheet(*grid, len(cases) + 1, len(ROWS), left=0.12, top=top, first_gap=0.08, outline=outline)
    draw_truth(sheet, truth, first.sel(kind="observed").to_numpy(), scales["field"], levels)
    for column, (name, maps) in enumerate(fields.items(), start=1):
        sheet.title((column, 0), wrap_name(name))
        draw_experiment(sheet, column, maps, truth, scales, levels)
    for row, label in enumerate(ROWS):
        sheet.side((1, row), label)
    unit = first.attrs.get("units", "")
    for number, (label, colours) in enumerate(scales.items()):
        _, bottom_of_truth = sheet.corner(0, 1)
        room = 2 * (sheet.height + sheet.row_gap) / len(scales)
        sheet.bar(
            0.0, bottom_of_truth - (number + 0.72) * room, colours, f"{label}, {unit}" if unit else label
        )
    moment = calendars.iso(first["time"].expand_dims("t"))[0][:16].replace("T", " ")
    quantity = ", anomaly" if anomaly else ""
    heading = escape(f"{variable}{quantity}, {moment}; pattern {pattern}, {percent(k)} observed")
    sheet.axes.text(-0.1 - sheet.beside, top, heading, ha="left", va="top", fontsize=NORMAL_FONT, color=INK)
    return sheet.figure


def draw_truth(sheet: Sheet, truth: Map, observed: Map, colours: ScalarMappable, levels: Levels) -> None:
    """Draw truth and observations in the first column."""
    sheet.draw((0, 0), truth, colours)
    sheet.contours((0, 0), truth, levels)
    sheet.draw((0, 1), observed, colours, missing=UNOBSERVED_COLOUR)
    sheet.blank((0, 1), np.isfinite(truth))
    sheet.side((0, 0), "truth")
    sheet.side((0, 1), "observed")


def draw_experiment(
    sheet: Sheet,
    column: int,
    maps: Mapping[str, Map],
    truth: Map,
    scales: Mapping[str, ScalarMappable],
    levels: Levels,
) -> None:
    """Draw a column of maps; a deterministic model has neither members nor spread."""
    sheet.draw((column, 0), maps["mean"], scales["field"])
    sheet.contours((column, 0), maps["mean"], levels)
    sheet.draw((column, 2), maps["mean"] - truth, scales["error"])
    if np.isfinite(maps["spread"]).any():
        sheet.draw((column, 1), maps["member"], scales["field"])
        sheet.contours((column, 1), maps["member"], levels)
        sheet.draw((column, 3), maps["spread"], scales["spread"])
    else:
        sheet.note((column, 1), "one estimate:\nno members")
        sheet.note((column, 3), "no spread")


def one_case(examples: xr.Dataset, variable: str, pattern: str, k: float, time: int) -> xr.DataArray:
    """The kinds of one variable of one case at one time, dims (kind, latitude, longitude)."""
    matches = (examples["pattern"].to_numpy() == pattern) & np.isclose(examples["k"].to_numpy(), k)
    return examples[variable].isel({CASE: int(np.flatnonzero(matches)[0]), "time": time})


def common_scales(
    truth: Map,
    fields: Mapping[str, Mapping[str, Map]],
    anomaly: bool = False,
    circle: Circle | None = None,
) -> dict[str, ScalarMappable]:
    """Colour scales of the field (from the truth), of errors (centred on 0) and of spread (from 0, if there is any).

    Values that are not finite, of an experiment that blew up, do not count.
    """
    errors = np.stack([np.abs(maps["mean"] - truth) for maps in fields.values()])
    largest = upper_end(errors)
    scales = {"field": field_colours(truth, anomaly, circle), "error": shades(ERROR, -largest, largest)}
    spreads = np.stack([maps["spread"] for maps in fields.values()])
    if np.isfinite(spreads).any():
        scales["spread"] = shades(SPREAD_COLOURMAP, 0.0, upper_end(spreads))
    return scales


class Turning(Normalize):
    """Positions of angles in a circle of colours."""

    def __call__(self, value: Any, clip: bool | None = None) -> Any:
        """Positions from 0 to 1; angles that differ by whole circles have the same."""
        low, high = float(self.vmin or 0), float(self.vmax or 0)
        return super().__call__(np.ma.where(value == high, high, low + (value - low) % (high - low)), clip)


def field_colours(
    values: Float[np.ndarray, "..."], anomaly: bool, circle: Circle | None = None
) -> ScalarMappable:
    """Colours of a field that hold all but the outermost values; those of anomalies are centred on 0.

    Angles that cover half of their circle have a circle of colours.
    """
    if circle and np.nanmax(values) - np.nanmin(values) >= circle.period / 2:
        low = -circle.period / 2 if anomaly or np.nanmin(values) < 0 else 0.0
        return ScalarMappable(Turning(low, low + circle.period), CIRCULAR)
    low, high = np.nanquantile(values, [0.005, 0.995])
    if anomaly:
        largest = float(max(-low, high)) or 1.0
        return shades(ANOMALY, -largest, largest)
    return shades(FIELD, low, high if high > low else low + 1.0)


def upper_end(values: Float[np.ndarray, "..."]) -> float:
    """Upper end of a colour scale from 0: the 98th percentile of the finite values, or 1."""
    finite = values[np.isfinite(values)]
    return float(np.quantile(finite, 0.98)) or 1.0 if finite.size else 1.0


def mask_pictures(observations: xr.Dataset, columns: int = 5, outline: Outline = ()) -> Figure:
    """Draw the first stored mask of `random` at each fraction, then of every other pattern at the one nearest 10 %.

    Fractions rise from left to right. Dark cells were observed; titles give the nominal fraction and the number of
    cells in this mask.
    """
    patterns = observations["pattern"].to_numpy().astype(str)
    k = observations["k"].to_numpy().astype(float)
    cases = {*example_cases(patterns, k, (0.1,)), *np.flatnonzero(patterns == "random").tolist()}
    cases = {case for case in cases if patterns[case] != "points"}  # which are between the cells
    ordered = sorted(cases, key=lambda case: (patterns[case] != "random", k[case], case))
    columns = min(columns, len(ordered))
    grid = observations["latitude"].to_numpy(), observations["longitude"].to_numpy()
    sheet = Sheet(*grid, columns, -(-len(ordered) // columns), top=0.16, row_gap=0.18, outline=outline)
    name = next(iter(observations.data_vars))
    for number, case in enumerate(ordered):
        row, column = divmod(number, columns)
        observed = np.isfinite(observations[name].isel({CASE: case, "time": 0}).to_numpy())
        sheet.draw(
            (column, row),
            np.where(observed, 1.0, np.nan),
            shades("Greys", 0.0, 1.15),
            missing=UNOBSERVED_COLOUR,
        )
        sheet.title((column, row), escape(f"{patterns[case]}, {percent(k[case])} ({observed.sum()} cells)"))
    return sheet.figure


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
