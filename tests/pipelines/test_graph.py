"""The whole graph on a tiny planet: what comes out is complete, nothing is done twice, nothing is misspelt."""

import multiprocessing
import re
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Pipeline, node
from kedro.runner import AbstractRunner, ParallelRunner, ThreadRunner
from safetensors.torch import load

from fieldcast.app.dask import DaskRunner
from fieldcast.datasets import ZarrDataset
from fieldcast.encoding.options import Limits
from fieldcast.inference import reconstruct
from fieldcast.inference.options import Evaluation
from fieldcast.tasks.reconstruct import rank

ROOT = Path(__file__).parents[2]
COLUMNS = [
    "experiment", "seed", "data_digest", "pattern", "k", "cells", "variable", "score", "value", "low", "high",
]  # fmt: skip
SCORES = {"rmse", "mae", "bias", "ssim", "crps", "crps_minus_reference", "ssr", "coverage50", "coverage90"}
CASES = {("random", 0.01), ("random", 0.1), ("stations", 0.1), ("blocks", 0.1)}
VARIABLES = {"all", "z500", "t650", "u200", "ws800"}
STEPS = 150  # steps of a training that is killed


def listed(conf: Path = ROOT / "conf") -> set[str]:
    return {file.stem for file in (conf / "base/parameters/experiments/reconstruct").glob("*.yml")}


@pytest.fixture(scope="module", params=["some", pytest.param("every", marks=pytest.mark.proof)])
def run(
    request: pytest.FixtureRequest, project: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, set[str]]:
    """A data root after some experiments, or after every one, and their names."""
    if request.param == "some":
        return request.getfixturevalue("finished"), {*request.getfixturevalue("some_reconstructions")}
    data_root = tmp_path_factory.mktemp("every_reconstruction")
    project("reconstruct", data_root=data_root)
    return data_root, listed()


@pytest.fixture(scope="module")
def board(run: tuple[Path, set[str]]) -> pd.DataFrame:
    return pd.read_csv(run[0] / "08_reporting/leaderboard_reconstruct.csv")


def test_the_leaderboard_has_every_score_of_every_case_once(
    run: tuple[Path, set[str]], board: pd.DataFrame
) -> None:
    assert list(board.columns) == COLUMNS
    keys = ["experiment", "pattern", "k", "cells", "variable", "score"]
    assert not board.duplicated(keys).any()
    expected = {
        (name, *case, cells, variable, score)
        for name in run[1]
        for case in CASES
        for variable in VARIABLES
        for cells in ("unobserved", "all")
        for score in SCORES - ({"crps_minus_reference"} if name == "optimal_interpolation" else set())
    }
    # raw draws against what was observed: of all cells alone
    expected |= {
        (name, *case, "all", variable, "consistency")
        for name in run[1]
        for case in CASES
        for variable in VARIABLES
    }
    assert set(board[keys].itertuples(index=False, name=None)) == expected


def test_scores_are_numbers_within_their_intervals(board: pd.DataFrame) -> None:
    certain = board[
        board["score"].isin(["rmse", "mae", "crps", "ssim", "consistency", "crps_minus_reference"])
    ]
    assert certain[["value", "low", "high"]].notna().all(axis=None)
    assert ((certain["low"] <= certain["value"]) & (certain["value"] <= certain["high"])).mean() > 0.99
    positive = board[board["score"].isin(["rmse", "mae", "consistency"])]
    assert (positive["value"] >= 0).all()
    assert board["seed"].eq(0).all() and board["data_digest"].nunique() == 1


def test_the_difference_is_that_of_the_two_scores(run: tuple[Path, set[str]], board: pd.DataFrame) -> None:
    keys = ["pattern", "k", "cells", "variable"]
    wide = board.pivot_table(index=["experiment", *keys], columns="score", values="value")
    reference = wide.loc["optimal_interpolation", "crps"]
    for name in run[1] - {"optimal_interpolation"}:
        difference = wide.loc[name, "crps"] - reference
        pd.testing.assert_series_equal(
            wide.loc[name, "crps_minus_reference"], difference, check_names=False, rtol=1e-4, atol=1e-6
        )


