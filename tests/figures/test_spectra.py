"""Spectra: ratios to the truth, without waves that the truth hardly has."""

from __future__ import annotations

import numpy as np
import xarray as xr

from fieldcast.figures.spectra import ratio_to_truth, relative_spectra

TRUTH = np.array([5.0, 4.0, 2.0, 1.0, 1e-12])


def diagnostics(members: float, error: float) -> xr.Dataset:
    return xr.Dataset(
        {
            "spectrum_truth": (("variable", "wavenumber"), TRUTH[None]),
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


def test_lines_are_ratios_to_the_truth():
    figure = relative_spectra({"kriging": diagnostics(0.8, 0.25), "mine": diagnostics(1.1, 0.5)}, 0.1)
    above, below = figure.axes
    for axes, ratios in ((above, (0.8, 1.1)), (below, (0.25, 0.5))):
        for line, ratio in zip(axes.lines, ratios, strict=False):
            np.testing.assert_allclose(line.get_xdata(), [8000.0, 4000.0, 2667.0])
            np.testing.assert_allclose(line.get_ydata(), ratio)
    assert below.xaxis_inverted()


def test_a_case_that_was_not_scored_has_no_line():
    assert ratio_to_truth(diagnostics(1, 1), "z", "random", 0.2) is None
    lines = relative_spectra({"kriging": diagnostics(1, 1)}, 0.2).axes[0].lines
    assert not any(line.get_label() == "kriging" for line in lines)
