"""Scores and losses as metrics with steps, beside the headline."""

import math

import pandas as pd
import pytest

from fieldcast.app.tracking import metrics
from fieldcast.scores.headline import Headline


def test_a_score_at_several_fractions_is_one_metric_whose_step_is_k_in_per_mille() -> None:
    columns = ["experiment", "score", "pattern", "k", "variable", "cells", "value"]
    records = [
        ("a", "crps", "random", 0.1, "all", "unobserved", 1.0),
        ("a", "crps", "random", 0.005, "all", "unobserved", 2.0),
        ("a", "crps", "random", 0.005, "z500", "unobserved", 3.0),
        ("a", "rmse", "random", 0.5, "all", "all", 4.0),
        ("a", "seconds", None, float("nan"), "all", "unobserved", 5.0),
        ("a", "ssr", "random", 0.2, "all", "unobserved", float("nan")),
    ]
    table = pd.DataFrame(records, columns=columns)
    assert metrics.scores(table, 7) == [
        ("crps/random/k_per_mille", 1.0, 7, 100),
        ("crps/random/k_per_mille", 2.0, 7, 5),
        ("seconds", 5.0, 7, 0),
    ]


def test_a_score_at_several_leads_is_one_metric_whose_step_is_the_lead() -> None:
    leads = {12.0: 0.1, 24.0: 0.2, 72.0: 0.3, 120.0: 0.7, 144.0: 5.0}
    records = [("crps", lead, "globe", "all", value) for lead, value in leads.items()]
    table = pd.DataFrame(records, columns=["score", "lead_hours", "region", "variable", "value"])
    assert metrics.scores(table, 1) == [
        ("crps/lead_hours", value, 1, int(lead)) for lead, value in leads.items()
    ]


@pytest.mark.parametrize(
    ("column", "values", "steps", "unit"),
    [
        ("lead_hours", [0.25, 0.5, 1.0], [15, 30, 60], "lead_minutes"),
        ("lead_hours", [1 / 360, 1 / 180], [10, 20], "lead_seconds"),
        ("lead_hours", [0.5, 6.0], [30, 360], "lead_minutes"),
        ("lead_hours", [6.0, 12.0], [6, 12], "lead_hours"),
        ("k", [0.0002, 0.0004, 0.01], [200, 400, 10_000], "k_per_million"),
        ("k", [0.001, 0.5], [1, 500], "k_per_mille"),
    ],
)
def test_steps_are_whole_in_the_coarsest_unit_that_permits_it(column, values, steps, unit) -> None:
    """A step is no step of a training: the name of the metric has its unit."""
    table = pd.DataFrame({"score": "crps", column: values, "value": 1.0})
    recorded = metrics.scores(table, 1)
    assert [step for *_, step in recorded] == steps
    assert {name for name, *_ in recorded} == {f"crps/{unit}"}


def test_a_score_without_leads_and_fractions_is_a_metric_at_step_0() -> None:
    table = pd.DataFrame({"score": ["fid", "kid"], "value": [50.0, 0.02]})
    assert metrics.scores(table, 3) == [("fid", 50.0, 3, 0), ("kid", 0.02, 3, 0)]


def test_the_values_that_tuning_chose_are_metrics() -> None:
    assert metrics.tuned({"ridge": 0.1, "modes": math.nan}, 4) == [("tuned/ridge", 0.1, 4, 0)]
    by_fraction = {"0.01": {"inflation": 1.2}, "0.05": {"inflation": 1.1}}
    assert metrics.tuned(by_fraction, 4) == [
        ("tuned/0.01/inflation", 1.2, 4, 0),
        ("tuned/0.05/inflation", 1.1, 4, 0),
    ]


def test_bounds_do_not_compete() -> None:
    values = {"forecast.perfect": 0.1, "forecast.lim": 0.3, "forecast.vae": 0.2, "sample.a": 0.5}
    headlines = {address: Headline(value, "CRPS") for address, value in values.items()}
    assert metrics.best(headlines, {"forecast.perfect"}) == {"forecast": "forecast.vae", "sample": "sample.a"}


def test_history_gives_what_is_new() -> None:
    table = pd.DataFrame({"step": [10, 20, 30], "seconds": [1.0, 2.0, 3.0], "loss": [3.0, math.nan, 1.0]})
    first, last = metrics.history(table[:2], float("-inf"), 5)
    assert first == [("training/seconds", 1.0, 5, 10), ("loss", 3.0, 5, 10), ("training/seconds", 2.0, 5, 20)]
    assert last == 20
    assert metrics.history(table, last, 6) == ([("training/seconds", 3.0, 6, 30), ("loss", 1.0, 6, 30)], 30.0)
    assert metrics.history(table[:0], last, 6) == metrics.history(pd.DataFrame(), last, 6) == ([], 20)
