"""States that cannot be forecast from are refused in one sentence."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from refusals import CHECKPOINTS, FILES, Spoil, only_a_sentence, refuse_to_write

from fieldcast.app.error_messages import sentence
from fieldcast.encoding.options import Limits
from fieldcast.errors import InputError
from fieldcast.inference.file_options import Predict
from fieldcast.pipelines.predict.nodes import predict


def with_a_hole(d: xr.Dataset) -> xr.Dataset:
    return d.assign(t650=d["t650"].where(d["latitude"] < 60))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_rollout_on_a_bad_disk(
    project: Any, whole: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_to_write(monkeypatch, whole, number)
    with pytest.raises(Exception) as caught:
        project("rollout", data_root=whole, namespaces=["forecast.corrected_inverse_model"])
    text = sentence(caught.value) or ""
    assert str(whole) in text and "data_root" in text and "\n" not in text, text


@pytest.mark.parametrize("family", CHECKPOINTS)
def test_a_forecast_from_a_damaged_checkpoint(refused: Any, days: xr.Dataset, family: str) -> None:
    harm, phrases = CHECKPOINTS[family]
    days.to_netcdf("states.nc")
    text = refused(harm)
    assert phrases in text and "train the experiment again" in text, text


STATES: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "too few": (lambda d: d.isel(time=[-1]), ("has 1 state;", "the last 2", "give it more")),
    "another time step": (lambda d: d.isel(time=[0, 2]), ("48 hours apart", "24 hours", "at that step")),
    "another grid": (lambda d: d.isel(longitude=slice(9)), ("the longitudes of", "9 from 0", "interpolate")),
    "other variables": (lambda d: d.drop_vars("u200"), ("'u200'", "it has z500, t650, ws800")),
    "missing values": (with_a_hole, ("'t650'", "missing values on", "fill them first")),
}
ASKED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no states": ({"states": None}, ("predict.states is not set", "--params predict.states=FILE")),
    "no such experiment": ({"experiment": "forecast.crps"}, ("no experiment 'forecast.crps'", "<task>.<name>")),
    "misspelt experiment": ({"experiment": "forecast.vea"}, ("'forecast.vea'", "did you mean forecast.vae")),
    "not trained": ({"experiment": "forecast.vae"}, ("not been trained", "`kedro run --pipelines forecast.vae`")),
}  # fmt: skip


@pytest.fixture
def refused(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The sentence with which the node of `predict` ends; its file is states.nc, here."""
    monkeypatch.chdir(tmp_path)

    def run(harm: Callable[[bytes], bytes] = bytes, **options: Any) -> str:
        checkpoint = whole / "06_models/forecast/corrected_inverse_model/checkpoint.safetensors"
        parameters = {"forecast": {"corrected_inverse_model": {"model": {}}, "vae": {"model": {}}}}
        stored = {"forecast/corrected_inverse_model": lambda: harm(checkpoint.read_bytes())}
        given = (parameters, stored, 0, Limits(), "cpu")
        with pytest.raises(InputError) as caught:
            predict(
                Predict(
                    **{"states": "states.nc", "experiment": "forecast.corrected_inverse_model", **options}
                ),
                *given,
            )
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return run


@pytest.mark.parametrize("family", STATES)
def test_states_that_do_not_fit(refused: Any, days: xr.Dataset, family: str) -> None:
    spoil, phrases = STATES[family]
    spoil(days).to_netcdf("states.nc")
    text = refused()
    assert all(word in text for word in ("'states.nc'", *phrases)), text


@pytest.mark.parametrize("family", FILES)
def test_the_file_of_states_itself(refused: Any, days: xr.Dataset, family: str) -> None:
    harm, phrases = FILES[family]
    days.to_netcdf("states.nc")
    harm(Path("states.nc"))
    text = refused()
    assert all(word.replace("ingestion.path", "predict.states") in text for word in phrases), text


@pytest.mark.parametrize("family", ASKED)
def test_unusable_options_of_predict_are_reported_in_one_sentence(
    refused: Any, days: xr.Dataset, family: str
) -> None:
    requested, phrases = ASKED[family]
    days.to_netcdf("states.nc")
    text = refused(**requested)
    assert all(word in text for word in phrases), text


def test_sound_states_are_forecast(project: Any, whole: Path, days: xr.Dataset, tmp_path: Path) -> None:
    days.to_netcdf(tmp_path / "states.nc")
    given = {"states": str(tmp_path / "states.nc"), "output": str(tmp_path / "forecast.nc"), "steps": 2}
    project("predict", data_root=whole, parameters={"predict": given})
    result = xr.open_dataset(given["output"], decode_timedelta=False)
    assert result["z500"].dims == ("lead", "member", "latitude", "longitude") and result.sizes["lead"] == 2
    assert result["forecast_reference_time"].values == days["time"].values[-1]
    assert np.isfinite(result["z500"]).all() and result.attrs["Conventions"].startswith("CF-1.")


@pytest.mark.proof
def test_states_in_a_real_process(kedro: Any, whole: Path, days: xr.Dataset, tmp_path: Path) -> None:
    path = tmp_path / "states.nc"
    days.isel(time=[-1]).to_netcdf(path)
    parameters = f"data_root={whole},predict.states={path},predict.output={tmp_path / 'forecast.nc'}"
    done = kedro("--pipelines", "predict", "--params", parameters)
    only_a_sentence(done, "has 1 state;", "the last 2")
    assert sorted(tmp_path.iterdir()) == [path]
