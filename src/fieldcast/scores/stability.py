"""Statistics of a long rollout step by step: finite or not, mean, spread, structure, error against climatology."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from fieldcast.scores.spectra import waves_with_power, zonal_spectrum

COLUMNS = ("step", "mean", "std", "max_abs", "spectrum_ratio", "finite")
REALISTIC_STD = 0.5, 2.0  # standard deviation of a realistic rollout [anomaly standard deviations]
REALISTIC_POWER = 0.1, 10.0  # its power at short waves, relative to that of the truth
DIVERGED_RMS = 3.0  # root mean square of standardised anomalies of a diverged rollout; that of weather is 1


@np.errstate(invalid="ignore", over="ignore")  # a model may have blown up
def step_statistics(
    x: Float[np.ndarray, "start member variable latitude longitude"],
    truth: Float[np.ndarray, "start variable latitude longitude"] | None,
    area: Float[np.ndarray, "latitude longitude"],
    *,
    reference: Float[np.ndarray, " wavenumber"] | None = None,
    wraps: bool = True,
) -> dict[str, float | bool]:
    """Statistics of one step of a rollout.

    Parameters
    ----------
    x
        Standardised anomalies of the members.
    truth
        Standardised anomalies of the truth at that step; None beyond its end.
    area
        Areas of the cells; cells of area 0 do not exist and may hold anything.
    reference
        `zonal_power` of other weather, which replaces that of the truth where there is no truth.
    wraps
        Whether rows of cells go round the globe.

    Returns
    -------
    dict
        mean and std: area-weighted, over members, initial times and variables; the climatology has mean 0, the weather
        std 1. max_abs: the largest |x|. spectrum_ratio: power of the members over that of the truth at the shortest
        third of the zonal wavelengths that the truth has, all variables together. finite: whether all values are; if
        not, the other statistics are infinite and the mean is NaN. mse: of the ensemble mean; mse_climatology: of x =
        0; both NaN without truth.
    """
    exists = area > 0
    # float64: squares of values that are about to blow up overflow in float32
    x = np.where(exists, x, 0.0).astype(float)
    finite = bool(np.isfinite(x).all())
    statistics: dict[str, float | bool] = dict.fromkeys(
        ("std", "max_abs", "spectrum_ratio", "mse"), float("inf")
    )
    statistics |= {"mean": float("nan"), "finite": finite, "mse_climatology": float("nan")}
    if finite:
        mean = float(overall_mean(x, area))
        deviation = float(np.sqrt(overall_mean((x - mean) ** 2, area)))
        statistics |= {"mean": mean, "std": deviation, "max_abs": float(np.abs(x).max())}
        power = reference if truth is None else zonal_power(np.where(exists, truth, 0.0), area, wraps)
        statistics["spectrum_ratio"] = short_waves(zonal_power(x, area, wraps), power)
    if truth is None:
        statistics["mse"] = float("nan")
    else:
        y = np.where(exists, truth, 0.0).astype(float)
        statistics["mse_climatology"] = float(overall_mean(y**2, area))
        if finite:
            statistics["mse"] = float(overall_mean((x.mean(1) - y) ** 2, area))
    order = ("mean", "std", "max_abs", "spectrum_ratio", "finite", "mse", "mse_climatology")
    return {name: statistics[name] for name in order}


def overall_mean(
    x: Float[np.ndarray, "*batch latitude longitude"], area: Float[np.ndarray, "latitude longitude"]
) -> float:
    """Area-weighted mean over all axes, in one sum."""
    return float((x * (area / area.sum())).sum() * area.size / x.size)


def zonal_power(
    x: Float[np.ndarray, "*batch variable latitude longitude"],
    area: Float[np.ndarray, "latitude longitude"],
    wraps: bool = True,
) -> Float[np.ndarray, " wavenumber"]:
    """Zonal power, summed over variables and averaged over all other axes, weighted by area; latitudes with a missing
    cell are left out. NaN where no latitude is complete."""
    complete = (area > 0).all(1)
    if not complete.any():
        return np.full(x.shape[-1] // 2 + 1, np.nan)
    length = area[complete].sum(1) / area[complete].sum()
    power = zonal_spectrum(x[..., complete, :].astype(float), length, wraps).sum((-3, -2))
    return power.reshape(-1, power.shape[-1]).mean(0)


def short_waves(
    power: Float[np.ndarray, " wavenumber"], truth: Float[np.ndarray, " wavenumber"] | None
) -> float:
    """Ratio of powers at the shortest third of those waves that the truth has; NaN without a truth."""
    if truth is None or not truth[1:].sum() > 0:
        return float("nan")
    short = third_of_waves(truth, shortest=True)
    return float(power[short].sum() / truth[short].sum())


def third_of_waves(truth: Float[np.ndarray, " wavenumber"], *, shortest: bool) -> Int[np.ndarray, " third"]:
    """The shortest or the longest third of those waves that the truth has, by wavenumber."""
    waves = waves_with_power(truth)
    size = max(1, len(waves) // 3)
    return waves[-size:] if shortest else waves[:size]


def stability_table(stability: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables of all experiments as one: experiment, step, mean, std, max_abs, spectrum_ratio, finite."""
    tables = [
        table[list(COLUMNS)].assign(experiment=name)[["experiment", *COLUMNS]]
        for name, table in stability.items()
        if table is not None and len(table)
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["experiment", *COLUMNS])


