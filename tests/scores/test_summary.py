from __future__ import annotations

import pandas as pd

from fieldcast.scores.summary import forecast_summary, reconstruct_summary


def row(experiment: str, k: float, score: str, *numbers: float, **other: str) -> dict:
    where = {"pattern": "random", "cells": "unobserved", "variable": "all"} | other
    values = dict(zip(("value", "low", "high"), numbers, strict=True))
    return where | values | {"experiment": experiment, "k": k, "score": score}


def test_the_table_reads_as_written() -> None:
    board = pd.DataFrame(
        [
            row("nearest", 0.05, "crps", 0.6, 0.5, 0.7),
            row("nearest", 0.2, "crps", 0.5, 0.4, 0.6),
            row("oi", 0.05, "crps", 0.25, 0.2, 0.3),
            row("oi", 0.2, "crps", 0.125, 0.1, 0.2),
            row("nearest", 0.05, "rmse", 0.75, 0.7, 0.8),
            row("oi", 0.05, "rmse", 0.5, 0.4, 0.6),
            row("oi", 0.05, "ssr", 0.9, 0.8, 1.0),
            row("nearest", 0.05, "ssr", float("nan"), 0.8, 1.0),
            row("nearest", 0.05, "crps_minus_reference", 0.35, 0.3, 0.4),
            row("nearest", 0.2, "crps_minus_reference", 0.375, -0.1, 0.4),
            # none of these is shown
            row("oi", 0.1, "crps", 9.0, 9.0, 9.0, pattern="swaths"),
            row("oi", 0.1, "crps", 9.0, 9.0, 9.0, cells="all"),
            row("oi", 0.1, "crps", 9.0, 9.0, 9.0, variable="z"),
        ]
    )
    assert [line.rstrip() for line in reconstruct_summary(board).splitlines()] == [
        "Unobserved cells, all variables, pattern random; anomaly standard deviations",
        "",
        "fair CRPS (lower is better)",
        "k              5 %     20 %",
        "oi          0.250    0.125",
        "nearest     0.600    0.500",
        "",
        "RMSE of the ensemble mean (lower is better)",
        "k              5 %     20 %",
        "oi          0.500",
        "nearest     0.750",
        "",
        "spread-skill ratio (1 is best)",
        "k              5 %     20 %",
        "oi          0.900",
        "",
        "CRPS minus that of the reference (95 % interval of the paired difference; * it excludes 0)",
        "k                               5 %                      20 %",
        "nearest    +0.350 (+0.300, +0.400)*  +0.375 (-0.100, +0.400)",
    ]


def test_an_empty_leaderboard_is_reported() -> None:
    empty = pd.DataFrame(columns=["experiment", "pattern", "k", "cells", "variable", "score", "value"])
    assert reconstruct_summary(empty) == "No experiment has been scored yet."


def forecast_row(experiment: str, days: float, score: str, *numbers: float, **other: str) -> dict:
    values = dict(zip(("value", "low", "high"), numbers, strict=True))
    where = {"region": "globe", "variable": "all"} | other
    return where | values | {"experiment": experiment, "lead_hours": 24 * days, "score": score}


def test_forecasts_are_shown_by_lead() -> None:
    board = pd.DataFrame(
        [
            forecast_row("persistence", 1, "crps", 0.6, 0.5, 0.7),
            forecast_row("persistence", 3, "crps", 0.75, 0.5, 0.8),
            forecast_row("mine", 1, "crps", 0.25, 0.2, 0.3),
            forecast_row("mine", 3, "crps", float("inf"), 0.1, float("nan")),
            forecast_row("mine", 1, "ssr", 0.9, 0.8, 1.0),
            forecast_row("mine", 3, "rmse", 12345678.0, 0.1, 0.2),
            forecast_row("mine", 1, "energy", 0.5, 0.4, 0.6),
            forecast_row("mine", 1, "crps_minus_reference", -0.25, -0.3, -0.125),
            # none of these is shown
            forecast_row("mine", 4, "crps", 9.0, 9.0, 9.0),
            forecast_row("mine", 1, "crps", 9.0, 9.0, 9.0, region="tropics"),
            forecast_row("mine", 1, "crps", 9.0, 9.0, 9.0, variable="z"),
            forecast_row("persistence", 1, "ssr", float("nan"), 9.0, 9.0),
        ]
    )
    assert [line.rstrip() for line in forecast_summary(board).splitlines()] == [
        "Forecasts, all variables, globe; anomaly standard deviations",
        "",
        "fair CRPS (lower is better)",
        "lead               1 d      3 d",
        "persistence     0.600    0.750",
        "mine            0.250      inf",
        "",
        "RMSE of the ensemble mean (lower is better)",
        "lead                1 d       3 d",
        "mine                     1.2e+07",
        "",
        "spread-skill ratio (1 is best)",
        "lead               1 d      3 d",
        "mine            0.900",
        "",
        "energy score (lower is better)",
        "lead               1 d      3 d",
        "mine            0.500",
        "",
        "CRPS minus that of the reference (95 % interval of the paired difference; * it excludes 0)",
        "lead                                1 d                       3 d",
        "mine           -0.250 (-0.300, -0.125)*",
    ]
    hourly = board.assign(lead_hours=board["lead_hours"] / 8, region="domain")
    assert "9 h" in forecast_summary(hourly)
    assert forecast_summary(board.iloc[:0]) == "No experiment has been scored yet."


