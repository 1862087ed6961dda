"""Power of forecasts relative to the truth: at several leads, and along a long rollout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fieldcast.figures.curves import plain_logarithmic
from fieldcast.figures.spectra import wavelength_axes, waves_of
from fieldcast.figures.style import SMALL, Look, calm, chosen, key, new_figure, plain
from fieldcast.scores.spectra import Rows

LOWEST, HIGHEST = 0.02, 20.0  # of the vertical axes: less or more is of no interest
SHADES = colormaps["viridis_r"]


def spectra_at_leads(
    diagnostics: Mapping[str, xr.Dataset],
    leads: Sequence[float],
    looks: Mapping[str, Look] | None = None,
    *,
    fed_on_mean: Sequence[str] = (),
) -> Figure:
    """Rows are leads in hours, columns variables: power of members over that of the truth, by wavelength.

    1 is the right amount of structure. Of the experiments `fed_on_mean`, whose next step starts from the
    ensemble mean, that mean as well (dotted). Waves that the truth hardly has are left out.
    """
    appearance = chosen(diagnostics, looks)
    variables = [str(name) for name in next(iter(diagnostics.values()))["variable"].to_numpy()]
    figure = new_figure(0.8 + 1.9 * len(leads))
    panels = figure.subplots(len(leads), len(variables), squeeze=False, sharex="col", sharey=True)
    for row, lead in enumerate(leads):
        for column, variable in enumerate(variables):
            axes = panels[row, column]
            for name, found in diagnostics.items():
                style = appearance[name].line | {"markersize": 2.5}
                for kind in ("members", "mean") if name in fed_on_mean else ("members",):
                    ratio = lead_ratio(found, variable, lead, kind)
                    label = name if kind == "members" else f"{name}: its mean"
                    dotted = {} if kind == "members" else {"linestyle": ":", "marker": ""}
                    if ratio is not None:
                        axes.plot(*ratio, label=plain(label), **(style | dotted))
            axes.axhline(1.0, color="black", linewidth=0.8)
            below = "wavelength, km" if row == len(leads) - 1 else ""
            calm(axes, "" if row else variable, below, "" if column else f"{lead / 24:g} d")
    finish(figure, panels, "power of members / power of the truth")
    key(figure, *panels.ravel())
    return figure


def lead_ratio(
    diagnostics: xr.Dataset, variable: str, lead: float, kind: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Wavelength (km) and power over the truth's; None where the lead was not scored, or nothing was finite."""
    place = np.flatnonzero(np.isclose(diagnostics["lead"], lead))
    if not len(place):
        return None
    one = diagnostics.isel(lead=int(place[0])).sel(variable=variable)
    truth = one["spectrum_truth"].to_numpy()
    asked = waves_of(truth)
    ratio = one[f"spectrum_{kind}"].to_numpy()[asked] / truth[asked]
    return (one["wavelength_km"].to_numpy()[asked], ratio) if np.isfinite(ratio).any() else None


def long_rollout_spectra(
    snapshots: Mapping[str, xr.Dataset],
    diagnostics: Mapping[str, xr.Dataset],
    variable: str,
    wraps: bool = True,
) -> Figure:
    """A panel an experiment: power of members at the steps of its snapshots over that of the scored truth."""
    shown = {name: found for name, found in snapshots.items() if name in diagnostics and variable in found}
    columns = min(6, max(2, len(shown)))
    lines = -(-max(1, len(shown)) // columns)
    figure = new_figure(0.7 + 2.1 * lines)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for axes in panels.ravel()[len(shown) :]:
        axes.set_visible(False)
    for axes, (name, found) in zip(panels.ravel(), shown.items(), strict=False):
        for wavelength, ratio, label, place in step_ratios(found, diagnostics[name], variable, wraps):
            axes.plot(wavelength, ratio, color=SHADES(place), linewidth=1.4, label=label)
        axes.axhline(1.0, color="black", linewidth=0.8)
        calm(axes, name, "wavelength, km")
    finish(figure, panels, f"{variable}: power / power of the truth")
    key(figure, *panels.ravel(), title="step", title_fontsize=SMALL)
    return figure


def step_ratios(
    snapshots: xr.Dataset, diagnostics: xr.Dataset, variable: str, wraps: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, str, float]]:
    """Wavelength, ratio, label and shade of each step that is finite."""
    values = snapshots[variable]
    begin = snapshots.isel(step=0)
    there = (begin[name].notnull().any(["start", "member"]).all("longitude") for name in snapshots.data_vars)
    rows = Rows.of(snapshots.assign_attrs(wraps=int(wraps)), np.all(list(there), axis=0))
    truth = diagnostics["spectrum_truth"].sel(variable=variable).mean("lead").to_numpy()
    asked = waves_of(truth)
    steps = values["step"].to_numpy()
    for place, step in enumerate(steps):
        power = rows.spectrum(values.isel(step=place).transpose(..., "latitude", "longitude").to_numpy())
        if np.isfinite(power).all():
            shade = 0.12 + 0.88 * place / max(1, len(steps) - 1)
            yield (
                diagnostics["wavelength_km"].to_numpy()[asked],
                power[asked] / truth[asked],
                f"{step}",
                shade,
            )


def finish(figure: Figure, panels: np.ndarray, label: str) -> None:
    """Axes in wavelengths, and a logarithmic one in ratios that leaves out what is of no interest."""
    wavelength_axes(panels)
    first: Axes = panels[0, 0]
    plain_logarithmic(first)
    low, high = first.get_ylim()
    first.set_ylim(max(LOWEST, min(low, 0.5)), min(HIGHEST, max(high, 2.0)))
    figure.supylabel(label, fontsize=SMALL)
