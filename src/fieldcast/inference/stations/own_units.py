"""Mapped variables of stations: their choice at left-out stations, and predictions in their own units.

Each part of a mapped variable (`fields.quantities`) is kriged by itself, with a climate, a correlation and a factor of
its spread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from fieldcast.fields.conventions import time_varying
from fieldcast.fields.gauges import GaugeRecord, Gauges
from fieldcast.fields.meaning import Nature
from fieldcast.fields.quantities import NONE, TINY, Circle, Clip, Quantity, in_chunks, part_names
from fieldcast.fields.stations import station_columns
from fieldcast.inference.gaps.own_units import Predictions, own_statistics
from fieldcast.inference.quantities import MAX_TIMES, Scored, choose_by
from fieldcast.inference.stations.held_out import (
    KRIGING,
    MIN_STATIONS,
    WITH_SPREAD,
    HeldOut,
    clusters_of,
    predict_held_out,
    spread_factor,
)
from fieldcast.inference.stations.kriging import FREE, SCORED_TIMES, Fixed, StationKriging
from fieldcast.inference.stations.suspects import places
from fieldcast.innovations import MAX_INNOVATION
from fieldcast.models.gaps.held_out import SELECTIONS
from fieldcast.scores.held_out import score_held_out, scores_by_group

MAX_STATIONS = 200  # stations of the part of a table in which mappings are judged
JUDGED_TIMES = 20  # times that enter the likelihood of its correlation


class Fitted(NamedTuple):
    """A part of a variable: its kriging, its predictions of held-out readings, and the factor of its spread."""

    kriging: StationKriging
    predictions: HeldOut | None  # None with few stations
    q: float

    @classmethod
    def of(
        cls, record: GaugeRecord, table: pd.DataFrame, cluster: Int[np.ndarray, " n"] | None,
        seed: int, device: torch.device, scored_times: int = SCORED_TIMES, fixed: Fixed = FREE,
    ) -> Fitted:  # fmt: skip
        """Krige a record, and predict the readings of its table from other clusters, if there are any."""
        kriging = StationKriging.fit(record, seed, device, scored_times, fixed)
        if cluster is None:
            return cls(kriging, None, 1.0)
        predictions = predict_held_out(kriging, table, cluster)
        return cls(kriging, predictions, spread_factor(predictions.errors()))

    def spread(self, variance: Float[np.ndarray, "time location"]) -> Float[np.ndarray, "time location"]:
        """Standard deviation of an error of some variance before the factor, at least that of a reading itself."""
        return np.sqrt(np.maximum(self.q**2 * variance, self.kriging.within_places))


def mapped_parts(
    record: GaugeRecord, table: pd.DataFrame, quantity: Quantity | None
) -> Iterator[tuple[GaugeRecord, pd.DataFrame]]:
    """Yield the record and the table of each part of a variable; without a mapping, themselves."""
    if quantity is None:
        yield record, table
        return
    of_table = quantity.forward(table["value"].to_numpy(float))
    if isinstance(quantity, Circle):  # relief turns the wind, but not by so many degrees per kilometre
        record = replace(record, elevation=None)
    for x, values in zip(quantity.forward(record.x), of_table, strict=True):
        yield replace(record, x=x), table.assign(value=values)


def names_of_parts(variable: str, quantity: Quantity | None) -> list[str]:
    """Names of the parts of a variable, as reports have them."""
    if quantity is None or isinstance(quantity, Clip):
        return [variable]
    return [f"{part}, mapped by {quantity.kind}" for part in part_names(variable, quantity)]


# The choice, as `inference.quantities` makes it.


def choose_quantities(
    gauges: Gauges, given: str | Mapping[str, str], seed: int, device: torch.device, where: str
) -> tuple[dict[str, Quantity], pd.DataFrame]:
    """The quantities of the variables of a table, and the scores at left-out stations by which they were chosen."""

    def judge(values: xr.Dataset, nature: Nature, groups: Sequence[Sequence[str]]) -> dict[str, list[Scored]]:
        record, table = judged_part(gauges, time_varying(values)[0])
        if places(record.points).max() + 1 < MIN_STATIONS:
            return {kind: [] for kinds in groups for kind in kinds}
        cluster = clusters_of(table, gauges.locations, seed, where)
        return {
            kind: scored
            for kinds in groups
            for kind, scored in score_mappings(record, table, nature, kinds, cluster, seed, device).items()
        }

    variables = {
        name: (("time", f"station of {name}"), gauges.of(name)[0].x, {"units": units})
        for name, units in gauges.units.items()
    }
    return choose_by(xr.Dataset(variables), given, judge)


def judged_part(gauges: Gauges, variable: str) -> tuple[GaugeRecord, pd.DataFrame]:
    """Readings of a variable at the stations nearest to their middle, in as many stretches as there are selections.

    At most `MAX_STATIONS` stations and `MAX_TIMES` times. Stretches of a longer record share one annual course.
    """
    record, table = gauges.of(variable)
    times = np.arange(len(record.x))
    if whole := len(times) <= MAX_TIMES:
        blocks = [times]
    else:
        first = np.linspace(0, len(times) - MAX_TIMES // SELECTIONS, SELECTIONS).round().astype(int)
        blocks = [start + np.arange(MAX_TIMES // SELECTIONS) for start in first]
    times = np.unique(np.concatenate(blocks))
    observed = np.flatnonzero(record.observed[times].any(0))
    points = record.points[observed]
    nearest = cKDTree(points).query(points.mean(0), min(len(points), MAX_STATIONS))[1]
    columns = observed[np.sort(np.atleast_1d(nearest))]
    at_time, column = table["at_time"].to_numpy(), table["column"].to_numpy()
    rows = np.isin(at_time, times) & np.isin(column, columns)
    part = GaugeRecord(
        record.x[np.ix_(times, columns)], record.points[columns], record.number[times], record.phase[times],
        record.seasonal and whole, None if record.elevation is None else record.elevation[columns],
    )  # fmt: skip
    return part, table[rows].assign(column=np.searchsorted(columns, column[rows])).reset_index(drop=True)


def score_mappings(
    record: GaugeRecord, table: pd.DataFrame, nature: Nature, kinds: Sequence[str], cluster: Int[np.ndarray, " n"],
    seed: int, device: torch.device,
) -> dict[str, list[Scored]]:  # fmt: skip
    """CRPS in own units at the stations of each selection, a part of the clusters, of mappings of the same values."""
    values = table["value"].to_numpy(float)
    quantities = [Clip() if kind == NONE else nature.fit(kind, values) for kind in kinds]
    parts = [
        Fitted.of(*part, cluster, seed, device, JUDGED_TIMES)
        for part in mapped_parts(record, table, quantities[0])
    ]
    station, selection = table["column"].to_numpy(), cluster % SELECTIONS
    scores = {}
    for kind, quantity in zip(kinds, quantities, strict=True):
        crps = statistics_of(quantity, parts, values, KRIGING)["crps"]
        here = [selection == number for number in range(SELECTIONS)]
        scores[kind] = [Scored(crps[rows], np.ones(rows.sum()), station[rows]) for rows in here]
    return scores


# Predictions of held-out readings in own units.


def own_predictions(parts: Sequence[Fitted], values: Float[np.ndarray, " n"], method: str) -> Predictions:
    """Predictions of held-out readings, of known values in own units, with cross-fitted spreads."""
    mean, spread = [], []
    for _, predictions, _ in parts:
        assert predictions is not None
        mean.append(predictions.mean[method])
        of_part = predictions.spreads(method) if method in WITH_SPREAD else np.ones(len(values))
        spread.append(np.maximum(of_part, TINY))
    return Predictions(np.stack(mean), np.stack(spread), values)


def statistics_of(
    quantity: Quantity, parts: Sequence[Fitted], values: Float[np.ndarray, " n"], method: str
) -> dict[str, Float[np.ndarray, " n"]]:
    """Statistics of the predictions of a method in own units, see `own_statistics`."""
    predicted = own_predictions(parts, values, method)
    return dict(own_statistics(quantity, predicted, certain=method not in WITH_SPREAD))


def own_scores(
    variable: str, quantity: Quantity, parts: Sequence[Fitted], table: pd.DataFrame, units: str, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of all methods in own units, followed by those of the mapped values; and those in own units by station."""
    first = parts[0].predictions
    assert first is not None
    scores, by_station = [], []
    for method in first.mean:
        statistics = statistics_of(quantity, parts, table["value"].to_numpy(float), method)
        scores.append(
            score_held_out(method, variable, statistics, units=units, cluster=first.cluster, seed=seed)
        )
        of_stations = scores_by_group(statistics, table[station_columns(table)])
        by_station.append(of_stations.assign(experiment=method, unit=units))
    if not isinstance(quantity, Clip):
        for name, part in zip(names_of_parts(variable, quantity), parts, strict=True):
            assert part.predictions is not None
            scores.append(part.predictions.scores("1", seed)[0].assign(variable=name))
    return pd.concat(scores, ignore_index=True), pd.concat(by_station, ignore_index=True)


def doubtful_readings(
    quantity: Quantity | None, parts: Sequence[Fitted], table: pd.DataFrame
) -> pd.DataFrame:
    """Readings far from their predictions, with the column `predicted`, in own units.

    They are more than `MAX_INNOVATION` spreads away: of the mapped values, or of an angle, which has two.
    """
    first = parts[0].predictions
    assert first is not None
    if quantity is None:
        return first.doubtful_readings()
    mean, spread, truth = own_predictions(parts, table["value"].to_numpy(float), KRIGING)
    if len(parts) == 1:
        predicted = quantity.inverse(mean)
        far = np.abs(quantity.forward(truth) - mean)[0] > MAX_INNOVATION * spread[0]
    else:
        moments = in_chunks(quantity, mean, spread)
        predicted = moments.mean
        far = np.abs(quantity.difference(truth, predicted)) > MAX_INNOVATION * moments.spread
    return table[far].assign(predicted=predicted[far])
