from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fieldcast.scores.stability import stability_horizons, stability_table, step_statistics, zonal_power

SHAPE = (2, 3, 2, 6, 12)  # start, member, variable, latitude, longitude
AREA = np.cos(np.deg2rad(np.linspace(-75, 75, 6)))[:, None] * np.ones((6, 12))


def weather(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=SHAPE).astype("f4"), rng.normal(size=(SHAPE[0], *SHAPE[2:])).astype("f4")


def test_moments_equal_a_loop_over_cells() -> None:
    x, y = weather()
    statistics = step_statistics(x, y, AREA)
    w = np.broadcast_to(AREA, x.shape)
    mean = np.average(x, weights=w)
    assert statistics["mean"] == pytest.approx(mean)
    assert statistics["std"] == pytest.approx(np.sqrt(np.average((x - mean) ** 2, weights=w)))
    assert statistics["max_abs"] == pytest.approx(np.abs(x).max())
    assert statistics["mse"] == pytest.approx(np.average((x.mean(1) - y) ** 2, weights=w[:, 0]), rel=1e-5)
    assert statistics["mse_climatology"] == pytest.approx(np.average(y**2, weights=w[:, 0]), rel=1e-5)
    assert statistics["finite"] is True
    assert list(statistics) == [
        "mean",
        "std",
        "max_abs",
        "spectrum_ratio",
        "finite",
        "mse",
        "mse_climatology",
    ]


def test_the_ratio_is_of_the_shortest_third_of_the_waves_that_the_truth_has() -> None:
    """Waves 1 to 4 of six: the third is wave 4, of which members have twice the amplitude; 5 and 6 do not count."""
    angle = np.arange(12) * 2 * np.pi / 12
    wave = {k: np.cos(k * angle) for k in range(1, 6)}
    y = np.broadcast_to(wave[1] + 0.5 * wave[2] + 0.3 * wave[3] + 0.1 * wave[4], (2, 2, 6, 12))
    x = np.broadcast_to(3 * wave[1] + 0.9 * wave[3] + 0.2 * wave[4] + 7 * wave[5], SHAPE)
    assert step_statistics(x, y, AREA)["spectrum_ratio"] == pytest.approx(4)
    reference = zonal_power(2 * y, AREA)
    assert step_statistics(x, None, AREA, reference=reference)["spectrum_ratio"] == pytest.approx(1)
    assert np.isnan(step_statistics(x, None, AREA)["spectrum_ratio"])


def test_without_truth_there_is_no_error() -> None:
    statistics = step_statistics(weather()[0], None, AREA)
    assert np.isnan(statistics["mse"])
    assert np.isnan(statistics["mse_climatology"])
    assert np.isfinite(statistics["std"])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_blow_up_is_recorded(bad: float) -> None:
    x, y = weather()
    x[1, 2, 0, 3, 3] = bad
    statistics = step_statistics(x, y, AREA)
    assert statistics["finite"] is False
    assert statistics["max_abs"] == statistics["std"] == statistics["mse"] == np.inf
    assert np.isfinite(statistics["mse_climatology"])
    large = step_statistics(np.full(SHAPE, 1e30, "f4"), y, AREA)
    assert large["finite"] is True
    assert large["mse"] == pytest.approx(1e60, rel=1e-3)


def test_cells_that_do_not_exist_may_hold_anything() -> None:
    x, y = weather()
    area = AREA.copy()
    area[2, 5] = 0
    junk = x.copy()
    junk[..., 2, 5] = np.nan
    first, second = step_statistics(x, y, area), step_statistics(junk, y, area)
    assert first == second
    assert first["finite"] is True
    assert np.isfinite(first["spectrum_ratio"])


def run(mse: list[float], finite: int = 100, climatology: float = 1.5) -> pd.DataFrame:
    steps = np.arange(1, len(mse) + 1)
    return pd.DataFrame(
        {
            "step": steps,
            "mean": 0.125,
            "std": np.where(steps < finite, 0.5, np.inf),
            "max_abs": 3.0,
            "spectrum_ratio": 0.25,
            "finite": steps < finite,
            "mse": mse,
            "mse_climatology": climatology,
        }
    )


def test_horizons_are_counted_in_steps() -> None:
    runs = {
        "good": run([0.1, 0.5, 0.9, 0.8]),
        "noisy": run([0.1, 1.2, 0.9, 1.6, 1.4]),
        "bad": run([0.1, 0.5, np.inf, np.inf], finite=3),
        "no_truth": run([0.1, 0.5, np.nan, np.nan]),
        "absent": None,
    }
    horizons = stability_horizons(runs).set_index("experiment")
    assert list(horizons.index) == ["good", "noisy", "bad", "no_truth"]  # a blow-up drops no experiment
    assert horizons["below_one"].tolist() == [4, 1, 2, 2]
    np.testing.assert_array_equal(horizons["passes_climatology"], [np.nan, 4, 3, np.nan])
    np.testing.assert_array_equal(horizons["blow_up"], [np.nan, np.nan, 3, np.nan])
    np.testing.assert_array_equal(horizons["diverged"], [np.nan, np.nan, 3, np.nan])
    assert horizons["steps"].tolist() == [4, 5, 4, 4]
    assert horizons["std"].tolist() == [0.5] * 4


def test_a_run_that_grows_by_a_tenth_a_step_diverges_long_before_it_is_not_finite() -> None:
    """1.1^11 = 2.85, 1.1^12 = 3.14: by its spread, or by a mean that all members share."""
    steady = run([1.0] * 500, finite=501).assign(std=1.0, mean=0.0)
    size = 1.1 ** steady["step"]
    runs = {"spread": steady.assign(std=size), "offset": steady.assign(std=0.0, mean=-size), "steady": steady}
    horizons = stability_horizons(runs).set_index("experiment")
    np.testing.assert_array_equal(horizons["diverged"], [12, 12, np.nan])
    assert horizons["blow_up"].isna().all()


def test_the_public_table_has_a_row_for_every_step_of_every_experiment() -> None:
    table = stability_table(
        {"good": run([0.1, 0.2]), "bad": run([0.1, np.inf], finite=2), "absent": pd.DataFrame()}
    )
    assert list(table) == ["experiment", "step", "mean", "std", "max_abs", "spectrum_ratio", "finite"]
    assert table["experiment"].tolist() == ["good", "good", "bad", "bad"]
    assert table["finite"].tolist() == [True, True, True, False]
    assert list(stability_table({})) == list(table)


def test_the_last_step_below_one_is_one_that_was_scored() -> None:
    sparse = run([0.2, 0.5, 1.2]).assign(step=[10, 20, 30])
    assert stability_horizons({"sparse": sparse})["below_one"].tolist() == [20]
    at_once = run([1.2, 0.5])
    assert stability_horizons({"never": at_once})["below_one"].tolist() == [0]
