"""Power relative to the truth by wavelength: of members and errors, at lead times, along long rollouts, of samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from fieldcast.calendars import lead_label
from fieldcast.figures.style import (
    SMALL_FONT,
    WIDTH,
    LineStyle,
    draw_legend,
    escape,
    looks_of,
    new_figure,
    panel_title,
    percent,
    plain_logarithmic,
    style_axes,
)
from fieldcast.kinds import CASE, LEAD, MEMBER, START, STEP
from fieldcast.scores.spectra import Latitudes, waves_with_power

# widest limits of the vertical axes of ratios: power of members over that of the truth, of the error over anomalies
POWER_LIMITS, ERROR_LIMITS = (0.02, 20.0), (0.005, 5.0)
EMPTY_LIMITS = (1e3, 1e4)  # limits of an axis of wavelengths on which there is no line [km]
SHADES = colormaps["viridis_r"]  # colours of the steps of a long rollout


def relative_spectra(
    diagnostics: Mapping[str, xr.Dataset],
    k: float,
    looks: Mapping[str, LineStyle] | None = None,
    pattern: str = "random",
) -> Figure:
    """Draw relative power by variable: above of members, below of the error of the mean.

    Members are relative to the truth: 1 matches it at that wavelength. The error is relative to the anomalies of the
    truth: the estimate resolves waves for which it is below 0.5 (effective resolution is where it crosses 0.5). Waves
    with almost no power in the truth are left out.
    """
    appearance = looks_of(diagnostics, looks)
    variables = [str(name) for name in next(iter(diagnostics.values()))["variable"].to_numpy()]
    figure = new_figure(4.9)
    panels = figure.subplots(2, len(variables), squeeze=False, sharex="col", sharey="row")
    for column, variable in enumerate(variables):
        for name, stored in diagnostics.items():
            ratios = ratio_to_truth(stored, variable, pattern, k)
            if ratios is None:
                continue
            line = appearance[name].line | {"markersize": 2.5}
            for axes, ratio in zip(panels[:, column], ratios[1:], strict=True):
                axes.plot(ratios[0], ratio, label=escape(name), **line)
        style_axes(panels[0, column], variable, y="" if column else "power of members / truth")
        style_axes(panels[1, column], "", "wavelength, km", "" if column else "power of error / anomalies")
        panels[0, column].axhline(1.0, color="black", linewidth=0.8)
        panels[1, column].axhline(0.5, color="black", linewidth=0.8)
    wavelength_axes(panels)
    ratio_axis(panels[0, 0], POWER_LIMITS, includes=(np.inf, 1.2))
    ratio_axis(panels[1, 0], ERROR_LIMITS, includes=(np.inf, 1.2))
    figure.suptitle(escape(f"{pattern}, {percent(k)} observed"), fontsize=9, x=0.01, ha="left")
    draw_legend(figure, panels[0, 0])
    return figure


def wavelength_axes(panels: np.ndarray) -> None:
    """Set axes of wavelength, with long waves on the left and labels below the last row only."""
    for axes in panels.ravel():
        shared = axes.get_shared_x_axes().get_siblings(axes)
        if not any(np.isfinite(other.dataLim.minposx) for other in shared):
            axes.set_xlim(EMPTY_LIMITS)  # nothing is drawn, and the limits of an empty axis are not positive
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
    """Wavelength [km], relative power of members and of the error; None if the case was not scored."""
    indices = np.flatnonzero((diagnostics["pattern"] == pattern) & np.isclose(diagnostics["k"], k))
    if not len(indices):
        return None
    spectra = diagnostics.isel({CASE: int(indices[0])}).sel(variable=variable)
    truth, anomaly = (spectra[f"spectrum_{name}"].to_numpy() for name in ("truth", "anomaly"))
    waves = waves_with_power(truth)
    members = spectra["spectrum_members"].to_numpy()[waves] / truth[waves]
    error = spectra["spectrum_error"].to_numpy()[waves] / anomaly[waves]
    return spectra["wavelength_km"].to_numpy()[waves], members, error


def spectra_at_leads(
    diagnostics: Mapping[str, xr.Dataset],
    leads: Sequence[float],
    looks: Mapping[str, LineStyle] | None = None,
    *,
    fed_on_mean: Sequence[str] = (),
) -> Figure:
    """Draw the power of members relative to the truth by wavelength: lead times [hours] (rows), variables (columns).

    1 matches the truth. The ensemble mean is dotted for experiments `fed_on_mean`, whose next
    step starts from it. Waves with almost no power in the truth are left out.
    """
    appearance = looks_of(diagnostics, looks)
    variables = [str(name) for name in next(iter(diagnostics.values()))["variable"].to_numpy()]
    figure = new_figure(0.8 + 1.9 * len(leads))
    panels = figure.subplots(len(leads), len(variables), squeeze=False, sharex="col", sharey=True)
    for row, lead in enumerate(leads):
        for column, variable in enumerate(variables):
            axes = panels[row, column]
            for name, stored in diagnostics.items():
                style = appearance[name].line | {"markersize": 2.5}
                for kind in ("members", "mean") if name in fed_on_mean else ("members",):
                    ratio = lead_ratio(stored, variable, lead, kind)
                    label = name if kind == "members" else f"{name}: its mean"
                    dotted = {} if kind == "members" else {"linestyle": ":", "marker": ""}
                    if ratio is not None:
                        axes.plot(*ratio, label=escape(label), **(style | dotted))
            axes.axhline(1.0, color="black", linewidth=0.8)
            below = "wavelength, km" if row == len(leads) - 1 else ""
            style_axes(axes, "" if row else variable, below, "" if column else lead_label(lead))
    finish_axes(figure, panels, "power of members / power of the truth")
    draw_legend(figure, *panels.ravel())
    return figure


def lead_ratio(
    diagnostics: xr.Dataset, variable: str, lead: float, kind: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Wavelength (km) and power over the truth's; None where the lead was not scored, or nothing was finite."""
    indices = np.flatnonzero(np.isclose(diagnostics[LEAD], lead))
    if not len(indices):
        return None
    spectra = diagnostics.isel({LEAD: int(indices[0])}).sel(variable=variable)
    truth = spectra["spectrum_truth"].to_numpy()
    waves = waves_with_power(truth)
    ratio = spectra[f"spectrum_{kind}"].to_numpy()[waves] / truth[waves]
    return (spectra["wavelength_km"].to_numpy()[waves], ratio) if np.isfinite(ratio).any() else None


