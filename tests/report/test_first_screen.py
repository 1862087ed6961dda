"""The first screen shows the best and the next experiment of each task, and what a reader should distrust."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.report import Forecast, Reconstruct, Sample, report
from fieldcast.report.first_screen import EXPLANATIONS, HEADS, OUTSIDE_RANGE, leaders_table, most_serious
from fieldcast.report.forecast import significant_until
from fieldcast.report.scores_by_case import Lead
from fieldcast.report.tables import Doubt
from fieldcast.scores.leaderboard import RECONSTRUCT, leaderboard


def board(scores: dict[str, dict[str, float]], **case) -> pd.DataFrame:
    """A leaderboard of one case, over all variables."""
    return pd.DataFrame(
        [
            {
                "experiment": name,
                "seed": 0,
                "data": "d",
                "variable": "all",
                **case,
                "score": score,
                "value": value,
            }
            | {"low": value, "high": value}
            for name, values in scores.items()
            for score, value in values.items()
        ]
    )


RECONSTRUCTIONS = {
    "kriging": {"crps": 0.3, "rmse": 0.5, "ssr": 0.95},
    "vae": {"crps": 0.303, "rmse": 0.55, "ssr": 0.06},
    "climatology": {"crps": 0.6, "rmse": 1.0},
}
ABOUT = {
    "kriging": {"about": {"label": "Kriging", "family": "classical"}},
    "vae": {"about": {"label": "VAE"}},
    "climatology": {"about": {"label": "Climatology", "role": "baseline", "family": "classical"}},
}


@pytest.fixture
def reconstruct() -> Reconstruct:
    table = board(RECONSTRUCTIONS, pattern="random", k=0.1, cells="unobserved")
    return Reconstruct(leaderboard=table, experiments=ABOUT, costs={"vae": pd.DataFrame([{"learned": True}])})


def texts(*tasks) -> list[list[str]]:
    return [[cell.text for cell in row] for row in leaders_table(tasks).rows]


def doubts(results) -> dict[str, str]:
    return {doubt.number: doubt.meaning for doubt in results.doubts}


def test_the_best_stands_beside_the_next_with_their_difference(reconstruct):
    table = leaders_table([reconstruct])
    assert table.head == HEADS
    ((task, best, score, second, difference, ratio),) = table.rows
    assert (task.text, best.text, second.text) == ("Reconstruction, 10 % observed", "Kriging", "VAE")
    assert (score.text, ratio.text) == ("0.300", "0.950")
    assert (difference.text, difference.notes) == ("+0.0030", ())  # there are no statistics for an interval
    assert texts(Reconstruct(), Forecast(), Sample()) == []


def test_the_difference_has_the_interval_of_paired_times(reconstruct):
    """CRPS 0.1 apart at all times, however much both vary."""
    times = np.datetime_as_string(np.datetime64("2001-01-01", "s") + np.arange(60) * np.timedelta64(1, "D"))
    weather = np.random.default_rng(0).uniform(0.2, 0.8, 60)
    case = {
        "pattern": "random",
        "k": 0.1,
        "mask": 0,
        "cells": "unobserved",
        "variable": "all",
        "statistic": "crps",
    }
    scores = {
        name: pd.DataFrame({"time": times, "value": weather + more}).assign(
            experiment=name, seed=0, data_digest="d", case_digest="s", **case
        )
        for name, more in (("kriging", 0.0), ("vae", 0.1))
    }
    board = leaderboard(scores, "d", "s", layout=RECONSTRUCT)
    ((*_, difference, ratio),) = leaders_table([replace(reconstruct, leaderboard=board, scores=scores)]).rows
    assert (difference.text, difference.notes) == ("+0.10", (("0.10 to 0.10", ""),))
    assert ratio.text == "–"


def test_bounds_do_not_lead_and_one_experiment_has_no_runner_up(reconstruct):
    about = {**ABOUT, "kriging": {"about": {"label": "Kriging", "family": "bound"}}}
    ((_, best, _, second, *_),) = texts(replace(reconstruct, experiments=about))
    assert (best, second) == ("VAE", "Climatology")
    table = reconstruct.leaderboard
    alone = replace(reconstruct, leaderboard=table[table["experiment"] == "vae"])
    assert texts(alone) == [["Reconstruction, 10 % observed", "VAE", "0.303", "–", "–", "0.0600"]]


def test_samples_lead_by_their_fid():
    table = board({"vae": {"fid": 3.0, "c2st": 0.5}, "flow": {"fid": 2.0, "c2st": 0.9}})
    assert texts(Sample(leaderboard=table)) == [["Sampling", "flow", "2.00", "vae", "+1.0", "–"]]


@pytest.mark.parametrize("ratio", [0.06, 1.7])
def test_the_ensemble_with_the_worst_spread_is_to_be_distrusted(reconstruct, ratio):
    """The demo's VAE had a spread of 6 % of its error, which stood in a folded table only."""
    wrong = {**RECONSTRUCTIONS, "vae": {"crps": 0.303, "rmse": 0.55, "ssr": ratio}}
    table = board(wrong, pattern="random", k=0.1, cells="unobserved")
    found = doubts(replace(reconstruct, leaderboard=table))
    assert found[f"{ratio:.2g}"] == "spread-skill ratio of VAE (reconstruction), where 1 is right"
    right = board({"kriging": {"crps": 0.3, "ssr": 1.4}}, pattern="random", k=0.1, cells="unobserved")
    assert Reconstruct(leaderboard=right, experiments=ABOUT).doubts == []


