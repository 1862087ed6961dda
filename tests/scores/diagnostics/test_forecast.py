from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest


def test_ranks_of_a_calibrated_ensemble_are_flat(season: Callable) -> None:
    _, diagnostics = season().score()
    assert diagnostics.rank_histogram.sizes == {"lead": 3, "variable": 2, "rank": 11}
    np.testing.assert_allclose(diagnostics.rank_histogram.sum("rank"), 1)
    np.testing.assert_allclose(diagnostics.rank_histogram, 1 / 11, atol=0.012)
    inside = (diagnostics.rank_low <= 1 / 11) & (diagnostics.rank_high >= 1 / 11)
    assert 0.8 <= float(inside.mean()) <= 1


def test_the_mean_has_less_power_than_its_members_and_the_members_as_much_as_the_truth(
    season: Callable,
) -> None:
    """White noise: members have variance (truth) 1 + 2 · 0.25 lead; their mean all but 0.9 of a member's own."""
    _, diagnostics = season(starts=60).score()
    power = diagnostics.isel(wavenumber=slice(1, None)).sum("wavenumber")
    spread = 0.25 * diagnostics["lead"].to_numpy()[:, None] / 24
    np.testing.assert_allclose(
        power.spectrum_members / power.spectrum_truth, (1 + 2 * spread) * np.ones((3, 2)), rtol=0.06
    )
    np.testing.assert_allclose(
        power.spectrum_mean / power.spectrum_truth, (1 + 1.1 * spread) * np.ones((3, 2)), rtol=0.06
    )


def test_all_starts_blown_up_leaves_nothing_and_stops_nothing(season: Callable) -> None:
    evaluation = season(starts=4)
    _, diagnostics = evaluation._replace(forecasts=evaluation.forecasts * np.nan).score()
    assert diagnostics.rank_histogram.isnull().all()
    assert diagnostics.spectrum_members.isnull().all()
    assert diagnostics.spectrum_truth.isnull().all()


@pytest.mark.parametrize("holes_in", ["first", "last"])
def test_spectra_are_of_the_rows_that_all_variables_have_whole(season: Callable, holes_in: str) -> None:
    """Whichever comes last: the wavelengths are those of the rows that were averaged over."""
    evaluation = season(starts=4)
    name = "z" if holes_in == "first" else "t"
    whole = np.abs(evaluation.truth.latitude) < 50
    sea = evaluation.truth.assign({name: evaluation.truth[name].where(whole)})
    _, diagnostics = evaluation._replace(
        truth=sea, forecasts=evaluation.forecasts.assign({name: evaluation.forecasts[name].where(whole)})
    ).score()
    _, everywhere = evaluation.score()
    assert diagnostics.attrs["latitudes"] != everywhere.attrs["latitudes"]
    assert (diagnostics.wavelength_km[1:] > everywhere.wavelength_km[1:]).all()  # rows nearer to the equator
    assert diagnostics.spectrum_truth.notnull().all()
