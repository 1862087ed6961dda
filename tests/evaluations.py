"""Calibrated ensembles: truth and members are draws about the same centre, so every score is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import xarray as xr

ANOMALY_STD = {"z": 50.0, "t": 2.0}
SPREAD = 0.5  # of members about the centre, in anomaly standard deviations


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
        own = truth[None] - SPREAD * scale * draws[:, :, 0]
        ensemble = (own[:, :, None] + SPREAD * scale * draws[:, :, 1:]).astype("f4")
        seen = truth + noise * scale * rng.standard_normal((len(levels), times, *shape))
        observed = np.where(masks[:, mask], seen, np.nan).astype("f4")
        dims = ("time", "latitude", "longitude")
        units = {"units": "m" if name == "z" else "K"}
        parts["reconstructions"][name] = (("case", "time", "member", *dims[1:]), ensemble, units)
        parts["observations"][name] = (("case", *dims), observed, units)
        parts["truth"][name] = (dims, truth, units)
        parts["climatology"][name] = (("dayofyear", *dims[1:]), level[None].repeat(2, 0), units)
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


SAMPLED = ("vae", "vae_kl0", "autoencoder", "flow", "ddpm")


def picture_rows(values: np.ndarray) -> dict:
    """Kinds of pictures of each experiment: their numbers, t, and values that tell them apart."""
    codes = {"grid": 100, "truth": 10, "reconstruction": 10}
    every = {"sample": 12, "real": 12, "nearest": 10}
    kinds = {
        "vae": codes | every,
        "vae_kl0": codes | every,
        "autoencoder": codes | every,
        "flow": every,
        "ddpm": every | {"snapshot": 24},
    }
    found = {}
    for experiment, counts in kinds.items():
        kind = np.concatenate([np.full(count, name) for name, count in counts.items()])
        number = np.concatenate([np.arange(count) for count in counts.values()])
        t = np.full(len(kind), -1)
        if "snapshot" in counts:
            number[-24:] = np.arange(24) % 4
            t[-24:] = np.repeat([200, 100, 50, 20, 10, 0], 4)
        same = np.isin(kind, ("truth", "real"))  # data are the same for all; what a model makes is its own
        own = np.random.default_rng([3, SAMPLED.index(experiment)]).permutation(len(values))
        picked = np.where(same, number + 40 * (kind == "real"), own[np.arange(len(kind)) % len(own)])
        found[experiment] = (values[picked], {"kind": kind, "number": number, "chain_time": t})
    return found


def make_sampled(images: bool = True, latent: int = 2) -> dict[str, dict]:
    """What `Sample` is given, by its names: of images 6 x 6 with 10 grey values and labels, or of two variables on a
    grid."""
    rng = np.random.default_rng([5, int(images)])
    variables = {"image": ("1", 3.0)} if images else {"z": ("m", 50.0), "t850": ("K", 2.0)}
    dims, shape = (("y", "x"), (6, 6)) if images else (("latitude", "longitude"), (6, 12))
    grid = {} if images else {"latitude": np.linspace(-75, 75, 6), "longitude": 30.0 * np.arange(12)}
    parts: dict[str, dict] = {name: {} for name in ("examples", "diagnostics", "latents", "history", "costs")}
    for name, (unit, scale) in variables.items():
        values = rng.normal(size=(160, *shape)) * scale + (4.5 if images else 100 * scale)
        values = np.clip(values, 0, 9) if images else values
        for experiment, (chosen, coords) in picture_rows(values).items():
            one = xr.DataArray(chosen.astype("f4"), dims=("picture", *dims), attrs={"units": unit})
            one = one.assign_coords({key: ("picture", value) for key, value in coords.items()} | grid)
            attrs = {"treatment": "grey" if experiment != "ddpm" else "symmetric"} | (
                {"levels": 10} if images else {}
            )
            known = parts["examples"].setdefault(experiment, xr.Dataset(attrs=attrs))
            parts["examples"][experiment] = known.assign({name: one})
    for place, experiment in enumerate(SAMPLED):
        parts["diagnostics"][experiment] = sampled_diagnostics(rng, variables, shape, grid, place)
        density = ("lower bound", "lower bound", None, "exact", "lower bound")[place]
        costs = {"parameters": 1000 + place, "sample_ms": 0.5, "learned": True, "density": density}
        parts["costs"][experiment] = pd.DataFrame([costs])
        parts["history"][experiment] = pd.DataFrame({"step": [1, 2], "loss": [2.0, 1.0]})
        if experiment in ("vae", "vae_kl0", "autoencoder"):
            parts["latents"][experiment] = sampled_latents(rng, latent, images)
    board = sampled_board()
    return {"leaderboard": board, "experiments": {name: {} for name in (*SAMPLED, "ddim")}, **parts}


def sampled_diagnostics(
    rng: np.random.Generator, variables: dict, shape: tuple[int, int], grid: dict, place: int
) -> xr.Dataset:
    """Distances of samples are a fifth of those of test data in the last experiment: copies."""
    near = rng.uniform(1.0, 2.0, size=200)
    drawn = rng.uniform(1.0, 2.0, size=100) * (0.2 if place == len(SAMPLED) - 1 else 1.0)
    attrs = {
        "extractor": "a small network",
        "features": 64,
        "accuracy": 0.9875,
        "weights": "abcdef012345",
        "samples": 100,
        "real": 200,
        "K": (50, 50, 0, 1, 0)[place],  # 1 of an exact density, 0 of what has no bound
        **{
            "fid_ceiling": 90.0,
            "kid_ceiling": 5.0,
            "fid_floor": 0.5,
            "kid_floor": -0.001,
            "c2st_floor": 0.51,
        },
    }
    found = xr.Dataset(
        {"nearest_of_samples": ("sample", drawn), "nearest_of_test": ("datum", near)}, attrs=attrs
    )
    if not grid:
        return found
    real = np.array([[5.0, 4.0, 2.0, 1.0, 1e-12]] * 2)
    found["spectrum_real"] = (("variable", "wavenumber"), real)
    found["spectrum_samples"] = (("variable", "wavenumber"), (0.5 + 0.1 * place) * real)
    found.attrs |= {"wasserstein_mean": 0.25, "wasserstein_floor": 0.125}
    found["wasserstein"] = (("variable", *grid), 0.1 * (place + 1) + np.zeros((2, *shape)))
    waves = {"variable": list(variables), "wavelength_km": ("wavenumber", [np.inf, 8e3, 4e3, 2667.0, 2e3])}
    return found.assign_coords(grid | waves)


def sampled_latents(rng: np.random.Generator, latent: int, labels: bool) -> xr.Dataset:
    """Labels lie apart, in the last component."""
    label = np.arange(40) % 4
    mean = 0.1 * rng.normal(size=(40, latent))
    mean[:, -1] += label
    found = xr.Dataset(
        {
            "mean": (("datum", "latent"), mean),
            "drawn": (("datum", "latent"), mean + 0.1 * rng.normal(size=mean.shape)),
            "prior": (("draw", "latent"), rng.normal(size=(60, latent))),
        }
    )
    if labels:
        found = found.assign_coords(label=("datum", label))
    if latent == 2:
        axis = np.linspace(-4.0, 4.0, 17)
        density = -0.5 * (axis[:, None] ** 2 + axis[None] ** 2) - np.log(2 * np.pi)
        found = found.assign_coords(u=axis, v=axis).assign(log_density=(("v", "u"), density))
    return found


def sampled_board() -> pd.DataFrame:
    """FID falls from experiment to experiment; the flow is not separated from real data, the VAE always told apart."""
    nan = float("nan")
    values = {
        "fid": {"vae": (8.0, 7.0, 9.0), "vae_kl0": (20.0, 18.0, 22.0), "autoencoder": (12.0, 11.0, 13.0),
                "flow": (0.6, 0.4, 0.8), "ddpm": (1.5, 1.25, 1.75)},
        "kid": {"vae": (0.2, 0.1, 0.3), "flow": (-0.002, -0.01, 0.006), "ddpm": (0.01, 0.005, 0.015)},
        "fid_floor": dict.fromkeys(SAMPLED, (0.5, 0.45, 0.55)),
        "kid_floor": dict.fromkeys(SAMPLED, (-0.001, nan, nan)),
        "c2st": {"vae": (1.0, 0.97, 1.0), "flow": (0.52, 0.45, 0.59), "ddpm": (0.625, 0.6, 0.65)},
        "elbo": {"vae": (-135.0, -136.0, -134.0), "vae_kl0": (-300.0, -310.0, -290.0),
                 "flow": (-120.0, -121.0, -119.0)},
        "reconstruction": {"vae": (-128.0, -129.0, -127.0), "vae_kl0": (-90.0, -91.0, -89.0)},
        "kl": {"vae": (7.0, 6.5, 7.5), "vae_kl0": (210.0, 200.0, 220.0)},
        "iwae": {"vae": (-132.0, -133.0, -131.0), "vae_kl0": (-280.0, -290.0, -270.0)},
        "active_units": {"vae": (2.0, nan, nan), "vae_kl0": (2.0, nan, nan)},
        "bits_per_dim": {"flow": (1.25, 1.2, 1.3), "ddpm": (1.5, 1.4, 1.6)},
        "test_loss": {"vae": (0.04, 0.03, 0.05), "autoencoder": (0.02, 0.01, 0.03)},
        "train_loss": {"vae": (0.03, 0.02, 0.04), "autoencoder": (0.008, 0.007, 0.009)},
    }  # fmt: skip
    rows = [(name, 0, "d", score, *one) for score, by in values.items() for name, one in by.items()]
    return pd.DataFrame(rows, columns=["experiment", "seed", "data", "score", "value", "low", "high"])


@pytest.fixture(scope="session")
def sampled() -> Callable[..., dict[str, dict]]:
    return make_sampled
