"""A long rollout: error, drift and structure step by step, and where it blew up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from fieldcast.figures.style import (
    LineStyle,
    draw_legend,
    escape,
    looks_of,
    new_figure,
    plain_logarithmic,
    style_axes,
)

PANELS = {
    "mse": "MSE of the ensemble mean",
    "std": "standard deviation (of weather: 1)",
    "mean": "mean (of weather: 0)",
    "spectrum_ratio": "power at short waves / truth",
}
EXIT_ABOVE, EXIT_BELOW = "^", "v"  # markers at the upper or lower edge of a panel that a line leaves
EXIT_SIZE = 7.0  # width of these markers [points]
# widest limits of the vertical axes
LIMITS = {"mse": (0.02, 20.0), "std": (0.05, 20.0), "mean": (-2.0, 2.0), "spectrum_ratio": (0.01, 100.0)}


def long_run(stability: Mapping[str, pd.DataFrame], looks: Mapping[str, LineStyle] | None = None) -> Figure:
    """Draw four panels against the step (logarithmic), all in anomaly standard deviations.

    A line ends in a triangle where it leaves its panel, and in a cross where the run blew up. MSE has a line at 1 and a
    grey one at the mean MSE of the climatology (x = 0).
    """
    appearance = looks_of(stability, looks)
    figure = new_figure(5.6)
    panels = dict(zip(PANELS, figure.subplots(2, 2, sharex=True).ravel(), strict=True))
    for column, axes in panels.items():
        for name, look in appearance.items():
            draw_run(axes, stability[name], column, name, look)
        axes.set_xscale("log")
        if column != "mean":
            plain_logarithmic(axes)
            axes.axhline(1.0, color="black", linewidth=0.8, zorder=1)
        else:
            axes.axhline(0.0, color="black", linewidth=0.8, zorder=1)
        low, high = axes.get_ylim()
        above = any(line.get_marker() == EXIT_ABOVE for line in axes.lines)  # they lie above the limit
        axes.set_ylim(
            max(low, LIMITS[column][0]), LIMITS[column][1] if above else min(high, LIMITS[column][1])
        )
        style_axes(axes, PANELS[column], "step" if column in ("mean", "spectrum_ratio") else "")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    climatology = [table["mse_climatology"].mean() for table in stability.values()]
    if climatology and np.isfinite(climatology[0]):
        panels["mse"].axhline(
            climatology[0], color="#8a8a8a", linewidth=1.2, linestyle="--", label="climatology (x = 0)"
        )
    draw_legend(figure, *panels.values())
    return figure


def draw_run(axes: Axes, table: pd.DataFrame, column: str, name: str, look: LineStyle) -> None:
    """Draw a line, a triangle where it leaves its panel, and a cross where it blew up.

    A line that is never within its panel is a triangle alone, at the edge beyond which it lies.
    """
    finite = table[table["finite"].astype(bool) & np.isfinite(table[column])]
    if finite.empty:
        return
    low, high = LIMITS[column]
    entered, end = first_stay(finite[column].to_numpy(dtype=float), low, high)
    if entered:
        finite = finite.iloc[: end + 1]  # the line leaves the panel once
        style = look.line | {"marker": "", "linewidth": 1.3}
        axes.plot(finite["step"], finite[column], label=escape(name), **style)
    if end < len(finite):
        outside = finite.iloc[end]
        above = bool(outside[column] > low)
        draw_exit(axes, float(outside["step"]), above, look, "" if entered else escape(name))
    if not table["finite"].astype(bool).all():
        where = float(np.clip(finite[column].iloc[-1], low, 0.9 * high))
        last = table.loc[~table["finite"].astype(bool), "step"].min()
        label = escape(f"{name} blew up")
        axes.plot([last], [where], "X", color=look.colour, markersize=9, label=label, zorder=5, clip_on=False)


def first_stay(values: Float[np.ndarray, " step"], low: float, high: float) -> tuple[bool, int]:
    """Whether values are ever within the limits, and the index at which they first leave them."""
    inside = (values >= low) & (values <= high)
    if not inside.any():
        return False, 0
    entered = int(inside.argmax())
    return True, entered + int(np.append(~inside[entered:], True).argmax())


def draw_exit(axes: Axes, step: float, above: bool, look: LineStyle, label: str) -> None:
    """Draw a triangle at the upper or lower edge of a panel, beside those of other lines at this step."""
    marker, edge = (EXIT_ABOVE, 1.0) if above else (EXIT_BELOW, 0.0)
    others = sum(line.get_marker() == marker and line.get_xdata()[0] == step for line in axes.lines)
    shift = ScaledTranslation(others * EXIT_SIZE / 72, 0, axes.figure.dpi_scale_trans)
    transform = axes.get_xaxis_transform() + shift  # the edge, wherever the limits of the panel will be
    style = {"color": look.colour, "marker": marker, "markersize": EXIT_SIZE, "linestyle": "", "label": label}
    axes.plot([step], [edge], transform=transform, clip_on=False, zorder=5, **style)
