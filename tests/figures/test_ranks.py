"""Rank histograms: bars and whiskers against the diagnostics."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.patches import StepPatch

from fieldcast.figures.calibration import bins, lead_bins, lead_rank_histograms, rank_histograms


def diagnostics(members: int, seed: int) -> xr.Dataset:
    values = np.random.default_rng(seed).dirichlet(np.ones(members + 1), (2, 2))
    names = ("case", "variable", "rank")
    return xr.Dataset(
        {
            "rank_histogram": (names, values),
            "rank_low": (names, 0.9 * values),
            "rank_high": (names, 1.2 * values),
        },
        {"pattern": ("case", ["random", "random"]), "k": ("case", [0.05, 0.1]), "variable": ["t", "z"]},
    )


def test_bars_are_frequencies_relative_to_flat():
    result = {"kriging": diagnostics(4, 0), "linear": diagnostics(1, 1)}
    figure = rank_histograms(result, [0.05, 0.1])
    assert len(figure.axes) == 2  # one member has no histogram
    for axes, case in zip(figure.axes, (0, 1), strict=True):
        (steps,) = [item for item in axes.patches if isinstance(item, StepPatch)]
        expected = 5 * result["kriging"]["rank_histogram"].isel(case=case).mean("variable")
        np.testing.assert_allclose(steps.get_data().values, expected)
        assert steps.get_data().baseline == 1.0
        whiskers = np.array(axes.collections[0].get_segments())
        np.testing.assert_allclose(whiskers[:, 0, 1], 0.9 * expected)
        np.testing.assert_allclose(whiskers[:, 1, 1], 1.2 * expected)


def test_one_variable_and_a_case_that_was_not_scored():
    result = diagnostics(4, 0)
    value, _, _ = bins(result, "random", 0.1, "z")
    np.testing.assert_allclose(value, 5 * result["rank_histogram"].isel(case=1, variable=1))
    assert value.mean() == pytest.approx(1.0)
    assert bins(result, "blocks", 0.1, None) is None


def test_forecasts_have_a_row_a_lead():
    result = (
        diagnostics(4, 0).rename(case="lead").drop_vars(["pattern", "k"]).assign_coords(lead=[24.0, 120.0])
    )
    result["rank_histogram"][1] = np.nan  # every start blew up
    figure = lead_rank_histograms({"vae": result}, [24.0, 120.0])
    first, second = figure.axes
    (steps,) = [item for item in first.patches if isinstance(item, StepPatch)]
    np.testing.assert_allclose(
        steps.get_data().values, 5 * result["rank_histogram"].isel(lead=0).mean("variable")
    )
    assert not second.patches
    assert lead_bins(result, 48.0, None) is None
