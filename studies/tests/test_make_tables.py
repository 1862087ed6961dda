"""`make tables` with a stand-in for `kedro run`: the runs that it starts, the record, and the tables."""

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from scipy.stats import ttest_ind

DOCS = Path(__file__).parents[2] / "docs"
SEEDS, PRIORS = 3, 4  # numbers of runs in the full setting, for which the tests take three seeds


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Script with its files in an empty folder."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    script = importlib.import_module("studies.make_tables")
    document = tmp_path / "tables.md"
    document.write_text("before\n<!-- samples: begin -->\nold\n<!-- samples: end -->\nafter\n")
    for name, path in {
        "DOCUMENT": document,
        "RECORD": tmp_path / "samples.csv",
        "STORE": tmp_path / "s",
    }.items():
        monkeypatch.setattr(script, name, path)
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setitem(script.SETTINGS, "full", replace(script.SETTINGS["full"], seeds=SEEDS))
    monkeypatch.setattr(script, "machine", lambda: "an abacus")
    return script


@pytest.fixture
def make(tables: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[str]]]:
    """Run the script; return its exit status and the trainings that it started."""

    def run(*arguments: str, elbo: float = 0.0, failing: str = "") -> tuple[int, list[str]]:
        trainings = []

        def kedro(job: Any, folders: Any, params: Any, stages: str, namespace: str | None = None) -> bool:
            if namespace is None:
                return True
            trainings.append(f"{namespace} {job.seed}")
            if namespace == failing:
                return False
            if "evaluation" in stages:
                job.scores.parent.mkdir(parents=True)
                scores = pd.DataFrame({"score": ["elbo", "fid"], "value": [elbo + job.seed, float("inf")]})
                scores = scores.assign(low=scores["value"] - 2.0, high=scores["value"] + 3.0)
                scores.to_parquet(job.scores)
            return True

        monkeypatch.setattr(tables, "kedro", kedro)
        monkeypatch.setattr(sys, "argv", ["make_tables.py", "full", *arguments])
        return tables.main(), trainings

    return run


def test_a_row_is_mean_and_deviation_over_its_seeds(make: Callable[..., Any], tables: ModuleType) -> None:
    status, trainings = make("--only", "priors", elbo=-136.0)
    assert status == 0 and len(trainings) == PRIORS * SEEDS
    text = tables.DOCUMENT.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert "| `vae_vamp` | -135.0 ± 1.0 | - |" in text  # mean of -136, -135, -134
    assert "sampling uncertainty of ± 2.5 nats" in text  # half of -2 to +3
    assert "Not yet complete" in text and "old" not in text


def test_a_completed_row_is_not_run_again(make: Callable[..., Any]) -> None:
    make("--only", "priors", "--jobs", "1")
    assert make("--only", "priors") == (0, [])


