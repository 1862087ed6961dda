"""Curves of an event: reliability diagram, ROC curve, and economic value against the cost-loss ratio.

Consistency bars hold the frequencies that a reliable forecast would show in 95 % of samples of this size (Bröcker and
Smith 2007, doi:10.1175/WAF993.1). They draw outcomes independently of one another; the cells of a map are not, so here
blocks of times are resampled instead: with the departure e_i = y_i - p_i n_i of each time, a bar about p_i spans the
percentiles of (e_i - its mean) / n_i over the resamples of the block bootstrap.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float
from scores.plotdata import relative_economic_value_from_rates

from fieldcast import calendars
from fieldcast.scores import bootstrap
from fieldcast.scores.event_metrics import Contingency

COST_LOSS = np.concatenate([np.geomspace(0.005, 0.1, 20)[:-1], np.linspace(0.1, 0.95, 35)])
# share of the forecasts that a probability needs: after fewer, the frequency of the event is that of a few maps
MIN_SHARE = 1e-3


class Curves(NamedTuple):
    """Points of the three curves of an event.

    Parameters
    ----------
    probability, frequency
        Forecast probability and the frequency with which the event then happened, NaN where it was hardly forecast.
    low, high
        Ends of the consistency bars, NaN without resamples.
    false_alarm_rate, hit_rate
        Rates of warnings from M + 1 members (never) down to 0 (always).
    cost_loss, value
        Cost-loss ratios, and the economic value for users with that ratio who warn at their best probability.
    base_rate
        Frequency of the event.
    """

    probability: Float[np.ndarray, " number"]
    frequency: Float[np.ndarray, " number"]
    low: Float[np.ndarray, " number"]
    high: Float[np.ndarray, " number"]
    false_alarm_rate: Float[np.ndarray, " warning"]
    hit_rate: Float[np.ndarray, " warning"]
    cost_loss: Float[np.ndarray, " ratio"]
    value: Float[np.ndarray, " ratio"]
    base_rate: float


def curves(shares: xr.DataArray, months: int = 0) -> Curves:
    """Curves of one event from its tables (outcome, number, time) of `event_tables.EventTables`.

    `months` is the number of months in the step of the data, which lengthens the blocks of the bootstrap.
    """
    by_time = shares.transpose("time", "outcome", "number").to_numpy().astype(float)
    times = calendars.from_iso(shares["time"].to_numpy().astype(str))
    length = bootstrap.block_length(times, bootstrap.block_days(months))
    table = Contingency(bootstrap.resampled_means(by_time, bootstrap.mean_weights(len(times)))[0], 0.5)
    frequent = table.n > MIN_SHARE
    bars = consistency(by_time, table, bootstrap.block_weights(len(times), length))
    low, high = (np.where(frequent, np.clip(table.p + end, 0.0, 1.0), np.nan) for end in bars)
    frequency = np.where(frequent, table.frequency, np.nan)
    value = economic_value(table)
    return Curves(
        table.p,
        frequency,
        low,
        high,
        table.false_alarm_rate,
        table.hit_rate,
        COST_LOSS,
        value,
        float(table.o),
    )


def consistency(
    by_time: Float[np.ndarray, "time outcome number"],
    table: Contingency,
    weights: Float[np.ndarray, "resample time"],
) -> tuple[Float[np.ndarray, " number"], Float[np.ndarray, " number"]]:
    """Ends of the consistency bars, relative to the forecast probability."""
    y = by_time[:, 1]
    n = by_time[:, 0] + y
    departure = y - table.p * n
    centred = departure - bootstrap.resampled_means(departure, bootstrap.mean_weights(len(y)))
    size = bootstrap.resampled_means(n, weights)
    samples = bootstrap.resampled_means(centred, weights) / np.where(size > 0, size, np.nan)
    return bootstrap.interval(np.nan_to_num(samples))


def economic_value(table: Contingency) -> Float[np.ndarray, " ratio"]:
    """Relative economic value at each of `COST_LOSS`, at the best of all probabilities of a warning.

    V = (min(α, o) - F α (1 - o) + H o (1 - α) - o) / (min(α, o) - o α)  (Richardson 2000, equation 8).
    """
    hit, false = (xr.DataArray(rate, dims="warning") for rate in (table.hit_rate, table.false_alarm_rate))
    base_rate = xr.DataArray(float(table.o))
    value = relative_economic_value_from_rates(hit, false, base_rate, COST_LOSS.tolist())
    return value.max("warning").to_numpy()
