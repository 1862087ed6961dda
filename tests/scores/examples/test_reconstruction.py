"""Examples against numpy on the whole ensemble."""

from __future__ import annotations

import numpy as np
import pytest

from fieldcast.scores.examples import example_cases, example_times, examples


@pytest.mark.parametrize("lazy", [False, True])
def test_examples_are_the_ensembles_mean_first_member_and_spread(scene, lazy):
    evaluation = scene(members=5, times=8)
    ensemble = evaluation.reconstructions.chunk({"time": 2}) if lazy else evaluation.reconstructions
    stored = examples(ensemble, evaluation.observations, evaluation.truth, fractions=(0.3,))
    assert stored.sizes["case"] == 1
    assert stored["k"].item() == pytest.approx(0.3)
    whole = evaluation.reconstructions["t"].isel(case=1).sel(time=stored.time)
    kinds = stored["t"].isel(case=0)
    np.testing.assert_allclose(kinds.sel(kind="mean"), whole.mean("member"), rtol=1e-6)
    np.testing.assert_array_equal(kinds.sel(kind="member"), whole.isel(member=0))
    np.testing.assert_allclose(kinds.sel(kind="spread"), whole.astype(float).std("member", ddof=1), rtol=1e-5)
    np.testing.assert_array_equal(kinds.sel(kind="truth"), evaluation.truth["t"].sel(time=stored.time))
    np.testing.assert_array_equal(
        kinds.sel(kind="observed"), evaluation.observations["t"].isel(case=1).sel(time=stored.time)
    )
    assert stored["t"].attrs["units"] == "K"
    assert stored["t"].dtype == "float32"
    assert stored.attrs["members"] == 5


def test_one_member_has_no_spread(scene):
    evaluation = scene(members=1, times=4)
    stored = examples(evaluation.reconstructions, evaluation.observations, evaluation.truth)
    assert np.isnan(stored["z"].sel(kind="spread")).all()
    np.testing.assert_array_equal(stored["z"].sel(kind="mean"), stored["z"].sel(kind="member"))


def test_members_of_an_angle_are_on_the_side_of_the_truth(scene):
    """The differences are those of the numbers without a jump, from which the angles are made."""
    evaluation = scene(members=4, times=4)
    linear = [x[["t"]] for x in (evaluation.reconstructions, evaluation.observations, evaluation.truth)]
    centre, scale = float(linear[2]["t"].mean()), float(linear[2]["t"].std())
    linear = [x.assign(t=(x["t"] - centre) / scale * 3) for x in linear]
    angles = [x.assign(wdir=(x["t"] % 360).assign_attrs(units="degree")).drop_vars("t") for x in linear]
    plain, stored = examples(*linear)["t"], examples(*angles)["wdir"]
    kinds = ["mean", "member"]
    error, expected = (x.sel(kind=kinds) - x.sel(kind="truth") for x in (stored, plain))
    np.testing.assert_allclose(error, expected, atol=1e-3)
    np.testing.assert_allclose(stored.sel(kind="spread"), plain.sel(kind="spread"), atol=1e-3)


def test_cases_are_random_near_the_fractions_and_one_of_every_other_pattern():
    patterns = np.array(["random"] * 6 + ["blocks", "blocks", "swaths"])
    k = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.3, 0.09, 0.1])
    assert example_cases(patterns, k, (0.05, 0.1, 0.2)) == [2, 3, 4, 7, 8]
    assert example_cases(patterns[:2], k[:2], (0.05, 0.1, 0.2)) == [1]


def test_times_lie_evenly_inside():
    assert example_times(64, 2) == [16, 48]
    assert example_times(1, 2) == [0]
