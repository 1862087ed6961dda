"""Ensembles at equal cost: against every choice of members, and against ensembles whose error is known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from fieldcast.scores.equal_cost import at_equal_cost
from fieldcast.scores.statistics_table import stamp

SPREAD = 0.5  # of the season's members a day ahead, in anomaly standard deviations


def cost(milliseconds: float, evaluations: int = 1) -> pd.DataFrame:
    return pd.DataFrame([{"evaluations": evaluations, "sample_ms": milliseconds}])


def scored(it, data: str = "d") -> pd.DataFrame:
    """As an evaluation stores it, which does not know its own name."""
    return stamp(it.score()[0], 0, data, "s")


def values(board: pd.DataFrame, experiment: str, score: str) -> np.ndarray:
    chosen = board[(board["experiment"] == experiment) & (board["score"] == score)]
    return chosen.sort_values("lead_hours")["value"].to_numpy()


@pytest.fixture(scope="module")
def season_of_six(season: Callable):
    return season(members=6, starts=8, leads=3, shape=(6, 8))


def test_fewer_members_are_the_mean_over_every_choice_of_them(season_of_six) -> None:
    it, leads = season_of_six, (24.0, 48.0, 72.0)
    tables = {name: scored(it) for name in ("cheap", "dear")}
    costs = {"cheap": cost(1.0), "dear": cost(3.0)}
    board = at_equal_cost(tables, costs, "globe", members=6, reference="cheap", leads=leads)
    assert board.groupby("experiment")["members"].unique().map(list).to_dict() == {"cheap": [6], "dear": [2]}
    assert np.allclose(values(board, "cheap", "rmse_at_cost"), values(board, "cheap", "rmse"))
    squares = []
    for pair in combinations(range(6), 2):
        table = it._replace(forecasts=it.forecasts.isel(member=list(pair))).score()[0]
        own = table.query("region == 'globe' and variable == 'all' and statistic == 'squared_error'")
        squares.append(own.groupby("lead_hours")["value"].mean())
    expected = np.sqrt(np.mean(squares, axis=0))
    assert np.allclose(values(board, "dear", "rmse_at_cost"), expected, rtol=1e-6)


def test_more_members_have_what_a_calibrated_ensemble_of_that_size_has(season: Callable) -> None:
    it = season(members=5)
    tables = {"a": scored(it), "vae_rk4": scored(it)}
    costs = {"a": cost(1.0), "vae_rk4": cost(8.0, 4)}
    board = at_equal_cost(tables, costs, "globe", members=5)
    assert set(board["lead_hours"]) == {24.0, 72.0}  # five days were not forecast
    own = board.query("experiment == 'a'")
    assert own["members"].eq(40).all() and own["evaluations"].eq(1).all()
    for count, score in ((5, "rmse"), (40, "rmse_at_cost")):
        expected = [SPREAD * np.sqrt(days * (1 + 1 / count)) for days in (1, 3)]
        assert np.allclose(values(board, "a", score), expected, rtol=0.02)  # 8 % apart
    bounded = own[own["score"] == "rmse_at_cost"]
    assert ((bounded["low"] <= bounded["value"]) & (bounded["value"] <= bounded["high"])).all()


def test_the_fair_crps_is_the_same_at_any_cost(season_of_six) -> None:
    tables = {name: scored(season_of_six) for name in ("cheap", "dear")}
    board = at_equal_cost(tables, {"cheap": cost(1.0), "dear": cost(9.0)}, "globe", reference="dear")
    assert np.array_equal(values(board, "cheap", "crps"), values(board, "dear", "crps"))


def test_what_is_of_other_data_or_without_costs_is_left_out(season_of_six, caplog) -> None:
    it = season_of_six
    tables = {"vae_rk4": scored(it), "old": scored(it, "other"), "file": scored(it)}
    costs = {"vae_rk4": cost(4.0, 4), "old": cost(1.0), "file": pd.DataFrame()}
    assert set(at_equal_cost(tables, costs, "globe")["experiment"]) == {"vae_rk4"}
    assert at_equal_cost(tables, costs, "globe", reference="vae").empty
    assert at_equal_cost({}, {}, "globe").empty
    assert not caplog.records  # the leaderboard has told of them


def test_one_member_has_no_mean_of_others(season_of_six) -> None:
    alone = season_of_six._replace(forecasts=season_of_six.forecasts.isel(member=[0]))
    tables = {"vae_rk4": scored(season_of_six), "one": scored(alone)}
    board = at_equal_cost(tables, {"vae_rk4": cost(4.0, 4), "one": cost(1.0)}, "globe")
    assert (
        np.isnan(values(board, "one", "rmse_at_cost")).all()
        and np.isfinite(values(board, "one", "rmse")).all()
    )
