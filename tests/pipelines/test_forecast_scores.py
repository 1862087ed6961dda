"""The pipeline forecast_scores gives the scores of the Python function, by station and as text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import fieldcast


def test_kedro_and_python_give_the_same_scores(project: Callable[..., Any], tmp_path: Path) -> None:
    rng, times = np.random.default_rng(0), pd.date_range("2001-01-01", periods=12)
    axes: dict[str, Any] = {
        "latitude": ("latitude", [40.0, 41.0, 42.0], {"units": "degrees_north"}),
        "longitude": ("longitude", [0.0, 1.0, 2.0, 3.0], {"units": "degrees_east"}),
        "start": times, "lead": ("lead", [24.0, 48.0], {"units": "hours"}), "member": range(3),
    }  # fmt: skip
    dims = ("lead", "start", "member", "latitude", "longitude")
    forecasts = xr.Dataset({"t": (dims, rng.normal(280, 1, (2, 12, 3, 3, 4)), {"units": "K"})}, axes)
    places = pd.DataFrame(
        {"station": list("abcd"), "lat": [40.2, 40.9, 41.5, 41.9], "lon": [0.3, 1.1, 2.2, 2.9]}
    )
    table = pd.DataFrame({"time": times}).merge(places, "cross").assign(variable="t", units="K")
    table["value"] = rng.normal(280, 1, len(table))
    forecasts.to_netcdf(tmp_path / "centre.nc")
    table.to_csv(tmp_path / "gauges.csv", index=False)
    given = {"forecasts": str(tmp_path / "centre.nc"), "stations": str(tmp_path / "gauges.csv")}
    project("forecast_scores", data_root=tmp_path / "data", parameters={"forecast_scores": given})
    reports = tmp_path / "data/08_reporting"
    expected = fieldcast.score(tmp_path / "gauges.csv", forecasts, name="centre")
    stored = pd.read_csv(reports / "forecast_scores.csv")
    pd.testing.assert_frame_equal(stored, expected, check_dtype=False, rtol=1e-6)
    by_station = pd.read_csv(reports / "scores_by_lead_and_station.csv")
    assert len(by_station) == 2 * 4 and set(by_station["station"]) == set("abcd")
    text = (reports / "forecast_scores.txt").read_text()
    assert text.startswith("Forecasts of t at stations; K") and "too few or too far apart" in text
