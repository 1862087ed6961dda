from __future__ import annotations

import io
import logging
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from fieldcast.calendars import TimeStep
from fieldcast.scores.leaderboard import ASSIMILATE, leaderboard, sample_leaderboard
from fieldcast.scores.statistics_table import name_rows, with_origin

DATA, SCORED = "d" * 12, "s" * 12
REFERENCE = "optimal_interpolation"
COLUMNS = [
    "experiment", "seed", "data_digest", "pattern", "k", "cells", "variable", "score", "value", "low", "high",
]  # fmt: skip


def ranked(tables: dict[str, pd.DataFrame], data: str, scored: str) -> pd.DataFrame:
    """The leaderboard of `reconstruct`, whose reference is optimal interpolation."""
    return leaderboard(tables, data, scored, roles={"reference": "optimal_interpolation"})


@pytest.fixture(scope="module")
def tables(scene: Callable) -> dict[str, pd.DataFrame]:
    """A reference and an experiment that is better by 0.01 in CRPS on average, with noise of its own."""
    table = scene().score()[0]
    rng = np.random.default_rng(0)
    better = table.copy()
    crps = better["statistic"] == "crps"
    better.loc[crps, "value"] += -0.01 + 0.002 * rng.standard_normal(crps.sum())
    return {
        "first": name_rows(with_origin(table, 0, DATA, SCORED), REFERENCE),
        "second": name_rows(with_origin(better, 0, DATA, SCORED), "corrected"),
        "absent": pd.DataFrame(),
    }


def pick(board: pd.DataFrame, score: str, **where: object) -> pd.Series:
    where = {"experiment": REFERENCE, "k": 0.1, "cells": "unobserved", "variable": "all"} | where
    matches = board[board["score"] == score]
    for name, value in where.items():
        matches = matches[matches[name] == value]
    assert len(matches) == 1, (score, where)
    return matches.iloc[0]


def test_columns_and_scores_are_the_promised_ones(tables: dict) -> None:
    board = ranked(tables, DATA, SCORED)
    assert list(board) == COLUMNS
    scores = ["rmse", "mae", "bias", "ssim", "crps", "ssr", "coverage50", "coverage90", "consistency"]
    assert set(board[board["experiment"] == REFERENCE]["score"]) == set(scores)
    assert set(board[board["experiment"] == "corrected"]["score"]) == {*scores, "crps_minus_reference"}
    assert set(board[board["score"] == "consistency"]["cells"]) == {"all"}
    assert set(board["cells"]) == {"unobserved", "all"}
    assert not board.duplicated(COLUMNS[:8]).any()
    assert board.notna().all(axis=None)
    assert ((board["low"] <= board["value"]) & (board["value"] <= board["high"])).mean() > 0.99


def test_roots_and_ratios_are_of_means_over_times(tables: dict) -> None:
    board = ranked(tables, DATA, SCORED)
    table = tables["first"]
    selected = table[(table["k"] == 0.1) & (table["cells"] == "unobserved") & (table["variable"] == "all")]
    means = selected.groupby("statistic")["value"].mean()
    assert pick(board, "rmse")["value"] == pytest.approx(np.sqrt(means["squared_error"]), rel=1e-12)
    ratio = np.sqrt(means["variance"] / means["debiased_squared_error"])
    assert pick(board, "ssr")["value"] == pytest.approx(ratio, rel=1e-12)
    assert pick(board, "bias")["value"] == pytest.approx(means["error"], rel=1e-12)


def test_a_calibrated_ensemble_scores_as_it_must(tables: dict) -> None:
    board = ranked(tables, DATA, SCORED)
    expected = {
        "rmse": 0.5 * np.sqrt(20 / 19),
        "crps": 0.5 / np.sqrt(np.pi),
        "ssr": 1.0,
        "coverage50": 0.5,
        "coverage90": 0.9,
        "mae": 0.5 * np.sqrt(20 / 19) * np.sqrt(2 / np.pi),
    }
    for score, value in expected.items():
        row = pick(board, score, k=0.3)
        width = row["high"] - row["low"]
        assert abs(row["value"] - value) < width, score
        assert 0 < width < 0.1 * value, score


