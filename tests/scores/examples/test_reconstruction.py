"""Examples against numpy on the whole ensemble."""

from __future__ import annotations

import numpy as np
import pytest

from fieldcast.scores.examples.reconstruction import example_cases, example_times, examples


@pytest.mark.parametrize("lazy", [False, True])
def test_examples_are_the_ensembles_mean_first_member_and_spread(scene, lazy):
    all_of_it = scene(members=5, times=8)
    ensemble = all_of_it.reconstructions.chunk({"time": 2}) if lazy else all_of_it.reconstructions
    found = examples(ensemble, all_of_it.observations, all_of_it.truth, fractions=(0.3,))
    assert found.sizes["case"] == 1
    assert found["k"].item() == pytest.approx(0.3)
    whole = all_of_it.reconstructions["t"].isel(case=1).sel(time=found.time)
    kinds = found["t"].isel(case=0)
    np.testing.assert_allclose(kinds.sel(kind="mean"), whole.mean("member"), rtol=1e-6)
    np.testing.assert_array_equal(kinds.sel(kind="member"), whole.isel(member=0))
    np.testing.assert_allclose(kinds.sel(kind="spread"), whole.astype(float).std("member", ddof=1), rtol=1e-5)
    np.testing.assert_array_equal(kinds.sel(kind="truth"), all_of_it.truth["t"].sel(time=found.time))
    np.testing.assert_array_equal(
        kinds.sel(kind="observed"), all_of_it.observations["t"].isel(case=1).sel(time=found.time)
    )
    assert found["t"].attrs["units"] == "K"
    assert found["t"].dtype == "float32"
    assert found.attrs["members"] == 5


def test_one_member_has_no_spread(scene):
    all_of_it = scene(members=1, times=4)
    found = examples(all_of_it.reconstructions, all_of_it.observations, all_of_it.truth)
    assert np.isnan(found["z"].sel(kind="spread")).all()
    np.testing.assert_array_equal(found["z"].sel(kind="mean"), found["z"].sel(kind="member"))


def test_cases_are_random_near_the_fractions_and_one_of_every_other_pattern():
    patterns = np.array(["random"] * 6 + ["blocks", "blocks", "swaths"])
    k = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.3, 0.09, 0.1])
    assert example_cases(patterns, k, (0.05, 0.1, 0.2)) == [2, 3, 4, 7, 8]
    assert example_cases(patterns[:2], k[:2], (0.05, 0.1, 0.2)) == [1]


def test_times_lie_evenly_inside():
    assert example_times(64, 2) == [16, 48]
    assert example_times(1, 2) == [0]
