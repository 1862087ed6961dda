"""Power relative to the truth: of members and errors, at lead times, along long rollouts, of samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from fieldcast.figures.spectra import (
    lead_ratio,
    long_rollout_spectra,
    ratio_to_truth,
    relative_spectra,
    sample_spectra,
    spectra_at_leads,
)
from fieldcast.figures.style import png

TRUTH = np.array([5.0, 4.0, 2.0, 1.0, 1e-12])


def diagnostics(members: float, error: float) -> xr.Dataset:
    return xr.Dataset(
        {
            "spectrum_truth": (("variable", "wavenumber"), TRUTH[None]),
            "spectrum_anomaly": (("variable", "wavenumber"), TRUTH[None] / 2),
            "spectrum_members": (("case", "variable", "wavenumber"), members * TRUTH[None, None]),
            "spectrum_error": (("case", "variable", "wavenumber"), error * TRUTH[None, None]),
        },
        {
            "pattern": ("case", ["random"]),
            "k": ("case", [0.1]),
            "variable": ["z"],
            "wavelength_km": ("wavenumber", [np.inf, 8000.0, 4000.0, 2667.0, 2000.0]),
        },
    )


def test_lines_are_ratios_to_the_truth_and_to_its_anomalies():
    figure = relative_spectra({"kriging": diagnostics(0.8, 0.25), "mine": diagnostics(1.1, 0.5)}, 0.1)
    above, below = figure.axes
    for axes, ratios in ((above, (0.8, 1.1)), (below, (0.5, 1.0))):
        for line, ratio in zip(axes.lines, ratios, strict=False):
            np.testing.assert_allclose(line.get_xdata(), [8000.0, 4000.0, 2667.0])
            np.testing.assert_allclose(line.get_ydata(), ratio)
    assert below.xaxis_inverted()


@pytest.mark.parametrize("factor", [np.nan, np.inf, 1e300, 1e30, 0.0])
def test_values_that_cannot_be_drawn_cause_no_warning(factor: float, recwarn: pytest.WarningsRecorder):
    png(relative_spectra({"kriging": diagnostics(factor, factor)}, 0.1))
    png(spectra_at_leads({"kriging": lead_diagnostics(factor, factor)}, [24.0, 120.0]))
    assert not recwarn.list


def test_a_case_that_was_not_scored_has_no_line():
    assert ratio_to_truth(diagnostics(1, 1), "z", "random", 0.2) is None
    lines = relative_spectra({"kriging": diagnostics(1, 1)}, 0.2).axes[0].lines
    assert not any(line.get_label() == "kriging" for line in lines)


def lead_diagnostics(members: float, mean: float) -> xr.Dataset:
    dims, power = ("lead", "variable", "wavenumber"), np.broadcast_to(TRUTH, (2, 1, 5))
    return xr.Dataset(
        {
            "spectrum_truth": (dims, power),
            "spectrum_members": (dims, members * power),
            "spectrum_mean": (dims, mean * power),
        },
        {
            "lead": [24.0, 120.0],
            "variable": ["z"],
            "wavelength_km": ("wavenumber", [np.inf, 8000.0, 4000.0, 2667.0, 2000.0]),
        },
    )


def test_lines_are_ratios_to_the_truth_and_a_mean_that_is_fed_back_is_dotted():
    result = {"vae": lead_diagnostics(0.8, 0.3), "vae_mean": lead_diagnostics(0.5, 0.25)}
    figure = spectra_at_leads(result, [24.0, 120.0], fed_on_mean=["vae_mean"])
    for axes in figure.axes:
        drawn = {line.get_label(): line for line in axes.lines}
        for name, ratio in (("vae", 0.8), ("vae_mean", 0.5), ("vae_mean: its mean", 0.25)):
            np.testing.assert_allclose(drawn[name].get_xdata(), [8000.0, 4000.0, 2667.0])
            np.testing.assert_allclose(drawn[name].get_ydata(), ratio)
        assert "vae: its mean" not in drawn
        assert axes.xaxis_inverted()
    assert [axes.get_ylabel() for axes in figure.axes] == ["1 d", "5 d"]
    assert lead_ratio(result["vae"], "z", 72.0, "members") is None


def test_a_snapshot_of_twice_the_amplitude_has_four_times_the_power(season: Callable):
    value = season(starts=30, leads=1)
    _, result = value.score()
    truth = value.truth["z"].isel(time=slice(300)) - value.truth["z"].mean("time")
    of_members = xr.concat([truth, 2 * truth], "step").rename(time="start").expand_dims(member=1, axis=2)
    snapshots = of_members.to_dataset(name="z").assign_coords(step=[1, 10]).drop_vars("start")
    figure = long_rollout_spectra({"mine": snapshots, "unknown": snapshots}, {"mine": result}, "z")
    item, ten = (line.get_ydata() for line in figure.axes[0].lines[:2])
    np.testing.assert_allclose(item, 1, atol=0.35)
    np.testing.assert_allclose(ten, 4 * item, rtol=1e-5)
    assert figure.axes[0].xaxis_inverted()
    assert not figure.axes[1].get_visible()


def test_table_rows_with_a_missing_cell_are_left_out(season: Callable):
    value = season(starts=8, leads=1)
    truth = value.truth[["z", "t"]].isel(time=slice(8)).rename(time="start").expand_dims(member=1, axis=1)
    sea = xr.ones_like(truth["z"].isel(start=0, member=0, drop=True), dtype=bool)
    sea[4, 3] = False  # one cell of a row at 45 degrees south
    snapshots = truth.where(sea).expand_dims(step=[1])
    _, result = value._replace(truth=value.truth.where(sea), forecasts=value.forecasts.where(sea)).score()
    figure = long_rollout_spectra({"mine": snapshots.drop_vars("start")}, {"mine": result}, "z")
    (line, *_) = figure.axes[0].lines
    assert len(line.get_ydata()) > 3 and np.isfinite(line.get_ydata()).all()


def test_lines_are_ratios_to_real_states(sampled):
    stored = {name: sampled(images=False)["diagnostics"][name] for name in ("vae", "ddpm")}
    panels = [axes for axes in sample_spectra(stored).axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == ["z", "t850"]
    for axes in panels:
        for line, ratio in zip(axes.lines, (0.5, 0.9), strict=False):
            np.testing.assert_allclose(line.get_xdata(), [8000.0, 4000.0, 2667.0])
            np.testing.assert_allclose(line.get_ydata(), ratio)
        assert axes.xaxis_inverted()
