"""Power of members and of errors relative to the truth, by wavelength."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from fieldcast.figures.curves import plain_logarithmic
from fieldcast.figures.style import Look, calm, chosen, key, new_figure, percent, plain
from fieldcast.scores.spectra import NEGLIGIBLE

# of the vertical axes: how little a smooth estimate has at short waves, and how much noise, is of no interest
LIMITS = ((0.02, 20.0), (0.005, 5.0))


def relative_spectra(
    diagnostics: Mapping[str, xr.Dataset],
    k: float,
    looks: Mapping[str, Look] | None = None,
    pattern: str = "random",
) -> Figure:
    """Columns are variables; above the power of members over that of the truth, below that of the error of
    the mean.

    1 above is the right amount of structure of this size; below 0.5 the estimate resolves it (effective
    resolution is where the error crosses 0.5). Waves that the truth hardly has are left out.
    """
    appearance = chosen(diagnostics, looks)
    variables = [str(name) for name in next(iter(diagnostics.values()))["variable"].to_numpy()]
    figure = new_figure(4.9)
    panels = figure.subplots(2, len(variables), squeeze=False, sharex="col", sharey="row")
    for column, variable in enumerate(variables):
        for name, found in diagnostics.items():
            ratios = ratio_to_truth(found, variable, pattern, k)
            if ratios is None:
                continue
            line = appearance[name].line | {"markersize": 2.5}
            for axes, ratio in zip(panels[:, column], ratios[1:], strict=True):
                axes.plot(ratios[0], ratio, label=plain(name), **line)
        calm(panels[0, column], variable, y="" if column else "power of members / truth")
        calm(panels[1, column], "", "wavelength, km", "" if column else "power of error / truth")
        panels[0, column].axhline(1.0, color="black", linewidth=0.8)
        panels[1, column].axhline(0.5, color="black", linewidth=0.8)
    wavelength_axes(panels)
    for line, (lowest, highest) in zip(panels, LIMITS, strict=True):
        plain_logarithmic(line[0])
        low, high = line[0].get_ylim()
        line[0].set_ylim(max(lowest, low), min(highest, max(high, 1.2)))
    figure.suptitle(plain(f"{pattern}, {percent(k)} observed"), fontsize=9, x=0.01, ha="left")
    key(figure, panels[0, 0])
    return figure


def wavelength_axes(panels: np.ndarray) -> None:
    """Long waves on the left; numbers below the last row only, whose axes the others share by column."""
    for axes in panels.ravel():
        axes.set_xscale("log")
    for axes in panels[-1]:
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.tick_params(axis="x", labelrotation=45)
        axes.xaxis.set_inverted(True)  # axes may be shared: not once each


def ratio_to_truth(
    diagnostics: xr.Dataset, variable: str, pattern: str, k: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Wavelength (km), power of members over truth, power of error over truth; None where the case was not
    scored."""
    place = np.flatnonzero((diagnostics["pattern"] == pattern) & np.isclose(diagnostics["k"], k))
    if not len(place):
        return None
    one = diagnostics.isel(case=int(place[0])).sel(variable=variable)
    truth = one["spectrum_truth"].to_numpy()
    asked = waves_of(truth)
    members, error = (
        one[name].to_numpy()[asked] / truth[asked] for name in ("spectrum_members", "spectrum_error")
    )
    return one["wavelength_km"].to_numpy()[asked], members, error


def waves_of(truth: np.ndarray) -> np.ndarray:
    """Wavenumbers that the truth has more than rounding of."""
    return np.flatnonzero(truth[1:] > NEGLIGIBLE * truth[1:].sum()) + 1
