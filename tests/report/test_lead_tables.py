"""Tables of forecasts: columns, skill horizons and the outcomes of long rollouts, by arithmetic."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from fieldcast.report import Forecast
from fieldcast.report.forecast import (
    columns,
    horizon,
    horizons,
    long_rollout_table,
    region_overview,
    regions,
)
from fieldcast.report.scores_by_case import Lead, ScoresByCase
from fieldcast.report.tables import Cell, Table
from fieldcast.scores.stability import outcomes

from .conftest import leaderboard_of

THIRD = "acme:nowcast <2>"  # an experiment of another package


def texts(table: Table) -> dict[str, list[str]]:
    return {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ([24, 48, 72, 96, 120], [24, 48, 72, 120]),  # four days are no column
        ([6, 24, 30, 48], [24, 48]),
        ([6, 12, 18, 24], [6, 12, 18, 24]),  # only one of the usual
        ([730 * month for month in range(1, 13)], [730 * month for month in (1, 3, 5, 7, 8, 10, 12)]),
        ([], []),
    ],
)
def test_columns_are_the_usual_days_or_up_to_seven_evenly_spaced(hours, expected) -> None:
    scores = {("a", float(hour), "crps"): 1.0 for hour in hours}
    board = ScoresByCase(leaderboard_of(scores, "lead_hours"), Lead, ("lead_hours",))
    assert columns(board) == [Lead(float(hour)) for hour in expected]


def skilful(leads: tuple[float, float], skill: dict[tuple[str, str], tuple[float, float]]) -> Forecast:
    """Forecasts with the skill of experiments and variables at two leads, on the globe; -1 in the tropics."""
    tables = [
        leaderboard_of(
            {(name, lead, "skill"): value for lead, value in zip(leads, values, strict=True)},
            "lead_hours",
            variable=variable,
            region="globe",
        )
        for (name, variable), values in skill.items()
    ]
    table = pd.concat(tables)
    return Forecast(leaderboard=pd.concat([table, table.assign(region="tropics", value=-1.0)]))


def test_the_skill_horizon_is_where_skill_crosses_zero() -> None:
    """0.2 at 24 h and -0.2 at 48 h: 36 h; 0.3 and -0.1: 42 h."""
    results = skilful(
        (24.0, 48.0),
        {
            ("a", "z"): (0.3, -0.1),
            ("a", "all"): (0.2, -0.2),
            (THIRD, "all"): (0.2, 0.1),
            ("b", "all"): (0.0, 0.5),
            ("b", "z"): (0.1, 0.0),
        },
    )
    table = horizons(results)
    assert table.head == ["experiment", "all, 95 % interval", "all", "z"]
    assert texts(table) == {
        "a": ["–", "1.5 d", "1.8 d"],
        THIRD: ["–", "beyond 2\u00a0d", "–"],
        "b": ["–", "none", "2.0 d"],
    }
    orders = {row[0].text: row[2].order for row in table.rows}
    assert orders["b"] == 0 < orders["a"] == 36 < orders[THIRD] < math.inf
    assert horizons(Forecast()) == Table([], [])


def test_a_horizon_has_the_unit_of_the_last_lead() -> None:
    assert texts(horizons(skilful((6.0, 12.0), {("a", "all"): (0.1, -0.1)}))) == {"a": ["–", "9.0 h"]}
    assert horizon(730.0, Lead(1460.0)) == Cell("1.0 mo", 730.0)
    assert horizon(math.nan, Lead(24.0)) == horizon(None, Lead(24.0)) == Cell()


def test_regions_leave_the_whole_grid_out() -> None:
    tables = [
        leaderboard_of(
            {("a", hours, "crps"): size * hours for hours in (24.0, 48.0, 72.0, 120.0, 360.0)}
            | {("b", 24.0, "crps"): 9.0},
            "lead_hours",
            region=region,
        )
        for region, size in (("globe", 1.0), ("northern_extratropics", 0.5), ("tropics", 0.25))
    ]
    results = Forecast(leaderboard=pd.concat(tables))
    assert [(title, board.value("a", "crps", Lead(72.0))) for title, board, _ in regions(results)] == [
        ("Northern extratropics", 36.0),
        ("Tropics", 18.0),
    ]
    table = region_overview(results)
    # a short and a middle lead of those up to ten days
    heads = [f"{region}, {day}\u00a0d" for region in ("northern extratropics", "tropics") for day in (1, 3)]
    assert table.head == ["experiment", *heads]
    assert texts(table) == {"b": ["9.00", "–", "9.00", "–"], "a": ["12.0", "36.0", "6.00", "18.0"]}
    assert region_overview(Forecast(leaderboard=tables[0])).rows == []


def rollout(std: float = 1.0, ratio: float = 1.0, mean: float = 0.0, blows_up: int = 9) -> pd.DataFrame:
    """Three steps, whose mean squared error is 0.5, 0.9 and 1.5 and that of the climatology 0.8."""
    steps = pd.DataFrame({"step": [1, 2, 3], "mse": [0.5, 0.9, 1.5], "mse_climatology": 0.8})
    steps = steps.assign(
        mean=mean, std=std, max_abs=9.0, spectrum_ratio=ratio, finite=steps["step"] < blows_up
    )
    lost = steps["step"] >= blows_up
    steps.loc[lost, ["std", "max_abs", "spectrum_ratio", "mse"]] = math.inf
    steps.loc[lost, "mean"] = math.nan
    return steps


@pytest.mark.parametrize(
    ("outcome", "group"),
    [
        (rollout(), ""),
        (rollout(std=0.5, ratio=0.1), ""),
        (rollout(std=2.0, ratio=10.0), ""),
        (rollout(std=0.49), "unrealistic"),
        (rollout(std=2.01), "unrealistic"),
        (rollout(ratio=0.099), "unrealistic"),
        (rollout(ratio=10.1), "unrealistic"),
        (rollout(std=2.0, mean=2.236), ""),  # 4 + 5 = 3^2
        (rollout(std=2.0, mean=2.237), "diverged"),
        (rollout(std=4.0, blows_up=3), "blew_up"),
    ],
)
def test_outcomes_of_long_rollouts_have_thresholds(outcome, group) -> None:
    stated = outcomes({THIRD: outcome, "good": rollout()})
    steps = {"blew_up": 3.0, "diverged": 1.0}
    assert [stated["blew_up"], stated["diverged"]] == [
        [(THIRD, steps[name])] if name == group else [] for name in steps
    ]
    assert stated["unrealistic"] == ([THIRD] if group == "unrealistic" else [])
    assert stated["bounded"] == (1 if group in steps else 2)
    assert stated["steps"] == 3


def test_power_that_cannot_be_compared_does_not_make_a_rollout_unrealistic() -> None:
    """No latitude of a regional ocean may be complete, so that there are no spectra."""
    stability = {"ocean": rollout(ratio=math.nan), "flat": rollout(std=0.1, ratio=math.nan)}
    assert outcomes(stability)["unrealistic"] == ["flat"]


def test_the_table_of_long_rollouts_counts_steps() -> None:
    table = long_rollout_table(
        Forecast(stability={"a": rollout(mean=-0.25, ratio=2e4), "b": rollout(blows_up=2)})
    )
    assert texts(table) == {
        "a": ["unrealistic", "2", "2", "–", "–", "1.00", "−0.250", "2e+04"],
        "b": ["blew up", "1", "2", "2", "2", "1.00", "0", "1.00"],
    }
    assert len(table.head) == 9
    assert long_rollout_table(Forecast()).rows == [] and outcomes({}) == {}


def test_a_rollout_that_blows_up_at_once_can_be_sorted() -> None:
    """The script of the page reads `inf` as no number, after which the column has no order."""
    ((_, _, below_one, *others),) = long_rollout_table(Forecast(stability={"a": rollout(blows_up=1)})).rows
    assert below_one.text == "0"
    assert [cell.text for cell in others] == ["1", "1", "1", "∞", "–", "∞"]
    assert all(cell.order is None or math.isfinite(cell.order) for cell in others)
