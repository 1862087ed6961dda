"""Power of members over the truth's in bands of wavelength: `python -m studies.band_power ROOT EXPERIMENT...`.

Reads the spectra of finished forecasts, ROOT/08_reporting/forecast/EXPERIMENT/diagnostics.zarr. Power is summed over
the wavenumbers of a band for each variable and lead time, then divided by that of the truth; a line gives the range
over the variables at 1 day, at 10 days, and at all leads to 10 days.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import xarray as xr

BANDS = {"above 4000 km": (4000, float("inf")), "2000 to 4000 km": (2000, 4000), "below 1500 km": (0, 1500)}
DAYS = {"1 d": (1, 1), "10 d": (10, 10), "1 to 10 d": (1, 10)}


def main() -> None:
    """Print a line for each experiment and band."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("experiments", nargs="+")
    options = parser.parse_args()
    print(f"{'':28}{'':18}" + "".join(f"{days:>16}" for days in DAYS))
    for name in options.experiments:
        stored = options.root / "08_reporting" / "forecast" / name / "diagnostics.zarr"
        spectra = xr.open_zarr(stored).load()
        for band, (low, high) in BANDS.items():
            ratio = band_ratio(spectra, low, high)
            print(f"{name:28}{band:18}" + "".join(f"{spread_of(ratio, *days):>16}" for days in DAYS.values()))


def band_ratio(spectra: xr.Dataset, low: float, high: float) -> xr.DataArray:
    """Power of the members over that of the truth, (lead, variable), at wavelengths from low to below high [km]."""
    waves = spectra["wavenumber"] > 0  # 0 is the zonal mean
    inside = waves & (spectra["wavelength_km"] >= low) & (spectra["wavelength_km"] < high)
    members, truth = (
        spectra[f"spectrum_{kind}"].where(inside).sum("wavenumber") for kind in ("members", "truth")
    )
    return members / truth


def spread_of(ratio: xr.DataArray, first: int, last: int) -> str:
    """The smallest and the largest ratio at leads from one day to another, if there are any such waves."""
    selected = ratio.sel(lead=slice(24 * first, 24 * last))
    if not selected.notnull().any():
        return "none"
    return f"{float(selected.min()):.2f} to {float(selected.max()):.2f}"


if __name__ == "__main__":
    main()
