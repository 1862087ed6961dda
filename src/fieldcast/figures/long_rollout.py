"""A long rollout: error, drift and structure step by step, and where it blew up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from fieldcast.figures.curves import plain_logarithmic
from fieldcast.figures.style import Look, calm, key, looks_of, new_figure, plain

PANELS = {
    "mse": "MSE of the ensemble mean",
    "std": "standard deviation (of weather: 1)",
    "mean": "mean (of weather: 0)",
    "spectrum_ratio": "power at short waves / truth",
}
LIMITS = {"mse": (0.02, 20.0), "std": (0.05, 20.0), "mean": (-2.0, 2.0), "spectrum_ratio": (0.01, 100.0)}


def long_run(stability: Mapping[str, pd.DataFrame], looks: Mapping[str, Look] | None = None) -> Figure:
    """Draw four panels against the step (logarithmic), all in anomaly standard deviations.

    A cross ends the line of a run that blew up. MSE has a line at 1 and a grey one at the mean MSE of
    the climatology (x = 0).
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
        axes.set_ylim(max(low, LIMITS[column][0]), min(high, LIMITS[column][1]))
        calm(axes, PANELS[column], "step" if column in ("mean", "spectrum_ratio") else "")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    free = [table["mse_climatology"].mean() for table in stability.values() if "mse_climatology" in table]
    if free and np.isfinite(free[0]):
        panels["mse"].axhline(
            free[0], color="#8a8a8a", linewidth=1.2, linestyle="--", label="climatology (x = 0)"
        )
    key(figure, *panels.values())
    return figure


def draw_run(axes: Axes, table: pd.DataFrame, column: str, name: str, look: Look) -> None:
    """Draw a line with a cross where it blew up, at the edge of the panel if the line left it before."""
    finite = table[table["finite"].astype(bool) & np.isfinite(table[column])]
    left = np.flatnonzero(np.abs(finite[column]) > LIMITS[column][1])
    finite = finite.iloc[: left[0] + 1] if len(left) else finite  # the line leaves the panel once
    if finite.empty:
        return
    style = look.line | {"marker": "", "linewidth": 1.3}
    axes.plot(finite["step"], finite[column], label=plain(name), **style)
    if not table["finite"].astype(bool).all():
        low, high = LIMITS[column]
        where = float(np.clip(finite[column].iloc[-1], low, 0.9 * high))
        last = table.loc[~table["finite"].astype(bool), "step"].min()
        label = plain(f"{name} blew up")
        axes.plot([last], [where], "X", color=look.colour, markersize=9, label=label, zorder=5, clip_on=False)
