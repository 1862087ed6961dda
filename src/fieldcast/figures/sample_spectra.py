"""Structure of samples relative to that of real states, by wavelength."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from fieldcast.figures.lead_spectra import finish
from fieldcast.figures.spectra import waves_of
from fieldcast.figures.style import Look, calm, chosen, key, new_figure, plain


def sample_spectra(diagnostics: Mapping[str, xr.Dataset], looks: Mapping[str, Look] | None = None) -> Figure:
    """A panel a variable: power of samples over that of real states. 1 is the right amount of structure.

    Waves that real states hardly have are left out.
    """
    appearance = chosen(diagnostics, looks)
    names = [str(name) for name in next(iter(diagnostics.values()))["variable"].to_numpy()]
    columns = min(4, max(2, len(names)))
    lines = -(-len(names) // columns)
    figure = new_figure(0.7 + 2.6 * lines)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for axes in panels.ravel()[len(names) :]:
        axes.set_visible(False)
    for axes, variable in zip(panels.ravel(), names, strict=False):
        for experiment, found in diagnostics.items():
            wavelength, ratio = ratio_to_real(found, variable)
            style = appearance[experiment].line | {"markersize": 2.5}
            axes.plot(wavelength, ratio, label=plain(experiment), **style)
        axes.axhline(1.0, color="black", linewidth=0.8)
        calm(axes, variable, "wavelength, km")
    finish(figure, panels, "power of samples / power of real states")
    key(figure, *panels.ravel())
    return figure


def ratio_to_real(diagnostics: xr.Dataset, variable: str) -> tuple[np.ndarray, np.ndarray]:
    """Wavelength (km) and power of samples over that of real states."""
    one = diagnostics.sel(variable=variable)
    real = one["spectrum_real"].to_numpy()
    asked = waves_of(real)
    return one["wavelength_km"].to_numpy()[asked], one["spectrum_samples"].to_numpy()[asked] / real[asked]