def test_a_failed_row_is_reported_and_does_not_stop_the_others(
    make: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    status, trainings = make("--only", "priors", failing="sample.vae_vamp")
    assert status == 1 and len(trainings) == PRIORS * SEEDS
    assert "3 failed" in capsys.readouterr().err
    assert sorted(make("--only", "priors")[1]) == [f"sample.vae_vamp {seed}" for seed in range(SEEDS)]


def test_the_record_replaces_missing_folders(make: Callable[..., Any], tables: ModuleType) -> None:
    make("--only", "priors", elbo=-136.0)
    tables.STORE.rename(tables.STORE.with_name("elsewhere"))
    assert make("--only", "priors", "--missing") == (0, [])
    make("--write-only")
    assert "-135.0 ± 1.0" in tables.DOCUMENT.read_text()
    assert len(make("--only", "priors", elbo=-100.0)[1]) == PRIORS * SEEDS  # run again: its scores replace
    assert "-99.0 ± 1.0" in tables.DOCUMENT.read_text()


def test_figures_show_the_rows_with_the_first_seed(
    make: Callable[..., Any], tables: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("--only", "priors")
    calls = []

    def kedro(job: Any, folders: Any, params: Any, stages: str, namespace: str | None = None) -> bool:
        calls.append((stages, params["data_root"]))
        return stages != "reporting" or job.table.name != "kl_weight"

    monkeypatch.setattr(tables, "kedro", kedro)
    priors, *others = tables.TABLES
    folder = tables.figures_of("full", priors)
    assert tables.draw("full", priors, {}) and calls[-1] == ("reporting", folder)
    for row in priors.rows:
        scores = folder / "08_reporting/sample" / row.experiment / "scores.parquet"
        assert scores.resolve() == tables.Job("full", priors, row, 0).scores.resolve()
    (quality, kl) = (
        next(table for table in others if table.name == name) for name in ("quality", "kl_weight")
    )
    calls.clear()
    assert tables.draw("full", quality, {}) and not calls  # no row of it has run
    assert not tables.draw("full", kl, {})  # one has, which it shares; its report fails


def test_other_parameters_make_another_row(tables: ModuleType) -> None:
    quality = next(table for table in tables.TABLES if table.name == "quality")
    first, second = (tables.Job("full", table, table.rows[-1], 0) for table in (quality, tables.TABLES[0]))
    flow = next(row for row in tables.TABLES[0].rows if row.experiment == "vae_flow")
    names = {
        tables.Job("full", quality, quality.rows[0], 0).name,
        tables.Job("full", tables.TABLES[0], flow, 0).name,
    }
    assert len(names) == 2
    assert first.shared == second.shared  # the data are the same


def test_a_score_that_is_not_finite_is_printed_as_such(make: Callable[..., Any], tables: ModuleType) -> None:
    make("--only", "quality")
    assert "| `flow` | not finite |" in tables.DOCUMENT.read_text()


def test_the_heading_names_machines_and_days(
    make: Callable[..., Any], tables: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("--only", "priors")
    first, *rest = tables.all_jobs("full", [tables.TABLES[0]])
    first.machine.unlink()  # completed before machines were recorded
    os.utime(first.scores, (1.6e9, 1.6e9))
    for job in rest:
        os.utime(job.scores, (1.7e9, 1.7e9))
    monkeypatch.setattr(tables, "machine", lambda: "the printing machine")
    make("--write-only")
    expected = "SETTING=full`, an abacus and an unrecorded machine, 2020-09-13 to 2023-11-14."
    assert expected in tables.DOCUMENT.read_text()
    tables.STORE.rename(tables.STORE.with_name("elsewhere"))
    make("--write-only")
    assert expected in tables.DOCUMENT.read_text()
    assert pd.read_csv(tables.RECORD)["machine"].isna().sum() == 1


def test_a_record_without_machines_is_printed(make: Callable[..., Any], tables: ModuleType) -> None:
    make("--write-only")
    assert "`make tables SETTING=full`.\n" in tables.DOCUMENT.read_text()
    row = tables.all_jobs("full", tables.TABLES)[0].name
    tables.RECORD.write_text(f"setting,row,seed,elbo,made\nfull,{row},0,-1.0,2026-11-20\n")
    make("--write-only")
    assert "SETTING=full`, an unrecorded machine, 2026-11-20." in tables.DOCUMENT.read_text()
    make("--only", "priors", "--missing")
    machines = pd.read_csv(tables.RECORD).set_index(["row", "seed"])["machine"]
    assert machines.isna()[row, 0] and machines.eq("an abacus").sum() == PRIORS * SEEDS - 1


def test_a_machine_is_named_after_its_gpu_or_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = importlib.import_module("studies.make_tables")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert script.machine().startswith(f"{os.cpu_count()} cores (")
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho NVIDIA H200\necho NVIDIA H200\n")
    program.chmod(0o755)
    assert script.machine() == "NVIDIA H200"


def test_settings_have_different_rows(tables: ModuleType) -> None:
    (quality,) = (table for table in tables.TABLES if table.name == "quality")
    of = {setting: [row.experiment for row in quality.of(setting)] for setting in tables.SETTINGS}
    assert of == {
        "002": ["vae_flow", "flow_two_networks", "ddpm", *3 * ["ddpm_four_halvings"]],
        "reduced": [],
        "full": ["vae_flow", "flow", "flow_two_networks", "ddpm_four_halvings"],
    }
    assert "`ddpm_four_halvings`" in tables.budget("full", quality)


def test_the_committed_record_holds_rows_of_the_tables_only(tables: ModuleType) -> None:
    records = {
        tables.key(job)[:2] for setting in tables.SETTINGS for job in tables.all_jobs(setting, tables.TABLES)
    }
    recorded = pd.read_csv(DOCS / "results" / "samples.csv")
    assert set(zip(recorded["setting"], recorded["row"], strict=True)) <= records


def test_codes_by_class_start_at_one_point_or_around_it(tables: ModuleType) -> None:
    (codes,) = (table for table in tables.TABLES if table.name == "codes_by_class")
    jobs = [tables.Job("reduced", codes, row, 0) for row in codes.rows]
    assert len({job.folder for job in jobs}) == 2 * len({job.row.experiment for job in jobs}) == 8
    lines = pd.DataFrame({"train_loss": [0.5]}, pd.MultiIndex.from_tuples([tables.key(jobs[1])]))
    printed = tables.text("reduced", codes, lines)
    assert "| `autodecoder`, jitter 1 | 0.5000 | - | - | 1 |  |" in printed
    assert "| `autodecoder`, one point | - |" in printed


def test_distances_in_features_of_two_classifiers_are_not_averaged(tables: ModuleType) -> None:
    (quality,) = (table for table in tables.TABLES if table.name == "quality")
    job = tables.Job("full", quality, quality.rows[0], 0)
    lines = pd.DataFrame({"fid": [1.0, 2.0], "accuracy": 0.99, "features": ["aaaa", "bbbb"]})
    lines.index = pd.MultiIndex.from_tuples([(*tables.key(job)[:2], seed) for seed in range(2)])
    printed = tables.text("full", quality, lines)
    assert "2 classifiers (aaaa, bbbb)" in printed and "1.5" not in printed
    printed = tables.text("full", quality, lines.assign(features="aaaa"))
    assert (
        "1.50 ± 0.71" in printed
        and "(weights aaaa; the classifier of this version has the weights " in printed
    )


def test_differences_are_tested_by_welch(make: Callable[..., Any], tables: ModuleType) -> None:
    make("--only", "priors", elbo=-136.0)
    text = tables.DOCUMENT.read_text()
    assert "here: `vae_mixture` +0.00 ± 0.82 (p = 1), " in text  # three runs each of -136, -135, -134
    assert "`vae_mixture` +0.93 ± 0.18 (p < .0001), `vae_vamp` +1.00 ± 0.16 (p < .0001)" in text
    assert "`vae_flow` +0.12 ± 0.24 (p = 0.63)." in text


def test_the_words_on_priors_have_the_numbers_of_the_record(tables: ModuleType) -> None:
    recorded = pd.read_csv(DOCS / "results" / "samples.csv", index_col=["setting", "row", "seed"])
    elbo = {
        name: recorded.loc[[("report", f"mnist/{row}", seed) for seed in range(10)], "elbo"]
        for name, row in rows_of(tables, "priors").items()
    }
    words = " ".join(tables.of_priors(recorded).split())
    for name in ("vae_mixture", "vae_vamp", "vae_flow"):
        test = ttest_ind(elbo[name], elbo["vae"], equal_var=False)
        gap = elbo[name].mean() - elbo["vae"].mean()
        assert f"`{name}` {gap:+.2f} ± {abs(gap / test.statistic):.2f} (p = {test.pvalue:.2g})" in words
    outside = {
        name: recorded.loc[[("report", f"mnist/{row}", seed) for seed in range(3)], "outside_prior"].mean()
        for name, row in rows_of(tables, "prior_fit").items()
    }
    assert ", ".join(f"{share:.3f} (`{name}`)" for name, share in outside.items()) in words


def rows_of(tables: ModuleType, name: str) -> dict[str, str]:
    """Names in the record of the rows of a table of setting 002, without their environment."""
    (table,) = (table for table in tables.TABLES if table.name == name)
    return {
        row.experiment: tables.Job("002", table, row, 0).name.partition("/")[2] for row in table.of("002")
    }


def test_distances_are_listed_with_their_floor(tables: ModuleType) -> None:
    for table in tables.TABLES:
        assert {f"{score}_floor" for score in {"fid", "kid"} & set(table.scores)} <= set(table.scores)


@pytest.mark.parametrize(
    ("setting", "name", "training"),
    [
        ("002", "priors", "9218 steps of 128 images, 20 epochs"),  # 59 000 images
        ("reduced", "literature", "8000 steps of 128 images, 20 epochs"),  # 50 000 images: not validation
        ("full", "literature", "200000 steps of 128 images, 512 epochs"),
        ("reduced", "codes", "1500 steps of 128 images, 19 epochs"),  # 10 000 images
        (
            "002",
            "quality",
            "9218 steps of 128 images, 20 epochs (`vae_flow`, `flow_two_networks`); "
            "2765 steps of 64 images, 3 epochs (`ddpm`, `ddpm_four_halvings`); "
            "921 steps of 64 images, 1 epoch (`ddpm_four_halvings`); "
            "6453 steps of 64 images, 7 epochs (`ddpm_four_halvings`)",
        ),
    ],
)
def test_the_budget_is_stated(tables: ModuleType, setting: str, name: str, training: str) -> None:
    (table,) = (table for table in tables.TABLES if table.name == name)
    assert tables.budget(setting, table) == f"Trained for at most {training}."


def test_a_setting_that_was_never_run_is_named(tables: ModuleType) -> None:
    recorded = pd.DataFrame(
        {"elbo": 1.0, "machine": "an abacus", "made": "2026-11-28", "seconds": 1.0},
        pd.MultiIndex.from_tuples(
            [("reduced", "a", 0), ("report", "b", 0)], names=["setting", "row", "seed"]
        ),
    )
    never = "Never run: the setting full, for a GPU"
    assert never in tables.heading("reduced", recorded) and never not in tables.heading("002", recorded)
    recorded.index = pd.MultiIndex.from_tuples(
        [("reduced", "a", 0), ("full", "b", 0)], names=recorded.index.names
    )
    assert never not in tables.heading("reduced", recorded)
