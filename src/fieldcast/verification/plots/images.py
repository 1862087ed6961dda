"""A figure as a picture, and ready to be drawn several times."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image


def lay_out(figure: Figure) -> Figure:
    """The figure with its axes where they belong for good.

    Else each drawing would find their places anew, which takes as long as to draw the rest.
    """
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


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
