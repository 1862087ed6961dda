"""Rows of pictures: grey images, or maps of one variable of a state, all in one scale of colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float, Shaped
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from fieldcast import calendars
from fieldcast.calendars import lead_text
from fieldcast.fields.meaning import circle_of
from fieldcast.figures.maps import ANOMALY, field_colours, one_case
from fieldcast.figures.sheet import GAP, UNOBSERVED_COLOUR, Map, Outline, Sheet, shades
from fieldcast.figures.style import INK, NORMAL_FONT, SMALL_FONT, WIDTH, escape, wrap_name
from fieldcast.kinds import LEAD

GREY_COLOURS = "gray_r"  # colour map of images; 0 has the colour of paper
MAX_IMAGE_WIDTH, MAX_MAP_WIDTH = 0.72, 2.6  # largest width of an image and of a map [inches]
NAME_WIDTH, NAME_LETTERS = 1.5, 24  # width of the names of rows [inches], [letters]
MIN_MAP_COLUMNS = 4  # columns of maps, at least, because there is a heading above them
# heights of the heading and of the titles above the first row [inches]
HEADING_HEIGHT, TITLE_HEIGHT = 0.3, 0.2

Stack = Float[np.ndarray, "picture y x"]


def pictures_of_kind(pictures: xr.Dataset, variable: str, kind: str) -> Stack:
    """Pictures of one kind, ordered by number; empty if there are none."""
    indices = np.flatnonzero(kinds_of(pictures) == kind)
    order = indices[np.argsort(pictures["number"].to_numpy()[indices], kind="stable")]
    return pictures[variable].isel(picture=order).to_numpy().astype(float)


def has_kinds(pictures: xr.Dataset, *kinds: str) -> bool:
    """Whether there are pictures of all these kinds."""
    return set(kinds) <= set(kinds_of(pictures).tolist())


def kinds_of(pictures: xr.Dataset) -> Shaped[np.ndarray, " picture"]:
    """Kind of each picture as text, however it was stored."""
    return np.array([str(kind) for kind in pictures["kind"].to_numpy()])


def reference(pictures: xr.Dataset, variable: str) -> Stack:
    """Pictures that set the colours: real states, else test data, else all."""
    kind = next((kind for kind in ("real", "truth") if has_kinds(pictures, kind)), None)
    return pictures_of_kind(pictures, variable, kind) if kind else pictures[variable].to_numpy().astype(float)


def are_images(pictures: xr.Dataset) -> bool:
    """Whether pictures are images (y, x) rather than fields (latitude, longitude)."""
    return "y" in pictures.dims


def pictures_per_row(pictures: xr.Dataset) -> int:
    return 12 if are_images(pictures) else 6


class Gallery:
    """Grid of pictures, in colours set by the `real` ones.

    Images are grey from 0 to `levels` - 1, or to the largest real value if the data do not state their levels.
    Fields are departures from the mean of the real ones, because their mean mostly varies with latitude.

    Parameters
    ----------
    pictures
        Data set that has the coordinates and attributes of the pictures.
    variable
        Name of the variable that is drawn.
    real
        Real pictures, which set the colours.
    columns, rows
        Size of the grid; maps take at least four columns.
    heading
        Text above the grid.
    name_width
        Width of the names of the rows, in inches.
    has_titles
        Whether columns have titles.
    row_gap
        Room between rows, in widths of a picture.
    outline
        Coastlines, drawn on every map.
    """

    def __init__(
        self,
        pictures: xr.Dataset,
        variable: str,
        real: Stack,
        columns: int,
        rows: int | float,
        *,
        heading: str = "",
        name_width: float = NAME_WIDTH,
        has_titles: bool = False,
        row_gap: float = GAP,
        outline: Outline = (),
    ) -> None:
        images = are_images(pictures)
        columns = columns if images else max(columns, MIN_MAP_COLUMNS)
        top = HEADING_HEIGHT + TITLE_HEIGHT * has_titles
        size = min(
            MAX_IMAGE_WIDTH if images else MAX_MAP_WIDTH,
            (WIDTH - name_width) / (columns + (columns - 1) * GAP),
        )  # inches
        room = {"left": name_width / size, "top": top / size, "row_gap": row_gap, "max_map_width": size}
        self.sheet = Sheet(*grid_of(pictures), columns, rows, **room, outline=outline, degrees=not images)
        self.centre = np.zeros(real.shape[1:]) if images else mean_picture(real)
        self.colours = (
            grey_scale(pictures, variable, real) if images else departure_colours(real - self.centre)
        )
        start = ((0.03 - name_width) / size - self.sheet.beside, (top - 0.03) / size)
        self.sheet.axes.text(*start, escape(heading), ha="left", va="top", fontsize=NORMAL_FONT, color=INK)
        self.bar: tuple[float, float, float] | None = None  # left, bottom and width
        if not images:
            wide = 1.5 / size
            left = columns * (1 + GAP) - GAP - wide - 0.15 / size
            self.bar = (left, (top - 0.1) / size, wide)
            unit = pictures[variable].attrs.get("units", "")
            text = escape(f"{variable}, departure from the mean{', ' if unit else ''}{unit}")
            where = (left - 0.1 / size, start[1])
            self.sheet.axes.text(*where, text, ha="right", va="top", fontsize=SMALL_FONT, color=INK)

    def finish(self) -> Figure:
        """Add the colour bar, whose arrows mean that some pictures exceed it, and return the figure."""
        if self.bar:
            left, bottom, wide = self.bar
            self.sheet.bar(left, bottom, self.colours, "", wide)
        return self.sheet.figure

    def draw(self, position: tuple[int, int | float], values: Map) -> None:
        """Draw a picture at (column, row), or a note if no value is finite."""
        if np.isfinite(values).any():
            self.sheet.draw(position, values - self.centre, self.colours)
        else:
            self.sheet.note(position, "not finite")

    def line(self, row: int | float, name: str, pictures: Iterable[Map], below: str = "") -> None:
        """Draw a row of pictures with its name and a note below the name."""
        self.sheet.row(row, "\n".join(filter(None, (wrap_name(name, NAME_LETTERS), below))))
        for column, values in enumerate(pictures):
            self.draw((column, row), values)


def grid_of(pictures: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates up and to the right; the first row of an image is its top."""
    if are_images(pictures):
        return -np.arange(pictures.sizes["y"]), np.arange(pictures.sizes["x"])
    return pictures["latitude"].to_numpy(), pictures["longitude"].to_numpy()


