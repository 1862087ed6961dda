"""The sentences say what the scores say."""

from __future__ import annotations

import re

import pytest

from fieldcast.report.answer import short_answer
from fieldcast.report.scores import Board


def plain(sentences) -> list[str]:
    return [re.sub("<.*?>", "", sentence) for sentence in sentences]


def test_who_is_lowest_who_is_better_and_who_never(results):
    found = plain(short_answer(Board(results.leaderboard), "optimal_interpolation"))
    assert found == [
        "Lowest fair CRPS on unobserved cells, pattern random: mine at 5, 10, 20 %.",
        "mine is better than optimal_interpolation at 5, 10 % (CRPS lower by 3.8 to 4.3 %); "
        "not separated at 20 %.",
        "Nowhere better than optimal_interpolation: denoising_vae, climatology.",
    ]
    oi = 0.30 / 1.15, 0.30 / 1.3
    assert [100 * 0.01 / value for value in oi] == pytest.approx([3.8, 4.3], abs=0.05)


def test_without_intervals_nothing_is_better(results):
    board = results.leaderboard.assign(low=float("nan"), high=float("nan"))
    found = plain(short_answer(Board(board), "optimal_interpolation"))
    assert found[1:] == [
        "Not told apart from optimal_interpolation, for the times are too few for intervals: "
        "mine, denoising_vae, climatology."
    ]


def test_better_everywhere(results):
    board = results.leaderboard.query("k < 0.2")
    found = plain(short_answer(Board(board), "optimal_interpolation"))
    assert "better than optimal_interpolation at every k" in found[1]


def test_without_the_reference_there_is_no_gain_in_per_cent(results):
    board = results.leaderboard.query("experiment == 'mine' and k < 0.2")
    found = plain(short_answer(Board(board), "optimal_interpolation"))
    assert found[1] == "mine is better than optimal_interpolation at every k."
