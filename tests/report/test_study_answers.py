"""Answers to the questions of a study: verdicts, costs, shares of power and scores at equal cost, by arithmetic."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.report import Forecast, Sample, Study
from fieldcast.report.board import Lead, Observed
from fieldcast.report.studies import Question
from fieldcast.report.study_answers import (
    answers,
    cost_differences,
    equal_cost,
    representative_cases,
    spectrum_shares,
    study_table,
    verdict_text,
)
from fieldcast.scores.bootstrap import Score
from fieldcast.scores.leaderboard import FORECAST

from .conftest import leaderboard_of

THIRD = "acme:nowcast"  # an experiment of another package
STUDY = Study(
    title="Steps & <stairs>",
    task="forecast",
    experiments=(THIRD, "vae", "absent"),
    questions=(Question("Does <it> help?", THIRD, "vae"), Question("And this?", "absent", "vae")),
    scores=("crps", "ssr", "acc", "fid"),
    equal_cost="vae",
)
CRPS = {THIRD: (0.2, 0.4), "vae": (0.3, 0.4)}
COSTS = {THIRD: (2.0, 1.0), "vae": (2.0, 2.0)}


def statistics(name: str, days: int) -> pd.DataFrame:
    """Daily CRPS: the values above at 24 h; at 48 h each in turn 0.1 above and below, in counterphase."""
    size = 0.1 if name == THIRD else -0.1
    constant, varying = CRPS[name]
    values = {24.0: [constant] * days, 48.0: [varying + size * (-1) ** day for day in range(days)]}
    times = np.datetime_as_string(np.datetime64("2001-01-01", "s") + np.arange(days) * np.timedelta64(1, "D"))
    tables = [
        pd.DataFrame({"lead_hours": hours, "time": times, "value": value}) for hours, value in values.items()
    ]
    stamps = {"experiment": name, "seed": 0, "data": "d", "scored": "s", "statistic": "crps"}
    return pd.concat(tables).assign(region="globe", variable="all", **stamps)


def results_of(days: int = 40) -> Forecast:
    scores = {
        (name, hours, "crps"): value
        for name, values in CRPS.items()
        for hours, value in zip((24.0, 48.0), values, strict=True)
    }
    scores |= {(name, 24.0, score): 1.0 for name in CRPS for score in ("rmse", "ssr")}
    scores |= {("vae", 48.0, "rmse"): 1.5}
    return Forecast(
        leaderboard=leaderboard_of(scores, "lead_hours", region="globe"),
        scores={name: statistics(name, days) for name in CRPS},
        costs={
            name: pd.DataFrame([{"evaluations": count, "sample_ms": ms}])
            for name, (count, ms) in COSTS.items()
        },
        studies=[STUDY],
    )


@pytest.fixture(scope="module")
def results() -> Forecast:
    return results_of()


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ([24, 48, 72, 96, 120], [24, 72, 120]),
        ([24, 240, 241], [24, 240]),
        ([241, 480], [241, 480]),
        ([24], [24]),
        ([], []),
    ],
)
def test_few_leads_are_the_first_the_middle_and_the_last_up_to_ten_days(hours, expected) -> None:
    assert representative_cases([Lead(float(hour)) for hour in hours]) == [
        Lead(float(hour)) for hour in expected
    ]


def test_few_fractions_are_those_of_the_random_pattern_if_there_are_any() -> None:
    swaths = [Observed("swaths", k) for k in (0.1, 0.2, 0.3, 0.4)]
    assert representative_cases([Observed("random", 0.1), *swaths]) == [Observed("random", 0.1)]
    assert representative_cases(swaths) == [swaths[0], swaths[2], swaths[3]]


def test_an_answer_holds_both_scores_and_the_paired_difference(results) -> None:
    """The difference is -0.1 at all times, and at 48 h it is ±0.2 in turn, 0 over any block of ten days."""
    (answer,) = answers(results, results.board, STUDY, FORECAST)
    (first, second) = answer.cases
    assert first == (Lead(24.0), "0.200", "0.300", "better by 0.10")
    assert second == (Lead(48.0), "0.400", "0.400", verdict_text(Score(0.0, 0.0, 0.0)))
    assert answer.costs == ["1 against 2 ms per draw"]
    swapped = replace(STUDY, questions=(Question("?", "vae", THIRD),))
    (answer,) = answers(results, results.board, swapped, FORECAST)
    assert answer.cases[0] == (Lead(24.0), "0.300", "0.200", "worse by 0.10")


def test_an_answer_needs_both_experiments_and_an_interval_needs_times(results) -> None:
    (answer,) = answers(few_days := results_of(days=29), few_days.board, STUDY, FORECAST)
    assert [verdict for *_, verdict in answer.cases] == ["", ""]  # less than three blocks of ten days
    alone = replace(results, scores={"vae": results.scores["vae"]})
    assert answers(alone, alone.board, STUDY, FORECAST) == []
    assert answers(results, results.board, STUDY, None) == []
    bare = Forecast(studies=[STUDY])
    assert answers(bare, bare.board, STUDY, FORECAST) == []


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (Score(-0.126, -0.2, -0.1), "better by 0.13"),
        (Score(0.126, 0.1, 0.2), "worse by 0.13"),
        (Score(-0.1), ""),
        (None, ""),
    ],
)
def test_a_verdict_has_a_margin_only_if_zero_is_excluded(score, text) -> None:
    assert verdict_text(score) == text
    assert "by" not in verdict_text(Score(-0.1, -0.2, 0.0)) != ""


@pytest.mark.parametrize(
    ("time", "differs"), [(114.0, False), (116.0, True), (86.0, False), (84.0, True), (math.nan, False)]
)
def test_costs_within_15_percent_are_equal(results, time, differs) -> None:
    costs = {name: pd.DataFrame([{"sample_ms": ms}]) for name, ms in ((THIRD, time), ("vae", 100.0))}
    sentences = cost_differences(replace(results, costs=costs), (THIRD, "vae"))
    assert sentences == ([f"{time:.0f} against 100 ms per draw"] if differs else [])
    assert cost_differences(replace(results, costs=costs), (THIRD, "absent")) == []


def spectra(long: float, short: float, feedback: str = "members") -> xr.Dataset:
    """Power at nine waves at two leads: 2 and 4 of members and truth; of the mean, shares of it at both ends."""
    members = np.array([2.0, 4.0])[:, None] * np.ones(10)
    shares = np.repeat([1.0, long, 0.9, short], [1, 3, 3, 3])
    mean = members * shares * np.array([1.0, 0.5])[:, None]  # half of it in the second variable
    dims = ("lead", "variable", "wavenumber")
    power = {"mean": mean, "members": members, "truth": members}
    if feedback == "mean":  # what counts are the members of the other experiment
        power |= {"members": 7 * members, "truth": 7 * members}
    variables = {f"spectrum_{name}": (dims, np.stack([values] * 2)) for name, values in power.items()}
    return xr.Dataset(variables, {"lead": [24.0, 240.0]}, {"feedback": feedback})


def test_a_mean_that_is_fed_back_has_a_share_of_the_power(results) -> None:
    def shares(fed: xr.Dataset) -> list:
        stored = replace(results, diagnostics={THIRD: fed, "vae": spectra(1.0, 1.0)})
        return spectrum_shares(stored, THIRD, "vae")

    ends = (Lead(24.0), Lead(240.0))
    assert shares(spectra(0.5, 0.2, "mean")) == [(lead, "25 to 50 %", "10 to 20 %") for lead in ends]
    assert shares(spectra(0.5, 0.2)) == []  # members are fed back
    infinite = shares(spectra(math.inf, 0.2, "mean"))
    assert infinite == [(lead, "no finite share", "10 to 20 %") for lead in ends]
    level = spectra(1.0, 1.0, "mean")  # half of the power in one variable, all of it in the other
    level["spectrum_mean"][:, 1] *= 2
    assert shares(level.isel(lead=[1])) == [(Lead(240.0), "100 %", "100 %")]
    assert spectrum_shares(results, THIRD, "vae") == []


def test_a_study_has_a_table_of_the_scores_that_exist(results) -> None:
    table = study_table(results, results.board, STUDY)
    scores = ("fair CRPS, 1\u00a0d", "fair CRPS, 2\u00a0d", "spread-skill ratio, 1\u00a0d")
    assert table.head == ["experiment", *scores, "network evaluations per step", "one draw [ms]"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        [THIRD, "0.200", "0.400", "1.00", "2", "1"],
        ["vae", "0.300", "0.400", "1.00", "2", "2"],
    ]
    samples = Sample(leaderboard=leaderboard_of({("vae", "fid"): 2.0, ("pca", "kid"): 1.0}))
    study = replace(STUDY, experiments=("pca", "vae"))
    table = study_table(samples, samples.board, study)
    assert table.head == ["experiment", "FID"]  # its one case has no name
    assert [[cell.text for cell in row] for row in table.rows] == [["pca", "–"], ["vae", "2.00"]]
    assert study_table(Forecast(), Forecast().board, STUDY).rows == []


def test_at_equal_cost_a_model_of_half_the_time_has_twice_the_members(results) -> None:
    """RMSE 1 and spread-skill ratio 1: sqrt((1 + 1 / 20) / (1 + 1 / 10)) with 20 members in place of 10."""
    equal = equal_cost(results, results.board, STUDY, 10)
    rmse = math.sqrt(1.05 / 1.1)
    assert equal.best == [(Lead(24.0), THIRD, f"{rmse:.3f}", 20, "1.00")]
    assert [[cell.text for cell in row] for row in equal.table.rows] == [
        [THIRD, "2", "1", "20", "0.200", f"{rmse:.3f}"],
        ["vae", "2", "2", "10", "0.300", "1.00"],
    ]
    assert equal.table.head[-2:] == ["fair CRPS, 1\u00a0d", "RMSE at equal cost, 1\u00a0d"]


def test_equal_cost_needs_members_the_reference_and_another_experiment(results) -> None:
    assert equal_cost(results, results.board, STUDY, 0) is None
    assert equal_cost(results, results.board, replace(STUDY, equal_cost=None), 10) is None
    assert equal_cost(results, results.board, replace(STUDY, experiments=("vae",)), 10) is None
    fed = replace(results, diagnostics={THIRD: spectra(1.0, 1.0, "mean")})
    assert equal_cost(fed, fed.board, STUDY, 10) is None


def test_questions_cannot_become_elements(results, elements) -> None:
    section = next(item for item in results.sections({}) if item.title == STUDY.title)
    page = elements(str(section.body))
    assert (
        "Does <it> help? (acme:nowcast against vae): fair CRPS at 1\u00a0d 0.200 against 0.300 (better"
        in page.text
    )
    assert "it" not in {tag for tag, _ in page.tags}
    assert "Not run: absent." in page.text
