"""Three maps in a row that illustrate a task: its input, the result of the best method, and the truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from fieldcast import calendars
from fieldcast.calendars import lead_text
from fieldcast.fields.quantities import circle_of
from fieldcast.figures.maps import field_colours, one_case
from fieldcast.figures.pictures import Gallery, pictures_of_kind, reference
from fieldcast.figures.sheet import UNOBSERVED_COLOUR, Map, Outline, Sheet
from fieldcast.figures.style import INK, NORMAL_FONT, escape
from fieldcast.kinds import LEAD

MAX_MAP_WIDTH = 2.6  # width of a map, at most [inches]
PICTURES = 3  # pictures of states: a real one and two draws


def reconstruction_glance(
    examples: xr.Dataset, variable: str, case: tuple[str, float], best: str, outline: Outline = ()
) -> Figure:
    """Draw the observed cells, the estimate of the experiment `best`, and the truth, of one case (pattern, k)."""
    kinds = one_case(examples, variable, *case, time=0)
    panels = {
        f"given: {100 * case[1]:.3g} % of the cells": "observed",
        f"estimate: {best}": "mean",
        "truth": "truth",
    }
    maps = {title: kinds.sel(kind=kind).to_numpy() for title, kind in panels.items()}
    colours = field_colours(maps["truth"], "anomaly" in examples.attrs, circle_of(kinds))
    return row_of_maps(
        examples, variable, calendars.without_midnight(calendars.date(kinds["time"])), maps, colours, outline
    )


def forecast_glance(
    examples: xr.Dataset, variable: str, lead: float, best: str, outline: Outline = ()
) -> Figure:
    """Draw the initial state, the forecast (ensemble mean) of the experiment `best` for a lead time [hours], and
    the truth."""
    truth = examples[variable].sel(kind="truth")
    ahead = f"{lead_text(lead)} ahead"
    maps = {
        "given: the initial state": truth.isel({LEAD: 0}).to_numpy(),
        f"{ahead}: {best}": examples[variable].sel({"kind": "mean", LEAD: lead}).to_numpy(),
        f"{ahead}: truth": truth.sel({LEAD: lead}).to_numpy(),
    }
    colours = field_colours(truth.to_numpy(), "anomaly" in examples.attrs, circle_of(truth))
    when = f"initial time {calendars.without_midnight(examples.attrs['start'])}"
    return row_of_maps(examples, variable, when, maps, colours, outline)


def row_of_maps(
    examples: xr.Dataset,
    variable: str,
    when: str,
    maps: Mapping[str, Map],
    colours: ScalarMappable,
    outline: Outline,
) -> Figure:
    """Draw maps with their titles in one row, below the variable, `when` they are, and the colours."""
    grid = examples["latitude"].to_numpy(), examples["longitude"].to_numpy()
    sheet = Sheet(*grid, len(maps), 1, top=0.32, max_map_width=MAX_MAP_WIDTH, outline=outline)
    for column, (title, values) in enumerate(maps.items()):
        if np.isfinite(values).any():
            sheet.draw((column, 0), values, colours, missing=UNOBSERVED_COLOUR)
        else:
            sheet.note((column, 0), "blew up")
        sheet.title((column, 0), escape(title))
    field = examples[variable]
    quantity = "anomaly" if "anomaly" in examples.attrs else ""
    heading = ", ".join(filter(None, (variable, quantity, str(field.attrs.get("units", "")), when)))
    sheet.axes.text(
        -sheet.beside, 0.31, escape(heading), ha="left", va="top", fontsize=NORMAL_FONT, color=INK
    )
    sheet.bar(len(maps) - 1.0, 0.24, colours, "")
    return sheet.figure


def sample_glance(pictures: xr.Dataset, variable: str, best: str, outline: Outline = ()) -> Figure:
    """Draw a real state beside draws of the experiment `best`."""
    gallery = Gallery(
        pictures,
        variable,
        reference(pictures, variable),
        PICTURES,
        1,
        name_width=0.1,
        has_titles=True,
        outline=outline,
    )
    drawn = pictures_of_kind(pictures, variable, "sample")[: PICTURES - 1]
    gallery.draw((0, 0), pictures_of_kind(pictures, variable, "real")[0])
    gallery.sheet.title((0, 0), "real")
    for column, values in enumerate(drawn, start=1):
        gallery.draw((column, 0), values)
        gallery.sheet.title((column, 0), escape(f"drawn: {best}"))
    return gallery.finish()
