"""The grid of codes is laid out as it is stored: row by row."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from fieldcast.figures.latent_grid import latent_grid
from fieldcast.figures.pictures import of_kind
from fieldcast.scores.examples.sample import with_pictures


def test_pictures_run_along_rows_from_the_top(sampled):
    stored = sampled()["examples"]["vae"]
    figure = latent_grid(stored, "image", "vae")
    meshes = [one for one in figure.axes[0].collections if isinstance(one, QuadMesh)]
    places = np.array([mesh.get_coordinates().mean((0, 1)) for mesh in meshes])
    order = np.lexsort([places[:, 0], -places[:, 1].round(3)])
    shown = np.array([meshes[one].get_array() for one in order])
    np.testing.assert_array_equal(shown, of_kind(stored, "image", "grid"))
    assert said(figure) == "vae, z_0 to the right, z_1 upwards"  # stored before components were chosen


@pytest.mark.parametrize(
    ("components", "words"),
    [([3, 17], "vae, z_3 to the right, z_17 upwards"), ([0], "vae, z_0 to the right")],
)
def test_the_components_are_named(sampled, components, words):
    stored = sampled()["examples"]["vae"].assign_attrs(grid_components=components)
    assert said(latent_grid(stored, "image", "vae")) == words


def test_the_components_stay_with_the_grid_beside_samples(sampled):
    stored = sampled()["examples"]["vae"]
    made = stored["kind"].isin(["grid", "truth", "reconstruction"]).to_numpy()
    pictures = stored.isel(picture=made).assign_attrs(grid_components=[3, 17])
    assert with_pictures(stored.isel(picture=~made), pictures).attrs == {
        **stored.attrs,
        "grid_components": [3, 17],
    }


def said(figure: Figure) -> str:
    (heading,) = [text.get_text() for text in figure.axes[0].texts if "z_" in text.get_text()]
    return heading
