"""PNG: what was drawn, the same bytes each time."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from fieldcast.figures.style import Picture, new_figure, png, style_axes


def drawing() -> Figure:
    figure = new_figure(2.0, 3.0)
    axes = style_axes(figure.subplots(), "title")
    axes.fill([0, 1, 1, 0], [0, 0, 1, 1], color=(1.0, 0.0, 0.0))
    return figure


def test_size_colours_and_a_white_ground():
    figure = drawing()
    picture = Image.open(io.BytesIO(png(figure, dpi=100)))
    assert picture.size == (300, 200)
    assert figure.dpi == 100.0
    pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert (pixels == 255).all(1).mean() > 0.1
    assert (np.abs(pixels - [255, 0, 0]).max(1) < 24).mean() > 0.3


def test_pictures_keep_the_look_and_width_of_the_figure():
    figure = drawing()
    picture = Picture(png(figure))
    assert picture == (png(drawing()),) and picture.inches == 3.0
    figure.axes[0].set_title("changed since")
    assert png(figure) != picture.png


def test_the_same_figure_gives_the_same_bytes():
    figure = drawing()
    assert png(figure) == png(figure) == png(drawing())
    assert b"matplotlib" not in png(figure)
