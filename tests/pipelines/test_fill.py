"""A user's gappy file becomes members, mean and spread in a file laid out as his own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import fieldcast
from fieldcast.app.error_messages import sentence
from fieldcast.datasets import ZarrDataset
from fieldcast.errors import InputError

UNITS = {"units": "hours since 0001-01-01 12:00:00", "calendar": "noleap"}
DIMS = ("valid_time", "lat", "lon")


@pytest.fixture(scope="module")
def truth(finished: Path) -> xr.Dataset:
    """Two days of the test split, north first, in names and an order of their own."""
    fields = ZarrDataset(filepath=str(finished / "03_primary/fields.zarr")).load().isel(time=[-9, -2])
    data = fields.drop_vars(["orography", "segment"]).isel(latitude=slice(None, None, -1))
    data = data.rename(latitude="lat", longitude="lon", time="valid_time")
    data["valid_time"].encoding = UNITS
    data["z500"].attrs["instrument"] = "radiosonde"
    data.attrs = {"title": "two days", "history": "measured"}
    return data


@pytest.fixture(scope="module")
def gappy(truth: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file: 70 % of the cells are missing, each variable's own."""
    rng = np.random.default_rng(3)
    data = truth.map(lambda v: v.where(rng.uniform(size=v.shape) > 0.7))
    file = tmp_path_factory.mktemp("mine") / "gappy.nc"
    data.assign_attrs(truth.attrs).to_netcdf(file)
    return file


@pytest.fixture
def fill(project: Callable[..., Any], finished: Path, tmp_path: Path) -> Callable[..., xr.Dataset]:
    """Fill a file through the pipeline and open what it wrote."""

    def run(file: Path, **options: Any) -> xr.Dataset:
        given = {"observations": str(file), "output": str(tmp_path / "new/filled.nc"), **options}
        project("fill", data_root=finished, parameters={"fill": given, "limits": {"members": 5}})
        return xr.open_dataset(given["output"])

    return run


def test_observed_cells_are_kept_and_the_rest_is_nearer_the_truth_than_climatology(
    fill: Any, gappy: Path, truth: xr.Dataset
) -> None:
    given = xr.open_dataset(gappy)
    filled = fill(gappy)
    climatology = fill(gappy, experiment="reconstruct.climatology")
    for v in truth.data_vars:
        assert filled[v].sizes["member"] == 5 and np.isfinite(filled[v]).all()
        recorded = np.isfinite(given[v])
        assert 0.2 < float(recorded.mean()) < 0.4
        np.testing.assert_array_equal(
            filled[v].where(recorded), (given[v] + 0 * filled["member"]).transpose(*filled[v].dims)
        )
        custom, usual = (float(abs(f[f"{v}_mean"] - truth[v]).mean()) for f in (filled, climatology))
        assert custom < 0.7 * usual
        np.testing.assert_allclose(filled[f"{v}_mean"], filled[v].mean("member"), rtol=1e-6)
        np.testing.assert_allclose(
            filled[f"{v}_spread"], filled[v].astype(float).std("member", ddof=1), rtol=1e-3, atol=1e-3
        )
        spread = filled[f"{v}_spread"]
        assert float(spread.where(recorded).max()) == 0 < float(spread.where(~recorded).min())


def test_names_axes_and_attributes_follow_the_file(fill: Any, gappy: Path, truth: xr.Dataset) -> None:
    given, filled = xr.open_dataset(gappy), fill(gappy)
    for name in DIMS:
        xr.testing.assert_equal(filled[name].variable, given[name].variable)
        assert given[name].attrs.items() <= filled[name].attrs.items()
    for key in ("units", "calendar"):
        assert filled["valid_time"].encoding[key] == given["valid_time"].encoding[key]
    for v in truth.data_vars:
        assert filled[v].dims == ("valid_time", "member", "lat", "lon")
        assert filled[f"{v}_mean"].dims == filled[f"{v}_spread"].dims == DIMS
        units = {filled[name].attrs["units"] for name in (v, f"{v}_mean", f"{v}_spread")}
        assert units == {given[v].attrs["units"]}
    assert filled["z500"].attrs["instrument"] == "radiosonde"
    assert filled["member"].attrs["standard_name"] == "realization"
    assert filled.attrs["input_title"] == "two days" and filled.attrs["Conventions"].startswith("CF-1.")
    line, earlier = filled.attrs["history"].splitlines()
    assert " reconstruction by fieldcast " in line and earlier == "measured"