def test_scores_of_other_fields_are_left_out_of_the_table(finished: Path) -> None:
    """Fields that were recreated, beside older observations and scores."""
    stored = {"fields": "03_primary", "observations": "04_feature"}
    loaded = {
        name: ZarrDataset(filepath=str(finished / of / f"{name}.zarr")).load() for name, of in stored.items()
    }
    scores = pd.read_parquet(finished / "08_reporting/reconstruct/kriging/scores.parquet")
    for digest, records in ((loaded["fields"].attrs["digest"], True), ("0" * 12, False)):
        now = loaded["fields"].assign_attrs(digest=digest)
        results = {
            "scores": {"kriging": scores},
            "experiments": {},
            "observations": loaded["observations"],
        }
        table, _ = rank(results, now, Evaluation(), Limits(members=3), 0)
        assert bool(len(table)) is records and bool(table.attrs["dropped"]) is not records


def test_the_costs_of_all_experiments_are_one_table(run: tuple[Path, set[str]]) -> None:
    folder = run[0] / "08_reporting"
    table = pd.read_csv(folder / "costs.csv")
    requested = ["task", "experiment", "parameters", "train_seconds", "step_ms", "sample_ms", "peak_mb"]
    requested += ["evaluations", "train_steps", "learned", "density", "omits_noise"]
    assert list(table) == [*requested, "latent_kl", "rmse_posterior", "rmse_other", "rmse_prior"]
    assert set(table["task"]) == {"reconstruct"} and sorted(table["experiment"]) == sorted(run[1])
    for name, row in table.set_index("experiment").iterrows():
        (private,) = pd.read_csv(folder / f"reconstruct/{name}/costs.csv").to_dict("records")
        pd.testing.assert_series_equal(
            row[list(private)], pd.Series(private), check_names=False, check_dtype=False
        )
    assert (table["sample_ms"] > 0).all() and table["parameters"].dtype == int
    borrowed = table.set_index("experiment").loc[
        ["denoising_vae_residual", "denoising_vae_residual_rk4"], "train_seconds"
    ]
    assert borrowed.nunique() == 1  # the size of the model whose weights they use


def test_the_report_stands_alone(run: tuple[Path, set[str]]) -> None:
    folder, names = run[0] / "08_reporting", run[1]
    whole = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"<script[^>]+src", whole)
    assert "connect-src 'none'" in whole  # so that the library of the graphs cannot fetch either
    page = re.sub(r"(<script[^>]*>).*?</script>", r"\1</script>", whole, flags=re.S)
    sources = re.findall(r"""(?:src|href|action|data)\s*=\s*["']([^"']*)""", page)
    files = [source for source in sources if not source.startswith(("data:", "#"))]
    assert len(sources) > 10 and not any(":" in file for file in files)
    assert [file for file in files if not (folder / file).exists()] == []
    assert not re.search(r"@import|url\((?!['\"]?(data:|#))", page)
    assert not re.search(r"https?://(?!www\.w3\.org)[^\s\"'<]*\.(js|css|png|woff2?)", page)
    assert {name for name in names if name not in whole} == set()


def test_a_finished_experiment_trains_no_step(
    project: Callable[..., Any], finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*_: Any, **__: Any) -> None:
        raise AssertionError("a step was trained")

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    address, folder = "reconstruct.denoising_vae", finished / "06_models/reconstruct/denoising_vae"
    before = contents(folder)
    assert len(before) > 50
    project("training", data_root=finished, namespaces=[address])
    assert contents(folder) == before
    with pytest.raises(AssertionError, match="a step was trained"):  # the step is where it would be seen
        restart = {"reconstruct": {"denoising_vae": {"fit": {"restart": True}}}}
        project("training", data_root=finished, namespaces=[address], parameters=restart)
    assert contents(folder) == before


