"""The first steps of a cycle, from its climatological start: how the analyses approach the truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from fieldcast.figures.maps import field_colours
from fieldcast.figures.outline import Outline
from fieldcast.figures.sheet import UNOBSERVED_COLOUR, Sheet
from fieldcast.figures.style import INK, NORMAL_FONT, escape, percent, wrap_name


def cycle_film(films: Mapping[str, xr.Dataset], variable: str, outline: Outline = ()) -> Figure:
    """Draw a column for each step: truth, observations, and the mean analysis of each experiment.

    Each film is (case, time, kind, latitude, longitude), with the coordinate `step`, its number from 1; its
    first case is drawn. All maps share one colour scale, which the truth sets.
    """
    cases = {name: film[variable].isel(case=0) for name, film in films.items()}
    first, stored = next(iter(cases.values())), next(iter(films.values()))
    truth, observed = (first.sel(kind=kind).to_numpy() for kind in ("truth", "observed"))
    colours = field_colours(truth, "anomaly" in stored.attrs)
    grid = first["latitude"].to_numpy(), first["longitude"].to_numpy()
    sheet = Sheet(*grid, len(truth), 2 + len(cases), left=0.2, top=0.32, outline=outline)
    for column, step in enumerate(first["step"].to_numpy()):
        sheet.title((column, 0), f"step {step}")
        sheet.draw((column, 0), truth[column], colours)
        sheet.draw((column, 1), observed[column], colours, missing=UNOBSERVED_COLOUR)
        sheet.blank((column, 1), np.isfinite(truth[column]))
        for row, case in enumerate(cases.values(), start=2):
            sheet.draw((column, row), case.sel(kind="mean").isel(time=column).to_numpy(), colours)
    for row, name in enumerate(("truth", "observed", *cases)):
        sheet.side((0, row), wrap_name(name))
    quantity = ", anomaly" if "anomaly" in stored.attrs else ""
    unit = first.attrs.get("units", "")
    k = percent(float(stored["k"].to_numpy()[0]))
    heading = escape(f"{variable}{quantity}{f', {unit}' if unit else ''}; {k} observed at each step")
    sheet.axes.text(-0.18 - sheet.beside, 0.31, heading, ha="left", va="top", fontsize=NORMAL_FONT, color=INK)
    return sheet.figure
