"""Style of figures: each experiment has one look, the same in every figure.

Classical methods are dashed, in muted colours or black, learned models coloured and solid, bounds slate. The first
colours are those of Okabe and Ito (2008), which readers with any of the common colour blindnesses tell apart; markers
differ too.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from PIL import Image

from fieldcast.experiments import Description, sort_key

WIDTH = 11.0  # width of a report's column [inches]
POWERS_OF_TEN_RATIO = 1000.0  # ratio of the ends of an axis from which it shows powers of ten only
LOGARITHMIC_RATIO = 5.0  # ratio of positive values from which their axis is logarithmic
TITLE_LETTERS = 120  # letters of the titles of all panels side by side
SMALL_FONT, NORMAL_FONT = 8.0, 9.0  # font sizes [points]
INK, FAINT = "#30353a", "#d8dce0"  # colours of text and of grid lines

Dash = str | tuple[int, tuple[float | int, ...]]

LEARNED_COLOURS = (
    *("#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#009E73", "#C2408F", "#7A3E9D", "#A00044"),
    *("#B5A300", "#1B3A93", "#00A3A3", "#6F8CFF", "#5C7A00", "#FF6F61", "#B36AE2"),
)
CLASSICAL_LINES: tuple[tuple[str, Dash], ...] = (
    ("#a8a8a8", (0, (1, 1.5))),
    ("#94714a", (0, (6, 2))),
    ("#6f9460", (0, (4, 1.5, 1, 1.5))),
    ("#7f83b5", (0, (1, 1))),
    ("#c4b06a", (0, (3, 1.5))),
    ("#b5738f", (0, (5, 1, 1, 1, 1, 1))),
)
LEARNED_MARKERS = "os^vDPX*<>hpd8H"
CLASSICAL_MARKERS = ("", "+", "1", "x", "s", "^")
REFERENCE_LINE, BOUND_LINE = ("#000000", (0, (5, 1.5))), ("#4f5f6e", (0, (2, 1)))


@dataclass(frozen=True)
class LineStyle:
    """Colour, dash and marker of an experiment, with its family and its role.

    Parameters
    ----------
    colour, dash, marker
        Colour, dash pattern and marker of its lines.
    family
        Family of the experiment: classical, learned or bound.
    role
        Its role, such as the reference; None without one.
    """

    colour: str
    dash: Dash = "-"
    marker: str = "o"
    family: str = "learned"
    role: str | None = None

    @property
    def line(self) -> dict[str, object]:
        """Keywords of `Axes.plot`."""
        width = 1.8 if self.family == "learned" else 1.4
        return {
            "color": self.colour,
            "linestyle": self.dash,
            "marker": self.marker,
            "markersize": 4,
            "linewidth": width,
        }

    @property
    def free(self) -> bool:
        """Whether the experiment is a free baseline, which a useful one must beat."""
        return self.role in ("baseline", "climatology")


def looks(abouts: Mapping[str, Description]) -> dict[str, LineStyle]:
    """The look of each experiment, by its family and its place in that family.

    Pass all experiments of a task, so that looks do not depend on which have run. An experiment without an `order` is
    the last of its family, so that a new one changes no other.
    """
    count: Counter[str] = Counter()
    by_name = {}
    for name, about in sorted(abouts.items(), key=lambda item: sort_key(*item)):
        family = about.family_or_default(learned=True)  # figures do not know how it was trained
        by_name[name] = look(family, about.role, count[family])
        count[family] += 1
    return {name: by_name[name] for name in abouts}


def look(family: str, role: str | None, number: int) -> LineStyle:
    """The look of experiment `number` (from 0) of a family; the reference is black."""
    if family == "learned":
        cycle, colour = divmod(number, len(LEARNED_COLOURS))
        dash: Dash = "-" if not cycle else (0, (8, 1 + cycle))
        return LineStyle(
            LEARNED_COLOURS[colour], dash, LEARNED_MARKERS[number % len(LEARNED_MARKERS)], family, role
        )
    if role == "reference":
        return LineStyle(*REFERENCE_LINE, "o", family, role)
    if family == "bound":
        return LineStyle(BOUND_LINE[0], (0, (2 + number, 1)), "*", family, role)
    cycle, line = divmod(number, len(CLASSICAL_LINES))
    muted, dash = CLASSICAL_LINES[line]
    dash = dash if not cycle else (0, (2 + cycle, 1, 2 + line, 1 + cycle))
    return LineStyle(muted, dash, CLASSICAL_MARKERS[number % len(CLASSICAL_MARKERS)], family, role)


def looks_of(
    experiments: Iterable[str], looks_by_name: Mapping[str, LineStyle] | None
) -> dict[str, LineStyle]:
    """Looks of these experiments, in the order of `looks_by_name`; without it, those of learned experiments."""
    names = list(experiments)
    looks_by_name = (
        looks({name: Description(label=name) for name in names}) if looks_by_name is None else looks_by_name
    )
    return {name: look for name, look in looks_by_name.items() if name in names}


def escape(text: object) -> str:
    """Escape dollar signs, so that matplotlib does not read a formula."""
    return str(text).replace("$", r"\$")


def wrap_name(name: str, width: int = 14) -> str:
    """The lines of a name as matplotlib's text."""
    return escape(in_lines(name, width))


