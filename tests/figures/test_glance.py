"""The picture of the first screen shows what was given, what came of it, and the truth."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import QuadMesh

from fieldcast import calendars
from fieldcast.figures.pictures import forecast_glance, pictures_of_kind, reconstruction_glance, sample_glance
from fieldcast.scores.examples import examples

LINES = [np.array([[0.0, 0.0], [9.0, 9.0]]), np.array([[0.0, 0.0], [9.0, 9.0], [9.0, 0.0]])]


def maps(figure) -> list[np.ndarray]:
    return [
        np.ma.filled(item.get_array(), np.nan)
        for item in figure.axes[0].collections
        if isinstance(item, QuadMesh)
    ]


def texts(figure) -> set[str]:
    return {text.get_text() for text in figure.axes[0].texts}


def test_a_reconstruction_stands_between_what_was_observed_and_the_truth(scene):
    world = scene(members=3, times=4)
    stored = examples(world.reconstructions, world.observations, world.truth)
    figure = reconstruction_glance(stored, "z", ("random", 0.3), "kriging", LINES)
    case = stored["z"].isel(case=1, time=0)
    for values, kind in zip(maps(figure), ("observed", "mean", "truth"), strict=True):
        np.testing.assert_allclose(values, case.sel(kind=kind), rtol=1e-6)
    assert {"given: 30 % of the cells", "estimate: kriging", "truth"} <= texts(figure)
    assert any(text.endswith(calendars.date(stored["time"])[:10]) for text in texts(figure))


def test_a_forecast_stands_between_the_initial_state_and_what_happened(displayed):
    figure = forecast_glance(displayed["mine"], "z", 24.0, "mine")
    field = displayed["mine"]["z"]
    expected = [
        field.sel(kind="truth", lead=0.0),
        field.sel(kind="mean", lead=24.0),
        field.sel(kind="truth", lead=24.0),
    ]
    for values, target in zip(maps(figure), expected, strict=True):
        np.testing.assert_allclose(values, target, rtol=1e-6)
    assert {"given: the initial state", "1 day ahead: mine", "1 day ahead: truth"} <= texts(figure)
    assert any(text.endswith(displayed["mine"].attrs["start"][:10]) for text in texts(figure))
    broken = forecast_glance(displayed["broken"], "z", 72.0, "broken")
    assert "blew up" in texts(broken) and len(maps(broken)) == 2


def test_samples_are_shown_beside_a_real_state(sampled):
    stored = sampled()["examples"]["vae"]
    figure = sample_glance(stored, "image", "vae")
    drawn = maps(figure)
    half = len(drawn) // 2
    np.testing.assert_array_equal(drawn[:half], pictures_of_kind(stored, "image", "real")[:half])
    np.testing.assert_array_equal(drawn[half:], pictures_of_kind(stored, "image", "sample")[:half])
    assert {"real", "drawn: vae"} <= texts(figure)
