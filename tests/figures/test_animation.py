from __future__ import annotations

import io

import numpy as np
from PIL import Image

from fieldcast.figures import forecast_maps
from fieldcast.figures.forecast_maps import frame_png, frames, gif


def test_an_animation_has_one_frame_per_lead_and_repeats(displayed):
    pictures = frames(displayed, "z")
    assert len(pictures) == 4
    assert len({picture.size for picture in pictures}) == 1
    image = Image.open(io.BytesIO(gif(pictures)))
    assert image.n_frames == 4
    assert image.info["loop"] == 0
    colours = np.asarray(pictures[0].convert("RGB")).reshape(-1, 3)
    assert (colours == 255).all(1).mean() > 0.2  # white is white beside the page
    png = Image.open(io.BytesIO(frame_png(pictures[1])))
    assert png.size == pictures[0].size


def test_equal_forecasts_give_equal_animations(displayed):
    assert gif(frames(displayed, "z")) == gif(frames(displayed, "z"))


def test_an_animation_that_would_be_too_large_has_smaller_frames(displayed, monkeypatch):
    whole = frames(displayed, "z")
    limit = 0.7 * len(gif(whole))
    monkeypatch.setattr(forecast_maps, "MAX_BYTES", limit)
    smaller = frames(displayed, "z")
    assert len(gif(smaller)) < limit and sum(len(frame_png(picture)) for picture in smaller) < limit
    assert len(smaller) == len(whole) and smaller[0].size[0] < whole[0].size[0]


def test_lead_0_shows_no_forecast(displayed):
    """The first frame is that of forecasts without values there; the second one is not."""
    blank = {
        name: stored.where((stored["kind"] == "truth") | (stored["lead"] > 0))
        for name, stored in displayed.items()
    }
    begin, later = (
        [frames(stored, "z")[place].tobytes() for stored in (displayed, blank)] for place in (0, 1)
    )
    assert begin[0] == begin[1] and later[0] == later[1]
    later = {
        name: stored.where((stored["kind"] == "truth") | (stored["lead"] == 0))
        for name, stored in displayed.items()
    }
    assert frames(displayed, "z")[1].tobytes() != frames(later, "z")[1].tobytes()
