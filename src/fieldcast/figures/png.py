"""Figures as pictures."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

DPI = 130  # resolution of a stored figure


class Picture(NamedTuple):
    """A figure rendered at `DPI`."""

    png: bytes

    @property
    def inches(self) -> float:
        """The width of the figure."""
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
    reduced = pixels.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = np.array(reduced.getpalette())
    palette[palette > 245] = 255  # or white is not quite white beside the page
    reduced.putpalette(palette.tolist())
    buffer = io.BytesIO()
    reduced.save(buffer, format="PNG")
    return buffer.getvalue()