def test_the_difference_is_paired_time_by_time(tables: dict) -> None:
    """The interval reflects the small noise between the two, not the weather that they share."""
    board = ranked(tables, DATA, SCORED)
    row = pick(board, "crps_minus_reference", experiment="corrected")
    both = [pick(board, "crps", experiment=name)["value"] for name in ("corrected", REFERENCE)]
    assert row["value"] == pytest.approx(both[0] - both[1], rel=1e-9)
    assert row["value"] == pytest.approx(-0.01, abs=0.0012)
    standard_error = 0.002 / np.sqrt(40)
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * standard_error, rel=0.35)
    assert row["high"] < 0


def test_the_rmse_skill_is_between_the_roots_of_mean_squares_at_common_times(tables: dict) -> None:
    """Errors of 1, .7 and .4 times the reference's, which lack a time: halfway from the reference to the bound."""
    experiments = {}
    for name, factor in ((REFERENCE, 1.0), ("half", 0.7), ("exact", 0.4)):
        table = tables["first"].assign(experiment=name, state="analysis")
        squares = table["statistic"] == "squared_error"
        table.loc[squares, "value"] *= factor**2
        experiments[name] = table
    lost = experiments["exact"]["time"] == experiments["exact"]["time"].iloc[0]
    experiments["exact"].loc[lost, "value"] = np.nan
    experiments["half"].loc[lost, "value"] = 100.0
    roles = {"reference": REFERENCE, "bound": "exact"}
    board = leaderboard(experiments, DATA, SCORED, layout=ASSIMILATE, roles=roles)
    row = pick(board, "rmse_skill", experiment="half")
    assert row["value"] == pytest.approx(0.5, rel=1e-9)
    assert row["high"] - row["low"] < 1e-9
    assert set(board[board["score"] == "rmse_skill"]["experiment"]) == {"half"}
    alone = leaderboard(experiments, DATA, SCORED, layout=ASSIMILATE, roles={"reference": REFERENCE})
    assert "rmse_skill" not in set(alone["score"])


def test_without_the_reference_there_is_no_difference(tables: dict) -> None:
    board = ranked({"second": tables["second"]}, DATA, SCORED)
    assert set(board["experiment"]) == {"corrected"}
    assert "crps_minus_reference" not in set(board["score"])
    other_seed = tables["first"].assign(seed=1)
    board = ranked({**tables, "first": other_seed}, DATA, SCORED)
    assert "crps_minus_reference" not in set(board["score"])