def test_finished_reconstructions_are_drawn_once(
    project: Callable[..., Any], finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Running the command again draws nothing; another number of members does."""
    address = "reconstruct.denoising_vae"
    files = "07_model_output/reconstruct/denoising_vae", "08_reporting/reconstruct/denoising_vae/costs.csv"
    store, costs = (finished / name for name in files)
    before = {file: file.read_bytes() for file in (*store.rglob("*.*"), costs) if file.is_file()}
    draws: list[Any] = []
    monkeypatch.setattr(reconstruct, "draw", lambda *arguments: draws.append(arguments))
    project("reconstruction", data_root=finished, namespaces=[address])
    assert not draws and len(before) > 10
    assert {file: file.read_bytes() for file in before} == before
    with pytest.raises(AttributeError):  # the draws are where they would be counted
        requested = {"evaluation": {"members": 2}}
        project("reconstruction", data_root=finished, namespaces=[address], parameters=requested)
    assert len(draws) == 1 and {file: file.read_bytes() for file in before} == before


def test_reconstructions_that_were_interrupted_resume_after_the_last_case(
    project: Callable[..., Any], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = "reconstruct.denoising_vae", "07_model_output/reconstruct/denoising_vae"
    root = shutil.copytree(finished, tmp_path / "data")
    shutil.rmtree(root / folder)
    draws: list[Any] = []

    def draw(*arguments: Any) -> Any:
        draws.append(arguments)
        if len(draws) == 3:
            raise KeyboardInterrupt
        return whole(*arguments)

    whole = reconstruct.draw
    monkeypatch.setattr(reconstruct, "draw", draw)
    with pytest.raises(KeyboardInterrupt):
        project("reconstruction", data_root=root, namespaces=[address])
    project("reconstruction", data_root=root, namespaces=[address])
    stored, expected = (
        ZarrDataset(filepath=str(path / folder / "draws.zarr")).load() for path in (root, finished)
    )
    assert stored.identical(expected)
    assert len(draws) == stored.sizes["case"] + 1 > 3  # that of the interruption is drawn again, no other
    assert [path.name for path in (root / folder).iterdir()] == ["draws.zarr"]


def contents(folder: Path) -> dict[str, bytes]:
    """The values of all tensors that training has stored."""
    return {
        f"{file.name}:{name}": tensor.numpy().tobytes()
        for file in folder.glob("*.safetensors")
        for name, tensor in load(file.read_bytes()).items()
    }


@pytest.mark.parametrize("runner", [pytest.param(ParallelRunner, marks=pytest.mark.proof), ThreadRunner])
def test_every_runner_makes_the_same_leaderboard(
    project: Callable[..., Any], finished: Path, tmp_path: Path, runner: Callable[..., AbstractRunner]
) -> None:
    """Data that are handed on reach nodes in other processes and threads."""
    shutil.copytree(finished, tmp_path / "data")
    board = tmp_path / "data/08_reporting/leaderboard_reconstruct.csv"
    before = board.read_bytes()
    board.unlink()
    tables = {"to_outputs": ["leaderboard_reconstruct"]} if runner is ThreadRunner else {}
    project("reporting", data_root=tmp_path / "data", runner=runner(max_workers=2), **tables)
    assert board.read_bytes() == before


@pytest.mark.proof
def test_in_processes_and_after_a_kill_nodes_compute_the_same_bytes(
    project: Callable[..., Any], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All stored outputs equal those of one process with as many threads, but for times."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    shutil.copytree(finished / "03_primary", tmp_path / "03_primary")
    names = ("climatology", "linear", "denoising_vae")
    state = tmp_path / "06_models/reconstruct/denoising_vae/training_state.safetensors"

    def kill_one() -> None:
        end = time.monotonic() + 120
        while not state.exists() and time.monotonic() < end:
            time.sleep(0.01)
        for process in multiprocessing.active_children():
            process.kill()

    def run() -> None:
        scores = [f"reconstruct.{name}.{output}" for name in names for output in ("metrics", "examples")]
        addresses = [f"reconstruct.{name}" for name in names]
        project(*addresses, data_root=tmp_path, to_outputs=scores, runner=ParallelRunner(max_workers=2))

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(BrokenExecutor):
        run()
    killer.join()
    run()
    files = {file.relative_to(tmp_path) for file in tmp_path.rglob("*") if file.is_file()}
    trained = {file for file in files if file.suffix == ".safetensors"}  # with times beside the weights
    timed = {file for file in files if file.stem in ("costs", "history", ".lock")}
    checkpoints = {
        file for file in trained if file.stem == "checkpoint"
    }  # the kill may come before a fit's state
    assert len(checkpoints) == 3 and len(files - trained - timed) > 50
    differing = {
        file
        for file in files - trained - timed
        if (tmp_path / file).read_bytes() != (finished / file).read_bytes()
    }
    assert not differing
    for name in names:
        folder = f"06_models/reconstruct/{name}"
        assert weights(tmp_path / folder) == weights(finished / folder)


@pytest.mark.proof
def test_a_training_whose_dask_worker_is_killed_resumes_on_another(
    project: Callable[..., Any], finished: Path, tmp_path: Path
) -> None:
    """The training is long enough to be killed before its end."""
    for root in ("killed", "whole"):
        shutil.copytree(finished / "03_primary", tmp_path / root / "03_primary")
    folder = "06_models/reconstruct/denoising_vae"

    def run(data_root: Path, **options: Any) -> None:
        project(
            "training",
            data_root=data_root,
            node_names=["reconstruct.denoising_vae.training.fit"],
            parameters={
                "limits": {"steps": STEPS},
                "reconstruct": {"denoising_vae": {"fit": {"save_every": 0.0}}},
            },
            **options,
        )

    def kill_one() -> None:
        state, end = tmp_path / "killed" / folder / "training_state.safetensors", time.monotonic() + 120
        while not state.exists() and time.monotonic() < end:
            time.sleep(0.01)
        for process in multiprocessing.active_children():
            process.kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    run(tmp_path / "killed", runner=DaskRunner(max_workers=1))
    killer.join()
    run(tmp_path / "whole")
    assert weights(tmp_path / "killed" / folder) == weights(tmp_path / "whole" / folder)


def weights(folder: Path) -> dict[str, bytes]:
    """The tensors of the model in a checkpoint."""
    tensors = load((folder / "checkpoint.safetensors").read_bytes())
    return {key: value.numpy().tobytes() for key, value in tensors.items() if key.startswith("model.")}


def test_existing_results_are_not_recomputed(
    project: Callable[..., Any],
    run: tuple[Path, set[str]],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`--only-missing-outputs`; the end of the run still says where the report is.

    Where nothing was forecast there is no animation, so Kedro looks each time whether there is something to animate.
    """
    data_root, names = run
    again: dict[str, Any] = {"data_root": data_root, "only_missing_outputs": True}
    with caplog.at_level("INFO", "fieldcast"):
        project("ingestion", "sparsification", **again)
        project("reconstruct", namespaces=[f"reconstruct.{name}" for name in sorted(names)], **again)
        project("reporting", **again)
    begun = {
        record.args[-1] for record in caplog.records if record.name == "fieldcast.app.console" and record.args
    }
    assert begun <= {"reporting.collect_forecast", "reporting.gather_forecast"}
    assert f"report: {data_root}/08_reporting/report.html" in capsys.readouterr().out


def undeclared() -> set[str]:
    """Data sets of any pipeline that no entry of the catalog describes."""
    bootstrap_project(ROOT)
    with KedroSession.create(ROOT, env="test") as session:
        catalog = session.load_context().catalog
    names = {name for item in pipelines.values() for name in item.datasets()}
    assert len(names) > 10 * len(listed())
    return {name for name in names if name not in catalog}


def test_every_data_set_of_every_pipeline_is_declared() -> None:
    assert undeclared() == set()


def test_a_misspelt_name_would_be_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    from fieldcast.pipelines.fill import pipeline

    def misspelt() -> Pipeline:
        return Pipeline([node(lambda x: x, "chekpoints", "filed", name="fill")])

    monkeypatch.setattr(pipeline, "create_pipeline", misspelt)
    assert undeclared() == {"chekpoints", "filed"}


def test_a_new_experiment_is_one_file(
    project: Callable[..., Any], finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf, data_root = tmp_path / "conf", tmp_path / "data"
    shutil.copytree(ROOT / "conf", conf)
    for folder in ("03_primary", "04_feature"):
        shutil.copytree(finished / folder, data_root / folder)
    text = "reconstruct: {mine: {model: {type: interpolation.Nearest}, fit: {}}}"
    (conf / "base/parameters/experiments/reconstruct/mine.yml").write_text(text)
    project("reconstruct.mine", data_root=data_root, conf=conf)
    printed = capsys.readouterr().out
    assert "mine" in printed
    assert re.search(r"`\w+ run --pipelines reporting --env test --params data_root=\S+` makes", printed)
    project("reporting", data_root=data_root, conf=conf)
    board = pd.read_csv(data_root / "08_reporting/leaderboard_reconstruct.csv")
    assert set(board["experiment"]) == {"mine"}
    assert "mine" in capsys.readouterr().out
    reference = pd.read_csv(finished / "08_reporting/leaderboard_reconstruct.csv").query(
        "experiment == 'nearest'"
    )
    keys = ["pattern", "k", "cells", "variable", "score"]
    both = board.merge(reference, on=keys, suffixes=("", "_theirs")).query("score == 'rmse'")
    assert len(both) == len(CASES) * len(VARIABLES) * 2
    pd.testing.assert_series_equal(both["value"], both["value_theirs"], check_names=False)
