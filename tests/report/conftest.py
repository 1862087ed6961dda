"""Small results of a run whose every number is known, with names that try to become elements of the page."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.report import DataSummary, Reconstruct, describe

EVIL = "<b>t</b>&$"
CASES = (("random", 0.05), ("random", 0.1), ("random", 0.2), ("swaths", 0.1))
CRPS = {"optimal_interpolation": 0.30, "denoising_vae": 0.40, "mine": 0.29, "climatology": 0.57}
# paired difference to the reference and its interval: worse, better (then not separated), worse
DIFFERENCE = {
    "denoising_vae": (0.1, 0.08, 0.12),
    "mine": (-0.01, -0.02, -0.005),
    "climatology": (0.27, 0.2, 0.3),
}
EXPERIMENTS = {
    "optimal_interpolation": {"about": {"role": "reference", "family": "classical", "order": 1}},
    "denoising_vae": {"model": {"type": "vae.VAE"}},
    "mine": {"about": {"description": "what <i>mine</i> is"}},
    "climatology": {},
    "kriging": {},
}
GRID = {"latitude": [-45.0, 0.0, 45.0], "longitude": [0.0, 90.0, 180.0, 270.0]}


def board() -> pd.DataFrame:
    records = []
    for experiment, crps in CRPS.items():
        for place, (pattern, k) in enumerate(CASES):
            for variable, cells in (("all", "unobserved"), ("all", "all"), (EVIL, "unobserved")):
                value = crps / (1 + 3 * k) * (1.0 if variable == "all" else 4.0)
                scores = {
                    "rmse": (1.7 * value, 1.6 * value, 1.8 * value),
                    "mae": (1.1 * value, value, 1.2 * value),
                    "crps": (value, 0.95 * value, 1.05 * value),
                }
                if experiment in DIFFERENCE:
                    other = experiment == "mine" and place == 2
                    scores["crps_minus_reference"] = (
                        (-0.001, -0.004, 0.002) if other else DIFFERENCE[experiment]
                    )
                if experiment != "climatology":
                    scores |= {"ssr": (0.9, 0.8, 1.0), "coverage50": (0.41, 0.4, 0.42)}
                for score, numbers in scores.items():
                    records.append((experiment, 0, "d", pattern, k, cells, variable, score, *numbers))
    case = ["pattern", "k", "cells", "variable", "score"]
    names = ["experiment", "seed", "data_digest", *case, "value", "low", "high"]
    return pd.DataFrame(records, columns=names)


def leaderboard_of(scores: Mapping[tuple, object], *by: str, **columns: object) -> pd.DataFrame:
    """A leaderboard written by hand: {(experiment, *case, score): value, or (value, low, high)}."""
    records = []
    for key, numbers in scores.items():
        value, low, high = numbers if isinstance(numbers, tuple) else (numbers, np.nan, np.nan)
        case = dict(zip(("experiment", *by, "score"), key, strict=True))
        records.append(
            {"seed": 0, "data": "d", "variable": "all"}
            | columns
            | case
            | {"value": value, "low": low, "high": high}
        )
    return pd.DataFrame(records)


def scores(experiment: str) -> pd.DataFrame:
    records = [
        (
            experiment,
            0,
            "d",
            "s",
            pattern,
            k,
            0,
            "unobserved",
            "all",
            "squared_error",
            f"2001-01-{day:02}T00:00:00",
            k,
        )
        for pattern, k in CASES
        for day in (1, 11, 21)
    ]
    names = ("experiment", "seed", "data_digest", "case_digest", "pattern", "k", "mask")
    return pd.DataFrame(records, columns=[*names, "cells", "variable", "statistic", "time", "value"])


def diagnostics(members: int) -> xr.Dataset:
    ranks, waves = ("case", "variable", "rank"), ("case", "variable", "wavenumber")
    flat = np.full((len(CASES), 1, members + 1), 1 / (members + 1))
    power = np.ones((len(CASES), 1, 3))
    return xr.Dataset(
        {
            "rank_histogram": (ranks, flat),
            "rank_low": (ranks, 0.9 * flat),
            "rank_high": (ranks, 1.1 * flat),
            "spectrum_truth": (waves[1:], power[0]),
            "spectrum_anomaly": (waves[1:], power[0]),
            "spectrum_members": (waves, 0.9 * power),
            "spectrum_error": (waves, 0.3 * power),
            "effective_resolution": (waves[:2], np.full((len(CASES), 1), 4321.0)),
        },
        {
            "pattern": ("case", [pattern for pattern, _ in CASES]),
            "k": ("case", [k for _, k in CASES]),
            "variable": [EVIL],
            "wavelength_km": ("wavenumber", [np.inf, 20000.0, 10000.0]),
        },
        {"members": members, "coverage50_interval": "5..15 of 19, exactly 0.5", "latitudes": "3 rows"},
    )


def stored_examples(members: int) -> xr.Dataset:
    values = np.random.default_rng(0).normal(size=(len(CASES), 1, 5, 3, 4)).astype("float32")
    values[:, :, 4] = abs(values[:, :, 4]) if members > 1 else np.nan
    return xr.Dataset(
        {EVIL: (("case", "time", "kind", "latitude", "longitude"), values, {"units": "K<sup>"})},
        {
            **GRID,
            "pattern": ("case", [pattern for pattern, _ in CASES]),
            "k": ("case", [k for _, k in CASES]),
            "kind": ["truth", "observed", "mean", "member", "spread"],
            "time": np.array(["2001-01-11"], "datetime64[ns]"),
        },
    )


VOID = {"meta", "link", "img", "input"}


class Elements(HTMLParser):
    """Counts elements, gathers attributes and texts, and holds that every element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def attributes(self, name: str) -> list[str]:
        return [expected[name] for _, expected in self.tags if expected.get(name) is not None]