@pytest.mark.parametrize(
    ("column", "reason"), [("data_digest", "other data"), ("case_digest", "other times, cases")]
)
def test_stale_rows_are_dropped_and_reported(
    tables: dict, column: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    stale = {**tables, "second": tables["second"].assign(**{column: "old"})}
    with caplog.at_level(logging.WARNING):
        board = ranked(stale, DATA, SCORED)
    assert set(board["experiment"]) == {REFERENCE}
    (sentence,) = board.attrs["dropped"]
    assert sentence in caplog.text
    assert "corrected" in sentence
    assert reason in sentence
    pd.testing.assert_frame_equal(board, ranked({"first": tables["first"]}, DATA, SCORED))


def test_rows_of_one_table_may_be_stale(tables: dict) -> None:
    both = pd.concat([tables["second"], tables["second"].assign(case_digest="old", value=99.0)])
    board = ranked({**tables, "second": both}, DATA, SCORED)
    pd.testing.assert_frame_equal(board, ranked(tables, DATA, SCORED))
    assert board.attrs["dropped"][0].startswith("Left out of the leaderboard: 4560 rows of corrected")


def test_nothing_scored_is_an_empty_table() -> None:
    board = ranked({"first": pd.DataFrame()}, DATA, SCORED)
    assert list(board) == COLUMNS
    assert board.empty


def test_tables_read_from_text_give_the_same(tables: dict) -> None:
    read = {
        name: pd.read_csv(io.StringIO(table.to_csv(index=False))) if len(table) else table
        for name, table in tables.items()
    }
    read["second"]["k"] = read["second"]["k"] * (1 + 1e-15)  # the last digit of a fraction
    pd.testing.assert_frame_equal(ranked(read, DATA, SCORED), ranked(tables, DATA, SCORED), rtol=1e-9)


def test_one_member_has_an_empty_spread_skill_ratio(scene: Callable) -> None:
    table = name_rows(with_origin(scene(members=1, times=32).score()[0], 0, DATA, SCORED), "nearest")
    board = ranked({"nearest": table}, DATA, SCORED)
    row = pick(board, "ssr", experiment="nearest")
    assert np.isnan([row["value"], row["low"], row["high"]]).all()
    assert np.isfinite(pick(board, "crps", experiment="nearest")["high"])


def test_too_short_a_record_has_values_and_no_intervals(scene: Callable) -> None:
    table = name_rows(with_origin(scene(times=40, hours=6).score()[0], 0, DATA, SCORED), REFERENCE)
    board = ranked({"first": table}, DATA, SCORED)
    assert board["value"].notna().all()
    assert board[["low", "high"]].isna().all(axis=None)


def test_monthly_intervals_resample_blocks_of_half_a_year(scene: Callable) -> None:
    """Blocks of ten days hold one month each: the interval of a slow series would be far too narrow."""
    table, month = scene(times=48).score()[0], np.datetime64("2001-01", "M") + np.arange(48)
    times = dict(zip(table["time"].unique(), month.astype("M8[s]").astype(str), strict=True))
    slow = 1 + 0.5 * np.sin(np.arange(48) / 4)
    value = table["value"] * table["time"].map(dict(zip(times, slow, strict=True)))
    table = table.assign(time=table["time"].map(times), value=value)
    width = {}
    for months in (0, 1):
        with_months = with_origin(table, 0, DATA, SCORED, TimeStep(730.0, months))
        row = pick(ranked({"first": name_rows(with_months, REFERENCE)}, DATA, SCORED), "crps")
        width[months] = row["high"] - row["low"]
    assert width[1] > 1.5 * width[0]


def test_a_model_that_blew_up_once_scores_infinite(tables: dict) -> None:
    broken = tables["second"].copy()
    broken.loc[broken["time"] == broken["time"].iloc[3], "value"] = np.inf
    board = ranked({**tables, "second": broken}, DATA, SCORED)
    assert np.isinf(pick(board, "crps", experiment="corrected")["value"])
    assert np.isinf(pick(board, "rmse", experiment="corrected")["value"])
    assert np.isfinite(pick(board, "crps")["value"])


def sampled(experiment: str, **other: object) -> pd.DataFrame:
    scores = pd.DataFrame({"score": ["fid", "elbo"], "value": [1.0, -90.0], "low": np.nan, "high": np.nan})
    return name_rows(with_origin(scores, 0, DATA, SCORED), experiment).assign(**other)


def test_samples_of_all_experiments_are_one_table(caplog: pytest.LogCaptureFixture) -> None:
    scores = {
        "a": sampled("vae"),
        "b": sampled("flow", value=[2.0, -80.0]),
        "c": sampled("ddpm", case_digest="old"),
        "d": pd.DataFrame(),
    }
    board = sample_leaderboard(scores, DATA, SCORED)
    assert list(board) == ["experiment", "seed", "data_digest", "score", "value", "low", "high"]
    assert board["experiment"].tolist() == ["vae", "vae", "flow", "flow"]
    assert board["value"].tolist() == [1.0, -90.0, 2.0, -80.0]
    (sentence,) = board.attrs["dropped"]
    assert sentence in caplog.text
    assert "ddpm" in sentence
    assert "other sample sizes, K, or feature extractor" in sentence
    nothing = sample_leaderboard({"d": pd.DataFrame()}, DATA, SCORED)
    assert list(nothing) == list(board)
    assert nothing.empty
