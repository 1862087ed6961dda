"""Pictures of masks show the observed cells."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import QuadMesh

from fieldcast.figures.masks import mask_pictures


def test_each_case_shows_the_cells_of_its_first_mask(scene):
    observations = scene(times=3, levels=(0.1, 0.3, 0.5)).observations
    observations["pattern"] = ("case", ["random", "swaths", "random"])
    figure = mask_pictures(observations)
    meshes = [one for one in figure.axes[0].collections if isinstance(one, QuadMesh)]
    for mesh, case in zip(meshes, (0, 1, 2), strict=True):
        seen = np.isfinite(observations["z"].isel(case=case, time=0).to_numpy())
        np.testing.assert_array_equal(~np.ma.getmaskarray(mesh.get_array()), seen)
        assert f"({seen.sum()} cells)" in figure.axes[0].texts[case].get_text()
