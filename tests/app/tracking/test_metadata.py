"""Names and values of parameters, metrics and tags."""

import inspect
import math
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from fieldcast.app.tracking import metadata
from fieldcast.app.tracking.metadata import as_text, notation, parameters_in_use
from fieldcast.errors import InputError
from fieldcast.fields.options import Ingestion
from fieldcast.models import vae
from fieldcast.scores.headline import Headline
from fieldcast.training.options import Fit


@dataclass(frozen=True)
class Rate:
    start: float = 0.1


def test_parameters_are_opened_to_the_last_value() -> None:
    nested = {
        "fit": {"rate": Rate(), "stages": (1, 2), "early": None, "share": True, "limits": {}},
        "seed": 0,
    }
    assert as_text(nested) == {
        "fit.rate.start": "0.1",
        "fit.stages": "[1, 2]",
        "fit.early": "null",
        "fit.share": "true",
        "seed": "0",
    }


def test_only_parameters_that_nodes_read_are_recorded() -> None:
    experiments = {"a": {"about": {"label": "A"}, "model": {"latent": 3}}}
    parameters = {
        "seed": 0,
        "fill": {"members": 3},
        "ingestion": {"path": None, "source": "planet"},
        "sample": experiments,
        "comparisons": [{"title": "a comparison"}],
    }
    assert parameters_in_use(
        parameters, {"seed", "ingestion.source", "earlier", "sample", "comparisons"}
    ) == {
        "ingestion.source": "planet",
        "seed": "0",
    }


def test_options_that_a_source_does_not_read_are_not_recorded() -> None:
    planet = parameters_in_use({"ingestion": Ingestion(seed=3)}, {"ingestion"})
    assert planet["ingestion.seed"] == "3" and "ingestion.planet.years" in planet
    assert not any(name.startswith(("ingestion.images", "ingestion.path")) for name in planet)
    file = parameters_in_use({"ingestion": Ingestion(source="file", path="a.nc")}, {"ingestion"})
    assert file["ingestion.path"] == "a.nc" and "ingestion.planet.years" not in file


def test_a_run_is_named_by_pipelines_data_and_environment() -> None:
    planet = {"ingestion": {"source": "planet", "path": None}}
    files = {"ingestion": {"source": "file", "path": ["/far/away/z500.nc", "t2m.nc"]}}
    filled = {**planet, "fill": {"observations": "/my/gaps.nc"}}
    assert metadata.title({"pipeline_names": ["demo"], "env": "demo"}, planet) == "demo · planet · demo"
    assert metadata.title({"pipeline_names": ["__default__"]}, planet) == "demo · planet"
    assert (
        metadata.title({"namespaces": ["forecast.vae"], "env": "netcdf"}, files)
        == "forecast.vae · z500.nc · netcdf"
    )
    assert metadata.title({"pipeline_names": ["fill"]}, filled) == "fill · gaps.nc"
    gauges = {**files, "fill": {"observations": None, "stations": "/my/gauges.csv"}}
    for pipeline in ("fill", "station_scores"):
        assert metadata.title({"pipeline_names": [pipeline]}, gauges) == f"{pipeline} · gauges.csv"
    unnamed = {**planet, "forecast_scores": {"forecasts": None, "stations": None, "dem": None}}
    assert metadata.title({"pipeline_names": ["forecast_scores"]}, unnamed) == "forecast_scores"
    score = "reconstruct.linear.evaluation.score"
    both = ["reconstruct.linear", "reconstruct.oi"]
    assert metadata.title({"pipeline_names": both, "to_nodes": [score], "env": "demo"}, planet) == (
        f"reconstruct.linear, reconstruct.oi, to {score} · planet · demo"
    )
    assert metadata.title({"node_names": [score]}, planet) == f"demo, only {score} · planet"
    ends = {"from_nodes": ["a.draw", "b.draw"], "to_outputs": ["summary"]}
    assert metadata.title({"pipeline_names": ["demo"], **ends}, planet) == (
        "demo, from a.draw and 1 more, to summary · planet"
    )
    typed = {"ingestion": Ingestion()}  # as Kedro has converted it
    assert metadata.title({"pipeline_names": ["demo"]}, typed) == "demo · planet"


def test_a_model_is_recorded_with_the_defaults_of_its_class() -> None:
    body = {"model": {"type": "vae.VAE", "encoder": {"type": "encoders.Network", "latent": 3}, "latent": 3}}
    recorded = parameters_in_use({"sample": {"vae": body}}, {"sample.vae.model"})
    parameters = inspect.signature(vae.VAE).parameters
    defaults = {
        name: notation(parameters[name].default) for name in ("kl_weight", "kl_warm_up", "likelihood")
    }
    model = {name.removeprefix("sample.vae.model."): value for name, value in recorded.items()}
    assert defaults.items() <= model.items()
    assert model["latent"] == model["encoder.latent"] == "3"
    assert "encoder.hidden" in model and "space" not in model


