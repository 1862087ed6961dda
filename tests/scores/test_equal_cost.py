"""Ensembles at equal cost: against every choice of members, and against ensembles whose error is known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from fieldcast.report.comparisons import at_equal_cost
from fieldcast.scores.leaderboard import FORECAST, leaderboard
from fieldcast.scores.statistics_table import name_rows, with_origin

SPREAD = 0.5  # spread of the season's members a day ahead, in anomaly standard deviations


def cost(milliseconds: float) -> pd.DataFrame:
    return pd.DataFrame([{"sample_ms": milliseconds}])


def board(season, *names: str) -> pd.DataFrame:
    """Leaderboard of identical forecasts under several names: all variables, the globe."""
    tables = {name: name_rows(with_origin(season.score()[0], 0, "d", "s"), name) for name in names}
    return leaderboard(tables, "d", "s", layout=FORECAST).query("variable == 'all' and region == 'globe'")


def column(table: pd.DataFrame, experiment: str, name: str = "rmse_at_cost") -> np.ndarray:
    return table[table["experiment"] == experiment].sort_values("lead_hours")[name].to_numpy()


@pytest.fixture(scope="module")
def season_of_six(season: Callable):
    return season(members=6, starts=8, leads=3, shape=(6, 8))


def test_fewer_members_are_the_mean_over_every_choice_of_them(season_of_six) -> None:
    scores = board(season_of_six, "cheap", "dear")
    costs = {"cheap": cost(1.0), "dear": cost(3.0)}
    table = at_equal_cost(scores, costs, reference="cheap", members=6, leads=(24.0, 48.0, 72.0))
    assert table.groupby("experiment")["members"].unique().map(list).to_dict() == {"cheap": [6], "dear": [2]}
    rmse = scores.query("experiment == 'cheap' and score == 'rmse'").sort_values("lead_hours")["value"]
    assert np.allclose(column(table, "cheap"), rmse)
    squares = []
    for pair in combinations(range(6), 2):
        members = season_of_six.forecasts.isel(member=list(pair))
        scores_of_pair = season_of_six._replace(forecasts=members).score()[0]
        errors = scores_of_pair.query(
            "region == 'globe' and variable == 'all' and statistic == 'squared_error'"
        )
        squares.append(errors.groupby("lead_hours")["value"].mean())
    assert np.allclose(column(table, "dear"), np.sqrt(np.mean(squares, axis=0)), rtol=1e-6)


def test_more_members_have_what_a_calibrated_ensemble_of_that_size_has(season: Callable) -> None:
    costs = {"a": cost(1.0), "b": cost(8.0)}
    table = at_equal_cost(board(season(members=5), "a", "b"), costs, reference="b", members=5)
    assert set(table["lead_hours"]) == {24.0, 72.0}  # five days were not forecast
    for name, count in (("b", 5), ("a", 40)):
        expected = [SPREAD * np.sqrt(days * (1 + 1 / count)) for days in (1, 3)]
        assert np.allclose(column(table, name), expected, rtol=0.02)  # 8 % apart


def test_the_fair_crps_is_the_same_at_any_cost(season_of_six) -> None:
    costs = {"cheap": cost(1.0), "dear": cost(9.0)}
    table = at_equal_cost(board(season_of_six, "cheap", "dear"), costs, reference="dear", members=10)
    assert np.array_equal(column(table, "cheap", "crps"), column(table, "dear", "crps"))


def test_experiments_without_costs_are_omitted_and_a_blow_up_is_infinite(season_of_six) -> None:
    scores = board(season_of_six, "a", "file", "lost")
    scores.loc[scores["experiment"] == "lost", "value"] = np.inf
    costs = {"a": cost(4.0), "file": pd.DataFrame(), "lost": cost(1.0)}
    table = at_equal_cost(scores, costs, reference="a", members=6)
    assert set(table["experiment"]) == {"a", "lost"}
    assert np.isinf(column(table, "lost")).all()
    assert at_equal_cost(scores, costs, reference="vae", members=6).empty
