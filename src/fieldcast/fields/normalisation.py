"""Statistics that standardise fields: area-weighted, over the training split.

mean, std: of the field; anomaly_std: of a = x − c(day); tendency: standard deviation of
(a_t − a_{t−1}) / anomaly_std within segments. Missing values have no weight.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from fieldcast import geometry
from fieldcast.calendars import day_of_year
from fieldcast.errors import InputError
from fieldcast.fields import domain
from fieldcast.fields.conventions import time_varying
from fieldcast.fields.domain import BLOCK_BYTES, SMALL_BLOCK_BYTES, blocks, in_memory

INDEPENDENT_TENDENCY = 2**0.5  # of independent states, assumed if no two successive times are observed
STATISTICS = ("mean", "std", "anomaly_std", "tendency")


def fit(training: xr.Dataset, climatology: xr.Dataset) -> xr.Dataset:
    """Compute mean, std, anomaly_std [units of the variable] and tendency [1] over `variable`, float64."""
    names = time_varying(training)
    exists = domain.exists(training)
    # sums over large blocks keep the statistics of complete fields unchanged, to the last bit
    size = BLOCK_BYTES if in_memory(training) and not domain.has_gaps(training) else SMALL_BLOCK_BYTES
    values = np.array(
        [_statistics(training[v], climatology[v], exists.sel(variable=v).values, size) for v in names]
    )
    statistics = {key: ("variable", values[:, i]) for i, key in enumerate(STATISTICS)}
    units = [str(training[name].attrs.get("units", "")) for name in names]
    return xr.Dataset(statistics, {"variable": ("variable", names), "units": ("variable", units)})


class _Moments:
    """Weighted mean and variance of the values that are not NaN, shifted by the first mean to avoid cancellation."""

    def __init__(self, weight: Float[np.ndarray, "y x"]) -> None:
        self.weight = weight
        self.shift: float | None = None
        self.n = self.first = self.second = 0.0

    def add(self, x: Float[np.ndarray, "time y x"]) -> None:
        present = np.isfinite(x)
        total = self._total(present)
        if total == 0:
            return
        if self.shift is None:
            self.shift = float((self.weight * np.where(present, x, 0.0)).sum() / total)
        moved = x - self.shift
        np.copyto(moved, 0.0, where=~present)
        self.n += total
        self.first += float((self.weight * moved).sum())
        np.square(moved, out=moved)  # in place, because a block in double precision is large
        moved *= self.weight
        self.second += float(moved.sum())

    def _total(self, present: Bool[np.ndarray, "time y x"]) -> float:
        """Sum of the weights of the values that are present."""
        if present[:, self.weight > 0].all():
            return float(self.weight.sum() * len(present))  # as for fields without gaps, to the last bit
        return float((self.weight * present).sum())

    @property
    def mean(self) -> float:
        return (self.shift or 0.0) + self.first / self.n

    @property
    def std(self) -> float:
        return float(np.sqrt(max(self.second / self.n - (self.first / self.n) ** 2, 0.0)))


def _statistics(
    array: xr.DataArray, climatology: xr.DataArray, exists: Bool[np.ndarray, "y x"], size: int
) -> tuple[float, float, float, float]:
    weight = geometry.areas_of(array, exists)
    day, segment = day_of_year(array["time"]) - 1, array["segment"].values
    normal = climatology.transpose("dayofyear", "latitude", "longitude").values
    field, anomalies, steps = _Moments(weight), _Moments(weight), _Moments(weight)
    last, last_segment = None, None
    for span, values in blocks(array, size):
        x = values.astype(np.float64)
        field.add(x)
        x -= normal[day[span]]
        a = x
        anomalies.add(a)
        if last is not None and segment[span.start] == last_segment:
            steps.add(a[:1] - last)
        steps.add(np.diff(a, axis=0)[np.diff(segment[span]) == 0])
        last, last_segment = a[-1:], segment[span.stop - 1]
    followed = steps.n > 0
    if anomalies.n == 0 or anomalies.std == 0 or (followed and steps.std == 0 and steps.mean == 0):
        raise InputError(
            f"variable '{array.name}' does not vary in the training split: leave it out with "
            "ingestion.variables, or choose another ingestion.splits.train"
        )
    # steps that are all equal, such as those within pairs of valid times, have no variance, though the fields vary
    tendency = steps.std / anomalies.std if followed and steps.std else INDEPENDENT_TENDENCY
    return field.mean, field.std, anomalies.std, tendency