def test_fill_equals_the_trained_model_alone(fill: Any, gappy: Path, finished: Path) -> None:
    """The pipeline adds a catalog, no numbers."""
    model = fieldcast.load(finished / "06_models/reconstruct/gappy_pca/checkpoint.safetensors")
    by_hand = model.fill(xr.open_dataset(gappy), members=5, seed=0)
    xr.testing.assert_allclose(fill(gappy, experiment="reconstruct.gappy_pca"), by_hand, rtol=1e-6)


def test_the_usual_place_and_noise(
    project: Any, finished: Path, gappy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project("fill", data_root=finished, parameters={"fill": {"observations": str(gappy), "noise": 0.5}})
    place = finished / "07_model_output/fill.nc"
    assert f"filled: {place}" in capsys.readouterr().out
    given, filled = xr.open_dataset(gappy), xr.load_dataset(place)
    assert float(abs(filled["z500_mean"] - given["z500"]).max()) > 1.0  # smoothed, not kept


def test_borrowed_weights_fill_too(fill: Any, gappy: Path) -> None:
    assert np.isfinite(fill(gappy, experiment="reconstruct.denoising_vae_residual_rk4")["z500"]).all()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: d.isel(lon=slice(0, 9)), ("the longitudes of", "9 from 0 to 180", "16 from 0 to")),
        (lambda d: d.interp(lat=d["lat"].values[:-1] - 10), ("the latitudes of", "train on this grid")),
        (
            lambda d: d[["u200"]].rename(u200="u"),
            ("none of the model's variables z500, t650, u200, ws800; it has u:",),
        ),
        (
            lambda d: d.assign(t650=d["t650"].assign_attrs(units="Pa")),
            ("'t650' of '", "is in 'Pa', which cannot be converted to 'K'"),
        ),
        (lambda d: d.where(d["z500"] < 0, np.inf), ("'z500'", "Inf", "0004-12-23T00:00:00")),
        (lambda d: d.isel(valid_time=[]).drop_encoding(), ("no times",)),
    ],
)
def test_an_unsuitable_file_is_reported_in_one_sentence_and_writes_nothing(
    fill: Any, gappy: Path, tmp_path: Path, spoil: Any, words: tuple[str, ...]
) -> None:
    file = tmp_path / "spoilt.nc"
    spoil(xr.load_dataset(gappy)).to_netcdf(file)
    with pytest.raises(Exception) as caught:
        fill(file)
    message = sentence(caught.value) or ""
    assert all(word in message for word in (f"'{file}'", *words)) and "\n" not in message, message
    assert sorted(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"observations": None}, "fill.observations is not set: say which file"),
        ({"observations": "no.nc"}, "'no.nc' does not exist: check its name (fill.observations)"),
        (
            {"experiment": "reconstruct.optimal"},
            "fill.experiment: there is no experiment 'reconstruct.optimal'",
        ),
        ({"members": 0}, "fill.members = 0 should be greater than or equal to 1"),
        ({"nois": 0.1}, "fill.nois: there is no such option; did you mean fill.noise?"),
    ],
)
def test_options(fill: Any, gappy: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(Exception) as caught:
        fill(gappy, **options)
    assert (sentence(caught.value) or "").startswith(words)


def test_an_experiment_that_has_not_been_trained_names_its_command(
    project: Any, gappy: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"run `kedro run --pipelines reconstruct\.kriging` first"):
        parameters = {"fill": {"observations": str(gappy), "experiment": "reconstruct.kriging"}}
        project("fill", data_root=tmp_path, parameters=parameters)
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_data_root_is_named_with_those_that_hold_models(
    project: Any, finished: Path, gappy: Path
) -> None:
    with pytest.raises(
        InputError, match=rf"_finished: there is no such folder.*models are in .*{finished.name}"
    ):
        project(
            "fill",
            data_root=finished.with_name(f"{finished.name}_finished"),
            parameters={"fill": {"observations": str(gappy)}},
        )


def test_a_file_never_takes_the_place_of_its_own_source(fill: Any, gappy: Path) -> None:
    before = gappy.read_bytes()
    with pytest.raises(InputError, match=r"fill\.output is fill\.observations itself"):
        fill(gappy, output=str(gappy.parent / "." / gappy.name))
    assert gappy.read_bytes() == before


def test_a_file_never_takes_the_place_of_a_table_of_stations(
    project: Any, finished: Path, tmp_path: Path
) -> None:
    table = tmp_path / "gauges.csv"
    table.write_text("time,lat,lon,variable,value\n")
    with pytest.raises(InputError, match=r"fill\.output is fill\.stations itself"):
        project(
            "fill",
            data_root=finished,
            parameters={"fill": {"stations": str(table), "output": str(table)}},
        )
    assert table.read_text().startswith("time")