def test_an_accuracy_below_1_is_not_rounded_to_certainty():
    found = doubts(Sample(leaderboard=board({"pca": {"c2st": 0.998}, "vae": {"c2st": 1.0}})))
    assert found["99.8 %"].startswith("accuracy of a classifier that tells samples of pca from real data")
    assert doubts(Sample(leaderboard=board({"pca": {"c2st": 0.94}}))) == {}


def test_one_seed_is_a_reason_to_doubt_and_several_are_not(reconstruct):
    table = reconstruct.leaderboard
    several = replace(reconstruct, leaderboard=pd.concat([table, table.assign(seed=1)], ignore_index=True))
    assert "1" in doubts(reconstruct) and "1" not in doubts(several)
    classical = replace(reconstruct, leaderboard=table[table["experiment"] != "vae"])
    assert "1" not in doubts(classical)


def test_means_over_a_few_initial_times_are_to_be_distrusted():
    table = board({"lim": {"crps": 0.4}}, region="globe", lead_hours=24.0)
    for count, expected in ((4, ["4"]), (10, []), (0, [])):
        times = {"scored": [f"2001-01-{day + 1:02}T00:00:00" for day in range(count)], "members": 5}
        assert list(doubts(Forecast(leaderboard=table, initial_times=times))) == expected


def test_long_rollouts_without_weather_are_counted():
    steps = {"step": [1, 2], "mse": 0.5, "mse_climatology": 0.8, "mean": 0.0, "max_abs": 1.0, "finite": True}
    stability = {
        name: pd.DataFrame({**steps, "std": std, "spectrum_ratio": 1.0})
        for name, std in (("a", 1.0), ("b", 0.1))
    }
    assert doubts(Forecast(stability=stability)) == {
        "1 of 2": "long rollouts end without realistic weather: b"
    }


def test_at_most_three_doubts_of_different_kinds_are_shown():
    given = [Doubt(kind, str(kind), f"of task {task}") for task in (1, 2) for kind in (5, 0, 3, 2)]
    shown = most_serious([*given, Doubt(2, "2", "of the worst", 1.0)])
    assert [doubt.priority for doubt in shown] == [0, 2, 3] and shown[1].meaning == "of the worst"
    assert most_serious([]) == []


@pytest.mark.parametrize(
    ("lows", "expected"),
    [((0.1, 0.05, -0.1), "3\u00a0d"), ((0.1, 0.1, 0.1), "7\u00a0d"), ((0.1, -0.1, 0.05), "1\u00a0d"),
     ((-0.1, 0.1, 0.1), "none"), ((math.nan, math.nan, math.nan), "–")],
)  # fmt: skip
def test_forecasts_have_skill_until_an_interval_contains_zero(lows, expected):
    tables = []
    for hours, low in zip((24.0, 72.0, 168.0), lows, strict=True):
        scores = {"lim": {"crps": 0.4, "rmse": 0.6, "skill": 0.2}, "climatology": {"crps": 0.5, "rmse": 0.8}}
        tables.append(board(scores, region="globe", lead_hours=hours).assign(low=low))
    results = Forecast(leaderboard=pd.concat(tables, ignore_index=True))
    assert significant_until(results.board, "lim").text == expected
    assert results.first_case == Lead(72.0)


def test_the_first_screen_has_one_picture_one_table_and_three_explanations(results, summary, elements):
    page = report({"reconstruct": results}, summary)
    begin = page.index('<section id="at-a-glance">')
    screen = page[begin : page.index("<h2>", begin)]
    assert (
        screen.count("<img") == screen.count("<table") == 1 and screen.count("<li>") == len(EXPLANATIONS) == 3
    )
    assert 1 <= screen.count("<dt>") <= 3
    text = elements(page).text
    assert "Reconstruction, 10 % observed" in text and "training years" in text


def test_only_maps_with_cells_that_never_exist_explain_them(results):
    explanation = "cells that do not exist, such as land"
    assert explanation not in report({"reconstruct": results})
    land = {
        name: stored.where(stored["longitude"] > stored["longitude"][0])
        for name, stored in results.examples.items()
    }
    assert explanation in report({"reconstruct": replace(results, examples=land)})
    cloud = {name: xr.concat([stored, stored * np.nan], "time") for name, stored in results.examples.items()}
    assert not replace(results, examples=cloud).cells_missing


def test_draws_that_no_field_can_be_are_a_reason_to_distrust() -> None:
    table = board({"pca": {"crps": 1.0}, "oi": {"crps": 2.0}})
    shares = {"pca": 0.015, "oi": 0.039}
    diagnostics = {
        name: xr.Dataset({"nearest": 0}, attrs={OUTSIDE_RANGE: json.dumps({"ws800": x})})
        for name, x in shares.items()
    }
    found = doubts(Sample(leaderboard=table, diagnostics=diagnostics))
    assert "of the values of ws800 that oi draws are outside its valid range" in found["3.9 %"]
    possible = {
        name: stored.assign_attrs({OUTSIDE_RANGE: '{"ws800": 0.0}'}) for name, stored in diagnostics.items()
    }
    assert doubts(Sample(leaderboard=table, diagnostics=possible)) == {}
