"""The grid of codes is laid out as it is stored: row by row."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import QuadMesh

from fieldcast.verification.plots.latent_grid import latent_grid
from fieldcast.verification.plots.pictures import of_kind


def test_pictures_run_along_rows_from_the_top(sampled):
    stored = sampled()["examples"]["vae"]
    figure = latent_grid(stored, "image", "vae")
    meshes = [one for one in figure.axes[0].collections if isinstance(one, QuadMesh)]
    places = np.array([mesh.get_coordinates().mean((0, 1)) for mesh in meshes])
    order = np.lexsort([places[:, 0], -places[:, 1].round(3)])
    shown = np.array([meshes[one].get_array() for one in order])
    np.testing.assert_array_equal(shown, of_kind(stored, "image", "grid"))
    assert any("z_0 to the right, z_1 upwards" in text.get_text() for text in figure.axes[0].texts)
