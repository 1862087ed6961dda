"""Figures as pictures."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image


class Picture(NamedTuple):
    """A figure that has been drawn, once for all that show it."""

    png: bytes
    inches: float  # its width

    @classmethod
    def of(cls, figure: Figure) -> Picture:
        """The figure as it looks."""
        return cls(png(figure), float(figure.get_size_inches()[0]))


def png(figure: Figure, dpi: int = 130) -> bytes:
    """The figure as PNG of 256 colours, a quarter of the size of one of all colours.

    The same figure gives the same bytes: no date and no name of a program is inside.
    """
    canvas = FigureCanvasAgg(figure)
    before = figure.dpi
    figure.set_dpi(dpi)
    canvas.draw()
    pixels = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB")
    figure.set_dpi(before)
    few = pixels.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = np.array(few.getpalette())
    palette[palette > 245] = 255  # or white is not quite white beside the page
    few.putpalette(palette.tolist())
    buffer = io.BytesIO()
    few.save(buffer, format="PNG")
    return buffer.getvalue()
