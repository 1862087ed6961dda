"""Power by band of wavelengths, against sums by hand."""

import xarray as xr

from studies.band_power import band_ratio, spread_of


def test_power_is_summed_over_the_band_before_it_is_divided() -> None:
    spectra = xr.Dataset(
        {
            "spectrum_members": (
                ("lead", "variable", "wavenumber"),
                [[[9.0, 1.0, 2.0, 5.0]], [[9.0, 2.0, 4.0, 5.0]]],
            ),
            "spectrum_truth": (
                ("lead", "variable", "wavenumber"),
                [[[1.0, 2.0, 4.0, 1.0]], [[1.0, 2.0, 2.0, 1.0]]],
            ),
        },
        {
            "lead": [24.0, 240.0],
            "variable": ["z500"],
            "wavenumber": [0, 1, 2, 3],
            "wavelength_km": ("wavenumber", [float("inf"), 9000.0, 4000.0, 1000.0]),
        },
    )
    ratio = band_ratio(spectra, 4000, float("inf"))
    assert ratio.to_numpy().ravel().tolist() == [0.5, 1.5]
    assert spread_of(ratio, 1, 10) == "0.50 to 1.50"
    assert spread_of(ratio, 10, 10) == "1.50 to 1.50"
