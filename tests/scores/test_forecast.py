from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scores.continuous import mae, mse
from scores.probability import crps_for_ensemble

from fieldcast.scores.forecast import STATISTICS
from fieldcast.scores.leaderboard import FORECAST, leaderboard
from fieldcast.scores.regions import regions
from fieldcast.scores.statistics_table import name_rows, with_origin
from tests.evaluations import value_of


def beside(evaluation, name: str, lead: int) -> tuple[xr.DataArray, xr.DataArray]:
    """Forecasts and truth of one variable at one lead, both on `start`."""
    x = evaluation.forecasts[name].isel(lead=lead, drop=True)
    places = 13 * np.arange(x.sizes["start"]) + lead + 1
    y = evaluation.truth[name].isel(time=places).rename(time="start").assign_coords(start=x["start"])
    return x, y


@pytest.mark.parametrize("region", ["globe", "northern_extratropics"])
def test_statistics_equal_the_scores_package_over_the_region(season: Callable, region: str) -> None:
    evaluation = season(starts=6)
    scores, _ = evaluation.score()
    x, y = beside(evaluation, "t", 1)
    if region != "globe":
        x, y = (data.sel(latitude=slice(20, None)) for data in (x, y))
    options = {"preserve_dims": "start", "weights": evaluation.area.sel(latitude=x["latitude"])}
    mean = x.astype(float).mean("member")
    grid = ("latitude", "longitude")
    expected = {
        "squared_error": mse(mean, y, **options),
        "absolute_error": mae(mean, y, **options),
        "error": (mean - y).weighted(evaluation.area).mean(grid),
        "crps": crps_for_ensemble(x, y, "member", method="fair", **options),
        "variance": x.astype(float).var("member", ddof=1).weighted(evaluation.area).mean(grid),
    }
    for name, values in expected.items():
        scored = value_of(scores, lead_hours=48.0, region=region, variable="t", statistic=name)
        np.testing.assert_allclose(scored, values, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("cftime", [False, True])
def test_acc_by_hand(season: Callable, cftime: bool) -> None:
    evaluation = season(starts=6, cftime=cftime)
    scores, _ = evaluation.score()
    x, y = beside(evaluation, "z", 0)
    days = [
        min(int(moment.strftime("%j")), 365)
        for moment in evaluation.truth.get_index("time")[13 * np.arange(6) + 1]
    ]
    normal = evaluation.climatology["z"].to_numpy()[np.array(days) - 1].astype(float)
    f, o = x.mean("member").to_numpy() - normal, y.to_numpy() - normal
    w = evaluation.area.to_numpy()[:, None]
    expected = (w * f * o).sum((1, 2)) / np.sqrt((w * f**2).sum((1, 2)) * (w * o**2).sum((1, 2)))
    scored = value_of(scores, lead_hours=24.0, region="globe", variable="z", statistic="acc")
    np.testing.assert_allclose(scored[:5], expected[:5], rtol=1e-4)  # the last lies after 29 February


def test_acc_of_the_truth_is_one_and_of_the_climatology_nothing(season: Callable) -> None:
    evaluation = season(starts=4)
    perfect, normal = evaluation.forecasts.copy(deep=True), evaluation.forecasts.copy(deep=True)
    for name in ("z", "t"):
        for lead in range(3):
            _, y = beside(evaluation, name, lead)
            perfect[name][lead] = y.to_numpy()[:, None]
            # January to early February
            days = y["start"].dt.dayofyear.to_numpy() + lead
            normal[name][lead] = evaluation.climatology[name].to_numpy()[days % 365][:, None]
    acc = evaluation._replace(forecasts=perfect).score()[0].query("statistic == 'acc'")["value"]
    np.testing.assert_allclose(acc, 1, rtol=1e-6)
    assert evaluation._replace(forecasts=normal).score()[0].query("statistic == 'acc'")["value"].isna().all()


def test_overall_is_the_mean_over_variables_in_anomaly_units(season: Callable) -> None:
    evaluation = season(starts=5)
    scores, _ = evaluation.score()
    standard = {"z": 50.0, "t": 2.0}
    for name in STATISTICS[:-1]:
        power = {"squared_error": 2, "variance": 2, "debiased_squared_error": 2, "acc": 0}.get(name, 1)
        where = {"lead_hours": 24.0, "region": "tropics", "statistic": name}
        parts = [value_of(scores, variable=key, **where) / sd**power for key, sd in standard.items()]
        np.testing.assert_allclose(value_of(scores, variable="all", **where), np.mean(parts, 0), rtol=1e-9)


def test_overall_energy_is_that_of_both_variables_together(season: Callable) -> None:
    evaluation = season(starts=3)
    scores, _ = evaluation.score()
    d = []
    for name, sd in (("z", 50.0), ("t", 2.0)):
        x, y = beside(evaluation, name, 2)
        d.append(((x - y) / sd).transpose("member", "start", ...).to_numpy().astype(float))
    w = np.broadcast_to(evaluation.area.to_numpy()[:, None], d[0].shape[2:])
    d = np.stack(d, 2) * np.sqrt(w / w.sum() / 2)
    skill = np.sqrt((d**2).sum((2, 3, 4))).mean(0)
    pairs = np.sqrt(((d[:, None] - d[None]) ** 2).sum((3, 4, 5))).sum((0, 1))
    scored = value_of(scores, lead_hours=72.0, region="globe", variable="all", statistic="energy")
    np.testing.assert_allclose(scored, skill - pairs / (2 * 10 * 9), rtol=1e-5)


def test_a_calibrated_ensemble_has_the_known_scores(season: Callable) -> None:
    """Truth and members N(centre, 0.25 lead) in anomaly units: spread-skill ratio 1, CRPS sd / sqrt(pi)."""
    board = leaderboard(
        {"mine": name_rows(with_origin(season().score()[0], 0, "d", "s"), "mine")}, "d", "s", layout=FORECAST
    )
    assert set(board["region"]) == {"globe", "tropics", "northern_extratropics", "southern_extratropics"}
    overall = board.query("variable == 'all' and region == 'globe'").set_index(["score", "lead_hours"])
    for day in (1, 2, 3):
        sd = 0.5 * np.sqrt(day)
        expected = {"crps": sd / np.sqrt(np.pi), "ssr": 1.0, "rmse": sd * np.sqrt(1.1)}
        for score, value in expected.items():
            assert overall.loc[(score, 24.0 * day), "value"] == pytest.approx(value, rel=0.03), score


def test_regions_add_up_to_the_globe(season: Callable) -> None:
    evaluation = season(starts=4)
    scores = evaluation.score()[0].query(
        "statistic == 'squared_error' and variable == 'z' and lead_hours == 24.0"
    )
    bands = regions(evaluation.truth["latitude"].to_numpy(), wraps=True)
    shares = {
        name: float(evaluation.area[band].sum() / evaluation.area.sum()) for name, band in bands.items()
    }
    wide = scores.pivot(index="time", columns="region", values="value")
    summed = sum(shares[name] * wide[name] for name in wide if name != "globe")
    np.testing.assert_allclose(summed, wide["globe"], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e20])
