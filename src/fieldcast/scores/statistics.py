"""Statistics of one ensemble against one truth, cell by cell, which may be averaged over cells and times.

Letters: x_1 .. x_M the members, y the truth, x̄ the mean of the members, s² their variance with divisor
M - 1, x_(1) <= ... <= x_(M) the members in order. Everything works on x - y, so that fields with a large mean and
small variations keep their digits in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Integer, Shaped

from fieldcast.geometry import GRID
from fieldcast.scores.numbers import MAX_SCORED
from fieldcast.scores.regions import cell_weights

# the unit of each statistic is that of the field to this power
POWER = {
    "error": 1,
    "absolute_error": 1,
    "squared_error": 2,
    "crps": 1,
    "variance": 2,
    "debiased_squared_error": 2,
    "coverage50": 0,
    "coverage90": 0,
    "ssim": 0,
    "observed_squared_error": 2,
}
COVERAGE = {"coverage50": 0.5, "coverage90": 0.9}
# statistics of cells without ranks, of which forecasts and readings of stations have means
OF_CELLS = tuple(name for name in POWER if name not in {*COVERAGE, "ssim", "observed_squared_error"})


def with_overall(
    values: Float[np.ndarray, "..."],
    deviation: Float[np.ndarray, " variable"],
    power: int | Integer[np.ndarray, "..."],
    *,
    axis: int,
) -> Float[np.ndarray, "..."]:
    """The values and, last along the axis of variables, their mean over variables of value / deviation ** power.

    `deviation` is the anomaly standard deviation of each variable, and `power` that of the unit of the values, one for
    all or an array that broadcasts against the axes after that of the variables.
    """
    units = np.expand_dims(deviation, tuple(range(1, values.ndim - axis))) ** power
    return np.concatenate([values, (values / units).mean(axis, keepdims=True)], axis)


class Interval(NamedTuple):
    """Interval from the i-th to the j-th of M ordered members, and the probability that it holds a calibrated truth."""

    i: int
    j: int
    members: int

    @property
    def probability(self) -> float:
        """(j - i) / (M + 1)."""
        return (self.j - self.i) / (self.members + 1)

    def __str__(self) -> str:
        return f"{self.i}..{self.j} of {self.members}, exactly {self.probability:.3g}"


def coverage_interval(members: int, nominal: float) -> Interval | None:
    """The symmetric pair of order statistics i, j = M + 1 - i whose coverage (j - i)/(M + 1) is nearest to
    `nominal`.

    None where the nearest is off by more than 0.05: 10 members have no 90 % interval (they cover at most
    9/11). With 19 members 50 % is 5..15 and 90 % is 1..19, both exact.
    """
    i = max(1, round((members + 1) * (1 - nominal) / 2))
    interval = Interval(i, members + 1 - i, members)
    return interval if interval.j > i and abs(interval.probability - nominal) <= 0.05 else None


def fair_crps(
    x: Float[np.ndarray, " member *cell"], y: Float[np.ndarray, "*cell"]
) -> Float[np.ndarray, "*cell"]:
    """Fair continuous ranked probability score (Ferro 2014, doi:10.1002/qj.2270), in the units of x.

    CRPS = mean_i |x_i - y| - 1/(2 M (M - 1)) Σ_ij |x_i - x_j|, the double sum as 2 Σ_r (2r - M - 1) x_(r):
    M log M operations. Its mean over ensembles is the score of the distribution that the members come from,
    whatever M. A single member has |x - y|; a NaN member makes the score NaN.

    `scores.probability.crps_for_ensemble` is the same score in three times the time and four times the memory
    (benchmarks/crps.py); it leaves NaN members out, which would favour a model that blew up.
    """
    return crps_of_sorted(sort_members(x - y))


def sort_members(x: Float[np.ndarray, " member *cell"]) -> Float[np.ndarray, "*cell member"]:
    """Members of each cell in order, NaN last."""
    values = np.ascontiguousarray(np.moveaxis(x, 0, -1))  # a sort along strides takes twice as long
    values.sort(axis=-1)
    return values


def crps_of_sorted(d: Float[np.ndarray, "*cell member"]) -> Float[np.ndarray, "*cell"]:
    """Fair CRPS of members in order, as differences from the truth."""
    members = d.shape[-1]
    skill = np.abs(d).mean(axis=-1)
    if members == 1:
        return skill
    weight = (2 * np.arange(1, members + 1) - members - 1) / (members * (members - 1))
    return skill - d @ weight.astype(d.dtype)  # NaN propagates through the product


def ranks(
    x: Float[np.ndarray, " member *cell"], y: Float[np.ndarray, "*cell"], rng: np.random.Generator
) -> Integer[np.ndarray, "*cell"]:
    """Number of members below the truth, 0..M; a truth equal to n members takes one of the n + 1 ranks at
    random."""
    below = (x < y).sum(0, dtype=np.int32)
    equal = (x == y).sum(0, dtype=np.int32)
    tied = equal > 0
    below[tied] += rng.integers(0, equal[tied], endpoint=True, dtype=np.int32)
    return below


def coverage(rank: Integer[np.ndarray, "*cell"], members: int, nominal: float) -> Float[np.ndarray, "*cell"]:
    """1 where x_(i) < y < x_(j), that is i <= rank < j, else 0; NaN where M is too small for the nominal
    coverage."""
    interval = coverage_interval(members, nominal)
    if interval is None:
        return np.full(rank.shape, np.nan)
    return ((rank >= interval.i) & (rank < interval.j)).astype(float)


def cell_statistics(
    x: Float[np.ndarray, " member *cell"],
    y: Float[np.ndarray, "*cell"],
    rank: Shaped[np.ndarray, "*cell"] | None = None,
) -> dict[str, Float[np.ndarray, "*cell"]]:
    """The statistics of single cells, of an ensemble against the truth; their powers are in `POWER`.

    error x̄ - y, absolute_error |x̄ - y|, squared_error (x̄ - y)², crps (fair), variance s²,
    debiased_squared_error (x̄ - y)² - s²/M (the squared error that infinitely many members would have, on
    average), coverage if ranks are given. NaN where a member is NaN; variance and what needs it also for a
    single member, coverage also where there are too few members for the nominal coverage.
    """
    members = len(x)
    d = x - y
    error = d.mean(0)
    statistics = {
        "error": error,
        "absolute_error": np.abs(error),
        "squared_error": error**2,
        "crps": fair_crps(x, y),
        "variance": d.var(0, ddof=1) if members > 1 else np.full_like(error, np.nan),
    }
    statistics["debiased_squared_error"] = statistics["squared_error"] - statistics["variance"] / members
    for name, nominal in COVERAGE.items() if rank is not None else ():
        statistics[name] = np.where(np.isnan(error), np.nan, coverage(rank, members, nominal))
    return statistics


class Errors(NamedTuple):
    """Errors of an ensemble: 0 in cells that do not exist and at times when a member is not finite."""

    d: Float[np.ndarray, "member time latitude longitude"]  # x - y
    finite: Bool[np.ndarray, " time"]  # whether all members are finite
    statistics: dict[str, Float[np.ndarray, "time latitude longitude"]]  # `cell_statistics`


def cell_areas(area: xr.DataArray, fields: xr.Dataset) -> Float[np.ndarray, "latitude longitude"]:
    """Areas of the cells of fields; `area` may lack a dim along which cells are equal."""
    sizes = {name: fields.sizes[name] for name in GRID if name not in area.dims}
    return area.expand_dims(sizes).transpose(*GRID).to_numpy().astype(float)


@dataclass(frozen=True)
class CellEvaluator:
    """The truth y of one variable, the area of each cell, and which cells exist: at all times, or at each time."""

    y: Float[np.ndarray, "time latitude longitude"]
    area: Float[np.ndarray, "latitude longitude"]
    exists: Bool[np.ndarray, "*time latitude longitude"]

    @classmethod
    def of(
        cls,
        y: Float[np.ndarray, "time latitude longitude"],
        area: Float[np.ndarray, "latitude longitude"],
    ) -> CellEvaluator:
        """Create an evaluator in which cells exist where y is finite, which may change in time."""
        present = np.isfinite(y)
        always = present.all(0)
        return cls(y, area, always if np.array_equal(always, present.any(0)) else present)

    def weights(
        self, selected: Bool[np.ndarray, "*kind_and_time #latitude #longitude"]
    ) -> Float[np.ndarray, "*kind_and_time latitude longitude"]:
        """Weights of the selected cells that exist, see `cell_weights`."""
        return cell_weights(self.area, selected & self.exists)

    def existing(self, values: Float[np.ndarray, "*batch latitude longitude"]) -> np.ndarray:
        """Values, 0 in cells that do not exist."""
        return np.where(self.exists, values, 0.0)

    def errors(
        self,
        x: Float[np.ndarray, "member time latitude longitude"],
        rank: Integer[np.ndarray, "time latitude longitude"] | None = None,
    ) -> Errors:
        """Errors and statistics of the ensemble x, with coverage if the ranks of the truth are given."""
        finite = (np.abs(self.existing(x)) < MAX_SCORED).all(axis=(0, 2, 3))
        d = np.where(self.exists & finite[:, None, None], x - self.y, 0.0)
        return Errors(d, finite, cell_statistics(d, np.zeros_like(d[0]), rank))
