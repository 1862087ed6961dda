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
