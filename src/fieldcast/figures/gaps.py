"""A record with gaps and its filled values: maps at one time, and a stretch with held-out values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from fieldcast import calendars
from fieldcast.fields.conventions import AS_OBSERVED, MASKED, NEVER, OBSERVED
from fieldcast.fields.meaning import period_of
from fieldcast.fields.quantities import Circle, Log
from fieldcast.figures.maps import SPREAD_COLOURMAP, field_colours, upper_end
from fieldcast.figures.sheet import UNOBSERVED_COLOUR, Outline, Sheet, degree, shades
from fieldcast.figures.style import (
    INK,
    NORMAL_FONT,
    draw_legend,
    escape,
    new_figure,
    style_axes,
    times_of_index,
)
from fieldcast.geometry import GRID, is_curvilinear

EMPTY = NEVER, MASKED  # flags of values that are not filled
MIN_LOG_RATIO = 10  # ratio of the largest to the smallest value from which colours are logarithmic
BEST_COLOUR, DINEOF_COLOUR, LINEAR_COLOUR = "#0072B2", "#D55E00", "#7c7c7c"


def pictures(filled: xr.Dataset, series: pd.DataFrame, outline: Outline = ()) -> Iterator[tuple[str, Figure]]:
    """Figures by name: maps of each variable with gaps, and its series.

    Parameters
    ----------
    filled
        A record filled by `fill_gaps`, dims (time, latitude, longitude).
    series
        Stretches with held-out values, see `inference.gaps.trials`.
    outline
        Lines that orient the reader of a map.
    """
    for variable, table in series.groupby("variable", sort=False):
        flag = filled[f"{variable}_flag"]
        if flag.isin((OBSERVED, *EMPTY)).all():
            continue
        yield f"{variable}_maps", maps(filled, str(variable), outline)
        if table["hidden"].notna().any():
            yield (
                f"{variable}_series",
                series_figure(table, str(variable), filled[variable].attrs),
            )


def most_informative_time(flag: xr.DataArray) -> int:
    """Index of the time with as many observed and as many filled values as possible: the largest product.

    If no time has both, the one with most filled values.
    """
    observed = (flag == OBSERVED).sum(GRID)
    filled = (flag.notnull() & ~flag.isin((OBSERVED, *EMPTY))).sum(GRID)
    amounts = list(zip((observed * filled).values.tolist(), filled.values.tolist(), strict=True))
    return amounts.index(max(amounts))


def maps(filled: xr.Dataset, variable: str, outline: Outline = ()) -> Figure:
    """Draw observed values, the filled field, and its spread at the most informative time.

    Observed values that the result smooths, as they have errors, have a spread, too. Grey cells have no value; white
    ones never have any, or are masked at that time.
    """
    flags = filled[f"{variable}_flag"].transpose("time", *GRID)
    time = most_informative_time(flags)
    flag = flags[time].to_numpy()
    smoothed = f"{variable}{AS_OBSERVED}" in filled
    names = variable, f"{variable}{AS_OBSERVED if smoothed else ''}", f"{variable}_spread"
    values, given, spread = (
        filled[name].transpose("time", *GRID)[time].to_numpy().astype(float) for name in names
    )
    if filled[variable].attrs.get("quantity") == Circle.kind:
        period = period_of(filled[variable].attrs)
        values, given = nearest_turns(values, period), nearest_turns(given, period)
    observed = np.where(flag == OBSERVED, given, np.nan)
    spread = spread if smoothed else np.where(flag == OBSERVED, np.nan, spread)
    scales = colours(values, filled[variable].attrs), shades(SPREAD_COLOURMAP, 0.0, upper_end(spread))
    grid = filled["latitude"].to_numpy(), filled["longitude"].to_numpy()
    sheet = Sheet(
        *grid, 3, 1, top=0.29, outline=outline, max_map_width=3.4, degrees=not is_curvilinear(filled)
    )
    titles = (
        ("observed (grey: missing)", "smoothed and filled", "spread")
        if smoothed
        else ("observed (grey: missing)", "observed and filled", "spread of filled values (grey: observed)")
    )
    for column, (title, drawn) in enumerate(zip(titles, (observed, values, spread), strict=True)):
        sheet.draw((column, 0), drawn, scales[column == 2], missing=UNOBSERVED_COLOUR)
        sheet.blank((column, 0), ~np.isin(flag, EMPTY))
        sheet.title((column, 0), title)
    unit = filled[variable].attrs.get("units", "")
    for column, scale in ((1, scales[0]), (2, scales[1])):
        left, _ = sheet.corner(column, 0)
        sheet.bar(left, 0.16, scale, ("spread" if column == 2 else variable) + (f", {unit}" if unit else ""))
    moment = calendars.iso(flags["time"][[time]])[0][:16].replace("T", " ")
    sheet.axes.text(
        0, 0.25, escape(f"{variable}, {moment}"), ha="left", va="top", fontsize=NORMAL_FONT, color=INK
    )
    return sheet.figure


def nearest_turns(values: Float[np.ndarray, "y x"], period: float) -> Float[np.ndarray, "y x"]:
    """Angles that lie within half a circle as numbers without a jump, such as -10 to 30; others as they are."""
    radians = values[np.isfinite(values)] * (2 * np.pi / period)
    mean = np.arctan2(np.sin(radians).mean(), np.cos(radians).mean()) * (period / (2 * np.pi))
    turned = mean + (values - mean + period / 2) % period - period / 2
    return turned if np.nanmax(turned) - np.nanmin(turned) < period / 2 else values


def colours(values: Float[np.ndarray, "..."], attrs: Mapping[str, Any]) -> ScalarMappable:
    """Colours of a field: a circle of them for angles all round, logarithmic ones where its logarithm is filled."""
    quantity = attrs.get("quantity")
    circle = Circle(period=period_of(attrs)) if quantity == Circle.kind else None
    scale = field_colours(values, anomaly=False, circle=circle)
    low, high = scale.get_clim()
    if quantity == Log.kind and low and high and 0 < low < high / MIN_LOG_RATIO:
        scale.set_norm(LogNorm(low, high))
    return scale


def unwrapped(table: pd.DataFrame, period: float) -> pd.DataFrame:
    """Angles as a line without jumps: each filled one nearest to the one before, all others nearest to it."""
    line = np.unwrap(table["filled"].interpolate(limit_direction="both"), period=period)
    names = [
        name for name in ("observed", "hidden", "dineof", "linear_in_time", "low", "high") if name in table
    ]
    turns = {name: line + (table[name] - line + period / 2) % period - period / 2 for name in names}
    return table.assign(filled=line, **turns)


def series_figure(table: pd.DataFrame, variable: str, attrs: Mapping[str, Any]) -> Figure:
    """Draw the values that the methods see, those held out, and how the methods fill the stretch."""
    figure, unit = new_figure(3.2), attrs.get("units", "")
    if attrs.get("quantity") == Circle.kind:
        table = unwrapped(table, period_of(attrs))
    axes = figure.subplots()
    when = times_of_index(pd.Index(table["time"]))
    low, high = table["low"], table["high"]
    axes.fill_between(when, low, high, color=BEST_COLOUR, alpha=0.18, linewidth=0, label="90 % interval")
    axes.plot(
        when,
        table["linear_in_time"],
        color=LINEAR_COLOUR,
        linestyle="--",
        linewidth=1.1,
        label="linear in time",
    )
    dineof_is_best = "dineof" in table and table["dineof"].equals(table["filled"])
    if "dineof" in table and not dineof_is_best:
        axes.plot(when, table["dineof"], color=DINEOF_COLOUR, linestyle=":", linewidth=1.4, label="DINEOF")
    axes.plot(
        when,
        table["filled"],
        color=BEST_COLOUR,
        linewidth=1.6,
        label="filled (DINEOF)" if dineof_is_best else "filled",
    )
    axes.plot(when, table["observed"], "o", color=INK, markersize=4, label="observed")
    held_out = {"markerfacecolor": "white", "markeredgecolor": INK, "markersize": 6, "zorder": 4}
    axes.plot(when, table["hidden"], "o", linestyle="none", label="observed, but held out", **held_out)
    values = pd.concat([low, high, table["observed"], table["hidden"]])
    if attrs.get("quantity") == Log.kind and 0 < values.min() < values.max() / MIN_LOG_RATIO:
        axes.set_yscale("log")
        margin = (values.max() / values.min()) ** 0.05
        axes.set_ylim(values.min() / margin, values.max() * margin)
    else:
        margin = 0.05 * (values.max() - values.min())
        axes.set_ylim(values.min() - margin, values.max() + margin)  # a poor method may leave the panel
    y, x = (round(float(table[name].iloc[0]), 2) for name in GRID)
    location = f"{variable} at {degree(y, 'NS')}, {degree(x, 'EW')}: a stretch with held-out values"
    style_axes(axes, location, y=f"{variable}, {unit}" if unit else variable)
    draw_legend(figure, axes)
    return figure
