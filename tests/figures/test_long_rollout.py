from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fieldcast.figures.long_rollout import long_run


def run(steps: int, finite: int) -> pd.DataFrame:
    step = np.arange(1, steps + 1)
    good = step < finite
    return pd.DataFrame(
        {
            "step": step,
            "mean": np.where(good, 0.01 * step, np.nan),
            "std": np.where(good, 1.0, np.inf),
            "max_abs": 3.0,
            "spectrum_ratio": np.where(good, 0.5, np.inf),
            "finite": good,
            "mse": np.where(good, 0.1 * step, np.inf),
            "mse_climatology": 1.25,
        }
    )


def test_a_blow_up_is_marked_where_it_happened():
    figure = long_run({"vae": run(20, 99), "mine": run(20, 8)})
    mse = figure.axes[0]
    drawn = {line.get_label(): line for line in mse.lines}
    np.testing.assert_array_equal(drawn["mine"].get_xdata(), np.arange(1, 8))
    np.testing.assert_array_equal(drawn["vae"].get_ydata(), 0.1 * np.arange(1, 21))
    assert drawn["mine blew up"].get_xdata() == [8]
    assert "vae blew up" not in drawn
    assert drawn["climatology (x = 0)"].get_ydata()[0] == pytest.approx(1.25)
    assert mse.get_xscale() == mse.get_yscale() == "log"


def test_a_run_that_never_was_finite_is_left_out():
    figure = long_run({"mine": run(3, 1)})
    assert not any(line.get_label() == "mine" for line in figure.axes[0].lines)


def shown_inside(line) -> bool:
    """Whether every point of a line lies within its axes, edges included."""
    points = line.axes.transAxes.inverted().transform(line.get_transform().transform(line.get_xydata()))
    return bool((points[:, 1] >= -1e-6).all() and (points[:, 1] <= 1 + 1e-6).all())


@pytest.mark.parametrize(("value", "marker", "edge"), [(300.0, "^", 1.0), (0.0, "v", 0.0)])
def test_a_line_that_is_never_in_its_panel_is_a_triangle_at_the_edge(value, marker, edge):
    """The VAEs have 300 times the truth's power at short waves from the first step, the climatology none."""
    figure = long_run({"mine": run(20, 99), "vae": run(20, 99).assign(spectrum_ratio=value)})
    power = figure.axes[3]
    low, high = power.get_ylim()
    assert 0 < low < 0.5 < high
    assert high == 100 if value > 100 else high < 2  # what lies above the edge lies above the limit
    (triangle,) = [line for line in power.lines if line.get_label() == "vae"]
    assert triangle.get_marker() == marker
    assert list(triangle.get_xdata()) == [1]
    assert triangle.get_ydata() == [edge]
    assert shown_inside(triangle)
    assert (
        triangle.get_color() != next(line for line in power.lines if line.get_label() == "mine").get_color()
    )


def test_a_line_ends_in_a_triangle_where_it_leaves_its_panel_and_begins_where_it_enters():
    rising = run(40, 99).assign(mse=np.geomspace(0.001, 1000, 40))
    mse = long_run({"vae": rising}).axes[0]
    line, triangle = [line for line in mse.lines if line.get_color() == mse.lines[0].get_color()][:2]
    last = int((rising["mse"] > 20).idxmax())
    assert line.get_xdata()[-1] == triangle.get_xdata()[0] == rising["step"][last]
    assert line.get_ydata()[0] == 0.001  # the axes cut it off at their lower edge
    assert mse.get_ylim()[0] >= 0.02


def test_panels_keep_their_order_if_all_lines_are_outside():
    table = run(5, 99).assign(mse=500.0, std=90.0, spectrum_ratio=1e6, mean=30.0)
    for axes in long_run({"vae": table, "vae_rk4": table}).axes:
        low, high = axes.get_ylim()
        assert low < high < 1e3
        triangles = [line for line in axes.lines if line.get_marker() == "^"]
        left, right = [t.get_transform().transform(t.get_xydata())[0, 0] for t in triangles]
        assert right > left  # side by side
