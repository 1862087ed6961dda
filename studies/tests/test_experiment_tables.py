"""`make tables SETTING=sea_level_pressure` with a stand-in for `kedro run`: the runs, the record, the document."""

import importlib
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CRPS = {"linear_inverse_model": 0.3, "climatological_ensemble": 0.5, "vae": 0.4, "persistence": 0.6}


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script with its files in an empty folder."""
    script = importlib.import_module("studies.experiment_tables")
    for task in ("reconstruct", "forecast"):
        marks = [f"<!-- sea_level_pressure {task}: {end} -->" for end in ("begin", "end")]
        (tmp_path / f"{task}.md").write_text("\n".join(["before", *marks, "after"]))
    paths = {"DOCUMENTS": tmp_path, "RECORD": tmp_path / "results", "STORE": tmp_path, "ROOT": tmp_path}
    for name, path in paths.items():
        monkeypatch.setattr(script, name, path)
    return script


@pytest.fixture
def started(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses of the experiments that the script runs; each leaves what a run leaves."""
    addresses: list[str] = []

    def run(setting, address: str, path: str) -> bool:
        addresses.append(address)
        task, name = address.split(".")
        if task == "reconstruct" or name == "persistence":  # fails
            return False
        scores = script.scores_of(setting, address)
        scores.parent.mkdir(parents=True)
        scores.touch()
        leave_results(
            setting.root, [each.name for each in (setting.root / "08_reporting/forecast").iterdir()]
        )
        with (setting.root / "run.log").open("a") as log:
            ended = "fit.max_minutes: 10 minutes ended the training" if name == "vae" else "well"
            log.write(f"{address}.training.fit\n{ended}\n{address}.evaluation.score\n")
        return True

    monkeypatch.setattr(script, "run", run)
    return addresses


def leave_results(root: Path, names: list[str]) -> None:
    place = {
        "seed": 0,
        "data_digest": "d",
        "lead_hours": 24.0,
        "region": "domain",
        "variable": "all",
        "score": "crps",
    }
    rows = [{"experiment": name, **place, "value": CRPS.get(name, 0.1)} for name in names]
    pd.DataFrame(rows).to_csv(root / "08_reporting/leaderboard_forecast.csv", index=False)
    steps = {
        "step": [1, 2],
        "mean": 0.0,
        "std": 1.0,
        "spectrum_ratio": 1.0,
        "finite": True,
        "mse_climatology": 1.0,
        "mse": [0.5, 2.0],
    }
    for name in names:
        file = root / "07_model_output/forecast" / name / "stability.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(steps).to_csv(file, index=False)
    (root / "seconds.csv").write_text("".join(f"forecast.{name},60.0\n" for name in names))


def run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["script", "sea_level_pressure", "--path", "slp.nc", *arguments])
    return script.main()


ONLY = ("--only", "forecast.vae", "forecast.persistence")


def test_references_run_first_and_finished_experiments_once(script, started, monkeypatch) -> None:
    assert run(script, monkeypatch, *ONLY) == 1  # two failed
    references = ["forecast.climatological_ensemble", "forecast.linear_inverse_model"]
    assert sorted(started[:3]) == [*references, "reconstruct.optimal_interpolation"]
    assert started[3:] == ["forecast.persistence", "forecast.vae"]  # classical before learned
    started.clear()
    run(script, monkeypatch, "--missing", *ONLY)
    assert started == ["reconstruct.optimal_interpolation", "forecast.persistence"]


def test_the_record_and_the_document_hold_what_ran(script, started, monkeypatch, tmp_path) -> None:
    run(script, monkeypatch, *ONLY)
    runs = pd.read_csv(tmp_path / "results/runs.csv").set_index("experiment")
    assert runs["seconds"].eq(60).all() and set(runs.index) == CRPS.keys() - {"persistence"}
    assert runs["time_limit"].to_dict() == {name: name == "vae" for name in runs.index}
    text = (tmp_path / "forecast.md").read_text()
    lines = text.splitlines()
    table = lines.index("fair CRPS (lower is better)")
    assert [line.split() for line in lines[table + 2 : table + 5]] == [
        [name, f"{CRPS[name]:.3f}"] for name in ("linear_inverse_model", "vae", "climatological_ensemble")
    ]
    assert "The 3 experiments took 3 minutes" in text and "ended the training of vae." in text
    assert "Not run: " in text and "persistence" in text and lines[0] == "before" and lines[-1] == "after"


def test_the_perfect_model_of_the_planet_is_recorded_without_a_long_rollout(script, tmp_path) -> None:
    setting = script.SETTINGS["planet"]
    listed = {each.name: each for each in script.experiments_to_run(setting, None, False)}
    (setting.root / "08_reporting").mkdir(parents=True)
    leave_results(setting.root, ["perfect_model"])
    (setting.root / "07_model_output/forecast/perfect_model/stability.csv").unlink()
    (setting.root / "run.log").write_text("fit.max_minutes: 10 minutes ended the training of another\n")
    script.record(setting, listed["perfect_model"])
    assert pd.read_csv(tmp_path / "results/runs.csv")["time_limit"].tolist() == [False]


def test_rows_of_other_data_are_dropped(script, tmp_path) -> None:
    file = tmp_path / "results/t.csv"
    for name, data in (("a", "old"), ("b", "new"), ("c", "new"), ("b", "new")):
        script.merge(
            file, pd.DataFrame([{"experiment": name, "data_digest": data, "value": 1.0}]), ["experiment"]
        )
    assert pd.read_csv(file)["experiment"].tolist() == ["b", "c"]


def test_all_runs_of_an_experiment_count(script) -> None:
    setting = script.SETTINGS["planet"]
    setting.root.mkdir(parents=True)
    (setting.root / "seconds.csv").write_text("forecast.vae,100.0\nforecast.vae_mean,3.0\nforecast.vae,2.0\n")
    assert [script.seconds_of(setting, f"forecast.{name}") for name in ("vae", "vae_mean")] == [102, 3]


def test_options_of_a_setting_are_passed_on(script) -> None:
    winter = script.SETTINGS["winter"]
    assert winter.command("reconstruct.linear", "msl.nc")[-1].split(",")[1:] == [
        "ingestion.path=msl.nc",
        "reconstruct.corrected_interpolation.fit.steps=400",
    ]
