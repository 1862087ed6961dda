"""A filled record, the methods that were compared to fill it, and their errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Bool, Float, Int8
from torch import Tensor

from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.models.gaps.hidden import Hidden
from fieldcast.models.gaps.trial import ErrorStatistics, Trial

Lengths: TypeAlias = dict[
    str, tuple[float, int]
]  # e-folding chord on the unit sphere and number of steps, by variable


@dataclass(frozen=True, eq=False)
class Outcome:
    """A filled record with the errors of its methods, for the report.

    Parameters
    ----------
    gappy
        The record.
    hidden
        Values at which the methods are scored.
    trials, best
        The trials of all methods at these values, and the trial of the method that filled the record.
    statistics
        Errors of this method at all selections of hidden values.
    linear
        Errors of linear interpolation in time.
    flag
        Flags of the result (`gaps_result`).
    beyond_limits
        Values that were left missing because they cannot be trusted.
    lengths
        E-folding lengths of the correlation.
    """

    gappy: GappyRecord
    hidden: Hidden
    trials: Sequence[Trial]
    best: Trial
    statistics: ErrorStatistics
    linear: Float[Tensor, " hidden"]
    flag: Int8[Tensor, "time column"]
    beyond_limits: Bool[Tensor, "time column"]
    lengths: Lengths