def long_rollout_spectra(
    snapshots: Mapping[str, xr.Dataset],
    diagnostics: Mapping[str, xr.Dataset],
    variable: str,
    wraps: bool = True,
) -> Figure:
    """Draw one panel per experiment: power of members at each snapshot relative to the scored truth."""
    runs = {name: fields for name, fields in snapshots.items() if name in diagnostics and variable in fields}
    columns = min(6, max(2, len(runs)))
    lines = -(-max(1, len(runs)) // columns)
    figure = new_figure(0.7 + 2.1 * lines)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for axes in panels.ravel()[len(runs) :]:
        axes.set_visible(False)
    for axes, (name, fields) in zip(panels.ravel(), runs.items(), strict=False):
        for wavelength, ratio, label, shade in step_ratios(fields, diagnostics[name], variable, wraps):
            axes.plot(wavelength, ratio, color=SHADES(shade), linewidth=1.4, label=label)
        axes.axhline(1.0, color="black", linewidth=0.8)
        style_axes(axes, panel_title(name, columns), "wavelength, km")
    finish_axes(figure, panels, f"{variable}: power / power of the truth")
    draw_legend(figure, *panels.ravel(), title="step", title_fontsize=SMALL_FONT)
    return figure


def step_ratios(
    snapshots: xr.Dataset, diagnostics: xr.Dataset, variable: str, wraps: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, str, float]]:
    """Wavelength, ratio, label and shade of each step that is finite."""
    values = snapshots[variable]
    first_step = snapshots.isel({STEP: 0})
    complete = (
        first_step[name].notnull().any([START, MEMBER]).all("longitude") for name in snapshots.data_vars
    )
    latitudes = Latitudes.of(snapshots.assign_attrs(wraps=int(wraps)), np.all(list(complete), axis=0))
    truth = diagnostics["spectrum_truth"].sel(variable=variable).mean(LEAD).to_numpy()
    waves = waves_with_power(truth)
    steps = values[STEP].to_numpy()
    for number, step in enumerate(steps):
        power = latitudes.spectrum(
            values.isel({STEP: number}).transpose(..., "latitude", "longitude").to_numpy()
        )
        if np.isfinite(power).all():
            shade = 0.12 + 0.88 * number / max(1, len(steps) - 1)
            yield (
                diagnostics["wavelength_km"].to_numpy()[waves],
                power[waves] / truth[waves],
                f"{step}",
                shade,
            )


def finish_axes(figure: Figure, panels: np.ndarray, label: str) -> None:
    """Set axes of wavelength, and the axis that all panels share for the ratio of powers."""
    wavelength_axes(panels)
    ratio_axis(panels[0, 0], POWER_LIMITS, includes=(0.5, 2.0))
    figure.supylabel(label, fontsize=SMALL_FONT)


def ratio_axis(axes: Axes, limits: tuple[float, float], includes: tuple[float, float]) -> None:
    """Set a logarithmic vertical axis that stays within `limits` and reaches down and up to `includes` at least."""
    with np.errstate(over="ignore"):  # a margin beyond a ratio near the largest number
        plain_logarithmic(axes)
        low, high = axes.get_ylim()
    axes.set_ylim(max(limits[0], min(low, includes[0])), min(limits[1], max(high, includes[1])))


def sample_spectra(
    diagnostics: Mapping[str, xr.Dataset], looks: Mapping[str, LineStyle] | None = None
) -> Figure:
    """Draw one panel per variable: power of samples relative to real states, where 1 matches them.

    Waves with almost no power in real states are left out.
    """
    appearance = looks_of(diagnostics, looks)
    names = [str(name) for name in next(iter(diagnostics.values()))["variable"].to_numpy()]
    columns = min(4, max(1, len(names)))
    lines = -(-len(names) // columns)
    figure = new_figure(0.7 + 2.6 * lines, min(WIDTH, 1.8 + 2.6 * columns))
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for axes in panels.ravel()[len(names) :]:
        axes.set_visible(False)
    for axes, variable in zip(panels.ravel(), names, strict=False):
        for experiment, stored in diagnostics.items():
            wavelength, ratio = ratio_to_real(stored, variable)
            style = appearance[experiment].line | {"markersize": 2.5}
            axes.plot(wavelength, ratio, label=escape(experiment), **style)
        axes.axhline(1.0, color="black", linewidth=0.8)
        style_axes(axes, variable, "wavelength, km")
    finish_axes(figure, panels, "power of samples / power of real states")
    draw_legend(figure, *panels.ravel())
    return figure


def ratio_to_real(diagnostics: xr.Dataset, variable: str) -> tuple[np.ndarray, np.ndarray]:
    """Wavelength (km) and power of samples over that of real states."""
    spectra = diagnostics.sel(variable=variable)
    real = spectra["spectrum_real"].to_numpy()
    waves = waves_with_power(real)
    return spectra["wavelength_km"].to_numpy()[waves], spectra["spectrum_samples"].to_numpy()[waves] / real[
        waves
    ]
