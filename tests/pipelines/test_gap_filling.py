"""A record with gaps at every time goes through the task reconstruct; tasks that need complete states refuse it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import fieldcast
from fieldcast.encoding.initial_times import select_initial_times
from fieldcast.encoding.options import Limits, Rollout, Sparsification
from fieldcast.errors import InputError
from fieldcast.experiments import body_of, experiments
from fieldcast.fields import climatology as climatologies
from fieldcast.fields import normalisation as normalisations
from fieldcast.fields.ingest import ingest
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import make, select
from fieldcast.inference.gaps import trials
from fieldcast.inference.samples.features import fit_features
from fieldcast.models.configuration import resolve
from fieldcast.models.gaps.fillers import FILLERS
from fieldcast.models.gaps.held_out import SELECTIONS
from fieldcast.models.gaps.trial import run_trial
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train

CONF = Path(__file__).parents[2] / "conf"
RUN = ("climatology", "linear", "optimal_interpolation", "low_rank")
FROM_COVARIANCES = RUN[2:]


def gappy_record(days: int = 200, rows: int = 6, columns: int = 10) -> xr.Dataset:
    """Two waves that drift, half of the values held out at random, one day without any, one cell of land."""
    rng = np.random.default_rng(4)
    time = np.arange(days)[:, None, None]
    latitude, longitude = np.linspace(-60, 60, rows), np.arange(columns) * 360 / columns
    y, x = np.deg2rad(latitude)[:, None], np.deg2rad(longitude)
    t = np.cos(y) * (np.cos(x + time / 7) + np.sin(2 * x - time / 5)) * rng.uniform(0.5, 1.5, (days, 1, 1))
    t = 280 + 5 * t + 0.3 * rng.standard_normal(t.shape)
    t[rng.random(t.shape) < 0.5] = np.nan
    t[100], t[:, 2, 3] = np.nan, np.nan  # one day, and land
    dims = ("time", "latitude", "longitude")
    axes = {"time": pd.date_range("2001-01-01", periods=days), "latitude": latitude, "longitude": longitude}
    return xr.Dataset({"t2m": (dims, t.astype(np.float32), {"units": "K"})}, axes)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("gappy")
    gappy_record().to_netcdf(folder / "gappy.nc")
    ingestion = {"source": "file", "path": str(folder / "gappy.nc"), "missing": "train"}
    cases = {"cases": {"random": [0.9]}, "noise": 0.0, "masks": 2}
    return {
        "data_root": folder / "data",
        "parameters": {
            "ingestion": ingestion,
            "sparsification": cases,
            "limits": {"members": 5, "times": 24},
        },
    }


def test_every_classical_reconstruction_takes_gaps() -> None:
    """Their fits to records with gaps are in `tests/models/test_learning_from_gaps.py`."""
    classical = [
        address
        for address, experiment in experiments(CONF).items()
        if experiment.task == "reconstruct" and experiment.about.family == "classical"
    ]
    assert "reconstruct.kriging" in classical
    for address in classical:
        assert resolve(body_of(CONF, address)["model"]["type"], address).learns_from_gaps, address


def test_reconstructions_learn_from_gaps(project: Callable[..., Any], options: dict[str, Any]) -> None:
    addresses = [f"reconstruct.{name}" for name in RUN]
    project(*addresses, **options, to_outputs=[f"{address}.scores" for address in addresses])
    root, error = options["data_root"], {}
    for name in RUN:
        scores = pd.read_parquet(root / f"08_reporting/reconstruct/{name}/scores.parquet")
        scored = scores[(scores["statistic"] == "squared_error") & (scores["variable"] == "t2m")]
        error[name] = scored[scored["cells"] == "unobserved"]["value"].mean() ** 0.5
    assert np.isfinite(list(error.values())).all()
    assert all(error[name] < 0.7 * error["climatology"] for name in FROM_COVARIANCES), error
    draws = xr.open_zarr(root / "07_model_output/reconstruct/linear/draws.zarr")["t2m"]
    land = draws.isel(latitude=2, longitude=3)
    assert land.isnull().all() and draws.notnull().sum() == draws.size - land.size


def test_models_that_need_complete_fields_refuse_gaps() -> None:
    fields, _ = ingest(gappy_record(), missing="train")
    splits = make(fields["time"])
    training = select(fields, splits, "train")
    climatology = climatologies.fit(training)
    data = PreparedData(fields, climatology, normalisations.fit(training, climatology), splits)
    vae, options = {"type": "vae.ConditionalVAE"}, (Fit(steps=1), 0, Limits(), "cpu")
    refusals: dict[str, Callable[[], Any]] = {
        "models of the type vae.ConditionalVAE": lambda: next(
            train(Recipe(Reconstruction(Sparsification()), vae, *options), data, None)
        ),
        "forecasts": lambda: select_initial_times(fields, splits, Rollout(), Limits()),
        "samples and their scores": lambda: fit_features(fields, data.normalisation, splits, None),
    }
    for subject, refused in refusals.items():
        with pytest.raises(InputError, match=rf"^{subject} need complete fields, .*ingestion\.missing=train"):
            refused()


Filled = Callable[..., Path]
NAME = "sea_surface_temperature"


def southward(record: xr.Dataset) -> xr.Dataset:
    """A record with other names of its axes, whose latitudes descend and longitudes begin at -180."""
    east = record["longitude"].values
    record = record.assign_coords(longitude=(east + 180) % 360 - 180).sortby("longitude")
    record = record.isel(latitude=slice(None, None, -1)).assign_attrs(
        title="Thermometers", Conventions="CF-1.6"
    )
    return record.rename(latitude="lat", longitude="lon", time="valid_time", t2m=NAME)


@pytest.fixture(scope="module")
def fill_record(project: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Fill a gappy record by the pipeline, in a data root of the given name, up to some outputs."""
    folder = tmp_path_factory.mktemp("record")
    record = southward(gappy_record(110))
    record.to_netcdf(folder / "gappy.nc")
    for number, days in enumerate((slice(0, 60), slice(60, None))):
        record.isel(valid_time=days).to_netcdf(folder / f"part{number}.nc")
    for day in range(record.sizes["valid_time"]):  # as NASA maps ocean colour: the date is an attribute
        field = record.isel(valid_time=day)
        date = {"time_coverage_start": f"{field['valid_time'].dt.strftime('%Y-%m-%dT00:00:00Z').item()}"}
        field.drop_vars("valid_time").assign_attrs(date).to_netcdf(folder / f"day{day:03}.nc")

    def fill(
        name: str, file: str = "gappy.nc", output: Path | None = None, noise: str | None = None,
        method: str | None = None, **outputs: list[str],
    ) -> Path:  # fmt: skip
        root = folder / name
        ingestion = {"source": "file", "path": str(folder / file), "missing": "train"}
        options = {"members": 0, "output": str(output or root / "filled.nc"), "max_gap": 30}
        options |= {"noise": noise, "method": method}
        project(
            "gap_filling",
            data_root=root,
            parameters={"ingestion": ingestion, "gap_filling": options},
            **outputs,
        )
        return root

    return fill