def test_a_start_that_blew_up_scores_infinity_and_the_others_do_not(season: Callable, bad: float) -> None:
    evaluation = season(starts=5)
    broken = evaluation.forecasts.copy(deep=True)
    broken["z"][1:, 2, 4, 3, 3] = bad
    scores, diagnostics = evaluation._replace(forecasts=broken).score()
    for statistic in STATISTICS:
        scored = value_of(scores, lead_hours=48.0, region="globe", variable="all", statistic=statistic)
        assert scored[2] == (-np.inf if statistic == "acc" else np.inf), statistic
        assert np.isfinite(np.delete(scored, 2)).all()
    assert np.isfinite(value_of(scores, variable="t")).all()
    assert np.isfinite(value_of(scores, lead_hours=24.0)).all()
    assert np.isfinite(diagnostics["spectrum_members"]).all()
    np.testing.assert_allclose(diagnostics["rank_histogram"].sum("rank"), 1)


def test_one_member_has_errors_and_no_spread(season: Callable) -> None:
    scores, _ = season(members=1, starts=4).score()
    void = scores.groupby("statistic")["value"].apply(lambda values: values.isna().all())
    assert set(void[void].index) == {"variance", "debiased_squared_error"}
    np.testing.assert_allclose(
        value_of(scores, statistic="crps"), value_of(scores, statistic="absolute_error")
    )


def test_cells_that_never_exist_are_left_out(season: Callable) -> None:
    evaluation = season(starts=4)
    land = xr.zeros_like(evaluation.truth["t"].isel(time=0, drop=True), dtype=bool)
    land[2:6, 4:9] = True
    holes = evaluation._replace(
        truth=evaluation.truth.where(~land), climatology=evaluation.climatology.where(~land)
    )
    junk = holes._replace(forecasts=evaluation.forecasts.where(~land, 1e9))
    first, second = holes._replace(forecasts=evaluation.forecasts.where(~land)).score()[0], junk.score()[0]
    assert first["value"].notna().all()
    pd.testing.assert_frame_equal(first, second)


def test_lazy_forecasts_score_the_same(season: Callable) -> None:
    evaluation = season(starts=4)
    lazy = evaluation._replace(
        forecasts=evaluation.forecasts.chunk(lead=1), truth=evaluation.truth.chunk(time=10)
    )
    pd.testing.assert_frame_equal(lazy.score()[0], evaluation.score()[0])
