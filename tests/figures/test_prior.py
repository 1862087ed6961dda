"""Density of the prior below draws from posteriors, in the components that matter."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import PathCollection, QuadMesh

from fieldcast.figures.prior import can_be_shown, priors
from fieldcast.scores.latent_codes import most_active


def parts(axes) -> tuple[QuadMesh, np.ndarray]:
    (mesh,) = [item for item in axes.collections if isinstance(item, QuadMesh)]
    (points,) = [item for item in axes.collections if isinstance(item, PathCollection)]
    return mesh, np.asarray(points.get_offsets())


def test_density_of_two_components_is_the_stored_one(sampled):
    stored = sampled()["latents"]["vae"]
    flipped = stored.assign(log_density=stored["log_density"].transpose("u", "v") + stored["u"])
    mesh, points = parts(priors({"vae": flipped}).axes[0])
    expected = np.exp(flipped["log_density"].transpose("v", "u").to_numpy())
    np.testing.assert_allclose(mesh.get_array(), expected / expected.max())
    np.testing.assert_array_equal(points, stored["drawn"])


def test_of_more_components_the_two_most_active_are_shown(sampled):
    stored = sampled(latent=5)["latents"]["vae"]
    stored["mean"] = stored["mean"] * np.array([1e-3, 4.0, 1e-3, 1e-3, 1.0])
    assert most_active(stored) == (1, 4)
    axes = priors({"vae": stored}).axes[0]
    mesh, points = parts(axes)
    np.testing.assert_array_equal(points, stored["drawn"].isel(latent=[1, 4]))
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


def test_without_a_prior_nothing_is_shown(sampled):
    stored = sampled()["latents"]["vae"]
    assert can_be_shown(stored)
    assert not can_be_shown(stored.drop_vars("prior"))
    assert not can_be_shown(stored.isel(latent=[0]))
