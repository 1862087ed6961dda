"""Commands on a file do what `kedro run` does with the same parameters."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import fieldcast
from fieldcast import cli
from fieldcast.app import commands
from fieldcast.errors import InputError
from fieldcast.inference.file_options import FILE_COMMANDS, FileCommand
from fieldcast.pipelines.names import RENAMED_COMMANDS


class Session:
    """Stands in for Kedro's: notes how it is created and run."""

    def __init__(self, noted: dict[str, Any]) -> None:
        self.noted = noted

    def create(self, **options: Any) -> "Session":
        self.noted |= options
        return self

    def run(self, **options: Any) -> dict[str, Any]:
        self.noted |= options
        return {}

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: Any) -> None:
        return None


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    noted: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "KedroSession", Session(noted))
    return noted


def test_fill_and_predict_are_pipelines_on_a_file(noted: dict[str, Any], tmp_path: Path) -> None:
    phrases = ["fill", "a,b.nc", "--experiment", "reconstruct.linear", "--output", "f.nc"]
    phrases += ["--members", "3", "--params", "data_root=there,fill.noise=0.1", "--env", "netcdf"]
    assert CliRunner().invoke(cli.cli, phrases, catch_exceptions=False).exit_code == 0
    assert noted["pipeline_names"] == ["fill"] and noted["env"] == "netcdf"
    assert noted["runtime_params"] == {
        "data_root": "there",
        "fill": {
            "observations": str(tmp_path / "a,b.nc"),
            "experiment": "reconstruct.linear",
            "output": str(tmp_path / "f.nc"),
            "members": 3,
            "noise": 0.1,
        },
    }
    phrases = ["predict", "s3://a/b.nc", "--steps", "2", "--output", "s3://a/c.nc"]
    assert CliRunner().invoke(cli.cli, phrases, catch_exceptions=False).exit_code == 0
    assert noted["pipeline_names"] == ["predict"]
    assert noted["runtime_params"] == {
        "predict": {"states": "s3://a/b.nc", "steps": 2, "output": "s3://a/c.nc"}
    }


def test_record_cycle_is_a_pipeline_on_a_file(noted: dict[str, Any], tmp_path: Path) -> None:
    phrases = ["record-cycle", "record.nc", "--forecaster", "forecast.vae", "--updater", "assimilate.hybrid"]
    phrases += ["--output", "c.nc", "--noise", "0.2", "--held-out", "0.05", "--members", "30"]
    assert CliRunner().invoke(cli.cli, phrases, catch_exceptions=False).exit_code == 0
    assert noted["pipeline_names"] == ["record_cycle"]
    assert noted["runtime_params"]["record_cycle"] == {
        "observations": str(tmp_path / "record.nc"),
        "forecaster": "forecast.vae",
        "updater": "assimilate.hybrid",
        "output": str(tmp_path / "c.nc"),
        "noise": "0.2",
        "held_out": 0.05,
        "members": 30,
    }


def test_fill_gaps_ingests_the_file_in_an_environment_of_its_own(
    noted: dict[str, Any], tmp_path: Path
) -> None:
    phrases = ["fill-gaps", "gappy.nc", "--output", "f.nc", "--max-gap", "5", "--max-spread", "0.5"]
    phrases += ["--noise", "0.3 degC", "--mask", "open_water"]
    phrases += ["--predictors", "msl+t2m", "--predictors", "aux.nc"]
    (tmp_path / "aux.nc").touch()
    phrases += ["--params", "ingestion.variables=sst"]
    assert CliRunner().invoke(cli.cli, phrases, catch_exceptions=False).exit_code == 0
    assert noted["pipeline_names"] == ["gap_filling"] and noted["env"] == "gap_filling"
    assert noted["runtime_params"] == {
        "ingestion": {
            "variables": "sst",
            "path": str(tmp_path / "gappy.nc"),
            "mask": "open_water",
            "predictors": ["msl", "t2m", str(tmp_path / "aux.nc")],
        },
        "gap_filling": {
            "output": str(tmp_path / "f.nc"),
            "max_gap": 5,
            "max_spread": 0.5,
            "noise": "0.3 degC",
        },
    }


def test_append_replaces_the_record_unless_there_is_an_output(noted: dict[str, Any], tmp_path: Path) -> None:
    filled, output = (str(tmp_path / name) for name in ("filled.nc", "f.nc"))
    phrases = ["fill-gaps", "today.nc", "--append", "filled.nc"]
    for more, written in (([], filled), (["--output", "f.nc"], output)):
        assert CliRunner().invoke(cli.cli, [*phrases, *more], catch_exceptions=False).exit_code == 0
        assert noted["pipeline_names"] == ["gap_appending"] and noted["env"] == "gap_filling"
        assert noted["runtime_params"] == {
            "ingestion": {"path": str(tmp_path / "today.nc")},
            "gap_filling": {"append": filled, "output": written},
        }


