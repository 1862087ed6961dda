"""studies/figures_000.py: numbers of finished runs, stored small, give all pictures of report 000."""

from __future__ import annotations

import importlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"
GRID = {"latitude": np.linspace(-84, 84, 15), "longitude": np.arange(0, 360, 12.0)}
SHAPE = tuple(axis.size for axis in GRID.values())
TIMES = [f"0011-{month:02d}-01T00:00:00" for month in range(1, 13)]
K = (0.05, 0.1, 0.2)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    yield importlib.import_module("studies.figures_000")


@pytest.fixture
def data_root(script: ModuleType, tmp_path: Path) -> Path:
    """Results whose numbers have a closed form: squared errors k n^2 and lead n^2 of the n-th experiment."""
    root = tmp_path / "root"
    fields = {"orography": (tuple(GRID), waves(1), {"standard_name": "surface_altitude"})}
    xr.Dataset(fields, GRID).to_zarr(root / "03_primary" / "fields.zarr")
    for number, name in enumerate(script.RECONSTRUCTIONS, 1):
        folder = root / "08_reporting" / "reconstruct" / name
        reconstruction_example(number).to_zarr(folder / "examples.zarr")
        rows = [
            {"pattern": "random", "k": k, "cells": "unobserved", "variable": "all", "time": time,
             "statistic": "squared_error", "value": k * number**2}
            for k in K for time in TIMES
        ]  # fmt: skip
        pd.DataFrame(rows).to_parquet(folder / "scores.parquet")
        if not name.endswith("rk4"):  # which borrows its weights
            models = root / "06_models" / "reconstruct" / name
            models.mkdir(parents=True)
            step = np.arange(100, 1100, 100)
            history = {"step": step, "loss": 1 / step, "validation": 2 / step, "kl": 0.1 / step}
            pd.DataFrame(history).to_csv(models / "history.csv", index=False)
    for number, name in enumerate(dict.fromkeys((*script.STEPS, *script.ERRORS)), 1):
        folder = root / "08_reporting" / "forecast" / name
        forecast_example(number).to_zarr(folder / "examples.zarr")
        rows = [
            {"region": "globe", "lead_hours": 24.0 * lead, "variable": "all", "time": time,
             "statistic": "squared_error", "value": lead * number**2}
            for lead in range(1, 16) for time in TIMES
        ]  # fmt: skip
        pd.DataFrame(rows).to_parquet(folder / "scores.parquet")
    for number, name in enumerate(script.FORMS, 1):
        folder = root / "07_model_output" / "forecast" / name
        folder.mkdir(parents=True)
        growing_rollout(number).to_csv(folder / "stability.csv", index=False)
    return root


def growing_rollout(number: int) -> pd.DataFrame:
    """An error that grows as a power of the step, beside statistics of weather."""
    step = np.arange(1, 501)
    constant = {"finite": True, "mse_climatology": 1.0, "mean": 0.0, "std": 1.0, "spectrum_ratio": 1.0}
    return pd.DataFrame({"step": step, "mse": 1e-3 * step**number, **constant})


def waves(number: int) -> np.ndarray:
    """A smooth field; the number is that of waves around the globe."""
    y, x = np.meshgrid(*(np.deg2rad(axis) for axis in GRID.values()), indexing="ij")
    return 100 * np.cos(y) * np.cos(number * x)


def reconstruction_example(number: int) -> xr.Dataset:
    kinds = {"truth": waves(2), "observed": np.where(waves(7) > 80, waves(2), np.nan), "mean": waves(2 + number),
             "member": waves(1), "spread": waves(1) ** 2}  # fmt: skip
    values = np.broadcast_to(np.stack(list(kinds.values())), (len(K), 1, len(kinds), *SHAPE)).copy()
    coordinates = {
        **GRID, "kind": list(kinds), "pattern": ("case", ["random"] * len(K)), "k": ("case", list(K)),
        "time": pd.DatetimeIndex(["2011-05-01"]),
    }  # fmt: skip
    dims = ("case", "time", "kind", *GRID)
    return xr.Dataset({"z500": (dims, values, {"units": "m"})}, coordinates, {"anomaly": 1})


def forecast_example(number: int, start: str = "0011-10-21T00:00:00") -> xr.Dataset:
    leads = 24.0 * np.arange(16)
    kinds = {"truth": waves(2), "mean": waves(2 + number), "member_0": waves(3), "member_1": waves(4)}
    values = np.stack([np.stack([field * (1 + lead / 48) for lead in leads]) for field in kinds.values()])
    coordinates = {**GRID, "kind": list(kinds), "lead": leads}
    dims = ("kind", "lead", *GRID)
    return xr.Dataset({"z500": (dims, values, {"units": "m"})}, coordinates, {"anomaly": 1, "start": start})


