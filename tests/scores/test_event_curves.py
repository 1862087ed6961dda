"""Curves of events: consistency bars of independent forecasts are binomial, and value has closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom

from fieldcast.scores.event_metrics import Contingency, highest_value
from fieldcast.scores.event_tables import COST_LOSS, Curves, curves


def stored(number: np.ndarray, happened: np.ndarray, members: int) -> xr.DataArray:
    """Tables of one cell; times are 11 days apart, so that each is a block."""
    table = np.zeros((2, members + 1, len(number)))
    table[happened.astype(int), number, np.arange(len(number))] = 1.0
    times = np.datetime64("2001-01-01", "s") + 11 * np.arange(len(number)) * np.timedelta64(86400, "s")
    return xr.DataArray(table, {"time": times.astype(str)}, ("outcome", "number", "time"))


def test_consistency_bars_of_independent_forecasts_are_binomial() -> None:
    rng = np.random.default_rng(0)
    number = rng.integers(0, 5, 4000)
    happened = rng.random(4000) < number / 4
    drawn = curves(stored(number, happened, 4))
    for i in (1, 2, 3):
        count = int((number == i).sum())
        low, high = binom.ppf([0.025, 0.975], count, i / 4) / count
        assert drawn.low[i] == pytest.approx(low, abs=0.008)
        assert drawn.high[i] == pytest.approx(high, abs=0.008)
        assert drawn.low[i] <= drawn.frequency[i] <= drawn.high[i]


def test_bars_of_cells_that_vary_together_do_not_shrink_with_their_number() -> None:
    rng = np.random.default_rng(1)
    number = rng.integers(0, 3, 400)
    single = stored(number, rng.random(400) < number / 2, 2)
    many = 0.5 * single + 0.5 * single  # two cells with the same weather
    assert np.array_equal(curves(single).high, curves(many).high, equal_nan=True)


def test_an_overconfident_forecast_leaves_the_bars() -> None:
    rng = np.random.default_rng(2)
    number = rng.integers(0, 5, 3000)
    drawn = curves(stored(number, rng.random(3000) < 0.3 + 0.4 * number / 4, 4))
    assert drawn.frequency[0] > drawn.high[0] and drawn.frequency[4] < drawn.low[4]


def perfect(o: float = 0.2) -> Curves:
    happened = np.arange(1000) < 1000 * o
    return curves(stored(2 * happened.astype(int), happened, 2))


def test_economic_value() -> None:
    assert np.allclose(perfect().value, 1.0)
    rng = np.random.default_rng(3)
    happened = rng.random(5000) < 0.2
    number = np.where(happened, rng.integers(0, 3, 5000), rng.integers(0, 2, 5000))
    drawn = curves(stored(number, happened, 2))
    table = np.array([[np.mean((number == i) & (happened == o)) for i in range(3)] for o in (0, 1)])
    spent = np.array(  # cost of each warning, loss of each event without one; by the least number of members
        [COST_LOSS * table[:, i:].sum() + table[1, :i].sum() for i in range(4)]
    ).min(axis=0)
    o = drawn.base_rate
    climatology, perfect_forecast = np.minimum(COST_LOSS, o), COST_LOSS * o
    np.testing.assert_allclose(
        drawn.value, (climatology - spent) / (climatology - perfect_forecast), atol=1e-9
    )
    assert drawn.value.max() <= highest_value(Contingency(table[None], 0.2)).item() + 1e-9
    assert drawn.hit_rate[[0, -1]].tolist() == [0, 1] == drawn.false_alarm_rate[[0, -1]].tolist()


def test_too_few_times_have_no_bars() -> None:
    drawn = curves(stored(np.array([0, 1]), np.array([False, True]), 1))
    assert np.isnan(drawn.low).all() and np.isfinite(drawn.frequency).all()
