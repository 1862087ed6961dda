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

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Integer, Shaped

from fieldcast.events import is_low, thresholds_on
from fieldcast.scores.regions import area_means
from fieldcast.scores.statistics import crps_of_sorted, sort_members

AXES = ("quantile", "outcome", "number", "time")  # last dimensions of `shares`


class EventTables:
    """Collects the tables of one experiment, case by case and variable by variable.

    Parameters
    ----------
    thresholds
        Thresholds of events, see `fieldcast.events`.
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
