from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from fieldcast.figures.curves import unit_of_score
from fieldcast.report import Reconstruct, Sample
from fieldcast.report.glossary import explanations
from fieldcast.report.score_tables import all_scores_table
from fieldcast.scores.assimilation import INNOVATION_POWER
from fieldcast.scores.forecast import STATISTICS
from fieldcast.scores.leaderboard import leaderboard
from fieldcast.scores.metrics import METRICS, Metric, skill, unbiased_spread_skill_ratio, unchanged
from fieldcast.scores.sample_metrics import SAMPLE_METRICS, SampleMetric
from fieldcast.scores.score_info import ScoreInfo
from fieldcast.scores.statistics import POWER, cell_statistics, ranks
from fieldcast.scores.statistics_table import name_rows, with_origin
from fieldcast.scores.summary import reconstruct_summary, sample_summary


def test_every_statistic_that_a_metric_needs_exists() -> None:
    for metric in METRICS.values():
        assert set(metric.statistics) <= {*POWER, *STATISTICS, *INNOVATION_POWER}


@pytest.mark.parametrize("members", [2, 10, 19])
@pytest.mark.parametrize("spread", [1.0, 0.5])
def test_spread_skill_ratio_is_the_ratio_of_standard_deviations_whatever_the_members(
    members: int, spread: float
) -> None:
    """Truth N(0, 1), members N(0, spread²): √(spread² / 1)."""
    rng = np.random.default_rng(5)
    n = 200_000
    x, y = spread * rng.standard_normal((members, n)), rng.standard_normal(n)
    statistics = cell_statistics(x, y, ranks(x, y, rng))
    means = (statistics[name].mean(keepdims=True) for name in ("variance", "debiased_squared_error"))
    assert unbiased_spread_skill_ratio(*means)[0] == pytest.approx(spread, rel=0.01)


def test_spread_without_error_has_no_ratio() -> None:
    assert np.isnan(unbiased_spread_skill_ratio(np.array([1.0]), np.array([-0.1])))[0]


def test_roots_are_of_means() -> None:
    assert METRICS["rmse"].function(np.array([4.0, 9.0]).mean()) == pytest.approx(np.sqrt(6.5))


def test_skill_is_one_at_best_and_zero_for_the_reference() -> None:
    score, reference = np.array([0.0, 1.0, 2.0, np.inf]), np.array([2.0, 2.0, 2.0, 2.0])
    np.testing.assert_array_equal(skill(score, reference), [1.0, 0.5, 0.0, -np.inf])
    assert np.isnan(skill(np.array([1.0]), np.array([0.0]))).all()


def test_a_new_record_stands_in_leaderboard_summary_report_and_guide(
    scene: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Metric(
        ("squared_error",), unchanged, title="MSE", explanation="the mean squared error.", power=2, summary=9
    )
    monkeypatch.setitem(METRICS, "mse", record)
    table = name_rows(with_origin(scene(times=12, shape=(6, 8)).score()[0], 0, "d", "s"), "mine")
    board = leaderboard({"mine": table}, "d", "s")
    values = board.set_index(["score", "variable", "cells", "k"])["value"]
    np.testing.assert_allclose(values["mse"], values["rmse"] ** 2)
    assert "MSE (lower is better)" in reconstruct_summary(board)
    page = Reconstruct(leaderboard=board)
    assert "mse" in all_scores_table(page, page.board, METRICS).head
    assert ("MSE", "the mean squared error. Lower is better.") in explanations([Reconstruct.guide])
    assert unit_of_score("mse", "K") == "(K)^2"


def test_a_new_record_of_samples_stands_in_summary_report_and_guide(monkeypatch: pytest.MonkeyPatch) -> None:
    record = SampleMetric(title="AUC", explanation="the area.", better="higher", summary=9, digits=".2f")
    monkeypatch.setitem(SAMPLE_METRICS, "auc", record)
    row = {"experiment": "mine", "seed": 0, "data": "d", "score": "auc", "value": 0.75}
    board = pd.DataFrame([row | {"low": np.nan, "high": np.nan}])
    lines = sample_summary(board).splitlines()
    assert lines[1] == "higher is better: AUC"
    assert [line.split() for line in lines[-2:]] == [["AUC"], ["mine", "0.75"]]
    page = Sample(leaderboard=board)
    assert all_scores_table(page, page.board, SAMPLE_METRICS).head == ["experiment", "auc"]
    assert ("AUC", "the area. Higher is better.") in explanations([Sample.guide])


@pytest.mark.parametrize(("better", "best"), [("lower", -2.0), ("higher", 3.0), (1.0, 0.5), (None, np.nan)])
def test_the_best_value_is_what_the_record_says(better: str | float | None, best: float) -> None:
    record = ScoreInfo(title="", explanation="", better=better)
    np.testing.assert_equal(record.best([3.0, -2.0, 0.5]), best)
