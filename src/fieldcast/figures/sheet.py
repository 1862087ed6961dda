"""Many maps of one grid on one sheet: longitude against latitude, with coastlines and degrees.

All maps share one axes, because drawing time grows with the number of axes, not of maps. Maps are added as artists
with fixed limits: autoscaling would take longer than everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Shaped
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from fieldcast.figures.style import INK, NORMAL_FONT, SMALL_FONT, WIDTH, escape
from fieldcast.geometry import GRID, TRUE_GRID, edges, is_curvilinear

UNOBSERVED_COLOUR = "#e4e7ea"  # colour of a cell that was not observed; one that never exists is white
GAP = 0.055  # distance between maps [widths of a map]
LEFT_WIDTH, LOWER_HEIGHT = 0.3, 0.17  # margins for the degrees beside and below the maps [inches]
TICK_LENGTH = 0.035  # length of a tick [inches]
TICK_STEPS = 1, 2, 5, 10, 15, 20, 30, 45, 90, 180, 360  # distances between ticks [degrees]
SCALE_TOLERANCE = 0.01  # values that exceed a scale of colours by less, as a share of it, count as inside
MAX_TICKS = 4  # ticks along an axis, at most
TICK_DISTANCE = 0.38  # smallest distance of ticks of longitude, whose labels stand side by side [inches]
LETTER_WIDTH = 0.62  # width of a letter, as a share of its font size
Map = Float[np.ndarray, "latitude longitude"]


class Sheet:
    """Columns and rows of maps of one grid; rows count from the top.

    Degrees stand beside the maps of the first column and below those of the last row.

    Parameters
    ----------
    latitude, longitude
        Centres of the cells; positions of pixels for images.
    columns, rows
        Number of maps. A row may lie between two others, as 4.4 does.
    left, top
        Room beside and above all maps, in widths of a map, as `first_gap` and `row_gap`.
    first_gap
        Room after the first column.
    row_gap
        Room between rows.
    max_map_width
        Width of the largest map, in inches.
    outline
        Coastlines, drawn on every map.
    degrees
        Whether to draw ticks; images have none.
    """

    def __init__(
        self, latitude: Shaped[np.ndarray, " y"], longitude: Shaped[np.ndarray, " x"], columns: int,
        rows: int | float, *, left: float = 0.0, top: float = 0.0, first_gap: float = 0.0,
        row_gap: float = GAP, max_map_width: float = 2.6, outline: Outline = (), degrees: bool = True,
    ) -> None:  # fmt: skip
        (south, north), (west, east) = sorted(edges(latitude)[[0, -1]]), edges(longitude)[[0, -1]]
        tall, wide = north - south, east - west
        self.height = float(np.clip(tall / wide, 0.4, 1.1))
        self.first_gap, self.row_gap, self.last = first_gap, row_gap, rows - 1
        self.x = (edges(longitude) - west) / wide
        self.y = (edges(latitude) - south) / tall * self.height
        size = np.array([1.0 / wide, self.height / tall])
        self.ranges: dict[int, list[float]] = {}  # extremes of the values drawn in each scale of colours
        self.outline = [(line - [west, south]) * size for line in outline]
        width = left + columns + (columns - 1) * GAP + first_gap
        height = top + rows * self.height + (rows - 1) * row_gap
        self.scale = min((WIDTH - LEFT_WIDTH * degrees) / width, max_map_width)  # inches
        self.beside, below = LEFT_WIDTH * degrees / self.scale, LOWER_HEIGHT * degrees / self.scale
        side_by_side = int(np.clip(self.scale // TICK_DISTANCE, 1, MAX_TICKS))
        self.ticks = (
            [((value - west) / wide, text) for value, text in ticks(west, east, "EW", side_by_side)]
            if degrees
            else [],
            [((value - south) * size[1], text) for value, text in ticks(south, north, "NS")]
            if degrees
            else [],
        )
        figure = ((width + self.beside) * self.scale, (height + below) * self.scale)
        self.figure = Figure(figsize=figure, facecolor="white")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        border = max(0.01, 0.02 / self.scale)  # or the frames of small maps are cut
        self.axes.set_xlim(-left - self.beside - border, width - left + border)
        self.axes.set_ylim(top - height - below - border, top + border)

    def corner(self, column: int, row: int | float) -> tuple[float, float]:
        """Left and bottom coordinates of a map."""
        return column * (1 + GAP) + (self.first_gap if column else 0), -row * (
            self.height + self.row_gap
        ) - self.height

    def draw(
        self, position: tuple[int, int | float], values: Map, colours: ScalarMappable, missing: str = "white"
    ) -> None:
        """Draw a map at (column, row) with outline, frame and degrees; NaN has the colour `missing`."""
        left, bottom = self.corner(*position)
        present = values[np.isfinite(values)]
        if present.size < values.size:
            self.box(left, bottom, facecolor=missing, edgecolor="none")
        if present.size:
            self.ranges.setdefault(id(colours), []).extend([float(present.min()), float(present.max())])
        self.cells(left, bottom, values, colours)
        moved = [line + np.array([left, bottom]) for line in self.outline]
        self.axes.add_artist(LineCollection(moved, colors=INK, linewidths=0.45, alpha=0.75, zorder=3.5))
        self.box(left, bottom, facecolor="none", edgecolor="#b0b6bc", linewidth=0.6, zorder=4)
        self.degrees(*position)

    def cells(self, left: float, bottom: float, values: Map, colours: ScalarMappable) -> None:
        """Colour the cells of a map that have a value."""
        corners = np.stack(np.meshgrid(left + self.x, bottom + self.y), axis=-1)
        colour = {"cmap": colours.get_cmap(), "norm": colours.norm}
        masked = np.ma.masked_invalid(values)
        self.axes.add_artist(
            QuadMesh(corners, antialiased=False, array=masked, snap=True, zorder=2, **colour)
        )

    def box(self, left: float, bottom: float, **style: Any) -> None:
        """Draw a rectangle in the place of a map."""
        self.axes.add_artist(Rectangle((left, bottom), 1, self.height, **style))

    def degrees(self, column: int, row: int | float) -> None:
        """Draw ticks of longitude and latitude outside the frame, with labels at the edges of the sheet."""
        left, bottom = self.corner(column, row)
        length, meridians, parallels = TICK_LENGTH / self.scale, *self.ticks
        text: dict[str, Any] = {"fontsize": SMALL_FONT - 2, "color": INK}
        marks = []
        for x, label in meridians if np.isclose(row, self.last) else ():
            marks.append([(left + x, bottom), (left + x, bottom - length)])
            half = LETTER_WIDTH * len(label) * text["fontsize"] / 72 / 2 / self.scale
            centre = min(max(x, half), 1 - half)  # labels of neighbouring maps must not touch
            self.axes.text(left + centre, bottom - 1.4 * length, label, ha="center", va="top", **text)
        for y, label in parallels if column == 0 else ():
            marks.append([(left, bottom + y), (left - length, bottom + y)])
            self.axes.text(left - 1.4 * length, bottom + y, label, ha="right", va="center", **text)
        self.axes.add_artist(LineCollection(marks, colors=INK, linewidths=0.5))

    def blank(
        self, position: tuple[int, int | float], exists: Bool[np.ndarray, "latitude longitude"]
    ) -> None:
        """Paint cells white that never exist."""
        if not exists.all():
            self.cells(*self.corner(*position), np.where(exists, np.nan, 1.0), shades("Greys", 1.0, 2.0))

    def contours(
        self, position: tuple[int, int | float], values: Map, levels: Float[np.ndarray, " level"]
    ) -> None:
        """Draw thin contours at `levels`."""
        inside = (levels > np.nanmin(values)) & (levels < np.nanmax(values))
        if inside.any():
            left, bottom = self.corner(*position)
            x, y = left + (self.x[1:] + self.x[:-1]) / 2, bottom + (self.y[1:] + self.y[:-1]) / 2
            levels = np.unique(levels[inside])  # where most cells are dry, two quantiles may be equal
            self.axes.contour(x, y, values, levels=levels, colors="white", linewidths=0.7, zorder=3)

    def title(self, position: tuple[int, int | float], text: str) -> None:
        """Write a title above a map."""
        left, bottom = self.corner(*position)
        where = (left + 0.5, bottom + self.height + 0.03)
        self.axes.text(*where, text, ha="center", va="bottom", fontsize=NORMAL_FONT, color=INK)

    def side(self, position: tuple[int, int | float], text: str) -> None:
        """Write vertical text to the left of a map."""
        left, bottom = self.corner(*position)
        where = (left - 0.025 - self.beside * (position[0] == 0), bottom + self.height / 2)
        self.axes.text(*where, text, rotation=90, ha="right", va="center", fontsize=SMALL_FONT, color=INK)

    def row(self, row: int | float, text: str) -> None:
        """Write the name of a row to the left of its first map."""
        left, bottom = self.corner(0, row)
        where = (left - 0.045 - self.beside, bottom + self.height / 2)
        self.axes.text(*where, text, ha="right", va="center", fontsize=SMALL_FONT, color=INK)

    def note(self, position: tuple[int, int | float], text: str) -> None:
        """Write a note in place of a missing map."""
        left, bottom = self.corner(*position)
        where = (left + 0.5, bottom + self.height / 2)
        self.axes.text(*where, text, ha="center", va="center", fontsize=SMALL_FONT, color="#777777")

    def bar(self, left: float, bottom: float, colours: ScalarMappable, label: str, wide: float = 0.9) -> None:
        """Draw a colour bar, by default 0.9 map widths wide, with its label above, after the maps.

        An arrow at an end means that values on the maps lie beyond it.
        """
        x, y = self.axes.transLimits.transform((left + 0.05, bottom))
        right, upper = self.axes.transLimits.transform((left + 0.05 + wide, bottom + wide / 20))
        room = self.figure.add_axes((x, y, right - x, upper - y))
        self.figure.colorbar(colours, cax=room, orientation="horizontal", extend=self.beyond(colours))
        room.tick_params(labelsize=SMALL_FONT - 1, width=0.5, length=2)
        longest = max(len(f"{end:g}") for end in colours.get_clim())
        if not isinstance(colours.norm, LogNorm):
            room.locator_params(
                axis="x", nbins=4 if longest < 6 else 2
            )  # long numbers would lie on each other
        else:
            low, high = colours.get_clim()
            few = high < 100 * low  # less than two powers of ten: ticks at 1, 2 and 5 of each
            room.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
            room.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            room.xaxis.set_minor_formatter(NullFormatter())
        room.set_title(escape(label), fontsize=SMALL_FONT, color=INK, pad=3)

    def beyond(self, colours: ScalarMappable) -> str:
        """Ends of a scale of colours that drawn values exceed, in the words of matplotlib's `extend`."""
        drawn, (low, high) = self.ranges.get(id(colours), []), colours.get_clim()
        tolerance = SCALE_TOLERANCE * (high - low)
        ends = min(drawn, default=low) < low - tolerance, max(drawn, default=high) > high + tolerance
        return {(False, False): "neither", (True, False): "min", (False, True): "max"}.get(ends, "both")


