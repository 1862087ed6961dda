"""Benchmarks and studies at their smallest size: each runs to its end and prints numbers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

pytestmark = pytest.mark.proof
ROOT = Path(__file__).parents[1]
NUMBER = re.compile(r"(?<![\w.])[-+]?\d*\.?\d+(?:e[-+]?\d+)?")
NOT_FINITE = re.compile(r"(?<!\w)(?:nan|inf)(?!\w)")
SMALL_GRID = {"ROWS": 8, "COLUMNS": 16}
BENCHMARKS: Mapping[str, tuple[dict[str, Any], str]] = {  # constants and arguments by name
    "crps": ({"TIMES": 4, "MEMBERS": 5, "CELLS": (4, 8), "ROUNDS": 2}, ""),
    "gpu": ({"ROWS": 8, "TIMES": 60, "MATRIX": {"cpu": 64}}, "--device cpu --seconds 0.1 --steps 2 --formats float32"),
    "letkf": ({"REPEATS": 1, "CYCLES": 150, "RUNS": 2, "MEMBERS": 8}, ""),
    "local_gain": ({"SCORED": 2, "MEMBERS": 3}, "{record} --share 0.25"),
    "loss_curves": ({}, "--steps 5 --only denoising_vae --device cpu"),
    "optimal_interpolation": ({**SMALL_GRID, "DAYS": 100, "MASKS": 2, "FIELDS": 2, "REPEATS": 1}, ""),
    "planet": ({}, "--years 1"),
    "ranks": ({"GIGABYTES": 0.02}, "--steps 4 --rounds 1"),
    "rollout": ({"STRETCH": 1, "STRETCHES": 2, "LENGTHS": (2, 3), "STORED": (2, 5)}, "--device cpu"),
    "runners": ({}, ""),
    "sampling": (
        {"BATCHES": 2, "VAE_STRETCHES": 2, "DDPM_STRETCHES": 1, "STEPS": 1, "CHAIN": 1, "DDPM_BATCH": 2},
        "",
    ),
    "scaling": ({"ROWS": (8, 16), "OBSERVED": (20, 40), "MEMBERS": (4, 8)}, "--only LETKF"),
    "start": ({"COMMANDS": ("fieldcast --help", "fieldcast fill nowhere.nc")}, ""),
    "streaming": ({}, "batches --gigabytes 0.1"),
    "training_step": ({**SMALL_GRID, "DAYS": 100, "STEPS": 1, "STRETCHES": 2}, ""),
}  # fmt: skip


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A complete record of 200 days on 8 x 12 cells: three waves of red noise."""
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(np.linspace(40, 54, 8), np.arange(0, 24, 2.0), indexing="ij")
    size = np.zeros((200, 3))
    for t in range(1, 200):
        size[t] = 0.9 * size[t - 1] + rng.normal(size=3)
    shapes = [np.sin(k * np.deg2rad(6 * x + 5 * y)) for k in (1, 2, 3)]
    values = 280 + np.einsum("tk,kyx->tyx", size, np.array(shapes)) + 0.1 * rng.normal(size=(200, *y.shape))
    axes = {
        "time": pd.date_range("2001-01-01", periods=200),
        "lat": ("lat", y[:, 0], {"units": "degrees_north"}),
        "lon": ("lon", x[0], {"units": "degrees_east"}),
    }
    fields = xr.DataArray(values.astype("float32"), axes, ("time", "lat", "lon"), "t2m", {"units": "K"})
    fields.to_netcdf(tmp_path / "record.nc")
    return tmp_path / "record.nc"


CHANGED = """
import importlib, pathlib, sys
script = importlib.import_module(sys.argv[1])
for name, value in {constants!r}.items():
    assert hasattr(script, name), name
    setattr(script, name, value)
for name in ("RESULT", "PICTURE", "NUMBERS", "FIELDS", "IMAGES", "SHIPPED"):  # of the documents and the package
    if isinstance(getattr(script, name, None), pathlib.Path):
        setattr(script, name, pathlib.Path({folder!r}) / getattr(script, name).name)
sys.argv[:2] = sys.argv[1:2]
script.main()
"""


