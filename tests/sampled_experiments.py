"""Stored results of experiments of the task `sample`, with made-up numbers, as its report takes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr

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
    pictures = {}
    for experiment, counts in kinds.items():
        kind = np.concatenate([np.full(count, name) for name, count in counts.items()])
        number = np.concatenate([np.arange(count) for count in counts.values()])
        t = np.full(len(kind), -1)
        if "snapshot" in counts:
            number[-24:] = np.arange(24) % 4
            t[-24:] = np.repeat([200, 100, 50, 20, 10, 0], 4)
        same = np.isin(kind, ("truth", "real"))  # data are the same for all; what a model makes is its own
        order = np.random.default_rng([3, SAMPLED.index(experiment)]).permutation(len(values))
        picked = np.where(same, number + 40 * (kind == "real"), order[np.arange(len(kind)) % len(order)])
        pictures[experiment] = (values[picked], {"kind": kind, "number": number, "chain_time": t})
    return pictures


def make_sampled(images: bool = True, latent: int = 2) -> dict[str, dict]:
    """Arguments of `Sample` by name: images 6 x 6 with 10 grey values and labels, or two variables on a grid."""
    rng = np.random.default_rng([5, int(images)])
    variables = {"image": ("1", 3.0)} if images else {"z": ("m", 50.0), "t850": ("K", 2.0)}
    dims, shape = (("y", "x"), (6, 6)) if images else (("latitude", "longitude"), (6, 12))
    grid = {} if images else {"latitude": np.linspace(-75, 75, 6), "longitude": 30.0 * np.arange(12)}
    parts: dict[str, dict] = {name: {} for name in ("examples", "diagnostics", "latents", "history", "costs")}
    for name, (unit, scale) in variables.items():
        values = rng.normal(size=(160, *shape)) * scale + (4.5 if images else 100 * scale)
        values = np.clip(values, 0, 9) if images else values
        for experiment, (selected, coords) in picture_rows(values).items():
            picture = xr.DataArray(selected.astype("f4"), dims=("picture", *dims), attrs={"units": unit})
            picture = picture.assign_coords({key: ("picture", value) for key, value in coords.items()} | grid)
            attrs = {"treatment": "grey" if experiment != "ddpm" else "symmetric"} | (
                {"levels": 10} if images else {}
            )
            attrs |= {"grid_components": (0, 1)} if "grid" in coords["kind"] else {}
            stored = parts["examples"].setdefault(experiment, xr.Dataset(attrs=attrs))
            parts["examples"][experiment] = stored.assign({name: picture})
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
    diagnostics = xr.Dataset(
        {"nearest_of_samples": ("sample", drawn), "nearest_of_test": ("datum", near)}, attrs=attrs
    )
    if not grid:
        return diagnostics
    real = np.array([[5.0, 4.0, 2.0, 1.0, 1e-12]] * 2)
    diagnostics["spectrum_real"] = (("variable", "wavenumber"), real)
    diagnostics["spectrum_samples"] = (("variable", "wavenumber"), (0.5 + 0.1 * place) * real)
    diagnostics.attrs |= {"wasserstein_mean": 0.25, "wasserstein_floor": 0.125}
    diagnostics["wasserstein"] = (("variable", *grid), 0.1 * (place + 1) + np.zeros((2, *shape)))
    waves = {"variable": list(variables), "wavelength_km": ("wavenumber", [np.inf, 8e3, 4e3, 2667.0, 2e3])}
    return diagnostics.assign_coords(grid | waves)


def sampled_latents(rng: np.random.Generator, latent: int, labels: bool) -> xr.Dataset:
    """Labels lie apart, in the last component."""
    label = np.arange(40) % 4
    mean = 0.1 * rng.normal(size=(40, latent))
    mean[:, -1] += label
    latents = xr.Dataset(
        {
            "mean": (("datum", "latent"), mean),
            "drawn": (("datum", "latent"), mean + 0.1 * rng.normal(size=mean.shape)),
            "prior": (("draw", "latent"), rng.normal(size=(60, latent))),
        }
    )
    if labels:
        latents = latents.assign_coords(label=("datum", label))
    if latent == 2:
        axis = np.linspace(-4.0, 4.0, 17)
        density = -0.5 * (axis[:, None] ** 2 + axis[None] ** 2) - np.log(2 * np.pi)
        latents = latents.assign_coords(u=axis, v=axis).assign(log_density=(("v", "u"), density))
    return latents


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
    records = [
        (name, 0, "d", score, *numbers) for score, by in values.items() for name, numbers in by.items()
    ]
    return pd.DataFrame(
        records, columns=["experiment", "seed", "data_digest", "score", "value", "low", "high"]
    )


@pytest.fixture(scope="session")
def sampled() -> Callable[..., dict[str, dict]]:
    return make_sampled