def shades(colours: str, low: float, high: float) -> ScalarMappable:
    """Colours from `low` to `high`."""
    return ScalarMappable(Normalize(low, high), colours)


def ticks(low: float, high: float, signs: str, most: int = MAX_TICKS) -> list[tuple[float, str]]:
    """Degrees between two edges, at most `most` and as near to each other as possible, each with its label.

    `signs`: letters of positive and negative degrees, "EW" or "NS".
    """
    inside = (np.arange(np.floor(low / step) + 1, np.ceil(high / step)) * step for step in TICK_STEPS)
    values = next(values for values in inside if len(values) <= most)
    return [(value, degree(value, signs)) for value in values.tolist()]


def degree(value: float, signs: str) -> str:
    """A degree with its hemisphere; longitudes lie within 180 degrees."""
    turned = (value + 180.0) % 360.0 - 180.0 if signs == "EW" else value
    if turned in (0.0, -180.0):
        return f"{abs(turned):g}°"
    return f"{abs(turned):g}°{signs[turned < 0]}"


# Lines that orient the reader of a map: coastlines of the Earth, or contours of the data's own land or ground.
#
# The package global-land-mask holds the ocean at 30 arc seconds, from the GLOBE elevation model (NOAA 1999). It is
# not imported, because it would keep 930 MB in memory: its file is read in bands of latitude.