@pytest.fixture(scope="module")
def whole(fill_record: Filled) -> Path:
    """The data root of an uninterrupted run."""
    return fill_record("whole")


def test_the_pipeline_fills_a_file(whole: Path) -> None:
    require_layout(xr.load_dataset(whole / "filled.nc"))
    report = (whole / "08_reporting/gap_filling.txt").read_text()
    assert report.startswith("Filled by ") and "linear in time" in report
    figures = whole / "08_reporting/figures/gap_filling"
    assert {path.name for path in figures.iterdir()} == {"sst_maps.png", "sst_series.png"}


def require_layout(filled: xr.Dataset) -> None:
    """Require the names, order and observed values of the record, and no attribute of ingestion."""
    record = southward(gappy_record(110))
    observed = record[NAME].notnull()
    assert filled[NAME].dims == ("valid_time", "lat", "lon")
    for name, coordinate in record.coords.items():
        assert np.array_equal(filled[name], coordinate)
    assert np.array_equal(filled[NAME].values[observed], record[NAME].values[observed])
    assert np.array_equal(filled[f"{NAME}_flag"] == 0, observed)
    assert set(filled.data_vars) == {NAME + part for part in ("", "_mean", "_spread", "_flag")}
    assert filled.attrs["input_title"] == "Thermometers"
    assert not {"wraps", "missing", "digest", "lineage", "step_hours", "source_source"} & set(filled.attrs)


def test_observed_values_with_an_error_are_smoothed_by_the_pipeline_as_in_python(fill_record: Filled) -> None:
    root = fill_record("noisy", noise="0.5 degC", method="low_rank", to_outputs=["gaps_filled"])
    filled, record = xr.load_dataset(root / "filled.nc"), southward(gappy_record(110))
    observed = record[NAME].notnull()
    assert np.array_equal(filled[f"{NAME}_observed"].values[observed], record[NAME].values[observed])
    assert 0 < filled[f"{NAME}_spread"].values[observed].max() < 0.5
    in_python = fieldcast.fill_gaps(record, noise={NAME: "0.5 degC"}, max_gap=30, method="low_rank")
    for name in (NAME, f"{NAME}_spread"):
        np.testing.assert_array_equal(filled[name], in_python[name])