@pytest.fixture(scope="session")
def elements() -> type[Elements]:
    """Elements of a page."""
    return Elements


@pytest.fixture(scope="session")
def results() -> Reconstruct:
    members = {name: 1 if name == "climatology" else 19 for name in CRPS}
    steps = pd.DataFrame(
        {"step": [1, 2, 3], "loss": [3.0, 2.0, 1.5], "kl": [0.1, 0.2, 0.2], "validation": [3.0, 2.5, 2.6]}
    )
    tuning = pd.DataFrame({"step": [0, 1], "nugget<i>": [0.125, 0.5], "validation": [0.3125, 0.2875]})
    observations = stored_examples(19).isel(kind=1, drop=True).isel(case=[0, 3])
    return Reconstruct(
        leaderboard=board(),
        scores={name: scores(name) for name in CRPS},
        diagnostics={name: diagnostics(members[name]) for name in CRPS},
        examples={name: stored_examples(members[name]) for name in CRPS},
        history={"denoising_vae": steps, "optimal_interpolation": tuning},
        costs={
            "mine": pd.DataFrame([{"parameters": 1234567, "train_seconds": 52.125, "step_ms": np.nan}]),
            "denoising_vae": pd.DataFrame([{"learned": True}]),
        },
        observations=observations.where(observations > 0),
        experiments=EXPERIMENTS,
    )


@pytest.fixture(scope="session")
def summary() -> DataSummary:
    days = np.arange("2001-01-01", "2001-03-01", dtype="datetime64[D]").astype("datetime64[ns]")
    fields = xr.Dataset(
        {
            EVIL: (
                ("time", "latitude", "longitude"),
                np.zeros((len(days), 3, 4)),
                {"units": "K", "long_name": "<u>"},
            )
        },
        {"time": days, **GRID},
        {
            "source": "a <script>alert(1)</script> file",
            "digest": "0123456789ab",
            "step_hours": 24.0,
            "wraps": 1,
        },
    )
    checks = [
        ("NaN", EVIL, "land", 12, "allowed", "12 cells never exist."),
        ("gaps", "", "", 0, "fine", "None."),
    ]
    quality = pd.DataFrame(checks, columns=["check", "variable", "where", "count", "action", "sentence"])
    splits = {"train": ["2001-01-01T00:00:00", "2001-02-10T00:00:00"]}
    return describe(fields, splits, xr.Dataset(attrs={"kind": "training mean"}), quality)
