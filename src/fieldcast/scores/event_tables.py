"""Contingency tables of events, which determine all scores of an event.

For each case and time, shares(o, i) is the share of the area where the event did not happen (o = 0) or did (o = 1),
and i of the M members forecast it. The probability forecast is i / M. Means of these shares over times give the Brier
score with its parts, the reliability diagram, the ROC curve and the economic value, and so do their resamples.

Beside them stands the fair threshold-weighted CRPS (Gneiting and Ranjan 2011, doi:10.1198/jbes.2010.08110; Allen,
Ginsbourger and Ziegel 2023, doi:10.1137/22M1532184), the CRPS of the members v(x_i) and the truth v(y), with
v(z) = max(z, threshold) for an event above the threshold and min(z, threshold) for one below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float, Integer, Shaped
from scores.plotdata import relative_economic_value_from_rates

from fieldcast import calendars
from fieldcast.kinds import is_low, probability, thresholds_on
from fieldcast.scores import bootstrap
from fieldcast.scores.event_metrics import EVENT_METRICS, Contingency
from fieldcast.scores.leaderboard import Layout
from fieldcast.scores.regions import area_means
from fieldcast.scores.statistics import crps_of_sorted, sort_members, with_overall
from fieldcast.scores.statistics_table import STEP, long_table

AXES = ("quantile", "outcome", "number", "time")  # last dimensions of `shares`


class EventTables:
    """Collects the tables of one experiment, case by case and variable by variable.

    Parameters
    ----------
    thresholds
        Thresholds of events, see `fieldcast.kinds`.
    """

    def __init__(self, thresholds: xr.Dataset) -> None:
        self.thresholds = thresholds
        self.quantiles = thresholds["quantile"].to_numpy().astype(float)
        self.shares: dict[str, list[np.ndarray]] = {}  # by variable, in the order of the cases
        self.tail_crps: dict[str, list[np.ndarray]] = {}

    def add(
        self,
        variable: str,
        x: Float[np.ndarray, "member time latitude longitude"],
        y: Float[np.ndarray, "time latitude longitude"],
        days: Integer[np.ndarray, " time"],
        weights: Float[np.ndarray, "kind *time latitude longitude"],
        finite: Bool[np.ndarray, " time"],
    ) -> None:
        """Add members x and truth y of a variable in its next case.

        x and y are anomalies, `days` the days of the year 1 to 365, `weights` those of `regions.cell_weights`. Where a
        member is not finite, all members count as wrong.
        """
        thresholds = thresholds_on(self.thresholds[variable], days)
        in_order, members = sort_members(x), len(x)
        tables, tails = [], []
        for quantile, threshold in zip(self.quantiles, thresholds, strict=True):
            event_weights, limit = weights_with_threshold(weights, threshold), np.nan_to_num(threshold)
            exceeds, clipped = (np.less, np.minimum) if is_low(quantile) else (np.greater, np.maximum)
            happened = exceeds(y, limit)
            number = exceeds(in_order, limit[..., None]).sum(axis=-1)
            number = np.where(finite[:, None, None], number, np.where(happened, 0, members))
            tables.append(shares(number, happened, event_weights, members))
            tail = crps_of_sorted(clipped(in_order, limit[..., None]) - clipped(y, limit)[..., None])
            tails.append(np.where(finite, area_means(tail[None], event_weights)[:, 0], np.inf))
        self.shares.setdefault(variable, []).append(np.stack(tables, axis=1))
        self.tail_crps.setdefault(variable, []).append(np.stack(tails, axis=1))

    def dataset(
        self,
        case: str,
        kind: str,
        times: Shaped[np.ndarray, " time"],
        deviations: xr.DataArray,
        coordinates: Mapping[str, object],
    ) -> xr.Dataset:
        """`shares` (case, variable, kind, quantile, outcome, number, time) and `tail_crps` without outcome and number.

        `case` and `kind` name the dimension that `add` was called along for each variable, and that of its weights;
        `deviations` are the anomaly standard deviations of the variables, in their order; `coordinates` label the cases
        and the kinds.
        """
        variables = [str(name) for name in deviations["variable"].to_numpy()]
        table, tail = (
            np.stack([np.stack(by_variable[name]) for name in variables], axis=1)
            for by_variable in (self.shares, self.tail_crps)
        )
        dims = (case, "variable", kind)
        return xr.Dataset(
            {
                "shares": ((*dims, *AXES), table.astype(np.float32)),
                "tail_crps": ((*dims, "quantile", "time"), tail),
            },
            {
                "variable": variables,
                "quantile": self.quantiles,
                "outcome": [0, 1],
                "number": np.arange(table.shape[-2]),
                "time": times,
                "deviation": ("variable", deviations.to_numpy().astype(float)),
                **coordinates,
            },
        )


def weights_with_threshold(
    weights: Float[np.ndarray, "kind *time latitude longitude"],
    threshold: Float[np.ndarray, "time latitude longitude"],
) -> Float[np.ndarray, "kind *time latitude longitude"]:
    """Weights of the cells that have a threshold, which sum to 1."""
    if not np.isnan(threshold).any():
        return weights
    present = np.where(np.isnan(threshold).any(axis=0), 0.0, weights)
    total = present.sum(axis=(-2, -1), keepdims=True)
    return present / np.where(total > 0, total, np.nan)


def shares(
    number: Integer[np.ndarray, "time latitude longitude"],
    happened: Bool[np.ndarray, "time latitude longitude"],
    weights: Float[np.ndarray, "kind *time latitude longitude"],
    members: int,
) -> Float[np.ndarray, "kind outcome number time"]:
    """Total weight of the cells of each outcome and number of members; NaN at a time without cells."""
    times, bins = len(number), members + 1
    index = number + bins * happened + 2 * bins * np.arange(times)[:, None, None]
    tables = []
    for weight in weights:
        counts = np.bincount(index.ravel(), np.broadcast_to(weight, index.shape).ravel(), 2 * bins * times)
        tables.append(counts.reshape(times, 2, bins))
    table = np.stack(tables)
    table[np.isnan(table).any(axis=(-2, -1))] = np.nan
    return np.moveaxis(table, 1, -1)


# Scores of events of all experiments in one table, with intervals by the block bootstrap of the leaderboard.


ORIGIN = ("seed", "data_digest")  # attributes that identify the run


def event_scores(
    events: Mapping[str, xr.Dataset], data: str, scored: str, layout: Layout, seed: int = 0
) -> pd.DataFrame:
    """One row for each experiment, case, kind of cells, variable, event and score: value, low, high.

    `events` are the data sets of `EventTables` with the attributes of `with_origin`; those that differ from `data` or
    `scored` are left out, as in the leaderboard. The event is named by its `quantile`. Variable "all" is the mean
    table over variables, and the mean threshold-weighted CRPS in anomaly standard deviations. Intervals are those of
    `leaderboard`, from the same resamples, and only for the first kind of cells: the whole grid, or unobserved cells.
    """
    tables = [
        scores_of_experiment(stored, seed).assign(experiment=experiment)
        for experiment, stored in events.items()
        if stored.attrs["data_digest"] == data and stored.attrs["case_digest"] == scored
    ]
    if not tables:
        names = *layout.by[:-1], "variable", layout.by[-1]  # the last is the kind of cells
        return pd.DataFrame(
            columns=["experiment", *ORIGIN, *names, "quantile", "score", "value", "low", "high"]
        )
    table = pd.concat(tables, ignore_index=True)
    return table[["experiment", *table.columns.drop("experiment")]]


def scores_of_experiment(stored: xr.Dataset, seed: int) -> pd.DataFrame:
    """Scores of one experiment, case by case: one case is in memory with all of its resamples."""
    times = calendars.from_iso(stored["time"].to_numpy().astype(str))
    days = bootstrap.block_days(int(stored.attrs.get(STEP, 0)))
    weights = bootstrap.mean_and_resamples(len(times), bootstrap.block_length(times, days), seed)
    case = str(stored["shares"].dims[0])
    labels = {
        str(name): values.to_numpy() for name, values in stored.coords.items() if values.dims == (case,)
    }
    kind = str(stored["shares"].dims[2])
    # resamples take time, so only the first kind of cells has them
    resamples_of_kinds = ((slice(0, 1), weights), (slice(1, None), weights[:1]))
    tables = [
        scores_of_case(stored.isel({case: number, kind: kinds}), resamples).assign(
            **{name: values[number] for name, values in labels.items()}
        )
        for number in range(stored.sizes[case])
        for kinds, resamples in resamples_of_kinds
        if stored.isel({kind: kinds}).sizes[kind]
    ]
    table = pd.concat(tables, ignore_index=True).assign(**{name: stored.attrs[name] for name in ORIGIN})
    names = [*ORIGIN, *labels]
    return table[[*names, *table.columns.drop(names)]]


def scores_of_case(stored: xr.Dataset, weights: Float[np.ndarray, "resample time"]) -> pd.DataFrame:
    """Scores of one case: its kinds of cells, variables and events."""
    deviation = stored["deviation"].to_numpy()
    shares, tails = (
        np.moveaxis(with_overall(stored[name].to_numpy(), deviation, power, axis=0), -1, 0)
        for name, power in (("shares", 0), ("tail_crps", 1))
    )
    means = bootstrap.resampled_means(shares, weights).astype(np.float32)
    quantiles = stored["quantile"].to_numpy()
    table = Contingency(means, np.array([probability(quantile) for quantile in quantiles], np.float32))
    values = np.stack(
        [
            metric.function(table) if metric.function else bootstrap.resampled_means(tails, weights)
            for metric in EVENT_METRICS.values()
        ],
        axis=-1,
    ).astype(np.float32)  # (resample, variable, kind, quantile, score)
    kind = str(stored["shares"].dims[1])
    axes = {
        "variable": np.array([*stored["variable"].to_numpy().astype(str), "all"]),
        kind: stored[kind].to_numpy().astype(str),
        "quantile": quantiles,
        "score": np.array(list(EVENT_METRICS)),
    }
    low, high = bootstrap.interval(values[1:])
    records = long_table(values[0], *({name: labels} for name, labels in axes.items()))
    ends = {"low": low, "high": high}
    return records.assign(**{name: end.ravel().astype(np.float32) for name, end in ends.items()})


# Curves of an event: reliability diagram, ROC curve, and economic value against the cost-loss ratio.
#
# Consistency bars hold the frequencies that a reliable forecast would show in 95 % of samples of this size (Bröcker
# and Smith 2007, doi:10.1175/WAF993.1). They draw outcomes independently of one another; the cells of a map are not,
# so here blocks of times are resampled instead: with the departure e_i = y_i - p_i n_i of each time, a bar about p_i
# spans the percentiles of (e_i - its mean) / n_i over the resamples of the block bootstrap.


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
