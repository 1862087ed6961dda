"""Density of the prior below draws from posteriors, in the components that matter."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import PathCollection, QuadMesh

from fieldcast.figures.prior import can_be_shown, priors
from fieldcast.scores.latent_codes import most_active


def parts(axes) -> tuple[QuadMesh, np.ndarray]:
    (mesh,) = [item for item in axes.collections if isinstance(item, QuadMesh)]
    points = [item.get_offsets() for item in axes.collections if isinstance(item, PathCollection)]
    return mesh, np.concatenate(points)


def by_label(stored) -> np.ndarray:
    """Posterior draws in the order in which they are drawn, label by label."""
    return stored["drawn"].isel(datum=np.argsort(stored["label"].to_numpy(), kind="stable")).to_numpy()


def test_density_of_two_components_is_the_stored_one(sampled):
    stored = sampled()["latents"]["vae"]
    flipped = stored.assign(log_density=stored["log_density"].transpose("u", "v") + stored["u"])
    mesh, points = parts(priors({"vae": flipped}).axes[0])
    expected = np.exp(flipped["log_density"].transpose("v", "u").to_numpy())
    np.testing.assert_allclose(mesh.get_array(), expected / expected.max())
    np.testing.assert_array_equal(points, by_label(stored))


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
    np.testing.assert_allclose(shares, np.array(counts) / np.max(counts))


def test_dots_have_the_colour_of_their_label_and_both_axes_one_scale(sampled):
    stored = sampled()["latents"]["vae"]
    stored["drawn"] = stored["drawn"] * np.array([10.0, 1.0])
    axes = priors({"vae": stored}).axes[0]
    dots = [item for item in axes.collections if isinstance(item, PathCollection)]
    colours = {tuple(item.get_facecolor()[0][:3]) for item in dots}
    assert len(dots) == len(colours) == 4
    assert axes.get_aspect() == 1
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert np.isclose(right - left, high - low)
    drawn = stored["drawn"].to_numpy()
    assert np.ptp(drawn[:, 0]) < right - left < 1.3 * np.ptp(drawn[:, 0])
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
