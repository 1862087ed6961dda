"""Density of the prior below draws from posteriors, in the components that matter."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import PathCollection, QuadMesh

from fieldcast.figures.embedding import prior_can_be_shown as can_be_shown
from fieldcast.figures.embedding import priors
from fieldcast.scores.distances import most_active


def parts(axes) -> tuple[QuadMesh, np.ndarray]:
    (mesh,) = [item for item in axes.collections if isinstance(item, QuadMesh)]
    points = [item.get_offsets() for item in axes.collections if isinstance(item, PathCollection)]
    return mesh, np.concatenate(points)


def by_label(stored) -> np.ndarray:
    """Posterior draws in the order in which they are drawn, label by label."""
    return stored["drawn"].isel(datum=np.argsort(stored["label"].to_numpy(), kind="stable")).to_numpy()


def normal_prior(stored):
    """The codes with a standard normal prior of two components, on a grid of 101 x 101 points to 4."""
    u = np.linspace(-4, 4, 101)
    log_density = -(u[:, None] ** 2 + u**2) / 2 - np.log(2 * np.pi)
    return (
        stored.drop_vars(["log_density", "u", "v"])
        .assign(log_density=(("v", "u"), log_density))
        .assign_coords(u=u, v=u)
    )


def test_shades_of_two_components_are_the_mass_beyond_their_contour(sampled):
    """A share exp(-r^2 / 2) of a standard normal prior is farther out than r; the axis order does not matter."""
    stored = normal_prior(sampled()["latents"]["vae"])
    for each in (stored, stored.assign(log_density=stored["log_density"].transpose("u", "v"))):
        mesh, points = parts(priors({"vae": each}).axes[0])
        u = each["u"].to_numpy()
        np.testing.assert_allclose(mesh.get_array(), np.exp(-(u[:, None] ** 2 + u**2) / 2), atol=0.012)
        np.testing.assert_array_equal(points, by_label(each))


def test_the_axes_show_the_codes_and_a_note_how_much_of_the_prior_is_beyond(sampled):
    stored = normal_prior(sampled()["latents"]["vae"])
    stored["prior"][:] = 0.0
    stored["prior"][: len(stored["prior"]) // 4] = 40.0
    axes = priors({"vae": stored}).axes[0]
    drawn = stored["drawn"].to_numpy()
    assert np.ptp(axes.get_xlim()) < 2 * np.ptp(drawn, axis=0).max()
    assert "25 % of the prior is beyond" in [item.get_text() for item in axes.texts]
    stored["drawn"][0] = [0.0, -300.0]
    axes = priors({"vae": stored}).axes[0]
    edge = axes.collections[-1].get_offsets()
    np.testing.assert_allclose(edge, [[0.0, axes.get_ylim()[0]]])
    assert np.ptp(axes.get_ylim()) < 2 * np.ptp(drawn, axis=0).max()


def test_the_two_most_active_components_are_plotted(sampled):
    stored = sampled(latent=5)["latents"]["vae"]
    stored["mean"] = stored["mean"] * np.array([1e-3, 4.0, 1e-3, 1e-3, 1.0])
    assert most_active(stored) == (1, 4)
    axes = priors({"vae": stored}).axes[0]
    mesh, points = parts(axes)
    np.testing.assert_array_equal(points, by_label(stored)[:, [1, 4]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z_1", "z_4")
    # a bin holds the draws between its borders: across z_1, upwards z_4
    corners, shares = mesh.get_coordinates(), mesh.get_array()
    x, y = corners[0, :, 0], corners[:, 0, 1]
    first, second = stored["prior"].isel(latent=[1, 4]).to_numpy().T
    counts = [
        [
            ((first >= x[c]) & (first < x[c + 1]) & (second >= y[r]) & (second < y[r + 1])).sum()
            for c in range(len(x) - 1)
        ]
        for r in range(len(y) - 1)
    ]
    mass = np.array(counts) / len(first)
    expected = [1 - mass[mass > each].sum() if each else 0 for each in mass.ravel()]
    ties = [mass[mass == each].sum() for each in mass.ravel()]
    assert ((shares.ravel() <= expected) & (shares.ravel() >= np.subtract(expected, ties) - 1e-9)).all()


def test_dots_have_the_colour_of_their_label_and_both_axes_one_scale(sampled):
    stored = sampled()["latents"]["vae"]
    stored["drawn"] = stored["drawn"] * np.array([10.0, 1.0])
    axes = priors({"vae": stored}).axes[0]
    dots = [item for item in axes.collections if isinstance(item, PathCollection)]
    colours = {tuple(item.get_facecolor()[0][:3]) for item in dots}
    assert len(dots) == len(colours) == 4
    assert [item.get_text() for item in axes.get_figure().legends[0].get_texts()] == ["0", "1", "2", "3"]
    assert axes.get_aspect() == 1
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert np.isclose(right - left, high - low)
    drawn = stored["drawn"].to_numpy()
    assert np.ptp(drawn[:, 0]) < right - left < 1.5 * np.ptp(drawn[:, 0])
    (plain,) = [
        item
        for item in priors({"vae": stored.drop_vars("label")}).axes[0].collections
        if isinstance(item, PathCollection)
    ]
    np.testing.assert_array_equal(plain.get_offsets(), drawn)


def test_without_a_prior_nothing_is_shown(sampled):
    stored = sampled()["latents"]["vae"]
    assert can_be_shown(stored)
    assert not can_be_shown(stored.drop_vars("prior"))
    assert not can_be_shown(stored.isel(latent=[0]))
