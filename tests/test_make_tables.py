"""`make tables` on a stand-in for `kedro run`: what is run, what is kept, and what the tables say of it."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

DOCS = Path(__file__).parents[1] / "docs"
SEEDS, PRIORS, QUALITY = 3, 4, 3  # of the reduced setting


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, whose files are in an empty folder."""
    monkeypatch.syspath_prepend(str(DOCS))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    script = importlib.import_module("make_tables")
    document = tmp_path / "tables.md"
    document.write_text(f"before\n{script.BEGIN}\nold\n{script.END}\nafter\n")
    for name, path in {
        "DOCUMENT": document,
        "RECORD": tmp_path / "samples.csv",
        "STORE": tmp_path / "s",
    }.items():
        monkeypatch.setattr(script, name, path)
    monkeypatch.setattr(script, "ROOT", tmp_path)
    return script


@pytest.fixture
def make(tables: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[str]]]:
    """Run the script; its exit status, and which trainings it asked for."""

    def run(*words: str, elbo: float = 0.0, failing: str = "") -> tuple[int, list[str]]:
        asked = []

        def kedro(job: Any, folders: Any, params: Any, stages: str, namespace: str | None = None) -> bool:
            if namespace is None:
                return True
            asked.append(f"{namespace} {job.seed}")
            if namespace == failing:
                return False
            if "evaluation" in stages:
                job.scores.parent.mkdir(parents=True)
                scores = pd.DataFrame({"score": ["elbo", "fid"], "value": [elbo + job.seed, float("inf")]})
                scores = scores.assign(low=scores["value"] - 2.0, high=scores["value"] + 3.0)
                scores.to_parquet(job.scores)
            return True

        monkeypatch.setattr(tables, "kedro", kedro)
        monkeypatch.setattr(sys, "argv", ["make_tables.py", "reduced", *words])
        return tables.main(), asked

    return run


def test_a_row_is_mean_and_deviation_over_its_seeds(make: Callable[..., Any], tables: ModuleType) -> None:
    status, asked = make("--only", "priors", elbo=-136.0)
    assert status == 0 and len(asked) == PRIORS * SEEDS
    text = tables.DOCUMENT.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert "| `vae_vamp` | -135.0 ± 1.0 | - |" in text  # of -136, -135, -134
    assert "open by ± 2.5 nats" in text  # half of -2 to +3
    assert "Not yet complete" in text and "old" not in text


def test_what_was_run_is_not_run_again(make: Callable[..., Any]) -> None:
    make("--only", "priors", "--jobs", "1")
    assert make("--only", "priors") == (0, [])


def test_a_failed_row_does_not_end_the_rest_and_is_named(
    make: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    status, asked = make("--only", "priors", failing="sample.vae_vamp")
    assert status == 1 and len(asked) == PRIORS * SEEDS
    assert "3 rows failed" in capsys.readouterr().err
    assert sorted(make("--only", "priors")[1]) == [f"sample.vae_vamp {seed}" for seed in range(SEEDS)]


def test_the_record_serves_where_the_folders_are_gone(make: Callable[..., Any], tables: ModuleType) -> None:
    make("--only", "priors", elbo=-136.0)
    tables.STORE.rename(tables.STORE.with_name("elsewhere"))
    assert make("--only", "priors", "--missing") == (0, [])
    make("--print-only")
    assert "-135.0 ± 1.0" in tables.DOCUMENT.read_text()
    assert (
        len(make("--only", "priors", elbo=-100.0)[1]) == PRIORS * SEEDS
    )  # asked for anew: its scores replace
    assert "-99.0 ± 1.0" in tables.DOCUMENT.read_text()


def test_rows_of_other_parameters_are_other_rows(tables: ModuleType) -> None:
    quality = next(table for table in tables.TABLES if table.name == "quality")
    one, other = (tables.Job("reduced", table, table.rows[-1], 0) for table in (quality, tables.TABLES[0]))
    flow = next(row for row in tables.TABLES[0].rows if row.experiment == "vae_flow")
    names = {
        tables.Job("reduced", quality, quality.rows[0], 0).name,
        tables.Job("reduced", tables.TABLES[0], flow, 0).name,
    }
    assert len(names) == 2
    assert one.shared == other.shared  # the data are the same


def test_borrowed_weights_are_trained_first(make: Callable[..., Any]) -> None:
    asked = make("--only", "quality", "--jobs", "1")[1]
    assert len(asked) == (QUALITY + 1) * SEEDS
    assert asked.index("sample.ddpm 0") < asked.index("sample.ddim 0")


def test_a_score_that_is_not_finite_is_said(make: Callable[..., Any], tables: ModuleType) -> None:
    make("--only", "quality")
    assert "| `flow` | not finite |" in tables.DOCUMENT.read_text()
