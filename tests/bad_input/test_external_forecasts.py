"""Forecasts made elsewhere that cannot be scored are refused in one sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from refusals import ROOT, Spoil, only_a_sentence, state

from fieldcast.datasets import ZarrDataset
from fieldcast.errors import InputError
from fieldcast.inference.forecasts.external import import_forecasts
from fieldcast.inference.options import File


@pytest.fixture(scope="module")
def theirs(forecasts: Path) -> xr.Dataset:
    """Sound forecasts: the perfect model's."""
    result = xr.open_zarr(forecasts / "04_feature/perfect_model.zarr", decode_timedelta=False).load()
    return result.drop_encoding()


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


OWN: dict[str, tuple[Spoil, Callable[[Path], Any] | None, tuple[str, ...]]] = {
    "missing": (lambda d: d, Path.unlink, ("does not exist", "model.path of the experiment")),
    "truncated": (lambda d: d, half, ("mine.nc", "damaged or truncated", "again")),
    "another grid": (
        lambda d: d.isel(latitude=slice(1, None)),
        None,
        ("latitudes of", "are 7 from", "those of the fields 8 from", "interpolate"),
    ),
    "without a start": (
        lambda d: d.isel(start=slice(1, None)),
        None,
        ("has no forecast from 0004-", "1 of the 4 scored initial times", "`initial_times` lists them all"),
    ),
    "without a lead": (lambda d: d.isel(lead=[0, 2, 3]), None, ("has no lead of 48 hours", "rollout.steps")),
}


@pytest.fixture
def imported(forecasts: Path, tmp_path: Path) -> Callable[[Path], Path]:
    """Take over the forecasts of a file; the store that they are written to, lead by lead."""
    fields = xr.open_zarr(forecasts / "03_primary/fields.zarr")
    initial_times = json.loads((forecasts / "04_feature/initial_times.json").read_text())

    def run(path: Path) -> Path:
        place = tmp_path / "forecasts.zarr"
        store = ZarrDataset(filepath=str(place), append="lead")
        for piece in import_forecasts(File("File", path=str(path)), xr.Dataset(), initial_times, fields):
            store.save(piece)
        return place

    return run


@pytest.mark.parametrize("family", OWN)
def test_unusable_external_forecasts_are_refused(
    imported: Any, theirs: xr.Dataset, tmp_path: Path, family: str
) -> None:
    spoil, harm, phrases = OWN[family]
    path = tmp_path / "mine.nc"
    spoil(theirs).to_netcdf(path)
    if harm:
        harm(path)
    with pytest.raises(InputError) as caught:
        imported(path)
    assert all(word in str(caught.value) for word in (str(path), *phrases)), str(caught.value)


def test_forecasts_that_end_early_leave_earlier_ones(
    imported: Any, theirs: xr.Dataset, tmp_path: Path
) -> None:
    """A damaged last lead is found when the others have been read."""
    path = tmp_path / "mine.zarr"
    theirs.chunk(lead=1).to_zarr(path, zarr_format=2)
    before = state(imported(path))
    (path / "z500/3.0.0.0.0").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"mine\.zarr' cannot be read to its end"):
        imported(path)
    assert len(before) > 10 and state(tmp_path / "forecasts.zarr") == before


@pytest.mark.proof
def test_external_forecasts_in_a_real_process(
    kedro: Any, whole: Path, theirs: xr.Dataset, tmp_path: Path
) -> None:
    conf, path = tmp_path / "conf", tmp_path / "mine.nc"
    shutil.copytree(ROOT / "conf", conf)
    text = f"forecast: {{mine: {{model: {{type: File, path: {path}}}}}}}"
    (conf / "base/parameters/experiments/forecast/mine.yml").write_text(text)
    theirs.isel(start=slice(1, None)).to_netcdf(path)
    phrases = ["--conf-source", str(conf), "--pipelines", "rollout", "--namespaces", "forecast.mine"]
    done = kedro(*phrases, "--params", f"data_root={whole}")
    only_a_sentence(done, str(path), "1 of the 4 scored initial times", "`initial_times` lists them all")
