from __future__ import annotations

import io

import numpy as np
from PIL import Image

from fieldcast.verification.plots.animation import frame_png, frames, gif


def test_a_film_has_a_picture_a_lead_and_plays(shown):
    pictures = frames(shown, "z")
    assert len(pictures) == 4
    assert len({one.size for one in pictures}) == 1
    film = Image.open(io.BytesIO(gif(pictures)))
    assert film.n_frames == 4
    assert film.info["loop"] == 0
    colours = np.asarray(pictures[0].convert("RGB")).reshape(-1, 3)
    assert (colours == 255).all(1).mean() > 0.2  # white is white beside the page
    png = Image.open(io.BytesIO(frame_png(pictures[1])))
    assert png.size == pictures[0].size


def test_the_same_forecasts_give_the_same_film(shown):
    assert gif(frames(shown, "z")) == gif(frames(shown, "z"))