def test_an_output_that_exists_is_named_before_it_is_replaced(noted: dict[str, Any], tmp_path: Path) -> None:
    phrases = ["fill-gaps", "record.nc", "--output", "filled.nc"]
    assert "exists" not in CliRunner().invoke(cli.cli, phrases, catch_exceptions=False).stderr
    (tmp_path / "filled.nc").touch()
    told = CliRunner().invoke(cli.cli, phrases, catch_exceptions=False).stderr
    assert told == "'filled.nc' exists, and is replaced once the new result is complete.\n"


def test_grid_stations_is_a_pipeline_on_a_table(noted: dict[str, Any], tmp_path: Path) -> None:
    phrases = ["grid-stations", "gauges.csv", "--resolution", "0.5", "--output", "g.nc", "--step", "24"]
    assert CliRunner().invoke(cli.cli, phrases, catch_exceptions=False).exit_code == 0
    assert noted["pipeline_names"] == ["station_fields"]
    assert noted["runtime_params"] == {
        "station_fields": {
            "stations": str(tmp_path / "gauges.csv"),
            "resolution": 0.5,
            "step": 24.0,
            "output": str(tmp_path / "g.nc"),
        }
    }
    phrases = ["grid-stations", "gauges.csv", "--resolution", "0.5", "--crs", "EPSG:25832"]
    phrases += ["--columns", "time=Datum, value=Niederschlag [mm]"]
    assert CliRunner().invoke(cli.cli, phrases, catch_exceptions=False).exit_code == 0
    section = noted["runtime_params"]["station_fields"]
    assert section["columns"] == {"time": "Datum", "value": "Niederschlag [mm]"}
    assert section["crs"] == "EPSG:25832"
    phrases = ["grid-stations", "gauges.csv", "--like", "model.nc", "--quantity", "tp=root"]
    assert CliRunner().invoke(cli.cli, phrases, catch_exceptions=False).exit_code == 0
    assert noted["runtime_params"]["station_fields"]["like"] == str(tmp_path / "model.nc")
    assert noted["runtime_params"]["ingestion"] == {"quantities": {"tp": "root"}}


def test_help_tells_the_values_of_the_configuration_here(noted: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "conf/base/parameters").mkdir(parents=True)
    (tmp_path / "conf/base/parameters/fill.yml").write_text("fill: {members: 23, noise: 0.5, output: null}")
    (tmp_path / "conf/base/parameters/gap_filling.yml").write_text("gap_filling: {members: 3, max_gap: 9}")
    (tmp_path / "conf/gap_filling").mkdir()
    (tmp_path / "conf/gap_filling/parameters.yml").write_text("gap_filling: {members: 0}")
    assert "Size of the ensemble.  [default: (23)]" in help_of("fill") and "(0.5)" in help_of("fill")
    assert "in the result.  [default: (0)]" in help_of("fill-gaps") and "[default: (9)]" in help_of(
        "fill-gaps"
    )


@pytest.mark.parametrize("record", FILE_COMMANDS, ids=lambda record: record.name)
def test_a_record_fits_its_options_its_pipeline_and_the_catalog(record: FileCommand) -> None:
    """Options, files and pipelines are names, which no type checks; each option has a help."""
    names = {field.name for field in dataclasses.fields(record.options)}
    assert {*record.params_only} <= names
    assert all(option.help for option in commands.OnFile(record).params if isinstance(option, click.Option))
    assert {key.rpartition(".")[2] for key in record.files if not record.ingests} <= names
    folder = Path(fieldcast.__file__).parent / "pipelines"
    assert all((folder / name / "pipeline.py").is_file() for name in (record.section, *record.pipelines))
    conf = Path(__file__).parents[2] / "conf"
    written = f"${{runtime_params:{record.section}.output,${{_root}}/07_model_output/{record.section}.nc}}"
    assert (written in (conf / "base/catalog.yml").read_text()) == ("output" in names)
    assert record.env is None or (conf / record.env).is_dir()


@pytest.mark.parametrize(("name", "instead"), RENAMED_COMMANDS.items())
def test_an_old_command_is_refused_with_what_to_use_instead(name: str, instead: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"there is no command '{name}': {instead}.")):
        CliRunner().invoke(cli.cli, [name, "--x", "y.nc"], catch_exceptions=False)
    assert name not in CliRunner().invoke(cli.cli, ["--help"]).output.split()


def help_of(command: str) -> str:
    return CliRunner().invoke(cli.cli, [command, "--help"], terminal_width=200, catch_exceptions=False).output
