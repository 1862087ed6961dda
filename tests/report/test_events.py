"""The section on events: its numbers are those of the table, and it vanishes without any."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast import calendars
from fieldcast.report import Forecast, report
from fieldcast.report.events import experiments_to_draw
from fieldcast.scores.event_tables import EventTables, event_scores
from fieldcast.scores.leaderboard import FORECAST, leaderboard
from fieldcast.scores.statistics_table import name_rows, with_origin

QUANTILES = [0.1, 0.95]


@pytest.fixture(scope="module")
def forecast(season: Callable) -> Forecast:
    """A calibrated ensemble, and one with a third of its spread."""
    evaluation = season(starts=40)
    good = evaluation.forecasts
    mean = good.mean("member")
    scales = evaluation.normalisation["anomaly_std"]
    grid = {name: evaluation.truth[name].to_numpy() for name in ("latitude", "longitude")}
    dims = ("quantile", "dayofyear", "latitude", "longitude")
    limits = np.array([-1.3, 1.6], "float32")[:, None, None, None] * np.ones((1, 1, 18, 16), "float32")
    thresholds = xr.Dataset(
        {name: (dims, limits * float(scales.sel(variable=name))) for name in ("z", "t")},
        {"quantile": QUANTILES, "dayofyear": [1.0], **grid},
    )
    tables, events = {}, {}
    for name, ensemble in {"good": good, "narrow": mean + 0.3 * (good - mean)}.items():
        collected = EventTables(thresholds)
        table, _ = evaluation._replace(forecasts=ensemble.transpose("lead", "start", "member", ...)).score(
            events=collected
        )
        labels = {column: list(table[column].unique()) for column in ("lead_hours", "region")}
        stored = collected.dataset("lead_hours", "region", calendars.iso(good["start"]), scales, labels)
        events[name] = stored.assign_attrs(seed=0, data_digest="d", case_digest="s")
        tables[name] = name_rows(with_origin(table, 0, "d", "s"), name)
    return Forecast(
        leaderboard=leaderboard(tables, "d", "s", layout=FORECAST),
        experiments={name: {} for name in tables},
        scores=tables,
        events=events,
        event_scores=event_scores(events, "d", "s", FORECAST),
    )


def test_the_table_of_events_holds_the_brier_skill(forecast: Forecast) -> None:
    page = report({"forecast": forecast})
    section = page[page.index(">Events<") :]
    assert section.count("<img") >= 2 and "Reliability (above)" in section
    rows = re.findall(r"<table.*?</table>", page[page.index("Brier skill, globe") - 500 :], re.S)
    scores = forecast.event_scores.query("variable == 'all' and region == 'globe' and score == 'brier_skill'")
    at_main = scores[scores["lead_hours"] == forecast.first_case.hours].set_index(["experiment", "quantile"])
    table = next(row for row in rows if "Brier skill, globe" in row)
    for name in ("good", "narrow"):
        (row,) = [text for text in re.findall(r"<tr>(.*?)</tr>", table, re.S) if f">{name}<" in text]
        displayed = [float(text.replace("−", "-")) for text in re.findall(r"<span>(.*?)</span>", row)]
        expected = [at_main.loc[(name, quantile), "value"] for quantile in QUANTILES]
        assert displayed == pytest.approx(expected, abs=0.006)


def test_a_narrow_ensemble_is_less_reliable_at_every_lead(forecast: Forecast) -> None:
    table = forecast.event_scores.query("variable == 'all' and region == 'globe' and quantile == 0.1")
    parts = table[table["score"] == "brier_reliability"].pivot(
        index="lead_hours", columns="experiment", values="value"
    )
    assert (parts["narrow"] > 1.2 * parts["good"]).all()


def test_the_section_vanishes_without_events(forecast: Forecast) -> None:
    bare = Forecast(leaderboard=forecast.leaderboard, experiments=forecast.experiments)
    assert ">Events<" not in report({"forecast": bare})


def test_events_scored_on_other_data_are_in_no_figure(forecast: Forecast) -> None:
    """Costs do not depend on the data, so they keep an experiment on the page."""
    table, costs = forecast.leaderboard, {"narrow": pd.DataFrame({"step_ms": [1.0]})}
    part = replace(forecast, leaderboard=table[table["experiment"] != "narrow"], costs=costs)
    assert "narrow" in part.order
    assert experiments_to_draw(forecast) == ["good", "narrow"]
    assert experiments_to_draw(part) == ["good"]
