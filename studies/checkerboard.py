"""Power of forecasts at the smallest scales over the truth's: `python -m studies.checkerboard FOLDER ...`.

FOLDER is the data_root of a run with `forecast.vae_convolutional_past`. For the first lead, the power in two dimensions
(of maps with a Hann window, means over initial times, members and variables) is summed over bands of the wavelength;
the last column is the wave of two cells in both directions, which is a checkerboard.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float

from fieldcast import calendars

EXPERIMENT = "vae_convolutional_past"
BANDS = ((0.0, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.8))  # waves a cell


def power(maps: Float[np.ndarray, "*lead y x"]) -> Float[np.ndarray, "y x"]:
    """Mean power of maps, of an even number of cells each way."""
    y, x = (size - size % 2 for size in maps.shape[-2:])
    maps = maps[..., :y, :x]
    window = np.hanning(y)[:, None] * np.hanning(x)
    spectrum = np.abs(np.fft.fft2((maps - maps.mean((-2, -1), keepdims=True)) * window)) ** 2
    return spectrum.reshape(-1, y, x).mean(axis=0)


def ratios(folder: Path) -> list[float]:
    """Power over the truth's in each band, and that of the checkerboard, as means over variables."""
    draws = xr.open_zarr(folder / "07_model_output" / "forecast" / EXPERIMENT / "draws.zarr").isel(lead=0)
    fields = xr.open_zarr(folder / "03_primary" / "fields.zarr")
    valid = calendars.later(draws["start"], float(draws["lead"]))
    per_variable = []
    for name in draws.data_vars:
        maps = draws[name].transpose("start", "member", "latitude", "longitude").values
        truth = fields[name].sel(time=valid).values
        drawn, real = power(maps), power(truth)
        y, x = real.shape
        wave = np.hypot(np.fft.fftfreq(y)[:, None], np.fft.fftfreq(x))
        bands = [(wave >= low) & (wave < high) for low, high in BANDS]
        sums = [drawn[band].sum() / real[band].sum() for band in bands]
        per_variable.append([*sums, drawn[y // 2, x // 2] / real[y // 2, x // 2]])
    return list(np.mean(per_variable, axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    folders = parser.parse_args().folders
    width = max(len(str(folder)) for folder in folders) + 2
    heads = [f"{1 / high:.1f}-{1 / low:.1f}" if low else f"> {1 / high:.0f}" for low, high in BANDS]
    print("cells a wave".ljust(width) + "".join(f"{head:>9}" for head in [*heads, "chequer"]))
    for folder in folders:
        print(str(folder).ljust(width) + "".join(f"{ratio:9.2f}" for ratio in ratios(folder)))


if __name__ == "__main__":
    main()
