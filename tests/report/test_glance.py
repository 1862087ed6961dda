"""The first screen says in everyday words what the leaderboard says, and what a reader should doubt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.report import Forecast, Reconstruct, Sample, report
from fieldcast.report.glance import Glance, few_initial_times, sentences, useful_leads


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


def test_the_best_is_compared_with_the_next_and_with_a_free_guess(reconstruct):
    glance = reconstruct.glance()
    assert glance.done == ["three methods filled in whole maps from 10 % of their cells"]
    assert glance.best == [
        "for filling in maps from 10 % of the cells, Kriging (VAE is practically as good); the typical error "
        "of its best estimate, the mean of its members, is 50 % smaller than that of the baseline “Climatology”"
    ]


def test_an_ensemble_with_hardly_any_spread_is_to_be_doubted(reconstruct):
    """The demo's VAE had a spread of 6 % of its error, which stood in a folded table only."""
    (doubt,) = reconstruct.glance().doubt
    assert doubt == (
        "in filling in maps, VAE is far too confident: the spread of its members is 6 % of its error, where 100 % "
        "would be right"
    )


def test_an_ensemble_with_too_much_spread_is_to_be_doubted():
    cautious = {**RECONSTRUCTIONS, "kriging": {"crps": 0.3, "rmse": 0.5, "ssr": 1.7}}
    cautious["vae"] = {**cautious["vae"], "ssr": 1.4}
    table = board(cautious, pattern="random", k=0.1, cells="unobserved")
    (doubt,) = Reconstruct(leaderboard=table, experiments=ABOUT).glance().doubt
    assert "Kriging is too cautious: the spread of its members is 170 % of its error" in doubt


def test_an_accuracy_below_1_is_not_rounded_to_certainty():
    (doubt,) = Sample(leaderboard=board({"pca": {"c2st": 0.998}}), experiments={"pca": {}}).glance().doubt
    assert doubt.endswith("with 99.8 % accuracy (chance: 50 %)")


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


def test_one_seed_is_a_reason_to_doubt_and_several_are_not(reconstruct):
    table = reconstruct.leaderboard
    several = replace(reconstruct, leaderboard=pd.concat([table, table.assign(seed=1)], ignore_index=True))
    assert reconstruct.glance().single and not several.glance().single
    assert "another seed" in dict(sentences([reconstruct.glance()]))["What to treat with caution"]
    classical = replace(reconstruct, leaderboard=table[table["experiment"] != "vae"])
    assert not classical.glance().single


def test_how_long_forecasts_are_useful_is_where_skill_ends():
    """Skill falls from 0.2 at 48 h to -0.2 at 96 h, so to zero at 72 h."""
    tables = [
        board(
            {
                "lim": {"crps": 0.4, "rmse": 0.6, "skill": skill},
                "climatology": {"crps": 0.5, "rmse": 0.8, "skill": 0.0},
                "perfect": {"crps": 0.1, "rmse": 0.1, "skill": 0.9},
            },
            region="globe",
            lead_hours=hours,
        )
        for hours, skill in ((48.0, 0.2), (96.0, -0.2))
    ]
    about = {
        "climatology": {"about": {"role": "climatology"}},
        "perfect": {"about": {"family": "bound"}},
        "lim": {},
    }
    glance = Forecast(leaderboard=pd.concat(tables, ignore_index=True), experiments=about).glance()
    assert glance.done == ["three methods forecast the weather up to 4 days ahead"]
    assert glance.best == [
        "for forecasting 2 days ahead, lim (the errors of climatology, uncertainty included, are 25 % larger); the "
        "typical error of its best estimate, the mean of its members, is 25 % smaller than that of the baseline "
        "“climatology”; on average lim is better than past days of the season up to 3 days ahead, "
        "and up to 2 days with significance (95 % interval)"
    ]


def test_means_over_a_few_initial_times_are_to_be_doubted():
    assert few_initial_times(4) == ["scores are means over only 4 initial times, too few to rank methods"]
    assert few_initial_times(1) == ["scores are means over only 1 initial time, too few to rank methods"]
    assert few_initial_times(10) == few_initial_times(0) == []


@pytest.mark.parametrize(
    ("lows", "ending"),
    [
        (
            (0.1, 0.05, -0.1),
            "up to 7 days ahead, and up to 3 days with significance (95 % interval)",
        ),
        (
            (0.1, 0.1, 0.1),
            "is better than past days of the season up to 7 days ahead with significance (95 % interval)",
        ),
        (
            (0.1, -0.1, 0.05),
            "up to 7 days ahead, and up to 1 day with significance (95 % interval)",
        ),
        (
            (-0.1, 0.1, 0.1),
            "up to 7 days ahead, though at no lead time with significance (95 % interval)",
        ),
    ],
)
def test_forecasts_are_better_beyond_doubt_until_an_interval_of_skill_contains_zero(lows, ending):
    tables = []
    for hours, low in zip((24.0, 72.0, 168.0), lows, strict=True):
        scores = {"lim": {"crps": 0.4, "rmse": 0.6, "skill": 0.2}, "climatology": {"crps": 0.5, "rmse": 0.8}}
        tables.append(board(scores, region="globe", lead_hours=hours).assign(low=low))
    about = {"climatology": {"about": {"role": "climatology"}}, "lim": {}}
    results = Forecast(leaderboard=pd.concat(tables, ignore_index=True), experiments=about)
    assert useful_leads(results).endswith(ending)


def test_there_are_three_sentences_for_all_tasks():
    glances = [Glance(["a"], ["b"], ["c"], True), Glance(["d"], [], ["e"], True)]
    seeds = "learned methods were trained once, so small differences may vanish with another seed"
    assert sentences(glances) == [
        ("What was done", "A; d."),
        ("What is best", "B."),
        ("What to treat with caution", f"C; e; {seeds}."),
    ]
    assert sentences([Glance()]) == []


def test_the_first_screen_has_one_picture_before_any_table(results, elements):
    page = report({"reconstruct": results})
    begin = page.index('<section id="at-a-glance">')
    screen = page[begin : page.index("<h2>", begin)]
    assert screen.count("<img") == 1 and "<table" not in screen
    assert "CRPS" not in screen
    assert page.index("<table") > begin
    assert "For filling in maps from 10 % of the cells, mine" in elements(page).text
