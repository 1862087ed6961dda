"""Statistics that standardise fields: area-weighted, over the training split.

mean, std: of the field; anomaly_std: of a = x − c(day); tendency: standard deviation of
(a_t − a_{t−1}) / anomaly_std within segments. Cells that never exist have no weight.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float

from fieldcast import geometry
from fieldcast.calendars import day_of_year
from fieldcast.errors import InputError
from fieldcast.fields.chunked import blocks
from fieldcast.fields.conventions import time_varying

INDEPENDENT = 2**0.5  # tendency of independent states: assumed where no two times follow one another
STATISTICS = ("mean", "std", "anomaly_std", "tendency")


def fit(training: xr.Dataset, climatology: xr.Dataset) -> xr.Dataset:
    """Compute mean, std, anomaly_std [units of the variable] and tendency [1] over `variable`, float64.

    Raises
    ------
    InputError
        For a variable that does not vary in the training split.
    """
    names = time_varying(training)
    values = np.array([_statistics(training[name], climatology[name]) for name in names])
    statistics = {key: ("variable", values[:, i]) for i, key in enumerate(STATISTICS)}
    units = [str(training[name].attrs.get("units", "")) for name in names]
    return xr.Dataset(statistics, {"variable": ("variable", names), "units": ("variable", units)})


class _Moments:
    """Weighted mean and variance over blocks, shifted by the first mean to avoid cancellation."""

    def __init__(self, weight: Float[np.ndarray, "y x"]) -> None:
        self.weight = weight
        self.shift: float | None = None
        self.n = self.first = self.second = 0.0

    def add(self, x: Float[np.ndarray, "time y x"]) -> None:
        if not len(x):
            return
        if self.shift is None:
            self.shift = float((self.weight * x).sum() / (self.weight.sum() * len(x)))
        moved = x - self.shift
        self.n += self.weight.sum() * len(x)
        self.first += float((self.weight * moved).sum())
        self.second += float((self.weight * moved**2).sum())

    @property
    def mean(self) -> float:
        return (self.shift or 0.0) + self.first / self.n

    @property
    def std(self) -> float:
        return float(np.sqrt(max(self.second / self.n - (self.first / self.n) ** 2, 0.0)))


def _statistics(array: xr.DataArray, climatology: xr.DataArray) -> tuple[float, float, float, float]:
    exists = np.asarray(array.isel(time=0).notnull().values)
    weight = geometry.cell_areas(array["latitude"], array["longitude"], exists)
    day, segment = day_of_year(array["time"]) - 1, array["segment"].values
    normal = climatology.transpose("dayofyear", "latitude", "longitude").values.astype(np.float64)
    field, anomalies, steps = _Moments(weight), _Moments(weight), _Moments(weight)
    last, last_segment = None, None
    for span, values in blocks(array):
        x = np.where(exists, values, 0.0).astype(np.float64)
        a = x - np.where(exists, normal[day[span]], 0.0)
        field.add(x)
        anomalies.add(a)
        if last is not None and segment[span.start] == last_segment:
            steps.add(a[:1] - last)
        steps.add(np.diff(a, axis=0)[np.diff(segment[span]) == 0])
        last, last_segment = a[-1:], segment[span.stop - 1]
    followed = (segment[1:] == segment[:-1]).any()
    if anomalies.std == 0 or (followed and steps.std == 0):
        raise InputError(
            f"variable '{array.name}' does not vary in the training split: leave it out with "
            "ingestion.variables, or choose another ingestion.splits.train"
        )
    tendency = steps.std / anomalies.std if followed else INDEPENDENT
    return field.mean, field.std, anomalies.std, tendency