def printed(module: str, constants: Mapping[str, Any], words: list[str], folder: Path) -> str:
    """Run a script in a process of its own, with other constants and without type checks; return what it prints."""
    (folder / "results").mkdir()
    code = CHANGED.format(constants=dict(constants), folder=str(folder / "results"))
    command = [sys.executable, "-c", code, module, *words]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_runs_to_its_end(name: str, record: Path, tmp_path: Path) -> None:
    if name == "sampling":
        pytest.importorskip("pythae", reason="nothing to compare with")
    constants, words = BENCHMARKS[name]
    text = printed(f"benchmarks.{name}", constants, words.format(record=record).split(), tmp_path)
    assert len(NUMBER.findall(text)) >= 4 and not NOT_FINITE.search(text)


STUDIES: Mapping[str, tuple[dict[str, Any], str]] = {
    "band_power": ({}, "{studied} linear_inverse_model vae_convolutional_past"),
    "borrowed_prior": ({"MEMBERS": 3}, "{studied} {studied} 2"),
    "checkerboard": ({}, "{studied}"),
    "clamped": (
        {"MEMBERS": 4, "MASKS": 1, "NOISES": (0.1,), "PATTERNS": ("random",), "FRACTIONS": (0.1,)},
        "--times 2",
    ),
    "cycle": ({"DAYS": 8}, "{studied} --forecaster forecast.linear_inverse_model"),
    "diffusion_prior": ({"TRAINING": 50}, "{studied} reconstruct.guided_diffusion 24"),
    "dineof_example": ({"PIXELS": 60, "CLOUD": 10}, "{sea} --draws 2"),
    "gaps": ({}, "{record}"),
    "kl_weight": ({"ENV": "test", "VARIANTS": [{"kl_weight": 1.0}]}, "--data-root {folder}/kl"),
    "make_classifiers": ({"EPOCHS": 1, "LEAST": 2}, "--mnist {digits} --fashion-mnist {digits}"),
    "make_images": (
        {"FORECAST_BY": "linear_inverse_model", "DAYS": 2},
        "--data {studied} --env test --only report",
    ),
    "posterior_samplers": ({"TRUTHS": 1, "TUNING": 1, "MEMBERS": 2, "RESAMPLES": 20}, "--cells 0.1"),
    "price_of_gaps": (
        {"TIMES": 120, "SCORED": 2, "MEMBERS": 3},
        "{studied}/03_primary/fields.zarr --percent 0 50 --output {folder}/price.csv",
    ),
    "retained": ({"SCORED": 2, "MEMBERS": 3}, "{studied}/03_primary/fields.zarr --kept 1 0.5"),
    "stations": ({"STATIONS": 30, "DAYS": 2}, "{studied}"),
}


@pytest.fixture(scope="module")
def studied(finished: Path, project: Callable[..., Any]) -> Path:
    """The data root after the task `reconstruct`, two forecasts and a model of samples."""
    names = (
        "reconstruct.guided_diffusion",
        "forecast.linear_inverse_model",
        "forecast.vae_convolutional_past",
        "sample.ddpm",
    )
    project(*names, data_root=finished)
    return finished


def digits(folder: Path) -> Path:
    """Files like those of MNIST, of few images: noise, and a line in the row of the label."""
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 60), ("t10k", 20)):
        label = (np.arange(count) % 10).astype("u1")
        image = rng.integers(0, 60, (count, 28, 28)).astype("u1")
        image[np.arange(count), 2 * label + 4] = 255
        for kind, array in (("images-idx3", image), ("labels-idx1", label)):
            header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">i4").tobytes()
            (folder / f"{prefix}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return folder


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_runs_to_its_end(name: str, record: Path, studied: Path, tmp_path: Path) -> None:
    if name == "make_images" and not any(
        map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    ):
        pytest.skip("no browser")
    constants, words = STUDIES[name]
    fields = xr.open_dataset(record).isel(time=slice(20)).rename(t2m="SST")
    clouds = np.random.default_rng(1).random((20, 2, 3)).repeat(4, 1).repeat(4, 2) < 0.4
    sea = fields.where(~xr.DataArray(clouds, dims=("time", "lat", "lon")))
    land = np.ones((8, 12), "int8")
    land[0, 0] = 0
    sea.assign(mask=(("lat", "lon"), land)).to_netcdf(tmp_path / "sea.nc")
    given: dict[str, Path] = {
        "record": record,
        "studied": studied,
        "sea": tmp_path / "sea.nc",
        "folder": tmp_path,
    }
    given["digits"] = digits(tmp_path)
    text = printed(f"studies.{name}", constants, words.format(**given).split(), tmp_path)
    assert len(NUMBER.findall(text)) >= 4 and not NOT_FINITE.search(text)