def test_a_record_in_several_files_keeps_their_layout(fill_record: Filled) -> None:
    root = fill_record("parts", "part*.nc", method="low_rank", to_outputs=["gaps_filled"])
    require_layout(xr.load_dataset(root / "filled.nc"))


def test_files_of_one_field_each_are_one_record(fill_record: Filled, whole: Path) -> None:
    root = fill_record("days", "day*.nc", to_outputs=["gaps_filled"])
    filled, expected = (xr.load_dataset(path / "filled.nc") for path in (root, whole))
    assert filled[NAME].dims == ("time", "lat", "lon")
    np.testing.assert_array_equal(filled["time"], expected["valid_time"])
    for name in expected.data_vars:
        np.testing.assert_array_equal(filled[name], expected[name])


def test_a_predictor_in_another_file_goes_through_the_pipeline_as_in_python(
    project: Callable[..., Any], tmp_path: Path
) -> None:
    record = southward(gappy_record(110))
    rng, times = np.random.default_rng(0), record.sizes["valid_time"]
    anomaly = 3 * rng.standard_normal((times, *record[NAME].shape[1:]))
    record[NAME] = record[NAME] + anomaly.astype(np.float32)
    predictor = record[NAME].copy(data=anomaly + 10 + 0.1 * rng.standard_normal(anomaly.shape)).rename("aux")
    record.to_netcdf(tmp_path / "gappy.nc")
    predictor.to_netcdf(tmp_path / "aux+1.nc")

    def run(folder: str, path: Path = tmp_path / "aux+1.nc", output: Path = tmp_path / "filled.nc") -> None:
        ingestion = {
            "source": "file", "path": str(tmp_path / "gappy.nc"), "missing": "train", "gaps": "insert",
            "predictors": [str(path)],
        }  # fmt: skip
        given = {"method": "low_rank", "output": str(output)}
        parameters = {"ingestion": ingestion, "gap_filling": given}
        project("gap_filling", data_root=tmp_path / folder, parameters=parameters, to_outputs=["gaps_filled"])

    run("data")
    filled = xr.load_dataset(tmp_path / "filled.nc")
    assert filled.attrs["fieldcast_predictors"] == "aux of sst" and "aux" not in filled
    assert "fieldcast_fit" not in filled.attrs
    in_python = fieldcast.fill_gaps(record.assign(aux=predictor), predictors="aux", method="low_rank")
    np.testing.assert_allclose(filled[NAME], in_python[NAME], rtol=1e-5)
    before = (tmp_path / "aux+1.nc").read_bytes()
    with pytest.raises(InputError, match=r"gap_filling\.output is ingestion\.predictors itself"):
        run("data", output=tmp_path / "aux+1.nc")
    assert (tmp_path / "aux+1.nc").read_bytes() == before
    (10 + rng.standard_normal(anomaly.shape) * xr.ones_like(predictor)).to_netcdf(tmp_path / "aux+1.nc")
    run("data")  # it is read again
    assert "fieldcast_predictors" not in xr.load_dataset(tmp_path / "filled.nc").attrs


@pytest.mark.parametrize("source", ["gappy.nc", "part*.nc"])
def test_the_result_does_not_replace_the_record(fill_record: Filled, whole: Path, source: str) -> None:
    name = source.replace("*", "1")
    before = (whole.parent / name).read_bytes()
    with pytest.raises(
        InputError, match=r"gap_filling\.output is ingestion\.path itself.*choose another file"
    ):
        fill_record("replaced", source, output=whole.parent / "." / name)
    assert (whole.parent / name).read_bytes() == before and not (whole.parent / "replaced").exists()


def test_another_name_of_the_record_is_the_record(fill_record: Filled, whole: Path, tmp_path: Path) -> None:
    """A link has the effect of a disk that does not distinguish capital letters."""
    os.link(whole.parent / "gappy.nc", tmp_path / "other.nc")
    with pytest.raises(
        InputError, match=r"gap_filling\.output is ingestion\.path itself.*choose another file"
    ):
        fill_record("replaced", "gappy.nc", output=tmp_path / "other.nc")


def test_the_series_of_a_cell_holds_the_truth_that_was_held_out(whole: Path) -> None:
    series = pd.read_csv(whole / "08_reporting/gap_filling_series.csv", index_col="time")
    place = {name: series[name].iloc[0] for name in ("latitude", "longitude")}
    cell = {"lat": place["latitude"], "lon": place["longitude"]}
    truth = southward(gappy_record(110))[NAME].sel(cell, method="nearest").sel(valid_time=series.index)
    held_out, observed = (series[name].notna() for name in ("hidden", "observed"))
    assert held_out.any() and observed.any() and not (held_out & observed).any()
    np.testing.assert_allclose(series["observed"].fillna(series["hidden"]), truth, rtol=1e-6)
    for method in ("filled", "dineof", "linear_in_time"):
        np.testing.assert_allclose(series[method][observed], series["observed"][observed], rtol=1e-6)
    assert np.array_equal(series["low"] == series["high"], observed)
    low, filled, high = (series[name][~observed] for name in ("low", "filled", "high"))
    assert (low < filled).all() and (filled < high).all()