def test_all_pictures_are_drawn_from_the_stored_numbers_alone(script: ModuleType, data_root: Path) -> None:
    data, images = data_root.parent / "data", data_root.parent / "images"
    script.store(data_root, data)
    shutil.rmtree(data_root)
    files = script.draw(data, images)
    names = ["error_over_time", "losses", "reconstructions", *(f"steps_{n}" for n in script.STEPS)]
    assert [file.stem for file in files] == [*names, "decoder_errors", "stability"]
    for file in files:
        with Image.open(io.BytesIO(file.read_bytes())) as picture:
            assert picture.width >= 890, file
        assert file.stat().st_size <= 150_000


def test_stored_numbers_are_those_of_the_runs(script: ModuleType, data_root: Path) -> None:
    """Roots of mean squares to four digits; maps to half of a 250th of their range."""
    data = data_root.parent / "data"
    script.store(data_root, data)
    errors = pd.read_csv(data / "errors.csv").groupby(["experiment", "k"])["rmse"].unique()
    by_lead = pd.read_csv(data / "lead_errors.csv").set_index(["experiment", "lead_hours"])
    for number, name in enumerate(script.RECONSTRUCTIONS, 1):
        assert errors[name, 0.1].item() == pytest.approx(number * 0.1**0.5, rel=1e-3)
    for name, number in (("vae", 1), ("decoder_l1", 5), ("decoder_l5", 7), ("persistence", 8)):
        line = by_lead.loc[(name, 96.0), ["rmse", "low", "high"]]
        assert line.to_numpy(float) == pytest.approx(2 * number, rel=1e-3)  # all starts are equal
    steps = xr.load_dataset(data / "steps.nc")
    for number, name in enumerate(script.STEPS, 1):
        stored = steps[name].sel(kind="mean").to_numpy()
        expected = forecast_example(number)["z500"].isel(kind=[1, 2], lead=slice(0, 11)).to_numpy()
        assert np.abs(stored - expected[0]).max() <= 0.501 * np.ptp(expected) / 250
    rollouts = pd.read_csv(data / "stability.csv").set_index(["experiment", "step"])["mse"]
    for number, name in enumerate(script.FORMS, 1):
        kept = rollouts[name]
        assert list(kept.index) == [*range(1, 101), *range(120, 501, 20)]
        np.testing.assert_allclose(kept, 1e-3 * kept.index.to_numpy(float) ** number, rtol=1e-3)
    maps = xr.load_dataset(data / "reconstructions.nc")["denoising_vae"]
    example = reconstruction_example(1)["z500"].isel(case=0, time=0)
    assert np.array_equal(np.isnan(maps.sel(kind="observed", k=0.1)), np.isnan(example.sel(kind="observed")))


def test_a_run_that_is_stored_again_replaces_its_numbers_and_no_other(
    script: ModuleType, data_root: Path
) -> None:
    data = data_root.parent / "data"
    script.store(data_root, data)
    before = {file.name: file.read_bytes() for file in data.iterdir()}
    for name in script.RECONSTRUCTIONS[1:]:
        shutil.rmtree(data_root / "08_reporting" / "reconstruct" / name)
    for name in (*script.STEPS, "persistence"):
        if name != "vae":
            shutil.rmtree(data_root / "08_reporting" / "forecast" / name)
    script.store(data_root, data)
    for name in ("errors.csv", "lead_errors.csv", "losses.csv"):
        old, new = (pd.read_csv(source) for source in (io.BytesIO(before[name]), data / name))
        assert sorted(map(str, old.to_numpy().tolist())) == sorted(map(str, new.to_numpy().tolist()))
    assert set(script.STEPS) < set(xr.load_dataset(data / "steps.nc"))


def test_a_forecast_from_another_start_is_not_drawn_beside_the_truth(
    script: ModuleType, data_root: Path
) -> None:
    data = data_root.parent / "data"
    script.store(data_root, data)
    folder = data_root / "08_reporting" / "forecast" / "vae"
    shutil.rmtree(data_root / "08_reporting" / "forecast" / "vae_rk4")
    forecast_example(1, "0012-01-01T00:00:00").to_zarr(folder / "examples.zarr", mode="w")
    for name in (*script.STEPS[2:], "persistence"):
        shutil.rmtree(data_root / "08_reporting" / "forecast" / name)
    script.store(data_root, data)
    with pytest.raises(ValueError, match="vae_rk4 starts at 0011-10-21"):
        script.draw(data, data_root.parent / "images")


def test_the_numbers_of_the_repository_are_small(script: ModuleType) -> None:
    assert sum(file.stat().st_size for file in script.DATA.iterdir()) <= 600_000
