"""The order of the dimensions of draws is that of `kinds.LAYOUTS` alone: whatever it is, the scores are the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import xarray as xr

from fieldcast.geometry import GRID
from fieldcast.kinds import LAYOUTS

EXPERIMENTS = {
    "reconstruct.linear": "reconstructions",
    "forecast.persistence": "forecasts",
    "assimilate.climatology": "analyses",
}


@pytest.mark.proof
def test_scores_do_not_depend_on_the_order_of_dimensions(
    project: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stored(data_root: Path, address: str) -> tuple[xr.Dataset, pd.DataFrame]:
        """The draws of an experiment, and its scores."""
        folder = address.replace(".", "/")
        draws = xr.open_zarr(data_root / "07_model_output" / folder / "draws.zarr")
        return draws, pd.read_parquet(data_root / "08_reporting" / folder / "scores.parquet")

    def run(data_root: Path) -> None:
        for address in EXPERIMENTS:
            project(address, data_root=data_root)
        project("reporting", data_root=data_root)

    usual, reversed_dims = tmp_path / "usual", tmp_path / "reversed"
    run(usual)
    for kind, dims in LAYOUTS.items():
        before = [dim for dim in dims if dim not in (*GRID, "y", "x")]
        monkeypatch.setitem(LAYOUTS, kind, (*reversed(before), *dims[len(before) :]))
    run(reversed_dims)
    for address, kind in EXPERIMENTS.items():
        draws, scores = stored(usual, address)
        other_draws, other_scores = stored(reversed_dims, address)
        assert {array.dims for array in other_draws.data_vars.values()} == {LAYOUTS[kind]}
        assert {array.dims for array in draws.data_vars.values()} != {LAYOUTS[kind]}
        xr.testing.assert_equal(draws, other_draws.transpose(*next(iter(draws.data_vars.values())).dims))
        pd.testing.assert_frame_equal(scores, other_scores)
