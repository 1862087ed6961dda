"""Data roots with results, of which no refused run may change anything."""

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from kedro.config import OmegaConfigLoader
from kedro.framework.startup import bootstrap_project
from omegaconf import OmegaConf
from refusals import ROOT, state, weather

from fieldcast.app.error_messages import refusal_of_kedro, sentence
from fieldcast.app.parameters import check_parameters, declared_names
from fieldcast.app.preflight import check_data_root
from fieldcast.errors import InputError
from fieldcast.settings import CONFIG_LOADER_ARGS


@pytest.fixture(scope="session")
def root(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with results, of which nothing may change: all but the bulk of the finished one."""
    folder = tmp_path_factory.mktemp("root") / "data"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("07_model_output", "figures"))
    drawn = "07_model_output/reconstruct/climatology"
    shutil.copytree(finished / drawn, folder / drawn)
    return folder


@pytest.fixture(scope="session")
def digests(root: Path) -> dict[str, str]:
    """Digests of all files of the data root."""
    return state(root)


@pytest.fixture
def unharmed(root: Path, digests: dict[str, str]) -> Iterator[Path]:
    """The data root, which must be unchanged at the end."""
    assert len(digests) > 100
    yield root
    if any(root.glob("*/*.old-*")):
        gc.collect()  # a replaced store stays until its last reader is gone, here a frame of the refusal
    assert state(root) == digests


@pytest.fixture
def message(project: Callable[..., Any], unharmed: Path) -> Callable[..., str]:
    """The sentence with which a run in this process ends."""

    def run(*names: str, parameters: dict[str, Any] | None = None, **options: Any) -> str:
        with pytest.raises(Exception) as caught:
            project(*names, data_root=unharmed, parameters=parameters, **options)
        text = sentence(caught.value) or refusal_of_kedro(caught.value)
        assert text is not None and "\n" not in text and "Traceback" not in text, repr(caught.value)
        return text

    return run


@pytest.fixture(scope="session")
def refusal(project: Callable[..., Any], root: Path) -> Callable[[dict[str, Any]], str | None]:
    """The sentence with which a session refuses parameters before anything else, asked for directly: no session."""
    loader = OmegaConfigLoader(str(ROOT / "conf"), env="test", **CONFIG_LOADER_ARGS)
    of_files = loader["parameters"]
    bootstrap_project(ROOT)

    def refuse(parameters: dict[str, Any]) -> str | None:
        merged = OmegaConf.to_container(
            OmegaConf.merge(of_files, given := {"data_root": str(root), **parameters})
        )
        try:
            check_data_root(given)
            check_parameters(merged, given, lambda: declared_names(loader))
        except InputError as error:
            return sentence(error)
        return None

    return refuse


@pytest.fixture
def kedro() -> Callable[..., subprocess.CompletedProcess[str]]:
    """A real `kedro run --env test`."""

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kedro", "run", "--env", "test", *words]
        expected = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        return subprocess.run(
            command, cwd=ROOT, env=expected, text=True, capture_output=True, timeout=300, check=False
        )

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A sound file."""
    path = tmp_path / "weather.nc"
    weather().to_netcdf(path)
    return path


@pytest.fixture
def models(finished: Path, tmp_path: Path) -> Path:
    """A data root with all that reconstruction needs of one experiment."""
    for part in ("03_primary", "04_feature", "06_models/reconstruct/climatology"):
        shutil.copytree(finished / part, tmp_path / "data" / part)
    return tmp_path / "data"


@pytest.fixture(scope="session")
def forecasts(forecasted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with all that `predict`, and forecasts made elsewhere, need."""
    folder = tmp_path_factory.mktemp("forecasts") / "data"
    models = (f"06_models/forecast/{name}" for name in ("corrected_inverse_model", "linear_inverse_model"))
    for part in ("03_primary", "04_feature", *models):
        shutil.copytree(forecasted / part, folder / part)
    return folder


@pytest.fixture
def whole(forecasts: Path) -> Iterator[Path]:
    """Data root that must be unchanged at the end."""
    before = state(forecasts)
    yield forecasts
    assert state(forecasts) == before


@pytest.fixture(scope="session")
def days(forecasts: Path) -> xr.Dataset:
    """The last three states of the planet, as a file of a user's own."""
    fields = xr.open_zarr(forecasts / "03_primary/fields.zarr").isel(time=slice(-3, None)).load()
    return fields[["z500", "t650", "u200", "ws800"]].drop_vars("segment", errors="ignore")
