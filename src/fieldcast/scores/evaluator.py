"""All statistics of one variable of an ensemble of forecasts at one lead, averaged over regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from fieldcast.scores.averaging import cell_weights
from fieldcast.scores.energy import energy_score, squared_distances
from fieldcast.scores.statistics import cell_statistics

STATISTICS = (
    *("error", "absolute_error", "squared_error", "crps", "variance", "debiased_squared_error"),
    *("acc", "energy"),
)
LARGEST = 1e15  # beyond, squares overflow in float32: as good as infinite
NO_ANOMALY = (
    1e-4  # anomaly sd: a forecast whose anomaly is smaller everywhere is the climatology, but for rounding
)


@dataclass(frozen=True)
class Scored:
    """One variable at one lead: its ensemble and truth, where both exist, and area means over regions."""

    x: Float[np.ndarray, "member time latitude longitude"]
    y: Float[np.ndarray, "time latitude longitude"]
    weights: Float[np.ndarray, "region latitude longitude"]
    values: Float[np.ndarray, "region statistic time"]
    distances: Float[np.ndarray, "region time map map"]
    finite: Bool[np.ndarray, " time"]  # whether all members are


@dataclass(frozen=True)
class CellEvaluator:
    """How large cells are, and which rows each region has."""

    area: Float[np.ndarray, "latitude longitude"]
    bands: Bool[np.ndarray, "region latitude"]

    def score(
        self,
        x: Float[np.ndarray, "member time latitude longitude"],
        y: Float[np.ndarray, "time latitude longitude"],
        normal: Float[np.ndarray, "time latitude longitude"],
        deviation: float,
    ) -> Scored:
        """All statistics of an ensemble x against the truth y, whose climatology is `normal`."""
        exists = np.isfinite(y).all(0)
        weights = cell_weights(self.area, self.bands[:, :, None] & exists)
        finite = (np.abs(np.where(exists, x, 0.0)) < LARGEST).all(axis=(0, 2, 3))
        d = np.where(exists & finite[:, None, None], x - y, 0.0)
        y0 = np.where(exists, y, 0.0)
        found = cell_statistics(d, np.zeros_like(y0))
        actual = y0 - np.where(exists, normal, 0.0)
        anomaly = actual + found["error"]
        cells = [found[name] for name in STATISTICS if name in found]
        means = area_means(np.stack([*cells, anomaly * actual, anomaly**2, actual**2]), weights)
        both, own, others = np.moveaxis(means[:, -3:], 1, 0)
        own = np.where(own > (NO_ANOMALY * deviation) ** 2, own, np.nan)
        distances = squared_distances(d, weights)
        acc = both / np.sqrt(own * others)
        values = np.concatenate([means[:, :-3], np.stack([acc, energy_score(distances)], axis=1)], axis=1)
        values[..., ~finite] = np.inf
        values[:, STATISTICS.index("acc"), ~finite] = -np.inf
        return Scored(x, y, weights, values, distances, finite)


def area_means(
    values: Float[np.ndarray, "statistic time latitude longitude"],
    weights: Float[np.ndarray, "region latitude longitude"],
) -> Float[np.ndarray, "region statistic time"]:
    """Σ_cells w · value, in float64; NaN where a region has no cell."""
    flat = values.reshape(*values.shape[:2], -1).astype(float)
    return np.moveaxis(flat @ weights.reshape(len(weights), -1).T, -1, 0)
