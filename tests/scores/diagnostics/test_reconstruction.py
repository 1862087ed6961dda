from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr


def test_calibrated_ranks_are_flat_within_their_intervals(scene: Callable) -> None:
    _, diagnostics = scene().score()
    assert diagnostics.rank_histogram.sizes == {"case": 2, "variable": 2, "rank": 20}
    np.testing.assert_allclose(diagnostics.rank_histogram.sum("rank"), 1)
    np.testing.assert_allclose(diagnostics.rank_histogram, 0.05, atol=0.015)
    inside = (diagnostics.rank_low <= 0.05) & (diagnostics.rank_high >= 0.05)
    assert 0.85 <= float(inside.mean()) < 1


def test_too_little_spread_makes_a_u_shaped_histogram(scene: Callable) -> None:
    evaluation = scene()
    mean = evaluation.reconstructions.mean("member")
    narrow = (mean + 0.3 * (evaluation.reconstructions - mean)).transpose("case", "time", "member", ...)
    _, diagnostics = evaluation._replace(reconstructions=narrow).score()
    assert (diagnostics.rank_low.isel(rank=[0, -1]) > 0.1).all()
    assert (diagnostics.rank_high.isel(rank=slice(5, 15)) < 0.05).all()


def test_histogram_and_coverage_are_two_views_of_one_thing(scene: Callable) -> None:
    scores, diagnostics = scene(times=9).score()
    selected = scores[(scores["cells"] == "unobserved") & (scores["variable"] == "z")]
    for name, ranks in (("coverage50", slice(5, 15)), ("coverage90", slice(1, 19))):
        means = selected[selected["statistic"] == name].groupby("k")["value"].mean()
        histogram = diagnostics.rank_histogram.sel(variable="z").isel(rank=ranks).sum("rank")
        np.testing.assert_allclose(means, histogram)
    assert diagnostics.attrs["coverage90_interval"] == "1..19 of 19, exactly 0.9"


def test_members_have_the_spectrum_of_the_truth_and_their_mean_has_not(scene: Callable) -> None:
    evaluation = scene(times=60)
    _, diagnostics = evaluation.score()
    power = diagnostics.isel(wavenumber=slice(1, None)).sum("wavenumber")
    # diagnostics of the first case: elsewhere the centre is the truth less a draw, which has more variance
    ratio = (power.spectrum_members / power.spectrum_truth).isel(case=0)
    np.testing.assert_allclose(ratio, 1, atol=0.1)
    # white noise: the error of the mean of 19 has variance 0.25 (1 + 1/19), the truth 1.25
    ratio = power.spectrum_error / power.spectrum_truth
    np.testing.assert_allclose(ratio, 0.25 * (1 + 1 / 19) / 1.25, atol=0.025)
    np.testing.assert_allclose(diagnostics.effective_resolution, diagnostics.wavelength_km[-1])
    _, mean = evaluation._replace(reconstructions=evaluation.reconstructions.isel(member=slice(1))).score()
    assert (mean.spectrum_error > diagnostics.spectrum_error).isel(wavenumber=slice(1, None)).all()


def test_rows_with_missing_cells_have_no_spectrum(scene: Callable) -> None:
    evaluation = scene(times=9, shape=(18, 16))
    sea = evaluation.truth.z.isel(time=0, drop=True) > -np.inf
    sea[4, 3] = False  # one cell of a row at 45 degrees south
    _, diagnostics = evaluation._replace(
        truth=evaluation.truth.where(sea), observations=evaluation.observations.where(sea)
    ).score()
    assert diagnostics.attrs["latitudes"] == "5 rows at 35 to 55 degrees from the equator"
    assert np.isfinite(diagnostics.spectrum_members).all()
    _, nothing = evaluation._replace(truth=evaluation.truth.where(evaluation.truth.longitude > 0)).score()
    assert nothing.attrs["latitudes"].startswith("none")
    assert nothing.spectrum_members.isnull().all()
    assert nothing.rank_histogram.notnull().all()


def test_times_that_blew_up_are_left_out_of_ranks_and_spectra(scene: Callable) -> None:
    evaluation = scene(times=40)
    spoiled = evaluation.reconstructions.copy(deep=True)
    spoiled["z"][0, 5, 3, 2, 2] = np.nan
    spoiled["z"][0, 7, 0] = np.inf
    spoiled["z"][0, 9, 1] = 1e20  # as the table of statistics counts it
    _, diagnostics = evaluation._replace(reconstructions=spoiled).score()
    selected = diagnostics.isel(case=0).sel(variable="z")
    np.testing.assert_allclose(selected.rank_histogram.sum("rank"), 1)
    np.testing.assert_allclose(selected.rank_histogram, 0.05, atol=0.02)
    kept = [time for time in range(40) if time not in (5, 7, 9)]
    parts = (
        evaluation.reconstructions.isel(time=kept),
        evaluation.observations.isel(time=kept),
        evaluation.truth.isel(time=kept),
    )
    _, fewer = evaluation._replace(reconstructions=parts[0], observations=parts[1], truth=parts[2]).score()
    expected = fewer.isel(case=0).sel(variable="z")
    np.testing.assert_allclose(selected.spectrum_members, expected.spectrum_members, rtol=1e-5)
    np.testing.assert_allclose(selected.spectrum_error, expected.spectrum_error, rtol=1e-5)


@pytest.mark.parametrize("wraps", [0, 1])
def test_regions_are_marked_as_regions(scene: Callable, wraps: int) -> None:
    evaluation = scene(times=9)
    _, diagnostics = evaluation._replace(truth=evaluation.truth.assign_attrs(wraps=wraps)).score()
    assert diagnostics.attrs["spectrum"].startswith("global" if wraps else "regional")


def test_the_climatology_resolves_no_wave_however_much_it_varies_itself(scene: Callable) -> None:
    evaluation = scene(times=9)
    standing = 1000 * np.cos(2 * np.deg2rad(evaluation.truth["longitude"]))
    climatology = evaluation.climatology + standing
    estimate = xr.zeros_like(evaluation.reconstructions) + climatology.isel(dayofyear=0)
    _, diagnostics = evaluation._replace(
        truth=(evaluation.truth + standing).assign_attrs(evaluation.truth.attrs),
        observations=(evaluation.observations + standing).assign_attrs(evaluation.observations.attrs),
        climatology=climatology,
        reconstructions=estimate.transpose(*evaluation.reconstructions["z"].dims),
    ).score()
    assert np.isnan(diagnostics.effective_resolution).all()
    power = diagnostics.sel(wavenumber=2)
    assert (power.spectrum_truth > 100 * power.spectrum_anomaly).all()
