"""Calibrated ensembles: truth and members are draws about the same centre, so the scores have closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import xarray as xr

ANOMALY_STD = {"z": 50.0, "t": 2.0}
SPREAD = 0.5  # spread of members about the centre, in anomaly standard deviations


def value_of(scores: pd.DataFrame, **where: object) -> np.ndarray:
    """Values of one statistic, in the order of times or starts."""
    for name, label in where.items():
        scores = scores[scores[name] == label]
    return scores.sort_values("time")["value"].to_numpy()


class Scene(NamedTuple):
    """Arguments of `reconstruction_statistics`."""

    reconstructions: xr.Dataset
    observations: xr.Dataset
    truth: xr.Dataset
    climatology: xr.Dataset
    normalisation: xr.Dataset
    area: xr.DataArray

    def score(self, seed: int = 0) -> tuple:
        from fieldcast.scores.reconstruction import reconstruction_statistics

        first, second, third, *others = self
        names = ("climatology", "normalisation", "area")
        return reconstruction_statistics(
            first, second, third, **dict(zip(names, others, strict=True)), seed=seed
        )


def make_scene(
    *,
    members: int = 19,
    times: int = 40,
    shape: tuple[int, int] = (10, 16),
    levels: tuple[float, ...] = (0.1, 0.3),
    hours: int = 24 * 13,
    noise: float = 0.1,
    seed: int = 0,
) -> Scene:
    rng = np.random.default_rng([7, seed])
    spacing = 180 / shape[0]
    grid = {
        "latitude": -90 + spacing / 2 + spacing * np.arange(shape[0]),
        "longitude": np.arange(shape[1]) * 360 / shape[1],
    }
    time = np.datetime64("2001-01-01", "ns") + np.arange(times) * np.timedelta64(hours, "h")
    masks = rng.random((len(levels), 8, *shape)) < np.array(levels)[:, None, None, None]
    mask = np.arange(times) % 8
    case = {"pattern": ("case", ["random"] * len(levels)), "k": ("case", list(levels))}
    parts: dict[str, dict] = {
        name: {} for name in ("reconstructions", "observations", "truth", "climatology")
    }
    for v, (name, scale) in enumerate(ANOMALY_STD.items()):
        level = 1000.0 * (v + 1) + 3 * scale * np.cos(np.deg2rad(grid["latitude"]))[:, None] * np.ones(shape)
        draws = rng.standard_normal((len(levels), times, members + 1, *shape))
        centre = level + scale * rng.standard_normal((times, *shape))
        # one truth for all cases: each case has its own centre, from which truth and members differ alike
        truth = (centre + SPREAD * scale * draws[0, :, 0]).astype("f4")
        case_centre = truth[None] - SPREAD * scale * draws[:, :, 0]
        ensemble = (case_centre[:, :, None] + SPREAD * scale * draws[:, :, 1:]).astype("f4")
        noisy = truth + noise * scale * rng.standard_normal((len(levels), times, *shape))
        observed = np.where(masks[:, mask], noisy, np.nan).astype("f4")
        dims = ("time", "latitude", "longitude")
        units = {"units": "m" if name == "z" else "K"}
        parts["reconstructions"][name] = (("case", "time", "member", *dims[1:]), ensemble, units)
        parts["observations"][name] = (("case", *dims), observed, units)
        parts["truth"][name] = (dims, truth, units)
        parts["climatology"][name] = (("dayofyear", *dims[1:]), level[None].repeat(365, 0), units)
    with_time = {**grid, "time": time}
    stored = {**with_time, **case}
    return Scene(
        xr.Dataset(parts["reconstructions"], stored),
        xr.Dataset(parts["observations"], {**stored, "mask": ("time", mask)}, {"digest": "o" * 12}),
        xr.Dataset(parts["truth"], with_time, {"wraps": 1, "digest": "d" * 12}),
        xr.Dataset(parts["climatology"], grid),
        xr.Dataset(
            {"anomaly_std": ("variable", list(ANOMALY_STD.values()))}, {"variable": list(ANOMALY_STD)}
        ),
        xr.DataArray(np.cos(np.deg2rad(grid["latitude"])), {"latitude": grid["latitude"]}, ("latitude",)),
    )


@pytest.fixture(scope="session")
def scene() -> Callable[..., Scene]:
    return make_scene


class Season(NamedTuple):
    """Arguments of `forecast_statistics`."""

    forecasts: xr.Dataset
    truth: xr.Dataset
    climatology: xr.Dataset
    normalisation: xr.Dataset
    area: xr.DataArray

    def score(self, **options: object) -> tuple:
        from fieldcast.scores.forecast import forecast_statistics

        forecasts, truth, *others = self
        names = ("climatology", "normalisation", "area")
        return forecast_statistics(forecasts, truth, **dict(zip(names, others, strict=True)), **options)


def make_season(
    *,
    members: int = 10,
    starts: int = 40,
    leads: int = 3,
    shape: tuple[int, int] = (18, 16),
    cftime: bool = False,
    seed: int = 0,
) -> Season:
    """Calibrated forecasts, a start every 13 days, whose spread grows with the lead: error of the centre
    SPREAD * sqrt(lead in days), and members about it as the truth is."""
    rng = np.random.default_rng([11, seed])
    spacing = 180 / shape[0]
    grid = {
        "latitude": -90 + spacing / 2 + spacing * np.arange(shape[0]),
        "longitude": np.arange(shape[1]) * 360 / shape[1],
    }
    days = 13 * starts + leads + 1
    calendar = {"calendar": "noleap"} if cftime else {}
    time = xr.date_range("2003-12-20", periods=days, freq="D", use_cftime=cftime, **calendar)
    first = 13 * np.arange(starts)
    parts: dict[str, dict] = {name: {} for name in ("forecasts", "truth", "climatology")}
    dims = ("latitude", "longitude")
    for v, (name, scale) in enumerate(ANOMALY_STD.items()):
        units = {"units": "m" if name == "z" else "K"}
        year = scale * np.cos(2 * np.pi * np.arange(365) / 365)[:, None, None]
        normal = (1000.0 * (v + 1) + year + scale * np.cos(np.deg2rad(grid["latitude"]))[:, None]) * np.ones(
            shape
        )
        day = np.minimum(np.array([int(moment.strftime("%j")) for moment in time]), 365) - 1
        truth = (normal[day] + scale * rng.standard_normal((days, *shape))).astype("f4")
        ensemble = np.empty((leads, starts, members, *shape), "f4")
        for lead in range(leads):
            spread = SPREAD * scale * np.sqrt(lead + 1)
            y = truth[first + lead + 1]
            centre = y - spread * rng.standard_normal(y.shape)
            draws = rng.standard_normal((starts, members, *shape))
            ensemble[lead] = centre[:, None] + spread * draws
        parts["forecasts"][name] = (("lead", "start", "member", *dims), ensemble, units)
        parts["truth"][name] = (("time", *dims), truth, units)
        parts["climatology"][name] = (("dayofyear", *dims), normal.astype("f4"), units)
    parts["truth"]["orography"] = (dims, np.zeros(shape, "f4"))
    coords = {"lead": 24.0 * np.arange(1, leads + 1), "start": time[first], "member": np.arange(members)}
    return Season(
        xr.Dataset(parts["forecasts"], {**coords, **grid}),
        xr.Dataset(parts["truth"], {"time": time, **grid}, {"wraps": 1, "digest": "d" * 12}),
        xr.Dataset(parts["climatology"], grid | {"dayofyear": np.arange(1, 366)}),
        xr.Dataset(
            {"anomaly_std": ("variable", list(ANOMALY_STD.values()))}, {"variable": list(ANOMALY_STD)}
        ),
        xr.DataArray(np.cos(np.deg2rad(grid["latitude"])), {"latitude": grid["latitude"]}, ("latitude",)),
    )


@pytest.fixture(scope="session")
def season() -> Callable[..., Season]:
    return make_season
