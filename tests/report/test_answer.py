"""The sentences say what the scores say."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import pytest

from fieldcast.report import Reconstruct


def sentences(results: Reconstruct) -> list[str]:
    """Items of the first list of the short answer."""
    body = results.sections({})[0].body
    items = re.findall(r"<li>(.*?)</li>", body.split("</ul>")[0], re.S)
    return [unescape(re.sub("<.*?>", "", item)) for item in items]


def test_sentences_name_the_lowest_the_better_and_the_never_better(results):
    assert sentences(results) == [
        "Lowest fair CRPS on unobserved cells, pattern random: mine at 5, 10, 20 %.",
        "mine is better than optimal_interpolation at 5, 10 % (CRPS lower by 3.8 to 4.3 %); "
        "not separated at 20 %.",
        "Significantly worse than optimal_interpolation in CRPS at every fraction observed (95 % interval): "
        "denoising_vae, climatology.",
    ]
    oi = 0.30 / 1.15, 0.30 / 1.3
    assert [100 * 0.01 / value for value in oi] == pytest.approx([3.8, 4.3], abs=0.05)


def test_without_intervals_nothing_is_better(results):
    board = results.leaderboard.assign(low=float("nan"), high=float("nan"))
    assert sentences(replace(results, leaderboard=board))[1:] == [
        "Not distinguished from optimal_interpolation, because there are too few times for intervals: "
        "mine, denoising_vae, climatology."
    ]


def test_an_experiment_that_is_always_better_has_a_short_sentence(results):
    board = results.leaderboard.query("k < 0.2")
    result = sentences(replace(results, leaderboard=board))
    assert "better than optimal_interpolation at every fraction observed" in result[1]


def test_without_the_reference_there_is_no_gain_in_percent(results):
    board = results.leaderboard.query("experiment == 'mine' and k < 0.2")
    result = sentences(replace(results, leaderboard=board))
    assert result[1] == "mine is better than optimal_interpolation at every fraction observed."


def test_bounds_are_not_ranked(results):
    expected = {**results.experiments, "mine": {"about": {"family": "bound"}}}
    result = sentences(replace(results, experiments=expected))
    assert result[0].endswith("optimal_interpolation at 5, 10, 20 %.")
    assert not any("mine" in sentence for sentence in result)


def test_labels_stand_for_names(results):
    expected = {**results.experiments, "mine": {"about": {"label": "My <method>", "description": "a `b`"}}}
    labelled = replace(results, experiments=expected)
    assert sentences(labelled)[0].endswith(": My <method> at 5, 10, 20 %.")
    body = labelled.sections({})[0].body
    assert '<span class="experiment" title="a b">My &lt;method&gt;</span>' in body
    assert '<th scope="row" title="a b">My &lt;method&gt;</th>' in body