STEP = 0.5  # width of a cell of the coarsened land mask [degrees]
FINE_CELLS = 60  # cells of the package's mask along an edge of a coarsened cell
MIN_EXTENT = 0.02  # smallest extent of a line, as a share of the map's: smaller islands would be dots
MOUNTAIN_CONTOUR = 0.25  # height of the contour of mountains, as a share of the highest ground

Line = Float[np.ndarray, "_ 2"]  # longitude, latitude in degrees; lines differ in length
Outline = Sequence[Line]


def outline(fields: xr.Dataset) -> Outline:
    """Contours of the data's land mask or of their ground, else the coastlines of the Earth; none for images.

    A static variable is recognised by its standard name: `land_binary_mask` or `surface_altitude`.
    """
    if not set(GRID) <= set(fields.dims):
        return []
    latitude, longitude = (fields[name].to_numpy() for name in GRID)
    static = {
        str(values.attrs.get("standard_name")): values.transpose(*GRID).to_numpy().astype(float)
        for values in fields.data_vars.values()
        if set(values.dims) == set(GRID)
    }
    for name, level in (("land_binary_mask", 0.5), ("surface_altitude", MOUNTAIN_CONTOUR)):
        if name in static and np.isfinite(static[name]).all():
            return contour_lines(longitude, latitude, static[name], level * float(static[name].max()))
    if is_curvilinear(fields):
        y, x = (fields[name].transpose(*GRID).to_numpy().astype(float) for name in TRUE_GRID)
        return contour_lines(longitude, latitude, land_at(y, x), 0.5)
    return coastlines(latitude, longitude)