def test_only_the_options_that_a_fit_uses_are_recorded() -> None:
    models = {
        "climatology": "climatology.Climatology",
        "oi": "optimal_interpolation.OptimalInterpolation",
        "vae": "vae.ConditionalVAE",
        "free_run": "assimilation.baselines.FreeRun",
    }
    task = {name: {"model": {"type": kind}, "fit": Fit(tuning=32)} for name, kind in models.items()}
    recorded = {name: set(parameters_in_use({"x": task}, {f"x.{name}.fit"})) for name in models}
    assert recorded["climatology"] == recorded["free_run"] == set()
    assert recorded["oi"] == {"x.oi.fit.tuning"}
    assert {"x.vae.fit.steps", "x.vae.fit.learning_rate"} < recorded["vae"]
    unconverted = {"x": {"oi": {"model": {"type": models["oi"]}, "fit": {}}}}  # no option is set in the YAML
    assert parameters_in_use(unconverted, {"x.oi.fit"}) == {}


def test_variables_have_types_and_shapes_at_any_number_of_times() -> None:
    fields = xr.Dataset({"t2m": (("time", "latitude", "longitude"), np.zeros((5, 2, 3), np.float32))})
    assert metadata.variables(fields) == (("t2m", "float32", (-1, 2, 3)),)
    assert metadata.variables(pd.DataFrame({"t": [1.0]})) == ()


def test_runs_whose_parameters_differ_have_names_that_differ() -> None:
    given = {
        "seed": 1,
        "data_root": "elsewhere",
        "sample": {"a": {"fit": {"steps": 9}}, "b": {"model": {"width": 2}}},
    }
    run = {"pipeline_names": ["demo"], "runtime_params": given}
    assert metadata.title(run, {}) == "demo · seed=1, sample.a.fit.steps=9, sample.b.model.width=2"
    assert metadata.title_of("sample.a", run, {"seed", "sample.a.fit"}) == "a (sample) · seed=1, fit.steps=9"
    assert (
        metadata.title_of("sample.b", run, {"sample.b.fit", "sample.b.model"}) == "b (sample) · model.width=2"
    )
    assert metadata.title_of("sample.c", run, {"sample.c.fit"}) == "c (sample)"


def test_the_note_ranks_the_experiments_of_each_task() -> None:
    values = {"forecast.vae": 0.5, "sample.a": 0.02, "forecast.perfect": 0.1, "forecast.lim": 0.25}
    headlines = {address: Headline(value, "CRPS") for address, value in values.items()}
    links = {address: f"#/{address}" for address in headlines}
    lines = metadata.note("demo", headlines, {"forecast.perfect"}, links).splitlines()
    best = [
        "Best forecast: [forecast.lim](#/forecast.lim), 0.25",
        "Best sample: [sample.a](#/sample.a), 0.02",
    ]
    assert lines[0:3:2] == best and lines[4].startswith("Headlines, lower is better")
    assert lines[6:12] == [
        "| forecast | CRPS |",
        "|---|---|",
        "| [forecast.perfect](#/forecast.perfect) (bound) | 0.1 |",
        "| [forecast.lim](#/forecast.lim) | 0.25 |",
        "| [forecast.vae](#/forecast.vae) | 0.5 |",
        "",
    ]
    assert metadata.note("fill · mine.nc", {}, set(), {}) == "Pipelines, data, environment: fill · mine.nc"


def test_options_have_defaults_and_an_unknown_one_is_refused() -> None:
    assert metadata.options({"uri": "http://far"}) == {
        "tracking": True,
        "uri": "http://far",
        "experiment": "fieldcast",
        "register": False,
    }
    with pytest.raises(InputError, match=r"tracking.yml has no key 'url'; did you mean uri\?"):
        metadata.options({"url": "http://far"})


def test_commit_and_uncommitted_changes_are_recorded(tmp_path: Path) -> None:
    assert metadata.commit(tmp_path) == {}
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    tags = metadata.commit(tmp_path)
    assert len(tags["mlflow.source.git.commit"]) == 40 and tags["git.dirty"] == "false"
    (tmp_path / "new").touch()
    assert metadata.commit(tmp_path)["git.dirty"] == "true"


def test_a_process_is_alive_until_it_ended() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert metadata.alive(os.getpid()) and metadata.alive(1) and not metadata.alive(process.pid)


@pytest.mark.parametrize("value", [None, True, 3, 0.5, math.inf, -math.inf, [1, 2], {"a": None}])
def test_a_parameter_is_noted_as_yaml_reads_it(value: object) -> None:
    assert yaml.safe_load(notation(value)) == value
