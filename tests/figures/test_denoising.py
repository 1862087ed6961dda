"""Snapshots: a row a draw, time falling to the right."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import QuadMesh

from fieldcast.figures.denoising import denoising


def test_each_place_shows_its_draw_at_its_time(sampled):
    stored = sampled(images=False)["examples"]["ddpm"]
    figure = denoising(stored, "z", "ddpm")
    kind, number, t = (stored[name].to_numpy() for name in ("kind", "number", "chain_time"))
    real = stored["z"].to_numpy()[kind == "real"].astype(float)
    meshes = [one for one in figure.axes[0].collections if isinstance(one, QuadMesh)]
    assert len(meshes) == 24
    for place, mesh in enumerate(meshes):
        draw, column = divmod(place, 6)
        chosen = (kind == "snapshot") & (number == draw) & (t == [200, 100, 50, 20, 10, 0][column])
        expected = stored["z"].to_numpy()[chosen][0] - real.mean(0)
        np.testing.assert_allclose(mesh.get_array(), expected, atol=1e-9)
    titles = [one.get_text() for one in figure.axes[0].texts]
    assert {"t = 200", "t = 0", "draw 1", "draw 4"} <= set(titles)
