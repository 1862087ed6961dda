"""`make tables SETTING=assimilate` with a stand-in for `kedro run`: the runs that it starts, the record, the table."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import yaml

DOCS = Path(__file__).parents[2] / "docs"
ERRORS = {"optimal_interpolation": 0.8, "lim_filter": 0.7, "hybrid": 0.6, "perfect_letkf": 0.4}


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script with its files in an empty folder, and with two rows."""
    script = importlib.import_module("studies.assimilation_tables")
    document = tmp_path / "tables.md"
    document.write_text("before\n<!-- assimilation: begin -->\nold\n<!-- assimilation: end -->\nafter\n")
    records = {"RECORD": tmp_path / "assimilation.csv", "DAILY_RECORD": tmp_path / "year.csv"}
    paths = {"DOCUMENT": document, "STORE": tmp_path / "s", **records}
    for name, path in paths.items():
        monkeypatch.setattr(script, name, path)
    row = script.Row("5 % gross errors", tuple(ERRORS), {"gross_errors": 0.05})
    seed = script.Row("seed 1", ("hybrid",), {}, {"sparsification.seed": 1})
    monkeypatch.setattr(script, "ROWS", (row, seed))
    return script


@pytest.fixture
def runs(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """The runs that the script starts; a cycle leaves draws and scores."""
    started: list[tuple[str, str | None]] = []

    def kedro(log, params, conf, pipelines, namespace=None) -> bool:
        started.append((pipelines, namespace))
        if namespace is None:
            return True
        name, root = namespace.removeprefix("assimilate."), Path(str(params["data_root"]))
        (root / "07_model_output" / "assimilate" / name).mkdir(parents=True)
        file = root / "08_reporting" / "assimilate" / name / "scores.parquet"
        file.parent.mkdir(parents=True)
        statistics(name).to_parquet(file)
        return name != "lim_filter" or started.count((pipelines, namespace)) > 1

    monkeypatch.setattr(script, "kedro", kedro)
    return started


def statistics(name: str) -> pd.DataFrame:
    """Squared errors and CRPS of 20 days, the same every day."""
    days = [f"0010-09-{day:02}T00:00:00" for day in range(1, 21)]
    values = {"squared_error": ERRORS[name] ** 2, "crps": ERRORS[name] / 2}
    table = pd.concat(
        pd.DataFrame({"time": days, "value": value, "statistic": statistic})
        for statistic, value in values.items()
    )
    place = {"state": "analysis", "pattern": "random", "k": 0.05, "mask": 0, "cells": "unobserved"}
    return table.assign(**place, variable="all", experiment=name, seed=0, data_digest="d", case_digest="s")


def run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *arguments: str) -> int:
    trained = tmp_path / "trained"
    (trained / "06_models" / "assimilate").mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr("sys.argv", ["script", "--trained", str(trained), *arguments])
    return script.main()


def test_each_filter_runs_once_and_the_least_costly_first(script, runs, monkeypatch, tmp_path) -> None:
    assert run(script, monkeypatch, tmp_path, "--only", "5 % gross errors") == 1  # one failed
    cycles = [namespace for _, namespace in runs if namespace]
    assert cycles == [f"assimilate.{name}" for name in ERRORS]
    runs.clear()
    assert run(script, monkeypatch, tmp_path) == 0
    assert [namespace for _, namespace in runs if namespace] == ["assimilate.hybrid"]  # the run of the seed
    folder = tmp_path / "s" / "5_percent_gross_errors"
    assert not list((folder / "07_model_output" / "assimilate").glob("*"))
    assert (folder / "06_models").is_symlink()
    options = yaml.safe_load((folder / "conf" / "demo" / "parameters_row.yml").read_text())["assimilation"]
    assert options["gross_errors"] == 0.05 and options["steps"] == 240


def test_a_row_trains_only_the_filter_that_it_cycles(script, runs, monkeypatch, tmp_path) -> None:
    run(script, monkeypatch, tmp_path, "--only", "seed 1", "--filters", "hybrid")
    assert runs == [
        ("assimilate.hybrid", None),
        ("observing_network", None),
        ("assimilation,evaluation", "assimilate.hybrid"),
    ]


def test_the_document_holds_the_scores_and_names_what_is_missing(script, runs, monkeypatch, tmp_path) -> None:
    run(script, monkeypatch, tmp_path, "--only", "5 % gross errors", "--filters", *ERRORS)
    text = (tmp_path / "tables.md").read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert "| 5 % gross errors | 5 % | `hybrid` | 0.300 | 0.600 |" in text
    assert "Not run: seed 1 (hybrid)." in text
    (line,) = (line for line in text.splitlines() if "`hybrid`" in line)
    assert line.endswith("| 0.500 |")  # the RMSE skill: (0.8 - 0.6) / (0.8 - 0.4)
    (tmp_path / "tables.md").write_text("<!-- assimilation: begin -->\n<!-- assimilation: end -->\n")
    assert run(script, monkeypatch, tmp_path, "--write-only") == 0
    assert "0.600" in (tmp_path / "tables.md").read_text()


def test_the_table_of_a_year_has_quarters_and_a_trend(script, tmp_path) -> None:
    day = np.arange(365)
    rng = np.random.default_rng(0)
    growing = pd.DataFrame(
        {"deviation": 1.0 + 0.1 * day / 365 + 0.01 * rng.standard_normal(365), "short_waves": 0.9},
        index=pd.RangeIndex(1, 366, name="day"),
    )
    for name, statistics in (("hybrid", growing), ("letkf", growing), ("hybrid", growing)):
        script.daily_record(name, statistics).to_csv(script.DAILY_RECORD)
    record = script.daily_record("")
    assert len(record) == 2 * 365
    (tmp_path / "tables.md").write_text(
        "<!-- assimilation-year: begin -->\n<!-- assimilation-year: end -->\n"
    )
    script.write(pd.DataFrame())
    line = next(line for line in (tmp_path / "tables.md").read_text().splitlines() if "`hybrid`" in line)
    quarters, trend, short_waves = (cell.strip() for cell in line.split("|")[2:5])
    np.testing.assert_allclose(
        [float(text) for text in quarters.split(",")], [1.012, 1.037, 1.062, 1.087], atol=3e-3
    )
    slope, error = (float(text) for text in trend.split("±"))
    assert abs(slope - 0.1) < 2 * error < 0.02
    assert short_waves == "0.900, 0.900, 0.900, 0.900"
