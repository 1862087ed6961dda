"""Maps of the most informative time, and the series with held-out values."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh

from fieldcast.figures.gaps import most_informative_time, pictures, series_figure


@pytest.fixture
def filled() -> xr.Dataset:
    """Two times of 3 x 4 cells: of the second, half is observed; one cell never."""
    flag = np.ones((2, 3, 4), dtype=np.int8)
    flag[0, 0, 0], flag[1, :, :2], flag[:, 2, 3] = 0, 0, 3
    t = np.arange(24.0).reshape(2, 3, 4)
    t[flag == 3] = np.nan
    spread = np.where(flag == 0, 0.0, np.where(flag == 3, np.nan, 0.5))
    axes = {
        "time": pd.date_range("2001-01-01", periods=2),
        "latitude": [-10.0, 0, 10],
        "longitude": [0.0, 90, 180, 270],
    }
    parts = {"t": t, "t_spread": spread, "t_flag": flag, "s": t * 0, "s_flag": flag * 0}
    dims = ("time", "latitude", "longitude")
    return xr.Dataset({name: (dims, part) for name, part in parts.items()}, axes)


@pytest.fixture
def series() -> pd.DataFrame:
    times = [f"2001-01-0{day}T00:00:00" for day in (1, 2, 3)]
    columns = {
        "observed": [1.0, np.nan, 3.0], "hidden": [np.nan, 2.5, np.nan], "filled": [1.0, 2.4, 3.0],
        "low": [1.0, 2.2, 3.0], "high": [1.0, 2.6, 3.0], "dineof": [1.0, 1.9, 3.0], "linear_in_time": [1.0, 2.0, 3.0],
    }  # fmt: skip
    tables = [
        pd.DataFrame({"variable": name, "latitude": 12.3456, "longitude": 270.0, "time": times} | columns)
        for name in ("t", "s")
    ]
    return pd.concat(tables)


def test_maps_show_what_was_observed_what_was_filled_and_its_spread(
    filled: xr.Dataset, series: pd.DataFrame
) -> None:
    assert most_informative_time(filled["t_flag"]) == 1
    drawn = dict(pictures(filled, series))
    assert list(drawn) == ["t_maps", "t_series"]  # nothing is missing from s
    meshes = [mesh for mesh in drawn["t_maps"].axes[0].collections if isinstance(mesh, QuadMesh)]
    observed, _, values, _, spread, never = [np.ma.filled(mesh.get_array(), np.nan) for mesh in meshes]
    flag, t = filled["t_flag"].values[1], filled["t"].values[1]
    np.testing.assert_array_equal(observed, np.where(flag == 0, t, np.nan))
    np.testing.assert_array_equal(values, t)
    np.testing.assert_array_equal(spread, np.where(flag == 1, 0.5, np.nan))
    assert np.argwhere(np.isfinite(never)).tolist() == [[2, 3]]


def test_maps_of_smoothed_values_show_what_was_given_and_a_spread_everywhere(
    filled: xr.Dataset, series: pd.DataFrame
) -> None:
    given = filled["t"] + 3
    drawn = dict(pictures(filled.assign(t_observed=given), series))["t_maps"]
    meshes = [mesh for mesh in drawn.axes[0].collections if isinstance(mesh, QuadMesh)]
    observed, _, values, _, spread, _ = [np.ma.filled(mesh.get_array(), np.nan) for mesh in meshes]
    flag = filled["t_flag"].values[1]
    np.testing.assert_array_equal(observed, np.where(flag == 0, given[1], np.nan))
    np.testing.assert_array_equal(values, filled["t"].values[1])
    np.testing.assert_array_equal(spread, filled["t_spread"].values[1])


def test_maps_show_a_missing_time_if_none_is_observed_in_part(filled: xr.Dataset) -> None:
    flag = xr.zeros_like(filled["t_flag"]).isel(time=[0, 1, 1])
    flag[1], flag[2, 0] = 3, 3  # cells without any value are not filled
    flag[2, 1:] = 2
    assert most_informative_time(flag) == 2
    flag[0, 0, 0] = 1
    assert most_informative_time(flag) == 0


def test_the_series_shows_held_out_truth_beside_the_methods(series: pd.DataFrame) -> None:
    axes = series_figure(series[series["variable"] == "t"], "t", {"units": "K"}).axes[0]
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert lines["observed, but held out"][1] == 2.5 and lines["filled"][1] == 2.4
    assert lines["DINEOF"][1] == 1.9 and lines["linear in time"][1] == 2.0
    band = axes.collections[0].get_paths()[0].get_extents()
    assert band.ymax >= 3.0 and axes.get_title(loc="left") == (
        "t at 12.35°N, 90°W: a stretch with held-out values"
    )
    same = series[series["variable"] == "t"].assign(dineof=lambda table: table["filled"])
    assert "filled (DINEOF)" in {line.get_label() for line in series_figure(same, "t", {}).axes[0].lines}


def test_angles_are_drawn_on_a_circle_of_colours_and_as_a_line_without_jumps(
    filled: xr.Dataset, series: pd.DataFrame
) -> None:
    attrs = {"units": "degree", "quantity": "circle"}
    angles = series[series["variable"] == "t"].assign(
        observed=[350.0, np.nan, 20.0], hidden=[np.nan, 8.0, np.nan], filled=[350.0, 4.0, 20.0],
        low=[350.0, 355.0, 20.0], high=[350.0, 14.0, 20.0], dineof=[350.0, 0.0, 20.0],
        linear_in_time=[350.0, 5.0, 20.0],
    )  # fmt: skip
    axes = series_figure(angles, "t", attrs).axes[0]
    lines = {str(line.get_label()): np.asarray(line.get_ydata()) for line in axes.lines}
    assert lines["filled"].tolist() == [350.0, 364.0, 380.0]
    assert lines["observed, but held out"][1] == 368.0 and lines["observed"][2] == 380.0
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert {355.0, 374.0} <= set(band.round(6).tolist())
    for factor, ends in ((1.0, (12.0, 22.0)), (20.0, (0.0, 360.0))):  # a narrow arc, and all round
        turned = filled.assign(t=(factor * filled["t"] % 360).assign_attrs(attrs))
        mesh = dict(pictures(turned, series))["t_maps"].axes[0].collections[0]
        np.testing.assert_allclose(mesh.get_clim(), ends, atol=0.1)  # type: ignore[attr-defined]
    low, high = (mesh.to_rgba(end) for end in ends)  # type: ignore[attr-defined]
    np.testing.assert_allclose(low, high, atol=0.05)
