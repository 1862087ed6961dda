"""Many maps of one grid on one sheet: longitude against latitude, no coastline.

All maps share one axes, because drawing time grows with the number of axes, not of maps. Maps are added as artists
with fixed limits: autoscaling would take longer than everything else.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Shaped
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fieldcast.figures.style import INK, NORMAL, SMALL, WIDTH, plain
from fieldcast.geometry import edges

UNSEEN = "#e4e7ea"  # a cell that was not observed; one that never exists is white
GAP = 0.055  # between maps; lengths are in widths of a map
Map = Float[np.ndarray, "latitude longitude"]


class Sheet:
    """Columns and rows of maps of one grid; rows count from the top.

    A row may lie between two others, as 4.4 does. Room beside the maps, in widths of a map: `left` and `top`
    of all, `aside` after the first column, `between` rows. No map is wider than `largest`, in inches.
    """

    def __init__(
        self,
        latitude: Shaped[np.ndarray, " y"],
        longitude: Shaped[np.ndarray, " x"],
        columns: int,
        rows: int | float,
        *,
        left: float = 0.0,
        top: float = 0.0,
        aside: float = 0.0,
        between: float = GAP,
        largest: float = 2.6,
    ) -> None:
        tall, wide = np.abs(np.diff(edges(latitude)[[0, -1]]))[0], np.diff(edges(longitude)[[0, -1]])[0]
        self.height = float(np.clip(tall / wide, 0.4, 1.1))
        self.aside, self.between = aside, between
        self.x = (edges(longitude) - edges(longitude)[0]) / wide
        self.y = (edges(latitude) - edges(latitude).min()) / tall * self.height
        width = left + columns + (columns - 1) * GAP + aside
        height = top + rows * self.height + (rows - 1) * between
        self.scale = min(WIDTH / width, largest)  # inches
        self.figure = Figure(figsize=(width * self.scale, height * self.scale), facecolor="white")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        border = max(0.01, 0.02 / self.scale)  # or the frames of small maps are cut
        self.axes.set_xlim(-left - border, width - left + border)
        self.axes.set_ylim(top - height - border, top + border)

    def corner(self, column: int, row: int | float) -> tuple[float, float]:
        """Left and bottom coordinates of a map."""
        return column * (1 + GAP) + (self.aside if column else 0), -row * (
            self.height + self.between
        ) - self.height

    def draw(
        self, place: tuple[int, int | float], values: Map, colours: ScalarMappable, missing: str = "white"
    ) -> None:
        """Draw a map at (column, row); NaN has the colour `missing`."""
        left, bottom = self.corner(*place)
        size = {"width": 1, "height": self.height}
        masked = np.ma.masked_invalid(values)
        if np.ma.getmaskarray(masked).any():
            self.axes.add_artist(Rectangle((left, bottom), **size, facecolor=missing, edgecolor="none"))
        corners = np.stack(np.meshgrid(left + self.x, bottom + self.y), axis=-1)
        colour = {"cmap": colours.get_cmap(), "norm": colours.norm}
        self.axes.add_artist(
            QuadMesh(corners, antialiased=False, array=masked, snap=True, zorder=2, **colour)
        )
        line = {"edgecolor": "#b0b6bc", "linewidth": 0.6, "zorder": 4}
        self.axes.add_artist(Rectangle((left, bottom), **size, facecolor="none", **line))

    def blank(self, place: tuple[int, int | float], exists: Bool[np.ndarray, "latitude longitude"]) -> None:
        """Paint cells white that never exist."""
        if not exists.all():
            self.draw(place, np.where(exists, np.nan, 1.0), shades("Greys", 1.0, 2.0), missing="none")

    def contours(
        self, place: tuple[int, int | float], values: Map, levels: Float[np.ndarray, " level"]
    ) -> None:
        """Draw thin contours at `levels`."""
        inside = (levels > np.nanmin(values)) & (levels < np.nanmax(values))
        if inside.any():
            left, bottom = self.corner(*place)
            x, y = left + (self.x[1:] + self.x[:-1]) / 2, bottom + (self.y[1:] + self.y[:-1]) / 2
            levels = np.unique(levels[inside])  # where most cells are dry, two quantiles may be equal
            self.axes.contour(x, y, values, levels=levels, colors="white", linewidths=0.7, zorder=3)

    def title(self, place: tuple[int, int | float], text: str) -> None:
        """Write a title above a map."""
        left, bottom = self.corner(*place)
        where = (left + 0.5, bottom + self.height + 0.03)
        self.axes.text(*where, text, ha="center", va="bottom", fontsize=NORMAL, color=INK)

    def side(self, place: tuple[int, int | float], text: str) -> None:
        """Write vertical text to the left of a map."""
        left, bottom = self.corner(*place)
        where = (left - 0.025, bottom + self.height / 2)
        self.axes.text(*where, text, rotation=90, ha="right", va="center", fontsize=SMALL, color=INK)

    def row(self, row: int | float, text: str) -> None:
        """Write the name of a row to the left of its first map."""
        left, bottom = self.corner(0, row)
        where = (left - 0.045, bottom + self.height / 2)
        self.axes.text(*where, text, ha="right", va="center", fontsize=SMALL, color=INK)

    def note(self, place: tuple[int, int | float], text: str) -> None:
        """Write a note in place of a missing map."""
        left, bottom = self.corner(*place)
        where = (left + 0.5, bottom + self.height / 2)
        self.axes.text(*where, text, ha="center", va="center", fontsize=SMALL, color="#777777")

    def bar(self, left: float, bottom: float, colours: ScalarMappable, label: str, wide: float = 0.9) -> None:
        """Draw a colour bar, by default 0.9 map widths wide, with its label above."""
        x, y = self.axes.transLimits.transform((left + 0.05, bottom))
        right, upper = self.axes.transLimits.transform((left + 0.05 + wide, bottom + wide / 20))
        room = self.figure.add_axes((x, y, right - x, upper - y))
        self.figure.colorbar(colours, cax=room, orientation="horizontal")
        room.tick_params(labelsize=SMALL - 1, width=0.5, length=2)
        longest = max(len(f"{end:g}") for end in colours.get_clim())
        room.locator_params(axis="x", nbins=4 if longest < 6 else 2)  # long numbers would lie on each other
        room.set_title(plain(label), fontsize=SMALL, color=INK, pad=3)


def shades(colours: str, low: float, high: float) -> ScalarMappable:
    """Colours from `low` to `high`."""
    return ScalarMappable(Normalize(low, high), colours)
