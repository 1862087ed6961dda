"""The study of full VAE and decoder: the selected weight, and paired differences with a known answer."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return importlib.import_module("studies.full_vae")


def lines(use: dict[str, float], crps: dict[str, float], error: float = 0.01) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "variant": f"kl_{weight}", "seed": 0, "rmse_posterior": 1.0, "rmse_other": use[weight],
                "validation_crps": crps[weight], "validation_error": error,
            }
            for weight in use
        ]
    )  # fmt: skip


def test_the_selected_weight_is_the_largest_with_use_near_the_best_on_both(script):
    use = {"1": 1.0, ".1": 1.06, ".03": 1.2, ".01": 1.5}
    planet = lines(use, {"1": 0.50, ".1": 0.52, ".03": 0.505, ".01": 0.50})
    pressure = lines(use, {"1": 0.60, ".1": 0.60, ".03": 0.60, ".01": 0.60})
    assert (
        script.selected({"planet": planet, "sea_level_pressure": pressure}) == 0.03
    )  # .1 is too far from the best
    assert script.selected({"sea_level_pressure": pressure}) == 0.1
    idle = lines(dict.fromkeys(use, 1.04), dict.fromkeys(use, 0.6))
    assert script.selected({"planet": planet, "sea_level_pressure": idle}) is None


def test_differences_are_paired_by_start_and_average_seeds(script):
    rng = np.random.default_rng(0)
    starts = (np.datetime64("2001-01-01", "s") + np.arange(64) * np.timedelta64(12, "D")).astype(str)
    weather = {
        lead: pd.DataFrame(rng.uniform(0.5, 2, (2, 64)), ["crps", "squared_error"], starts)
        for lead in script.LEADS
    }
    shifted = {shift: {lead: table + shift for lead, table in weather.items()} for shift in (0.0, 0.1, 0.3)}
    tests = {("decoder_l1", seed): weather for seed in (0, 1)}
    tests |= {("vae", seed): shifted[shift] for seed, shift in enumerate((0.1, 0.3, 0.0))}
    rows = pd.DataFrame(script.differences(tests, "vae"))
    crps = rows[rows["score"] == "crps"]
    assert (rows["seeds"] == 2).all()
    assert np.allclose(crps[["difference", "low", "high"]], 0.2)  # a constant gap: the common weather cancels
    squared = np.array([table.loc["squared_error"].mean() for table in weather.values()])
    rmse = rows[rows["score"] == "rmse"]
    assert np.allclose(rmse["difference"], np.sqrt(squared + 0.2) - np.sqrt(squared))
    assert (rmse["low"] > 0).all() and script.differences(tests, "decoder_l2") == []


def test_the_printed_tables_are_those_of_the_record(script):
    """The weights of both settings are those of the text, and each recorded variant has a line."""
    for setting, readings in (("planet", {4.1, 4096.0}), ("sea_level_pressure", {0.28, 280.0})):
        weights = {variant.weight for variant in script.variants(setting)} - {None}
        assert weights == {0.001, 0.003, 0.01, 0.03, 0.1, 1.0} | readings
        text = script.tables(setting)
        recorded = pd.read_csv(script.RECORD / "full_vae.csv").query("setting == @setting")
        assert all(f"\n{label} " in text for label in recorded["variant"])
