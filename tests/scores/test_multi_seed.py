"""Runs of several seeds become means and standard deviations; what cannot be gathered is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fieldcast.errors import InputError
from fieldcast.inference.multi_seed import leaderboards, over_seeds

TASKS = ("reconstruct", "forecast", "sample")
INF, NAN = float("inf"), float("nan")


def board(
    seed: int, values: dict[tuple[str, float], float], data_digest: str = "abc", run: str = ""
) -> pd.DataFrame:
    """A leaderboard of forecasts with one score, from values by experiment and lead."""
    records = [
        {"experiment": name, "seed": seed, "data_digest": data_digest, "lead_hours": lead, "region": "globe"}
        | {"variable": "all", "score": "crps", "value": value, "low": value - 1, "high": value + 1}
        for (name, lead), value in values.items()
    ]
    return pd.DataFrame(records).assign(run=run or f"data_seed{seed}")


def test_means_and_deviations_equal_a_hand_calculation() -> None:
    first = board(
        0, {("vae", 24.0): 1.0, ("vae", 48.0): 0.5, ("wild", 24.0): INF, ("climatology", 24.0): 0.1}
    )
    second = board(
        1, {("vae", 24.0): 2.0, ("vae", 48.0): NAN, ("wild", 24.0): 3.0, ("climatology", 24.0): 0.1}
    )
    third = board(
        2, {("vae", 24.0): 6.0, ("vae", 48.0): 0.7, ("climatology", 24.0): 0.1, ("late", 48.0): 4.0}
    )
    table = over_seeds([first, second, third])
    columns = [
        "experiment",
        "data_digest",
        "lead_hours",
        "region",
        "variable",
        "score",
        "seeds",
        "value",
        "sd",
    ]
    assert list(table.columns) == columns
    expected = {
        ("vae", 24.0): (3, 3.0, np.sqrt(7.0)),  # ((1 - 3)² + (2 - 3)² + (6 - 3)²) / 2
        ("vae", 48.0): (2, 0.6, np.sqrt(0.02)),
        ("wild", 24.0): (2, INF, NAN),
        ("climatology", 24.0): (3, 0.1, 0.0),
        ("late", 48.0): (1, 4.0, NAN),
    }
    numbers = table.set_index(["experiment", "lead_hours"])[["seeds", "value", "sd"]]
    assert list(numbers.index) == list(expected)  # in the order of the leaderboards
    np.testing.assert_allclose(numbers.to_numpy(dtype=float), list(expected.values()), rtol=1e-12)
    assert numbers.loc[("climatology", 24.0), "sd"] == 0


def test_samples_have_no_cases() -> None:
    runs = [
        board(seed, {("vae", 0.0): float(seed)}).drop(columns=["lead_hours", "region", "variable"])
        for seed in (1, 3)
    ]
    assert over_seeds(runs).to_dict("records") == [
        {
            "experiment": "vae",
            "data_digest": "abc",
            "score": "crps",
            "seeds": 2,
            "value": 2.0,
            "sd": np.sqrt(2),
        }
    ]


def test_incompatible_runs_are_refused() -> None:
    def refusal(*runs: pd.DataFrame) -> str:
        with pytest.raises(InputError) as refused:
            over_seeds(runs)
        return str(refused.value)

    short, long = {("vae", 24.0): 1.0}, {("vae", 24.0): 1.0, ("vae", 48.0): 1.0}
    good = board(0, short), board(1, short)
    other = refusal(*good, board(2, short, data_digest="xyz"))
    assert "'data_seed0' and 'data_seed2' were run on different data" in other
    longer = refusal(*good, board(2, long))
    assert "'data_seed0' and 'data_seed2' were scored on different cases or leads" in longer
    twice = refusal(*good, board(1, short, run="again"))
    assert "'data_seed1' and 'again' both have seed 1" in twice and "--params seed=S" in twice


def test_leaderboards_are_read_as_they_were_written(tmp_path: Path) -> None:
    folder = tmp_path / "run/08_reporting"
    folder.mkdir(parents=True)
    written = board(0, {("vae", 24.0): 0.1 + 0.2}, data_digest="012345678901").drop(columns="run")
    written.to_csv(folder / "leaderboard_forecast.csv", index=False)
    (folder / "leaderboard_sample.csv").write_text("\n")  # nothing has been scored
    written.iloc[:0].to_csv(folder / "leaderboard_reconstruct.csv", index=False)
    run = str(tmp_path / "run")
    read = leaderboards(run, TASKS)
    assert list(read) == ["forecast"]
    pd.testing.assert_frame_equal(read["forecast"], written.assign(run=run), check_exact=True)
    for nothing in (tmp_path, folder / "leaderboard_forecast.csv", tmp_path / "missing"):
        with pytest.raises(InputError, match=f"'{nothing}' holds no leaderboard"):
            leaderboards(str(nothing), TASKS)
