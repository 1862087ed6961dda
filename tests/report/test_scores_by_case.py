"""A leaderboard by experiment, case and score: means over seeds, the ranking over shared cases, cases in words."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from fieldcast.report.scores_by_case import Lead, Observed, Sampled, ScoresByCase

from .conftest import leaderboard_of

THIRD = "acme:kriging <2>"  # an experiment of another package


def leads(scores: dict) -> ScoresByCase:
    return ScoresByCase(leaderboard_of(scores, "lead_hours"), Lead, ("lead_hours",))


def test_experiments_are_ranked_over_the_cases_that_all_share() -> None:
    """The means over 24 and 48 h are 0.2, 0.3 and 0.25; the 0.9 at 72 h, which the others lack, does not count."""
    board = leads(
        {
            **{("far", hours, "crps"): value for hours, value in ((24.0, 0.1), (48.0, 0.3), (72.0, 0.9))},
            **{("near", hours, "crps"): value for hours, value in ((24.0, 0.35), (48.0, 0.25))},
            **{(THIRD, hours, "crps"): 0.25 for hours in (24.0, 48.0)},
            ("unranked", 24.0, "rmse"): 0.01,
        }
    )
    assert board.order == ["far", THIRD, "near", "unranked"]
    assert board.cases == [Lead(24.0), Lead(48.0), Lead(72.0)]


def test_experiments_without_a_shared_case_are_ranked_by_their_own_mean() -> None:
    board = leads({("a", 24.0, "crps"): 0.4, ("b", 48.0, "crps"): 0.2, ("b", 72.0, "crps"): 0.5})
    assert board.order == ["b", "a"]  # 0.35 and 0.4


def test_equal_experiments_are_in_the_order_of_their_names_and_blown_up_ones_last() -> None:
    board = leads({(name, 24.0, "crps"): value for name, value in (("c", math.inf), ("b", 1.0), ("a", 1.0))})
    assert board.order == ["a", "b", "c"]


def test_seeds_are_averaged_and_missing_scores_are_no_scores() -> None:
    first = leaderboard_of({("a", "fid"): (1.0, 0.5, 2.0), ("b", "fid"): math.nan, ("c", "fid"): 4.0})
    second = leaderboard_of({("a", "fid"): (3.0, 1.5, 4.0), ("b", "fid"): math.nan})
    board = ScoresByCase(pd.concat([first, second]), Sampled, ranking="fid")
    assert board.scores["a", Sampled(), "fid"] == (2.0, 1.0, 3.0)
    assert ("b", Sampled(), "fid") not in board.scores
    assert board.order == ["a", "c", "b"]
    assert (board.value("a", "fid"), board.value("b", "fid", otherwise=-1.0)) == (2.0, -1.0)
    assert math.isnan(board.scores["c", Sampled(), "fid"].low) and math.isnan(board.value("c", "kid"))


def test_cases_are_in_order() -> None:
    hours = (240.0, 24.0, 17520.0, 120.0, 6.0, 730.0)
    assert leads({("a", hour, "crps"): 0.1 for hour in hours}).cases == [Lead(hour) for hour in sorted(hours)]


def test_having_asks_for_any_of_the_scores_in_any_of_the_cases() -> None:
    board = leads({("a", 24.0, "crps"): 0.1, ("b", 48.0, "rmse"): 0.2, ("c", 48.0, "ssr"): 1.0})
    assert board.having("crps", "rmse") == ["a", "b"]
    assert board.having("crps", "rmse", cases=[Lead(48.0)]) == ["b"]
    assert board.having("crps", cases=[]) == board.having("skill") == []


def test_an_empty_board_is_false() -> None:
    board = ScoresByCase(pd.DataFrame(), Lead, ("lead_hours",))
    assert not board and leads({("a", 24.0, "crps"): 0.1})
    assert (board.scores, board.cases, board.order, board.having("crps")) == ({}, [], [], [])


@pytest.mark.parametrize(
    ("cases", "heads"),
    [
        ([Observed("random", 0.05), Observed("random", 0.125)], ["5 %", "12.5 %"]),
        ([Observed("random", 0.05), Observed("swaths", 0.1)], ["5 %", "swaths, 10 %"]),
        ([Lead(24.0), Lead(60.0)], ["1\u00a0d", "2.5\u00a0d"]),
        ([Lead(23.0), Lead(24.0)], ["23\u00a0h", "1\u00a0d"]),
        ([Lead(730.0)], ["1\u00a0mo"]),
    ],
)
def test_cases_in_words(cases, heads) -> None:
    assert [str(case) for case in cases] == heads
    assert (Observed("swaths", 0.1).phrase, Lead(24.0).phrase) == ("swaths, 10 % observed", "1\u00a0d ahead")
