"""The headline of an experiment, and the ranking by it."""

import numpy as np
import pandas as pd
import pytest

from fieldcast.scores.headline import (
    Headline,
    analysis_headline,
    forecast_headline,
    headlines,
    reconstruction_headline,
    sample_headline,
)

MEASURES = {
    "reconstruct": reconstruction_headline,
    "forecast": forecast_headline,
    "sample": sample_headline,
    "repeat": sample_headline,
}


def reconstructions() -> pd.DataFrame:
    columns = ["experiment", "score", "pattern", "k", "variable", "cells", "value"]
    records = [
        ("a", "crps", "random", 0.1, "all", "unobserved", 1.0),
        ("a", "crps", "random", 0.005, "all", "unobserved", 2.0),
        ("a", "crps", "random", 0.005, "z500", "unobserved", 30.0),
        ("a", "rmse", "random", 0.5, "all", "all", 40.0),
        ("a", "ssr", "random", 0.2, "all", "unobserved", float("nan")),
    ]
    return pd.DataFrame(records, columns=columns)


def forecasts(experiment: str = "a") -> pd.DataFrame:
    leads = {12.0: 0.1, 24.0: 0.2, 72.0: 0.3, 120.0: 0.7, 144.0: 5.0}
    records = [(experiment, "crps", lead, "globe", "all", value) for lead, value in leads.items()]
    records += [(experiment, "crps", lead, "tropics", "all", 9.0) for lead in leads]
    return pd.DataFrame(records, columns=["experiment", "score", "lead_hours", "region", "variable", "value"])


def samples(**kid: float) -> pd.DataFrame:
    return pd.DataFrame({"experiment": list(kid), "score": "kid", "value": list(kid.values())})


def test_a_reconstruction_is_compared_by_its_mean_over_fractions_observed() -> None:
    assert reconstruction_headline(reconstructions()) == (
        1.5,
        "mean fair CRPS at unobserved cells, given 0.5 % to 20 % of the cells, pattern random",
    )


def test_an_analysis_is_compared_and_its_background_is_not() -> None:
    analyses = reconstructions().assign(state="analysis")
    both = pd.concat([analyses, analyses.assign(state="background", value=7.0)])
    assert analysis_headline(both) == (1.5, "mean fair CRPS of the analysis at unobserved cells")


def test_a_forecast_is_compared_by_its_mean_over_one_to_five_days_on_the_whole_grid() -> None:
    measured = forecast_headline(forecasts())
    assert measured == (pytest.approx(0.4), "mean fair CRPS over leads of 1 to 5 days")


def test_samples_are_compared_by_their_kid() -> None:
    table = pd.DataFrame({"score": ["fid", "kid"], "value": [50.0, 0.02]})
    assert sample_headline(table) == Headline(0.02, "KID")
    assert sample_headline(table[:1]) is None


def test_experiments_are_ranked_best_first_and_the_last_ones_share_a_line() -> None:
    board = samples(**{f"e{number}": 0.9 - number / 10 for number in range(9)})
    text = headlines({"sample": board, "forecast": forecasts("lim"), "reconstruct": pd.DataFrame()}, MEASURES)
    first, second = text.split("\n\n")
    lines = first.splitlines()
    assert lines[0] == "sample: KID (lower is better)" and lines[-1] == "  then e0 0.900"
    assert [line.split() for line in lines[1:-1]] == [
        [f"e{n}", f"{0.9 - n / 10:.3f}"] for n in range(8, 0, -1)
    ]
    assert second.splitlines()[1].split() == ["lim", "0.400"]


def test_a_task_without_headlines_is_left_out() -> None:
    errors = pd.DataFrame({"experiment": ["a"], "score": ["mae"], "value": [0.3]})
    assert headlines({"repeat": errors, "sample": samples(a=0.2)}, MEASURES).startswith("sample: KID")
    assert headlines({"repeat": errors}, MEASURES) == ""


def test_a_forecast_by_months_is_compared_over_its_first_five() -> None:
    table = forecasts().assign(lead_hours=lambda t: t["lead_hours"].rank(method="dense") * 730.0)
    mean = pytest.approx((0.1 + 0.2 + 0.3 + 0.7 + 5.0) / 5)
    assert forecast_headline(table) == (mean, "mean fair CRPS over leads of 1 to 5 months")


@pytest.mark.parametrize(
    ("leads", "title"),
    [
        ([168.0, 336.0, 504.0], "7 to 21 days"),
        ([240.0, 480.0, 720.0, 960.0, 1200.0, 1440.0], "10 to 50 days"),
        ([6.0, 12.0, 18.0], "6 to 18 hours"),
        ([48.0, 96.0, 144.0], "2 to 4 days"),
    ],
)
def test_forecasts_without_leads_of_one_to_five_days_are_compared_by_their_first_five(
    leads: list[float], title: str
) -> None:
    table = pd.DataFrame(
        {"score": "crps", "lead_hours": leads, "variable": "all", "value": range(len(leads))}
    )
    first = [value for value, lead in zip(table["value"], leads, strict=True) if 48 <= leads[0] < 120 > lead]
    mean = pytest.approx(np.mean(first or table["value"][:5]))
    assert forecast_headline(table) == (mean, f"mean fair CRPS over leads of {title}")
