"""Evaluation of a cycle: backgrounds and analyses against the truth, innovations, and forecasts from the analyses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from fieldcast import calendars
from fieldcast.fields.prepared import of_mapped_values
from fieldcast.fields.quantities import mapped
from fieldcast.geometry import GRID
from fieldcast.innovations import MAX_INNOVATION
from fieldcast.kinds import CASE, MEMBER, STATE
from fieldcast.scores.event_tables import EventTables
from fieldcast.scores.reconstruction import reconstruction_statistics
from fieldcast.scores.statistics import with_overall
from fieldcast.scores.statistics_table import long_table

# the unit of each statistic of the observations is that of the field to this power
INNOVATION_POWER = {
    "innovation": 1,
    "innovation_squared": 2,
    "innovation_expected": 2,
    "desroziers": 2,
    "suspect": 0,
}
STATES = ("background", "analysis")
TRUTH = "truth"  # the origin of forecasts without an error at the start
COLUMNS = ["state", "pattern", "k", "mask", "cells", "variable", "statistic", "time", "value"]


def assimilation_statistics(
    draws: xr.Dataset,
    observations: xr.Dataset,
    truth: xr.Dataset,
    *,
    climatology: xr.Dataset,
    normalisation: xr.Dataset,
    area: xr.DataArray,
    seed: int = 0,
    events: EventTables | None = None,
) -> tuple[pd.DataFrame, xr.Dataset]:
    """Statistics of backgrounds and analyses at each time, and diagnostics of the analyses.

    The table is that of `reconstruction_statistics` with a column `state`, "background" or "analysis". The statistics
    of `innovation_statistics` are listed under the state "background" and the cells "observed". `draws` are (state,
    case, time, member, latitude, longitude) and may be lazy. `events` collects the tables of each variable: the
    cases of the backgrounds, then those of the analyses.
    """
    tables, diagnostics = [], xr.Dataset()
    for state in STATES:
        table, diagnostics = reconstruction_statistics(
            draws.sel({STATE: state}, drop=True),
            observations,
            truth,
            climatology=climatology,
            normalisation=normalisation,
            area=area,
            seed=seed,
            events=events,
        )
        tables.append(table.assign(state=state))
    tables.append(
        innovations(draws, observations, normalisation).assign(state="background", cells="observed")
    )
    return pd.concat(tables, ignore_index=True)[COLUMNS], diagnostics


def innovations(draws: xr.Dataset, observations: xr.Dataset, normalisation: xr.Dataset) -> pd.DataFrame:
    """The statistics of `innovation_statistics` for each case, variable and time, and for all variables.

    "all" is the mean over variables in units of their anomaly standard deviation. Mapped variables count by their
    mapped values, whose errors the observations have.
    """
    _, of_parts, quantities = of_mapped_values(xr.Dataset(), normalisation)
    observations, draws = mapped(observations, quantities), mapped(draws, quantities)
    variables = [str(name) for name in observations.data_vars]
    deviations = of_parts.anomaly_std.sel(variable=variables).to_numpy().astype(float)
    values = np.empty(
        (observations.sizes[CASE], len(variables), len(INNOVATION_POWER), observations.sizes["time"])
    )
    for case in range(observations.sizes[CASE]):
        for v, name in enumerate(variables):
            members = draws[name].isel({CASE: case}).transpose(STATE, MEMBER, "time", *GRID)
            b, a = (members.sel({STATE: state}).to_numpy() for state in ("background", "analysis"))
            y = observations[name].isel({CASE: case}).transpose("time", *GRID).to_numpy()
            error = float(observations.attrs["noise"]) * deviations[v]
            values[case, v] = list(innovation_statistics(y, b, a, error).values())
    power = np.array(list(INNOVATION_POWER.values()))[:, None]
    with np.errstate(invalid="ignore"):
        values = with_overall(values, deviations, power, axis=1)
    return long_table(
        values,
        {
            "pattern": observations["pattern"].to_numpy().astype(str),
            "k": observations["k"].to_numpy().astype(float).round(6),
        },
        {"variable": np.array([*variables, "all"])},
        {"statistic": np.array(list(INNOVATION_POWER))},
        {"mask": observations["mask"].to_numpy(), "time": calendars.iso(observations["time"])},
    )


@np.errstate(invalid="ignore", over="ignore", divide="ignore")
def innovation_statistics(
    y: Float[np.ndarray, "time y x"],
    background: Float[np.ndarray, "member time y x"],
    analysis: Float[np.ndarray, "member time y x"],
    error: float | Float[np.ndarray, "y x"],
) -> dict[str, Float[np.ndarray, " time"]]:
    """Means over the observations of each time, NaN at a time without any; `error` is their assumed standard deviation.

    With d_b = y - x_b, d_a = y - x_a of the means of M members, and s_b^2 the variance of those of the background:

    innovation           d_b
    innovation_squared   d_b^2
    innovation_expected  (1 + 1 / M) s_b^2 + error^2; NaN at a time when the members are equal at each observation
    desroziers           d_a d_b, the inferred error variance (Desroziers et al. 2005, equation 3)
    suspect              whether |d_b| is above `MAX_INNOVATION` standard deviations, the root of innovation_expected

    They are infinite at a time when a member is not finite at an observation.
    """
    observed = np.isfinite(y)
    b, a = background.astype(float), analysis.astype(float)
    d_b, d_a = y - b.mean(0), y - a.mean(0)
    members = len(b)
    variance = b.var(0, ddof=1) if members > 1 else np.full_like(d_b, np.nan)
    variance[~(observed & (np.ptp(b, axis=0) > 0)).any((1, 2))] = np.nan
    expected = (1 + 1 / members) * variance + error**2
    fields = {
        "innovation": d_b,
        "innovation_squared": d_b**2,
        "innovation_expected": expected,
        "desroziers": d_a * d_b,
        "suspect": np.where(np.isnan(expected), np.nan, np.abs(d_b) > MAX_INNOVATION * np.sqrt(expected)),
    }
    blown_up = (observed & ~(np.isfinite(d_b) & np.isfinite(d_a))).any((1, 2))
    count = observed.sum((1, 2))
    means = {
        name: np.where(observed, x, 0.0).sum((1, 2)) / np.where(count > 0, count, np.nan)
        for name, x in fields.items()
    }
    return {name: np.where(blown_up, np.inf, mean) for name, mean in means.items()}


def lead_time_lost(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean CRPS by origin and lead beside that from the truth, and the lead time lost [hours].

        lost(l) = l* - l,    CRPS_truth(l*) = CRPS_analysis(l):

    l* is the lead at which a forecast from the truth is as bad as the forecast from the analysis is at lead l,
    interpolated linearly between leads; NaN where the forecast is worse than those from the truth are at any lead. A
    forecast that blew up has an infinite CRPS.
    """
    scores = scores.assign(crps=scores["crps"].fillna(np.inf))
    means = scores.groupby(["pattern", "k", "lead_hours"], dropna=False)["crps"].mean().reset_index()
    exact = means[means["pattern"] == TRUTH].set_index("lead_hours")["crps"]
    table = means[means["pattern"] != TRUTH].assign(crps_from_truth=lambda t: t["lead_hours"].map(exact))
    leads, curve = np.array([0.0, *exact.index]), np.maximum.accumulate([0.0, *exact])
    same = np.interp(table["crps"], curve, leads, right=np.nan)
    return table.assign(lost_hours=same - table["lead_hours"]).reset_index(drop=True)
