"""Thresholds of events with their lineage, shared by every method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from fieldcast import calendars, lineage
from fieldcast.calendars import DAYS_PER_YEAR
from fieldcast.encoding.options import Events
from fieldcast.fields import climatology as climatologies
from fieldcast.fields.conventions import time_varying
from fieldcast.fields.domain import BLOCK_BYTES
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges, select
from fieldcast.geometry import GRID
from fieldcast.kinds import MONTHS
from fieldcast.scores.event_tables import EventTables


def thresholds(
    fields: xr.Dataset, splits: SplitRanges, climatology: xr.Dataset, options: Events
) -> xr.Dataset:
    """Climatological quantiles of the training split."""
    training = select(fields, splits, "train")
    fitted = fit(training, climatology, options.quantiles, options.window)
    return fitted.assign_attrs(made_from(fields, splits, options))


def made_from(fields: xr.Dataset, splits: SplitRanges, events: Events) -> dict[str, Any]:
    """Everything that the thresholds depend on."""
    return {
        "data": fields.attrs["digest"],
        "train": [str(time) for time in splits["train"]],
        "quantiles": list(events.quantiles),
        "window": events.window,
    }


@dataclass(frozen=True, eq=False)
class ScoredEvents:
    """Stored thresholds of events, and the options of this run for them."""

    event_thresholds: xr.Dataset
    events: Events

    def tables(self, data: PreparedData) -> EventTables:
        """Empty contingency tables of these events."""
        lineage.require(
            self.event_thresholds,
            made_from(data.fields, data.splits, self.events),
            "the thresholds of events were estimated",
            "estimate them again with `kedro run --pipelines events`",
        )
        return EventTables(self.event_thresholds)


# Climatological quantiles of the training split: thresholds of events (`fieldcast.kinds`).
#
# The threshold of the quantile p on the day D is that of the anomalies x - c of all training times, weighted by the
# window of the climatology (`climatology.window_weights`) about D:
#
#     Q_p(D) = F_D^-1(p),    F_D(x_(i)) = (w_1 + ... + w_i - w_i / 2) / Σ w,    linear between the ordered values x_(i)
#
# (Hazen's plotting positions, with weights). Below the first and above the last position it is the extreme value
# itself. Days are 18 of the year, because quantiles in a window of 61 days change slowly; monthly data have 12, each
# with the values of its calendar month, and less than two years of data one. A season without data has the quantiles
# of all days.
#
# The window of 61 days holds 61 values of each training year, whose triangular weights count as (Σ w)² / Σ w² = 45
# equal ones (attribute `values`): of eight years some 360, of which 18 lie beyond the 5 % and 4 beyond the 1 %
# quantile, and neighbouring days are correlated. A rare event of a short record is therefore defined only roughly.


ESTIMATION_DAYS = 18  # number of days of the year on which quantiles are estimated


def fit(
    training: xr.Dataset, climatology: xr.Dataset, quantiles: Sequence[float], window: int = 61
) -> xr.Dataset:
    """Thresholds of each time-varying variable on (quantile, dayofyear, latitude, longitude), anomalies in its units.

    NaN in cells without training values. Bands of rows bound the memory.
    """
    centres, weights = _seasons(str(climatology.attrs["kind"]), window)
    of_time = weights[:, calendars.day_of_year(training["time"]) - 1]  # (season, time)
    of_time[of_time.sum(axis=1) == 0] = 1.0  # a season without data takes all days, as in the climatology
    variables = {}
    for name in time_varying(training):
        sizes = (len(quantiles), len(centres), *(training.sizes[axis] for axis in GRID))
        values = np.empty(sizes, np.float32)
        for rows in _bands(training[name]):
            part = {"latitude": rows}
            anomaly = climatologies.anomaly(training[[name]].isel(part), climatology[[name]].isel(part))
            x = anomaly[name].transpose("time", *GRID).to_numpy()
            for season, w in enumerate(of_time):
                values[:, season, rows] = weighted_quantiles(x[w > 0], w[w > 0], quantiles)
        units = {"units": training[name].attrs["units"]} if "units" in training[name].attrs else {}
        variables[name] = (("quantile", "dayofyear", *GRID), values, units)
    coords = {
        "quantile": np.asarray(quantiles, float),
        "dayofyear": centres + 1.0,
        **{axis: training[axis] for axis in GRID},
    }
    effective = of_time.sum(axis=1) ** 2 / (of_time**2).sum(axis=1)
    return xr.Dataset(variables, coords, {"window": window, "values": float(effective.mean())})


def weighted_quantiles(
    x: Float[np.ndarray, "time y x"], w: Float[np.ndarray, " time"], quantiles: Sequence[float]
) -> Float[np.ndarray, "quantile y x"]:
    """Weighted quantiles of each cell, without its NaN; see the module for the definition."""
    cells = x.reshape(len(x), -1).T
    order = np.argsort(np.ascontiguousarray(cells), axis=1)  # NaN goes last
    ordered = np.take_along_axis(cells, order, axis=1)
    weight = w[order]
    weight[np.isnan(ordered)] = 0.0
    position = weight.cumsum(axis=1)
    total = position[:, -1].copy()  # `position` changes below
    position -= weight / 2
    position /= np.where(total > 0, total, np.nan)[:, None]
    last = np.maximum(np.isfinite(ordered).sum(axis=1) - 1, 0)
    values = []
    for p in quantiles:
        after = np.minimum((position < p).sum(axis=1), last)
        before = np.maximum(after - 1, 0)
        (x0, x1), (p0, p1) = (
            [np.take_along_axis(of_time, index[:, None], axis=1)[:, 0] for index in (before, after)]
            for of_time in (ordered, position)
        )
        share = np.clip((p - p0) / np.where(p1 > p0, p1 - p0, 1.0), 0.0, 1.0)
        values.append(np.where(total > 0, x0 + share * (x1 - x0), np.nan))
    return np.stack(values).reshape(len(quantiles), *x.shape[1:])


def _seasons(kind: str, window: int) -> tuple[Float[np.ndarray, " season"], Float[np.ndarray, "season 365"]]:
    """Days on which quantiles are estimated, from 0, and the weights of all days of the year for each."""
    if kind == climatologies.CONSTANT:
        return np.zeros(1), np.ones((1, DAYS_PER_YEAR))
    if kind == climatologies.SEASONAL:
        centres = np.arange(ESTIMATION_DAYS) * DAYS_PER_YEAR / ESTIMATION_DAYS
        return centres, climatologies.window_weights(centres, window)
    month = climatologies.months() == np.arange(MONTHS)[:, None]
    return month @ np.arange(DAYS_PER_YEAR) / month.sum(axis=1), month.astype(float)


def _bands(array: xr.DataArray) -> Iterator[slice]:
    """Rows of the grid in bands of about the size of a block at all times."""
    per_row = 4 * array.sizes["time"] * array.sizes["longitude"]
    rows = max(1, BLOCK_BYTES // per_row)
    yield from (slice(first, first + rows) for first in range(0, array.sizes["latitude"], rows))
