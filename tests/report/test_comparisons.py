"""Tables of a comparison: verdicts, shares of power and scores at equal cost, by arithmetic."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.experiments import Comparison, Question
from fieldcast.report import Forecast, Sample
from fieldcast.report.comparisons import (
    answers_table,
    comparison_table,
    equal_cost,
    feedback_table,
    representative_cases,
)
from fieldcast.report.scores_by_case import Lead, Observed

from .conftest import leaderboard_of

THIRD = "acme:nowcast"  # an experiment of another package
COMPARISON = Comparison(
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
    stamps = {"experiment": name, "seed": 0, "data_digest": "d", "case_digest": "s", "statistic": "crps"}
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
        comparisons=[COMPARISON],
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


def test_an_answer_holds_the_paired_difference_and_both_scores(results) -> None:
    """The difference is -0.1 at all times, and at 48 h it is ±0.2 in turn, 0 over any block of ten days."""
    table = answers_table(results, COMPARISON)
    assert table.head == ["question", "A", "B", "verdict", "A − B, 1\u00a0d", "A − B, 2\u00a0d"]
    (row,) = table.rows
    assert [cell.text for cell in row[:4]] == ["Does <it> help?", THIRD, "vae", "depends on the case"]
    first, second = row[4:]
    assert (first.text, first.notes[1:]) == ("−0.10", (("better", "better"), ("0.200 − 0.300", "")))
    assert second.notes[1:] == (("not separated", "not-separated"), ("0.400 − 0.400", ""))
    swapped = replace(COMPARISON, questions=(Question("?", "vae", THIRD),))
    (row,) = answers_table(results, swapped).rows
    assert (row[4].text, row[4].notes[1:]) == ("+0.10", (("worse", "worse"), ("0.300 − 0.200", "")))


def test_a_verdict_that_holds_in_all_cases_is_stated(results) -> None:
    table = results.leaderboard
    (row,) = answers_table(replace(results, leaderboard=table[table["lead_hours"] == 24]), COMPARISON).rows
    assert row[3].text == "A is better"


def test_an_answer_needs_both_experiments_and_an_interval_needs_times(results) -> None:
    (row,) = answers_table(results_of(days=29), COMPARISON).rows  # less than three blocks of ten days
    assert row[3].text == "too few times for intervals" and row[4].notes[0] == ("no interval", "no-interval")
    alone = replace(results, scores={"vae": results.scores["vae"]})
    assert answers_table(alone, COMPARISON).rows == []
    assert answers_table(Forecast(comparisons=[COMPARISON]), COMPARISON).rows == []
    assert answers_table(Sample(leaderboard=leaderboard_of({("vae", "fid"): 2.0})), COMPARISON).rows == []


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
        return [[cell.text for cell in row] for row in feedback_table(stored, COMPARISON).rows]

    ends = ("1\u00a0d", "10\u00a0d")
    assert shares(spectra(0.5, 0.2, "mean")) == [
        [THIRD, "vae", lead, "25 to 50 %", "10 to 20 %"] for lead in ends
    ]
    assert shares(spectra(0.5, 0.2)) == []  # members are fed back
    infinite = shares(spectra(math.inf, 0.2, "mean"))
    assert infinite == [[THIRD, "vae", lead, "–", "10 to 20 %"] for lead in ends]
    level = spectra(1.0, 1.0, "mean")  # half of the power in one variable, all of it in the other
    level["spectrum_mean"][:, 1] *= 2
    assert shares(level.isel(lead=[1])) == [[THIRD, "vae", ends[1], "100 %", "100 %"]]
    assert feedback_table(results, COMPARISON).rows == []


def test_a_comparison_has_a_table_of_the_scores_that_exist(results) -> None:
    table = comparison_table(results, COMPARISON)
    scores = ("fair CRPS, 1\u00a0d", "fair CRPS, 2\u00a0d", "spread-skill ratio, 1\u00a0d")
    assert table.head == ["experiment", *scores, "network evaluations per step", "one draw [ms]"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        [THIRD, "0.200", "0.400", "1.00", "2", "1"],
        ["vae", "0.300", "0.400", "1.00", "2", "2"],
    ]
    samples = Sample(leaderboard=leaderboard_of({("vae", "fid"): 2.0, ("pca", "kid"): 1.0}))
    comparison = replace(COMPARISON, experiments=("pca", "vae"))
    table = comparison_table(samples, comparison)
    assert table.head == ["experiment", "FID"]  # its one case has no name
    assert [[cell.text for cell in row] for row in table.rows] == [["pca", "–"], ["vae", "2.00"]]
    assert comparison_table(Forecast(), COMPARISON).rows == []


def test_at_equal_cost_a_model_of_half_the_time_has_twice_the_members(results) -> None:
    """RMSE 1 and spread-skill ratio 1: sqrt((1 + 1 / 20) / (1 + 1 / 10)) with 20 members in place of 10."""
    equal = equal_cost(results, COMPARISON, 10)
    rmse = math.sqrt(1.05 / 1.1)
    assert [[cell.kind for cell in row[-1:]] for row in equal.table.rows] == [["best"], [""]]
    assert (equal.label, equal.members) == ("vae", 10)
    assert [[cell.text for cell in row] for row in equal.table.rows] == [
        [THIRD, "2", "1", "20", "0.200", f"{rmse:.3f}"],
        ["vae", "2", "2", "10", "0.300", "1.00"],
    ]
    assert equal.table.head[-2:] == ["fair CRPS, 1\u00a0d", "RMSE at equal cost, 1\u00a0d"]


def test_equal_cost_needs_members_the_reference_and_another_experiment(results) -> None:
    assert equal_cost(results, COMPARISON, 0) is None
    assert equal_cost(results, replace(COMPARISON, equal_cost=None), 10) is None
    assert equal_cost(results, replace(COMPARISON, experiments=("vae",)), 10) is None
    fed = replace(results, diagnostics={THIRD: spectra(1.0, 1.0, "mean")})
    assert equal_cost(fed, COMPARISON, 10) is None


def test_questions_cannot_become_elements(results, elements) -> None:
    section = next(item for item in results.sections({}) if item.title == COMPARISON.title)
    page = elements(str(section.body))
    assert "Does <it> help?" in page.text and "A − B, 1\u00a0d" in page.text
    assert "it" not in {tag for tag, _ in page.tags}
    assert "Not run: absent." in page.text
