"""A data root of format 5, written before the modules of models moved: it is read, and nothing in it is harmed."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import fieldcast
from fieldcast.encoding.checkpoint import FORMAT, read_header
from fieldcast.lineage import with_present_columns

STORED = Path(__file__).parent / "fixtures" / "format_5.tar.xz"
EXPERIMENT = "reconstruct/optimal_interpolation"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the data root `root`, the file `tiny.nc` that it was made from, and what its model filled."""
    with tarfile.open(STORED) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def test_a_checkpoint_of_the_format_before_is_loaded_and_fills(root: Path) -> None:
    checkpoint = root / "root/06_models" / EXPERIMENT / "checkpoint.safetensors"
    assert read_header(checkpoint.read_bytes(), "it")["format"] < FORMAT
    record = xr.open_dataset(root / "tiny.nc").isel(time=slice(-3, None)).load()
    gappy = record.where(np.random.default_rng(0).random(record["t2m"].shape) < 0.5)
    filled = fieldcast.load(str(checkpoint)).fill(gappy, members=5)
    before = xr.open_dataset(root / "filled.nc")  # by the version that wrote the checkpoint
    np.testing.assert_allclose(filled["t2m_mean"], before["t2m_mean"], rtol=1e-5)


def test_a_run_over_it_trains_nothing_again_and_gives_its_scores(
    root: Path, project: Callable[..., Any]
) -> None:
    data_root = root / "root"
    checkpoint = data_root / "06_models" / EXPERIMENT / "checkpoint.safetensors"
    scores = data_root / "08_reporting" / EXPERIMENT / "scores.parquet"
    bytes_before, scores_before = checkpoint.read_bytes(), pd.read_parquet(scores)
    project(
        "reconstruct.optimal_interpolation", data_root=data_root, env="netcdf",
        parameters={"ingestion": {"path": str(root / "tiny.nc")}, "limits": {"times": 8}},
    )  # fmt: skip
    assert checkpoint.read_bytes() == bytes_before
    pd.testing.assert_frame_equal(pd.read_parquet(scores), with_present_columns(scores_before), rtol=1e-5)