def test_interrupted_trials_resume_to_the_same_result(
    fill_record: Filled, whole: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[str] = []

    def interrupted(name: str, *how: Any) -> Any:
        tried.append(name)
        if len(tried) in (2, 8):  # the second method, and the second repetition of the best one
            raise KeyboardInterrupt
        return run_trial(name, *how)

    monkeypatch.setattr(trials, "run_trial", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            fill_record("part")
    assert not (whole.parent / "part/filled.nc").exists()
    part = fill_record("part", to_outputs=["gaps_filled", "summary_gap_filling", "series_gap_filling"])
    again = tried[1 + len(FILLERS) :]  # the repetition that was interrupted is begun again
    assert tried[2 : 1 + len(FILLERS)] == list(FILLERS)[1:]
    assert len(again) > SELECTIONS and again[1] == again[2] and set(again) < set(FILLERS)
    for name in (
        "06_models/gaps_trials.safetensors",
        "08_reporting/gap_filling.txt",
        "08_reporting/gap_filling_series.csv",
    ):
        assert (part / name).read_bytes() == (whole / name).read_bytes()
    xr.testing.assert_equal(xr.load_dataset(part / "filled.nc"), xr.load_dataset(whole / "filled.nc"))
    assert (part / "08_reporting/gap_filling.txt").read_text().strip() in capsys.readouterr().out


def test_trials_of_other_data_or_code_are_not_resumed(whole: Path) -> None:
    file = (whole / "06_models/gaps_trials.safetensors").read_bytes()
    lineage = trials.unpack_state(file, "")[1]["lineage"]
    stored = trials.from_file(file, lineage, torch.device("meta")).trials
    names = [trial.name for trial in stored]
    assert names[: len(FILLERS)] == list(FILLERS) and set(names[len(FILLERS) :]) < set(FILLERS)
    assert {getattr(stored[0], part).device.type for part in trials.TENSORS} == {"meta"}
    for changed in ("data", "code"):
        other = trials.from_file(file, {**lineage, changed: "0123456789ab"}, torch.device("cpu"))
        assert not (other.trials or other.rounds or other.finalists)


def test_a_filled_file_grows_by_days_or_stays_as_it_was(
    project: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, output = southward(gappy_record(110)), tmp_path / "filled.nc"
    record.isel(valid_time=slice(105)).to_netcdf(tmp_path / "old.nc")
    record.isel(valid_time=slice(105, None)).to_netcdf(tmp_path / "new.nc")

    def run(pipeline: str, file: str, **options: Any) -> None:
        given = {"method": "low_rank", "output": str(output), **options}
        ingestion = {"source": "file", "path": str(tmp_path / file), "missing": "train", "gaps": "insert"}
        parameters = {"ingestion": ingestion, "gap_filling": given}
        outputs = ["gaps_filled"] if pipeline == "gap_filling" else None
        project(pipeline, data_root=tmp_path / "data", parameters=parameters, to_outputs=outputs)

    def interrupted(data: xr.Dataset, path: str, **options: Any) -> None:
        Path(path).write_bytes(b"a part")
        raise KeyboardInterrupt

    run("gap_filling", "old.nc")
    before, fit = output.read_bytes(), Path(f"{output}.fit.safetensors")
    stored = fit.read_bytes()
    assert xr.load_dataset(output).attrs["fieldcast_fit"] == fit.name
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(xr.Dataset, "to_netcdf", interrupted)
        run("gap_appending", "new.nc", append=str(output))
    assert output.read_bytes() == before and fit.read_bytes() == stored
    run("gap_appending", "new.nc", append=str(output))
    require_layout(xr.load_dataset(output))
    assert fit.read_bytes() == stored and not list(tmp_path.glob("*.partial"))
    said = (tmp_path / "data/08_reporting/gap_appending.txt").read_text()
    assert said.startswith("5 times (2001-04-16 to 2001-04-20) were appended")
    with pytest.raises(InputError, match=r"ends on 2001-04-20: give times after its end"):
        run("gap_appending", "new.nc", append=str(output))
    with pytest.raises(InputError, match=r"appending is another pipeline: run --pipelines gap_appending"):
        run("gap_filling", "new.nc", append=str(output))
    with pytest.raises(InputError, match=r"gap_filling\.append is not set"):
        run("gap_appending", "new.nc")
