from __future__ import annotations

import pandas as pd

from fieldcast.verification.short_table import short_table


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
            row("nearest", 0.05, "crps_minus_oi", 0.35, 0.3, 0.4),
            row("nearest", 0.2, "crps_minus_oi", 0.375, -0.1, 0.4),
            # none of these is shown
            row("oi", 0.1, "crps", 9.0, 9.0, 9.0, pattern="swaths"),
            row("oi", 0.1, "crps", 9.0, 9.0, 9.0, cells="all"),
            row("oi", 0.1, "crps", 9.0, 9.0, 9.0, variable="z"),
        ]
    )
    assert [line.rstrip() for line in short_table(board).splitlines()] == [
        "Unobserved cells, all variables, pattern random; anomaly standard deviations, lower is better",
        "",
        "fair CRPS",
        "k              5 %     20 %",
        "oi          0.250    0.125",
        "nearest     0.600    0.500",
        "",
        "RMSE",
        "k              5 %     20 %",
        "oi          0.500",
        "nearest     0.750",
        "",
        "CRPS minus that of optimal interpolation (* its 95 % interval leaves out 0)",
        "k              5 %     20 %",
        "nearest    +0.350*  +0.375",
    ]


def test_nothing_scored_is_said() -> None:
    empty = pd.DataFrame(columns=["experiment", "pattern", "k", "cells", "variable", "score", "value"])
    assert short_table(empty) == "No experiment has been scored yet."
