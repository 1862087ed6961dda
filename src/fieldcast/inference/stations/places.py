"""Gauges in one place: which they are, and what their differences say about the error of a reading."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from fieldcast.geometry import MEAN_EARTH_RADIUS

SAME_PLACE = 0.1 / MEAN_EARTH_RADIUS  # chord between gauges in one place: 100 m, the precision of coordinates


def places(points: Float[np.ndarray, "station 3"]) -> Int[np.ndarray, " station"]:
    """Number of the place of each gauge: gauges that chains of neighbours within `SAME_PLACE` connect share one."""
    pairs = cKDTree(points).query_pairs(SAME_PLACE, output_type="ndarray")
    graph = csr_array((np.ones(len(pairs)), pairs.T), shape=(len(points), len(points)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def membership(place: Int[np.ndarray, " station"]) -> csr_array:
    """Matrix (station, place) of 1 where a gauge is in a place."""
    return csr_array((np.ones(len(place)), (np.arange(len(place)), place)))


def variance_within(x: Float[np.ndarray, "time station"], place: Int[np.ndarray, " station"]) -> float:
    """Variance of simultaneous values about the mean of their place, half the mean squared difference of two.

    0 if no two are simultaneous in one place.
    """
    of_place = membership(place)
    filled, observed = np.nan_to_num(x), np.isfinite(x).astype(float)
    count = observed @ of_place
    mean = filled @ of_place / np.maximum(count, 1)
    square = np.square(filled - mean[:, place]) * observed
    freedom = np.maximum(count - 1, 0).sum()
    return float(square.sum() / freedom) if freedom else 0.0
