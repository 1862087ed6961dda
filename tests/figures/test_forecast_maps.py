from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.collections import QuadMesh

from fieldcast.figures.forecast_maps import snapshot_maps, step_maps


def maps(figure) -> list[QuadMesh]:
    return [item for item in figure.axes[0].collections if isinstance(item, QuadMesh)]


def notes(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_every_step_has_a_truth_a_mean_and_two_members(displayed):
    figure = step_maps(displayed["mine"], "z", "mine", steps=2)
    drawn = maps(figure)
    assert len(drawn) == 2 * 4
    expected = displayed["mine"]["z"].isel(lead=1)
    for item, kind in zip(drawn, ("truth", "mean", "member_0", "member_1"), strict=False):
        np.testing.assert_allclose(item.get_array().ravel(), expected.sel(kind=kind).to_numpy().ravel())
    assert {"truth", "mean", "member 1", "member 2", "1 d", "2 d"} <= set(notes(figure))
    assert len({item.norm.vmax for item in drawn}) == 1


def test_a_single_forecast_has_no_member_rows_and_a_blow_up_is_reported(displayed):
    single = step_maps(displayed["single"], "z", "single")
    assert len(maps(single)) == 3 * 2
    assert "member 1" not in notes(single)
    broken = step_maps(displayed["broken"], "z", "broken")
    assert notes(broken).count("blew up") == 3  # mean and both members at the third step


def test_anomalies_have_colours_about_zero(displayed):
    anomalies = displayed["mine"] - displayed["mine"].sel(kind="truth", lead=24.0)
    figure = step_maps(anomalies.assign_attrs(anomaly=1), "z", "mine")
    assert maps(figure)[0].norm.vmin == -maps(figure)[0].norm.vmax


def test_snapshots_are_one_member_by_step():
    values = np.random.default_rng(0).normal(size=(2, 3, 2, 4, 6))
    grid = {"latitude": [-60.0, -20, 20, 60], "longitude": np.arange(6) * 60.0}
    dims = ("step", "start", "member", "latitude", "longitude")
    good = xr.Dataset({"z": (dims, values)}, {"step": [1, 10], **grid})
    bad = good.where(good["step"] < 10)
    figure = snapshot_maps({"mine": good, "broken": bad}, "z")
    drawn = maps(figure)
    assert len(drawn) == 3
    np.testing.assert_allclose(drawn[0].get_array().ravel(), values[0, 0, 0].ravel())
    assert {"step 1", "step 10", "blew up"} <= set(notes(figure))
