"""A user's record of successive times becomes analyses in a file, through the pipeline."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import fieldcast
from fieldcast.datasets import ZarrDataset
from fieldcast.errors import InputError


@pytest.fixture(scope="module")
def record(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five days of the test split, of which 70 % is missing."""
    fields = ZarrDataset(filepath=str(finished / "03_primary/fields.zarr")).load().isel(time=slice(-5, None))
    data = fields.drop_vars(["orography", "segment"])
    gaps = np.random.default_rng(3).uniform(size=data["z500"].shape) < 0.7
    file = tmp_path_factory.mktemp("mine") / "record.nc"
    data.map(lambda v: v.where(~xr.DataArray(gaps, dims=data["z500"].dims))).to_netcdf(file)
    return file


@pytest.fixture
def trained(finished: Path, forecasted: Path, tmp_path: Path) -> Path:
    """A data root with the checkpoints of both tasks, of one planet."""
    for task, root in (("reconstruct", finished), ("forecast", forecasted)):
        shutil.copytree(root / "06_models" / task, tmp_path / "data/06_models" / task)
    return tmp_path / "data"


def test_the_pipeline_equals_python_prints_the_scores_and_keeps_its_analyses(
    project: Any,
    trained: Path,
    record: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    given = {"observations": str(record), "output": str(tmp_path / "cycle.nc"), "held_out": 0.2}
    given |= {"forecaster": "forecast.linear_inverse_model"}
    project("record_cycle", data_root=trained, parameters={"record_cycle": given, "limits": {"members": 4}})
    assert "held-out observations of 5 times" in capsys.readouterr().out
    models = [
        fieldcast.load(trained / f"06_models/{name}/checkpoint.safetensors")
        for name in ("forecast/linear_inverse_model", "reconstruct/optimal_interpolation")
    ]
    by_hand = fieldcast.cycle(*models, xr.open_dataset(record), members=4, withheld=0.2)
    stored = xr.open_dataset(given["output"])
    xr.testing.assert_allclose(stored, by_hand, rtol=1e-6)
    assert stored.attrs["fieldcast_experiment"] == "reconstruct.optimal_interpolation"
    assert stored.attrs["fieldcast_forecaster"] == "forecast.linear_inverse_model"
    assert stored.attrs["Conventions"].startswith("CF-1.")
    stored.close()
    Path(given["output"]).unlink()
    project("record_cycle", data_root=trained, parameters={"record_cycle": given, "limits": {"members": 4}})
    assert "Using the existing analyses." in caplog.text
    again = xr.open_dataset(given["output"])
    xr.testing.assert_allclose(again, by_hand, rtol=1e-6)
    again.close()


def test_a_record_is_needed(project: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cycle\.observations is not set: say which file"):
        project("record_cycle", data_root=tmp_path, parameters={})