def stability_horizons(stability: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Outcome of the long rollout of each experiment, one row each.

    experiment; steps: the number taken; diverged: the first at which the root mean square of the members,
    sqrt(mean^2 + std^2), is above DIVERGED_RMS (NaN: none); blow_up: the first that is not finite (NaN: none);
    below_one: "MSE below 1 until step", the last before the mean squared error first reaches 1;
    passes_climatology: the first at which it is at least the climatology's of that step (NaN: none); mean, std,
    spectrum_ratio: of the last finite step.
    """
    outcomes = []
    for name, table in stability.items():
        if table is None or not len(table):
            continue
        steps = table.sort_values("step")
        finite = steps["finite"].astype(bool)
        last = steps[finite].iloc[-1] if finite.any() else steps.iloc[0]
        ends = {column: float(last[column]) for column in ("mean", "std", "spectrum_ratio")}
        size = np.hypot(steps["mean"], steps["std"])
        scored = steps[steps["mse"].notna()]
        above_one = first_step(scored, scored["mse"] >= 1)
        outcomes.append(
            {
                "experiment": name,
                "steps": int(steps["step"].iloc[-1]),
                "diverged": first_step(steps, ~finite | (size > DIVERGED_RMS)),
                "blow_up": first_step(steps, ~finite),
                "below_one": last_below(scored, above_one),
                "passes_climatology": first_step(scored, scored["mse"] >= scored["mse_climatology"]),
                **ends,
            }
        )
    horizons = ["diverged", "blow_up", "below_one", "passes_climatology"]
    return pd.DataFrame(outcomes, columns=["experiment", "steps", *horizons, "mean", "std", "spectrum_ratio"])


def last_below(scored: pd.DataFrame, above_one: float) -> float:
    """The last step before the first at which the mean squared error is at least 1; 0 where that is the first."""
    if above_one == scored["step"].min():
        return 0.0
    return last_step(scored if np.isnan(above_one) else scored[scored["step"] < above_one])


def first_step(table: pd.DataFrame, where: pd.Series) -> float:
    """The first step at which a condition holds; NaN where it never does."""
    return float(table.loc[where, "step"].iloc[0]) if where.any() else float("nan")


def last_step(table: pd.DataFrame) -> float:
    """The last step; NaN for an empty table."""
    return float(table["step"].iloc[-1]) if len(table) else float("nan")


def outcomes(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Experiments of the long rollout by outcome: blew up, diverged, stayed bounded."""
    table = stability_horizons(tables)
    if table.empty:
        return {}
    blew_up = table["blow_up"].notna()
    diverged = table["diverged"].notna() & ~blew_up
    bounded = table[~blew_up & ~diverged]
    power = bounded["spectrum_ratio"]
    # grids without a complete latitude have no spectra
    realistic = bounded["std"].between(*REALISTIC_STD) & (power.between(*REALISTIC_POWER) | power.isna())
    return {
        "blew_up": list(zip(table.loc[blew_up, "experiment"], table.loc[blew_up, "blow_up"], strict=True)),
        "diverged": list(
            zip(table.loc[diverged, "experiment"], table.loc[diverged, "diverged"], strict=True)
        ),
        "bounded": len(bounded),
        "unrealistic": list(bounded.loc[~realistic, "experiment"]),
        "steps": int(table["steps"].max()),
        "limit": DIVERGED_RMS,
        "std": REALISTIC_STD,
        "power": REALISTIC_POWER,
    }
