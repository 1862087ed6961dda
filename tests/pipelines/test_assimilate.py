"""The task `assimilate` from data to tables, on the tiny planet."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.errors import InputError

NAMES = ("free_run", "optimal_interpolation", "lim_filter", "hybrid")
NAMESPACES = [f"assimilate.{name}" for name in NAMES]


@pytest.fixture(scope="module")
def whole(project: Any, finished: Path, forecasted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data root after some filters, round forecasts and reconstructions that were trained before."""
    data_root = tmp_path_factory.mktemp("assimilated")
    outputs = shutil.ignore_patterns("07_model_output", "08_reporting")  # the report shows the filters alone
    shutil.copytree(forecasted, data_root, ignore=outputs, dirs_exist_ok=True)
    shutil.copytree(finished / "06_models/reconstruct", data_root / "06_models/reconstruct")
    project("observing_network", data_root=data_root)
    project("assimilate", data_root=data_root, namespaces=NAMESPACES)
    project("reporting", data_root=data_root)
    return data_root


@pytest.fixture(scope="module")
def board(whole: Path) -> pd.DataFrame:
    return pd.read_csv(whole / "08_reporting/leaderboard_assimilate.csv")


def test_backgrounds_analyses_and_innovations_are_scored(board: pd.DataFrame) -> None:
    assert set(board["experiment"]) == set(NAMES)
    keys = ["experiment", "state", "pattern", "k", "cells", "variable", "score"]
    assert not board.duplicated(keys).any()
    overall = board[board["variable"] == "all"].set_index(["experiment", "state", "cells", "score"])["value"]
    for name in NAMES:
        assert np.isfinite(overall[name, "analysis", "unobserved", "crps"])
        assert np.isfinite(overall[name, "background", "unobserved", "crps"])
    assert np.isfinite(overall["hybrid", "background", "observed", "innovation"])
    crps = overall[:, "analysis", "unobserved", "crps"]
    assert crps["optimal_interpolation"] < crps["free_run"]
    assert crps["lim_filter"] < overall["lim_filter", "background", "unobserved", "crps"]


def test_the_doctor_compares_the_options_of_cycles(examined: Any, whole: Path) -> None:
    blown_up = {"forecast": {"decoder_l1_rk4": {"model": {"scale": 1e30}}}}
    assert not examined(whole, **blown_up).faults
    faults = {fault.dataset: fault for fault in examined(whole, sparsification={"noise": 0.3}).faults}
    for name in ("assimilate.hybrid.checkpoint", "cycle_observations"):
        assert "noise 0.1, this run has 0.3" in faults[name].complaint, faults


def test_a_free_run_uses_no_observation(whole: Path) -> None:
    draws = xr.open_zarr(whole / "07_model_output/assimilate/free_run/draws.zarr")["z500"]
    assert draws.sel(state="background").equals(draws.sel(state="analysis").assign_coords(state="background"))


def test_analyses_that_exist_are_kept(project: Any, whole: Path) -> None:
    store = whole / "07_model_output/assimilate/hybrid/draws.zarr"
    before = store.stat().st_mtime_ns
    project("assimilate", data_root=whole, namespaces=["assimilate.hybrid"])
    assert store.stat().st_mtime_ns == before


def test_forecasts_from_the_analyses_are_made_again_only_for_other_options(project: Any, whole: Path) -> None:
    file = whole / "07_model_output/assimilate/lim_filter/leads.csv"
    before = pd.read_csv(file)

    def run_again(stored: pd.DataFrame, **options: Any) -> pd.DataFrame:
        """The table after another run that begins with the stored one."""
        stored.to_csv(file, index=False)
        project(
            "assimilate", data_root=whole, namespaces=["assimilate.lim_filter"],
            parameters={"assimilation": options},
        )  # fmt: skip
        return pd.read_csv(file)

    marked = before.assign(crps=-1.0)
    pd.testing.assert_frame_equal(run_again(marked), marked)
    shorter = run_again(marked, forecast_steps=1)
    assert set(shorter["lead_hours"]) == {24} and (shorter["crps"] > 0).all()
    pd.testing.assert_frame_equal(run_again(shorter), before)


def test_analyses_of_another_network_are_refused(project: Any, whole: Path) -> None:
    with pytest.raises(InputError, match="recreate them with `kedro run --pipelines observing_network`"):
        project(
            "assimilate", data_root=whole, namespaces=["assimilate.free_run"],
            parameters={"assimilation": {"cases": {"random": [0.3]}}},
        )  # fmt: skip


def test_a_model_that_is_not_a_filter_is_refused(project: Any, whole: Path) -> None:
    with pytest.raises(InputError, match="is not a filter"):
        project(
            "assimilate", data_root=whole, namespaces=["assimilate.free_run"],
            parameters={"assimilate": {"free_run": {"model": {"type": "climatology.Climatology"}}}},
        )  # fmt: skip


def test_figures_match_the_analyses(whole: Path) -> None:
    names = {file.stem for file in (whole / "08_reporting/figures/assimilate").glob("*.png")}
    assert {"scores_against_k", "error_over_time", "spectra", "masks"} <= names
