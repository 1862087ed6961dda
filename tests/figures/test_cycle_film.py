"""The film of a cycle: the truth, observations and analyses of each step in their places, in common colours."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import QuadMesh

from fieldcast.figures.forecast_maps import cycle_film
from fieldcast.scores.examples import examples

STEPS = [1, 2, 4]


def test_columns_are_steps_and_rows_truth_observations_and_analyses(scene):
    many = scene(members=3, times=3)
    film = examples(many.reconstructions, many.observations, many.truth, (0.3,), len(STEPS))
    film = film.assign_coords(step=("time", STEPS))
    other = film.copy(deep=True)
    other["z"][:] += 1
    figure = cycle_film({"kriging": film, "other": other}, "z")
    meshes = [single for single in figure.axes[0].collections if isinstance(single, QuadMesh)]
    displayed = [np.ma.filled(mesh.get_array(), np.nan) for mesh in meshes]
    for step in range(len(STEPS)):
        case = film["z"].isel(case=0, time=step)
        expected = [case.sel(kind="truth"), case.sel(kind="observed"), case.sel(kind="mean")]
        for values, mesh in zip(expected, displayed[4 * step :], strict=False):
            np.testing.assert_allclose(mesh, values, rtol=1e-6)
        np.testing.assert_allclose(displayed[4 * step + 3], case.sel(kind="mean") + 1, rtol=1e-6)
    assert len(meshes) == 12 and len({id(mesh.norm) for mesh in meshes}) == 1
    places = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert places["step 1"][0] < places["step 2"][0] < places["step 4"][0]
    assert places["truth"][1] > places["observed"][1] > places["kriging"][1] > places["other"][1]
    assert any(text.startswith("z") and text.endswith("; 30 % observed at each step") for text in places)