def mean_picture(real: Stack) -> Map:
    """Mean of each cell; NaN where the cell never exists."""
    exists = np.isfinite(real)
    total = np.where(exists, real, 0.0).sum(0)
    return np.where(exists.any(0), total / np.maximum(exists.sum(0), 1), np.nan)


def grey_scale(pictures: xr.Dataset, variable: str, real: Stack) -> ScalarMappable:
    """Grey scale from 0 to the last level."""
    levels = pictures.attrs.get("levels", pictures[variable].attrs.get("levels"))
    return shades(GREY_COLOURS, 0.0, real.max(initial=1.0) if levels is None else float(levels) - 1)


def departure_colours(values: Stack) -> ScalarMappable:
    """Colours centred on 0, up to the 99 % quantile of absolute values."""
    sizes = np.abs(values[np.isfinite(values)])
    largest = float(np.quantile(sizes, 0.99)) if len(sizes) else 0.0
    return shades(ANOMALY, -(largest or 1.0), largest or 1.0)


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
    """Draw a row of real states above a row of draws of the experiment `best`."""
    columns = pictures_per_row(pictures) // 2
    real = reference(pictures, variable)
    gallery = Gallery(pictures, variable, real, columns, 2, outline=outline)
    for row, (name, kind) in enumerate({"real": "real", f"drawn: {best}": "sample"}.items()):
        gallery.line(row, name, pictures_of_kind(pictures, variable, kind)[:columns])
    return gallery.finish()