def coastlines(latitude: Shaped[np.ndarray, " y"], longitude: Shaped[np.ndarray, " x"]) -> Outline:
    """Coastlines of the Earth within the edges of a grid, in the longitudes of the grid."""
    south, north = sorted(np.clip(edges(latitude)[[0, -1]], -90.0, 90.0))
    west, east = edges(longitude)[[0, -1]]
    y = np.arange(south + STEP / 2, north, STEP)
    x = np.arange(west + STEP / 2, east, STEP)
    return contour_lines(x, y, land_at(y[:, None], x[None]), 0.5)


def land_at(y: Float[np.ndarray, "..."], x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """1 on land and 0 elsewhere, at latitudes and longitudes."""
    land = land_cells()
    rows = np.clip(np.floor((90.0 - y) / STEP).astype(int), 0, len(land) - 1)
    columns = np.floor(((x + 180.0) % 360.0) / STEP).astype(int)
    return land[rows, columns].astype(float)


@cache
def land_cells() -> Bool[np.ndarray, "y x"]:
    """Coarsened cells that are at least half land, from north to south and from 180°W to the east."""
    spec = find_spec("global_land_mask")
    assert spec is not None and spec.origin is not None  # a dependency
    packed = Path(spec.origin).with_name("globe_combined_mask_compressed.npz")
    with ZipFile(packed) as archive, archive.open("mask.npy") as file:
        np.lib.format.read_magic(file)
        (rows, columns), _, _ = np.lib.format.read_array_header_1_0(file)
        bands = (file.read(FINE_CELLS * columns) for _ in range(rows // FINE_CELLS))
        ocean = [
            np.frombuffer(band, bool).reshape(FINE_CELLS, -1, FINE_CELLS).mean(axis=(0, 2)) for band in bands
        ]
    return np.array(ocean) <= 0.5


def contour_lines(
    x: Shaped[np.ndarray, " x"], y: Shaped[np.ndarray, " y"], values: Float[np.ndarray, "y x"], level: float
) -> list[Line]:
    """Contours of one level, without lines that would be dots on a map."""
    if min(values.shape) < 2:
        return []
    extent = MIN_EXTENT * max(np.ptp(x), np.ptp(y))
    contours = Figure().add_subplot().contour(x, y, values, [level]).allsegs[0]
    return [line for line in contours if len(line) and np.ptp(line, axis=0).max() >= extent]
