"""The layout of forecasts: what its leaderboard has, and its comparisons."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fieldcast.scores.leaderboard import FORECAST, leaderboard, skill_horizon
from fieldcast.scores.statistics_table import name_rows, with_origin

DATA, SCORED = "d" * 12, "s" * 12
ROLES = {"reference": "linear_inverse_model", "climatology": "climatological_ensemble"}


def forecast_table(experiment: str, crps: dict[float, list[float]], seed: int = 0) -> pd.DataFrame:
    """One region and variable; CRPS at each start, by lead."""
    starts = [f"2001-{month:02}-01T00:00:00" for month in range(1, 13)]
    records = [
        (lead, "globe", "all", "crps", start, value)
        for lead, values in crps.items()
        for start, value in zip(starts, values, strict=True)
    ]
    names = ["lead_hours", "region", "variable", "statistic", "time", "value"]
    return name_rows(with_origin(pd.DataFrame(records, columns=names), seed, DATA, SCORED), experiment)


@pytest.fixture(scope="module")
def forecasts() -> dict[str, pd.DataFrame]:
    weather = np.random.default_rng(1).uniform(0.4, 0.8, 12)
    by_lead = {
        "mine": (0.5, 0.9, 1.2),
        "linear_inverse_model": (0.6, 0.9, 1.0),
        "climatological_ensemble": (1,) * 3,
    }
    return {
        name: forecast_table(name, {24.0 * (i + 1): list(part * weather) for i, part in enumerate(parts)})
        for name, parts in by_lead.items()
    }


def test_columns_of_forecasts_are_the_promised_ones(forecasts: dict) -> None:
    board = leaderboard(forecasts, DATA, SCORED, layout=FORECAST, roles=ROLES)
    names = "experiment seed data_digest lead_hours region variable score value low high"
    assert list(board) == names.split()
    assert set(board["score"]) == {"crps", "crps_minus_reference", "skill"}


def test_skill_is_paired_and_the_reference_has_none(forecasts: dict) -> None:
    index = ["score", "experiment", "lead_hours"]
    board = leaderboard(forecasts, DATA, SCORED, layout=FORECAST, roles=ROLES).set_index(index).sort_index()
    skill = board.loc[("skill", "mine")]
    np.testing.assert_allclose(
        skill[["value", "low", "high"]], [[0.5] * 3, [0.1] * 3, [-0.2] * 3], atol=1e-12
    )
    reference = board.loc[("skill", "climatological_ensemble")]
    np.testing.assert_array_equal(reference[["value", "low", "high"]], 0)
    assert "linear_inverse_model" not in board.loc["crps_minus_reference"].index
    other = leaderboard(
        {**forecasts, "mine": forecasts["mine"].assign(seed=1)}, DATA, SCORED, layout=FORECAST, roles=ROLES
    )
    assert set(other.query("experiment == 'mine'")["score"]) == {"crps"}


def test_a_start_that_one_lacks_is_left_out_of_both(forecasts: dict) -> None:
    cut = forecasts["climatological_ensemble"].query("time > '2001-06'")
    board = leaderboard(
        {**forecasts, "climatological_ensemble": cut}, DATA, SCORED, layout=FORECAST, roles=ROLES
    )
    skill = board.query("score == 'skill' and experiment == 'mine'")["value"]
    np.testing.assert_allclose(skill, [0.5, 0.1, -0.2], atol=1e-12)


def test_a_model_that_blew_up_has_no_skill_at_all(forecasts: dict) -> None:
    broken = forecasts["mine"].copy()
    broken.loc[(broken["lead_hours"] == 48) & (broken["time"] < "2001-02"), "value"] = np.inf
    board = leaderboard({**forecasts, "mine": broken}, DATA, SCORED, layout=FORECAST, roles=ROLES)
    skill = board.query("score == 'skill' and experiment == 'mine'").set_index("lead_hours")["value"]
    assert skill[48.0] == -np.inf
    assert skill[24.0] == pytest.approx(0.5)
    horizon = skill_horizon(board).set_index("experiment")["lead_hours"]
    assert horizon["mine"] == 24.0


def test_the_horizon_is_where_skill_crosses_zero(forecasts: dict) -> None:
    board = leaderboard(forecasts, DATA, SCORED, layout=FORECAST, roles=ROLES)
    horizons = skill_horizon(board)
    assert list(horizons) == ["experiment", "seed", "region", "variable", "lead_hours"]
    horizon = horizons.set_index("experiment")["lead_hours"]
    assert horizon["mine"] == pytest.approx(48 + 24 / 3)
    assert horizon["linear_inverse_model"] == 72.0
    assert horizon["climatological_ensemble"] == 0.0
    assert (
        skill_horizon(board.query("lead_hours < 70")).set_index("experiment")["lead_hours"]["mine"] == np.inf
    )


def test_comparisons_are_with_whatever_experiment_has_the_role(forecasts: dict) -> None:
    board = leaderboard(forecasts, DATA, SCORED, layout=FORECAST, roles={"reference": "mine"})
    assert set(board.query("score == 'crps_minus_reference'")["experiment"]) == {*forecasts} - {"mine"}
    assert "skill" not in set(board["score"])  # nothing has the role of the climatology
