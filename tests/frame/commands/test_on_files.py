"""Commands on a file do what `kedro run` does with the same parameters."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fieldcast import cli
from fieldcast.frame.commands import on_files


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
    monkeypatch.setattr(on_files, "KedroSession", Session(noted))
    return noted


def test_fill_and_predict_are_pipelines_on_a_file(noted: dict[str, Any], tmp_path: Path) -> None:
    phrases = ["fill", "a,b.nc", "--experiment", "reconstruct.linear", "--output", "f.nc"]
    phrases += ["--members", "3", "--params", "data_root=there,fill.noise=0.1", "--env", "netcdf"]
    assert CliRunner().invoke(cli.cli, phrases, catch_exceptions=False).exit_code == 0
    assert noted["pipeline_names"] == ["fill"] and noted["env"] == "netcdf"
    assert noted["runtime_params"] == {
        "data_root": "there",
        "fill": {
            "observations": "a,b.nc",
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


def test_cycle_is_a_pipeline_on_a_file(noted: dict[str, Any], tmp_path: Path) -> None:
    phrases = ["cycle", "record.nc", "--forecaster", "forecast.vae", "--updater", "assimilate.hybrid"]
    phrases += ["--output", "c.nc", "--noise", "0.2", "--withheld", "0.05", "--members", "30"]
    assert CliRunner().invoke(cli.cli, phrases, catch_exceptions=False).exit_code == 0
    assert noted["pipeline_names"] == ["cycle"]
    assert noted["runtime_params"]["cycle"] == {
        "observations": "record.nc",
        "forecaster": "forecast.vae",
        "updater": "assimilate.hybrid",
        "output": str(tmp_path / "c.nc"),
        "noise": 0.2,
        "withheld": 0.05,
        "members": 30,
    }


def test_fill_gaps_ingests_the_file_in_the_environment_gaps(noted: dict[str, Any], tmp_path: Path) -> None:
    phrases = ["fill-gaps", "gappy.nc", "--output", "f.nc", "--max-gap", "5", "--max-spread", "0.5"]
    phrases += ["--params", "ingestion.variables=sst"]
    assert CliRunner().invoke(cli.cli, phrases, catch_exceptions=False).exit_code == 0
    assert noted["pipeline_names"] == ["gaps"] and noted["env"] == "gaps"
    assert noted["runtime_params"] == {
        "ingestion": {"variables": "sst", "path": str(tmp_path / "gappy.nc")},
        "fill": {"output": str(tmp_path / "f.nc"), "max_gap": 5, "max_spread": 0.5},
    }


def test_grid_stations_is_a_pipeline_on_a_table(noted: dict[str, Any], tmp_path: Path) -> None:
    phrases = ["grid-stations", "gauges.csv", "--resolution", "0.5", "--output", "g.nc", "--step", "24"]
    assert CliRunner().invoke(cli.cli, phrases, catch_exceptions=False).exit_code == 0
    assert noted["pipeline_names"] == ["gridding"]
    assert noted["runtime_params"] == {
        "gridding": {
            "stations": str(tmp_path / "gauges.csv"),
            "resolution": 0.5,
            "step": 24.0,
            "output": str(tmp_path / "g.nc"),
        }
    }
    phrases = ["grid-stations", "gauges.csv", "--like", "model.nc"]
    assert CliRunner().invoke(cli.cli, phrases, catch_exceptions=False).exit_code == 0
    assert noted["runtime_params"]["gridding"]["like"] == str(tmp_path / "model.nc")


def test_help_tells_the_defaults_of_the_configuration_here(noted: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "conf/base/parameters").mkdir(parents=True)
    (tmp_path / "conf/base/parameters/fill.yml").write_text("fill: {members: 23, noise: 0.5, output: null}")
    (tmp_path / "conf/gaps").mkdir()
    (tmp_path / "conf/gaps/parameters.yml").write_text("fill: {members: 0}")
    assert "Number of ensemble members.  [default: (23)]" in help_of("fill") and "(0.5)" in help_of("fill")
    assert "[default: (0); x>=0]" in help_of("fill-gaps") and "[default: (gaps)]" in help_of("fill-gaps")


def help_of(command: str) -> str:
    return CliRunner().invoke(cli.cli, [command, "--help"], terminal_width=200, catch_exceptions=False).output
