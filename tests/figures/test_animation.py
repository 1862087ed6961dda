from __future__ import annotations

import io

import numpy as np
from PIL import Image

from fieldcast.figures import animation
from fieldcast.figures.animation import frame_png, frames, gif


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


def test_a_film_that_would_be_too_large_is_made_of_smaller_pictures(shown, monkeypatch):
    whole = frames(shown, "z")
    limit = 0.7 * len(gif(whole))
    monkeypatch.setattr(animation, "LARGEST", limit)
    smaller = frames(shown, "z")
    assert len(gif(smaller)) < limit and sum(len(frame_png(one)) for one in smaller) < limit
    assert len(smaller) == len(whole) and smaller[0].size[0] < whole[0].size[0]