def in_lines(name: str, width: int) -> str:
    """A name broken after spaces and underscores into lines of about `width` letters."""
    lines = [""]
    for piece in re.findall(r"[^ _]*[ _]?", name):
        if lines[-1] and len((lines[-1] + piece).rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip(" ") for line in lines)


def panel_title(name: str, columns: int) -> str:
    """A name in lines that fit above one of several panels side by side in a figure of full width."""
    return in_lines(name, TITLE_LETTERS // columns)


def percent(k: float) -> str:
    """A fraction as text: 0.1 is "10 %"."""
    return f"{100 * k:.4g} %"


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure with constrained layout."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
    return figure


def style_axes(axes: Axes, title: str = "", x: str = "", y: str = "") -> Axes:
    """Style axes: no box, thin ticks, a faint grid, title and labels in the sizes of the report."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#888888")
    axes.tick_params(labelsize=SMALL_FONT, colors=INK, width=0.6, which="both")
    axes.grid(True, color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title(escape(title), fontsize=NORMAL_FONT, color=INK, loc="left")
    axes.set_xlabel(escape(x), fontsize=SMALL_FONT, color=INK)
    axes.set_ylabel(escape(y), fontsize=SMALL_FONT, color=INK)
    return axes


def draw_legend(figure: Figure, *panels: Axes, **options: object) -> None:
    """Draw one legend for all panels, to the right of the figure."""
    entries: dict[str, object] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        labels, handles = list(entries), list(entries.values())
        outside = {
            "loc": "outside right upper",
            "fontsize": SMALL_FONT,
            "frameon": False,
            "handlelength": 3.2,
        }
        figure.legend(handles, labels, **(outside | options))


def plain_logarithmic(axes: Axes) -> None:
    """Set a logarithmic vertical axis with plain numbers: 0.1, 0.2, 0.5, 1, or only powers of ten if it spans many."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    steps = (1.0, 2.0, 5.0) if high < POWERS_OF_TEN_RATIO * low else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=8))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def times_of_index(index: pd.Index) -> pd.Index:
    """Times from text, or their numbers if the calendar is not the standard one."""
    try:
        return pd.DatetimeIndex(index)
    except ValueError:
        return pd.RangeIndex(len(index))


# Figures as pictures.


DPI = 130  # resolution of a stored figure


class Picture(NamedTuple):
    """A figure rendered at `DPI`."""

    png: bytes

    @property
    def inches(self) -> float:
        with Image.open(io.BytesIO(self.png)) as image:
            return image.width / DPI


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """Render a figure as PNG with 256 colours, a quarter of the size of full colour.

    Equal figures give equal bytes: the file holds no date and no program name.
    """
    canvas = FigureCanvasAgg(figure)
    before = figure.dpi
    figure.set_dpi(dpi)
    canvas.draw()
    pixels = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB")
    figure.set_dpi(before)
    return few_colours(pixels)


def few_colours(pixels: Image.Image) -> bytes:
    """An image as PNG with 256 colours."""
    reduced = pixels.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = np.array(reduced.getpalette())
    palette[palette > 245] = 255  # or white is not quite white beside the page
    reduced.putpalette(palette.tolist())
    buffer = io.BytesIO()
    reduced.save(buffer, format="PNG")
    return buffer.getvalue()
