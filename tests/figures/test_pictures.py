"""Rows of pictures show their values, in a scale that real data choose."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from fieldcast.figures.pictures import Gallery, departure_colours, has_kinds, pictures_of_kind, reference


def meshes(figure) -> list[QuadMesh]:
    return [item for item in figure.axes[0].collections if isinstance(item, QuadMesh)]


def test_kinds_come_in_the_order_of_their_numbers(sampled):
    stored = sampled()["examples"]["vae"]
    shuffled = stored.isel(picture=np.random.default_rng(0).permutation(stored.sizes["picture"]))
    np.testing.assert_array_equal(
        pictures_of_kind(shuffled, "image", "grid"), pictures_of_kind(stored, "image", "grid")
    )
    assert pictures_of_kind(stored, "image", "snapshot").shape == (0, 6, 6)
    assert has_kinds(stored, "grid", "truth")
    assert not has_kinds(stored, "grid", "snapshot")
    np.testing.assert_array_equal(reference(stored, "image"), pictures_of_kind(stored, "image", "real"))
    codes = stored.isel(picture=np.flatnonzero(stored["kind"].to_numpy() == "grid"))
    np.testing.assert_array_equal(reference(codes, "image"), codes["image"])


def test_images_are_grey_from_0_to_the_last_level_with_their_first_row_on_top(sampled):
    stored = sampled()["examples"]["vae"]
    real = pictures_of_kind(stored, "image", "real")
    gallery = Gallery(stored, "image", real, 3, 1)
    picture = np.zeros((6, 6))
    picture[0] = 9.0
    gallery.line(0, "a_name", [picture, np.full((6, 6), np.nan)])
    figure = gallery.finish()
    (mesh,) = meshes(figure)
    corners = mesh.get_coordinates()
    top = corners[..., 1].max(axis=1)[:-1].argmax()
    np.testing.assert_array_equal(mesh.get_array()[top], 9.0)
    assert mesh.get_array().sum() == 54.0
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0.0, 9.0)
    texts = [item.get_text() for item in figure.axes[0].texts]
    assert "a_name" in texts
    assert "not finite" in texts


def test_fields_are_departures_from_the_mean_of_real_ones(sampled):
    stored = sampled(images=False)["examples"]["vae"]
    real = pictures_of_kind(stored, "t850", "real")
    real[:, 0, 0] = np.nan  # a cell that never exists
    gallery = Gallery(stored, "t850", real, 3, 1)
    gallery.line(0, "real", real[:3])
    figure = gallery.finish()
    for mesh, values in zip(meshes(figure), real, strict=False):
        displayed = np.ma.filled(mesh.get_array(), np.nan)
        np.testing.assert_allclose(displayed, values - mean_of(real))
        assert mesh.norm.vmin == -mesh.norm.vmax
    assert any("departure from the mean, K" in item.get_text() for item in figure.axes[0].texts)
    assert departure_colours(np.full((1, 2, 2), np.nan)).get_clim() == (-1.0, 1.0)


@pytest.mark.parametrize(("factor", "arrows"), [(0.1, "neither"), (9.0, "both")])
def test_the_bar_has_arrows_where_pictures_exceed_its_colours(sampled, factor, arrows):
    stored = sampled(images=False)["examples"]["vae"]
    real = pictures_of_kind(stored, "t850", "real")
    gallery = Gallery(stored, "t850", real, 1, 1)
    gallery.line(0, "blown up", [mean_of(real) + factor * (real[0] - mean_of(real))])
    assert gallery.finish().axes[-1]._colorbar.extend == arrows


def mean_of(real: np.ndarray) -> np.ndarray:
    exists = np.isfinite(real).all(0)
    return np.where(exists, np.where(exists, real, 0.0).mean(0), np.nan)


@pytest.mark.parametrize("images", [True, False])
def test_everything_is_inside_the_figure(sampled, images):
    stored = sampled(images=images)["examples"]["vae"]
    variable = "image" if images else "z"
    gallery = Gallery(stored, variable, reference(stored, variable), 10, 3, heading="words", has_titles=True)
    for row in range(3):
        gallery.line(
            row, "variational_autodecoder_uniform", pictures_of_kind(stored, variable, "real")[:10], "below"
        )
    figure = gallery.finish()
    figure.draw_without_rendering()
    frame = figure.bbox.padded(1.0)
    for item in figure.axes[0].texts:
        box = item.get_window_extent()
        assert frame.x0 <= box.x0 <= box.x1 <= frame.x1, item.get_text()
        assert frame.y0 <= box.y0 <= box.y1 <= frame.y1, item.get_text()