def test_the_end_of_skill_stands_in_a_sentence() -> None:
    skills = {
        "far": (0.5, 0.1),
        "near": (0.2, -0.2),
        "none": (-0.1, 0.3),
        "climatological_ensemble": (0.0, 0.0),
    }
    records = [
        forecast_row(name, days, score, value, value, value) | {"seed": 0}
        for name, values in skills.items()
        for days, value in zip((1, 3), values, strict=True)
        for score in ("crps", "skill")
    ]
    sentence = (
        "skill over the climatological ensemble, by CRPS, ends after (days): far > 3, near 2.0, none 0.0"
    )
    assert forecast_summary(pd.DataFrame(records)).splitlines()[-2:] == ["", sentence]
    assert sentence not in forecast_summary(pd.DataFrame(records).drop(columns="seed"))


def test_wide_tables_of_differences_are_stacked() -> None:
    board = pd.DataFrame(
        [
            row("optimal_interpolation", 0.01, "crps", 0.5, 0.4, 0.6),
            row("corrected_interpolation", 0.01, "crps", 0.5, 0.4, 0.6),
            *(
                row("corrected_interpolation", k, "crps_minus_reference", -k, -k - 0.004, -k + 0.003)
                for k in (0.01, 0.02, 0.05, 0.1, 0.2)
            ),
            row("corrected_interpolation", 0.5, "crps_minus_reference", 0.0001, -0.0002, 0.0004),
        ]
    )
    lines = reconstruct_summary(board).splitlines()
    assert lines[7:] == [
        "CRPS minus that of the reference (95 % interval of the paired difference; * it excludes 0)",
        "k                                               1 %                       2 %                       5 %",
        "corrected_interpolation    -0.010 (-0.014, -0.007)*  -0.020 (-0.024, -0.017)*  -0.050 (-0.054, -0.047)*",
        "k                                              10 %                      20 %                      50 %",
        "corrected_interpolation    -0.100 (-0.104, -0.097)*  -0.200 (-0.204, -0.197)*  +0.000 (-0.000, +0.000)",
    ]
    assert max(len(line) for line in lines) <= 110
    few = board.assign(low=float("nan"), high=float("nan"))  # times too few for an interval
    assert reconstruct_summary(few).splitlines()[7:] == [
        "CRPS minus that of the reference",
        "k                              1 %      2 %      5 %     10 %     20 %     50 %",
        "corrected_interpolation    -0.010   -0.020   -0.050   -0.100   -0.200   +0.000",
    ]


def test_long_rollouts_stand_below_the_forecasts() -> None:
    where = {"region": "globe", "variable": "all", "lead_hours": 24.0, "score": "crps"}
    board = pd.DataFrame(
        [
            where | {"experiment": name, "value": value}
            for name, value in (("vae", 0.5), ("lim", 0.3), ("file", 0.1))
        ]
    )
    steps = pd.DataFrame({"step": [1, 2, 3, 4], "mean": 0.0, "spectrum_ratio": 0.25, "mse_climatology": 1.2})
    steady = steps.assign(std=1.0, finite=True, mse=[0.5, 1.1, 1.1, 1.1])
    lost = steps.assign(
        std=[1, 10, 2e5, float("inf")], finite=[True] * 3 + [False], mse=[0.5, 9, 9, float("inf")]
    )
    lines = forecast_summary(board, {"vae": lost, "lim": steady, "not scored": steady}).splitlines()
    assert lines[-7:] == [
        "",
        "long rollout (MSE of the mean: last step below 1, first as large as that of the climatology; diverged: first",
        "step with a root mean square of anomalies above 3; blew up: first step that is not finite;",
        "std, ideally 1, and power at short waves over the truth's: at the last finite step)",
        "            steps  MSE < 1 to    as clim.    diverged     blew up         std       waves",
        "lim             4           1                                            1.00        0.25",
        "vae             4           1           2           2           4       2e+05        0.25",
    ]


def over(seeds: int, value: float, sd: float, **of: object) -> dict:
    return of | {"seeds": seeds, "value": value, "sd": sd}


def test_over_seeds_a_value_has_its_deviation() -> None:
    nan, where = float("nan"), {"pattern": "random", "cells": "unobserved", "variable": "all"}
    board = pd.DataFrame(
        [
            over(3, 0.132, 0.0034, experiment="mine", k=0.1, score="crps", **where),
            over(3, 0.1, 0.0, experiment="mine", k=0.2, score="crps", **where),
            over(2, 0.25, 0.01, experiment="new", k=0.1, score="crps", **where),
            over(1, 0.24, nan, experiment="new", k=0.2, score="crps", **where),
            over(3, -0.1, 0.25, experiment="mine", k=0.2, score="crps_minus_reference", **where),
            over(0, nan, nan, experiment="mine", k=0.1, score="rmse", **where),
        ]
    )
    assert reconstruct_summary(board).splitlines()[1:] == [
        "mean ± standard deviation; seeds: 1 to 3",
        "",
        "fair CRPS (lower is better)",
        "k                 10 %            20 %",
        "mine    0.132 ± 0.003   0.100 ± 0.000",
        "new     0.250 ± 0.010           0.240",
        "",
        "CRPS minus that of the reference",
        "k                  10 %             20 %",
        "mine                     -0.100 ± 0.250",
    ]
