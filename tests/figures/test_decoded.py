"""Reconstructions stand below the data that they are of."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import QuadMesh

from fieldcast.figures.decoded import decoded_pictures
from fieldcast.figures.pictures import of_kind


def test_rows_are_data_reconstructions_and_samples(sampled):
    stored = {name: sampled()["examples"][name] for name in ("vae_kl0", "vae")}
    figure = decoded_pictures(stored, "image", {"vae_kl0": "KL weight 0", "vae": "KL weight 1"})
    meshes = [one for one in figure.axes[0].collections if isinstance(one, QuadMesh)]
    expected = [of_kind(stored["vae"], "image", "truth")]
    for found in stored.values():
        expected += [of_kind(found, "image", "reconstruction"), of_kind(found, "image", "sample")[:10]]
    assert len(meshes) == 50
    for number, mesh in enumerate(meshes):
        row, column = divmod(number, 10)
        np.testing.assert_array_equal(mesh.get_array(), expected[row][column])
        assert mesh.get_coordinates()[0, 0, 0] == meshes[column].get_coordinates()[0, 0, 0]
    texts = [one.get_text() for one in figure.axes[0].texts]
    assert {"test data", "KL weight 0\nreconstruction", "KL weight 1\nreconstruction", "samples"} <= set(
        texts
    )
