"""Trials of the fillers of a record: each fills it without some observed values, and is scored at these.

Hidden are 3 % of the observed values, in the shape of other times' gaps, and 5 % of the times as a whole. The two kinds
count as the missing values do of which they are samples: a value of a time with some observations, or of one without
any. The variance of the errors is fitted to the variance that the filler claims (`calibration`); spreads and members of
the final filling are scaled to it. The scores of a trial are those of spreads that were fitted to the other half of the
hidden values.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.gaps.calibration import error_variance, gaussian_crps
from fieldcast.models.gaps.cells import deviations
from fieldcast.models.gaps.pieces import counts
from fieldcast.models.gaps.record import FEWEST_TIMES, Filler, Filling, Record, hidden_like_other_times
from fieldcast.models.random_streams import seed_for

HIDDEN = 0.03  # share of the observed values that are hidden in the shape of gaps
HIDDEN_TIMES = 0.05  # share of the times with observations that are hidden as a whole
FEWEST = 10  # observations of a cell, below which its spread is at least the climatological one
BLOCK = 10  # times that belong to the same half

Line = tuple[float, float]  # a and b of `calibration`


@dataclass(frozen=True, eq=False)
class Hidden:
    """Observed values hidden from the fillers, one after another.

    Parameters
    ----------
    shape
        Numbers of times and cells of the record.
    time, cell
        Their places in the record.
    truth
        Their values.
    whole
        Which of them belong to a time that is hidden as a whole.
    area
        Area of their cells.
    weight
        Weight of each in means over the missing values; the sum is 1.
    """

    shape: tuple[int, int]
    time: Int[Tensor, " hidden"]
    cell: Int[Tensor, " hidden"]
    truth: Float[Tensor, " hidden"]
    whole: Bool[Tensor, " hidden"]
    area: Float[Tensor, " hidden"]
    weight: Float[Tensor, " hidden"]

    @property
    def mask(self) -> Bool[Tensor, "time cell"]:
        """Mask of the hidden values of the record."""
        mask = torch.zeros(self.shape, dtype=torch.bool, device=self.time.device)
        mask[self.time, self.cell] = True
        return mask

    def at(self, x: Float[Tensor, "time cell"]) -> Float[Tensor, " hidden"]:
        """Values of a matrix at the hidden places."""
        return x[self.time, self.cell].double()


def hide(record: Record, area: Float[Tensor, " cell"], seed: int) -> Hidden:
    """Choose the hidden values; `area` weights the cells.

    Raises
    ------
    InputError
        If there are too few observed values to hide some.
    """
    generator = torch.Generator().manual_seed(seed_for("hidden values", seed))
    observed = record.observed
    times = observed.any(1).nonzero()[:, 0]
    count = min(max(1, int(HIDDEN_TIMES * len(times))), len(times) - FEWEST_TIMES)
    whole = torch.zeros(len(observed), dtype=torch.bool, device=observed.device)
    whole[times[torch.randperm(len(times), generator=generator)[:count]]] = True
    hidden = hidden_like_other_times(observed & ~whole[:, None], HIDDEN, generator) & ~whole[:, None]
    hidden |= observed & whole[:, None]
    if not hidden.any():
        raise InputError(
            f"the record has observed values at {len(times)} of {len(observed)} times, too few to hide some and "
            "compare the methods there: give a longer record."
        )
    time, cell = hidden.nonzero(as_tuple=True)
    empty = ~observed.any(1)
    missing = torch.stack([(~observed[some]).count_nonzero() for some in (~empty, empty)]).double()
    of_cell, kind = area[cell].double(), whole[time].long()
    totals = torch.zeros(2, dtype=torch.float64, device=area.device).index_add(0, kind, of_cell)
    share = missing if (missing * totals).any() else torch.ones_like(missing)
    weight = of_cell * share[kind] / totals[kind]
    truth, shape = record.x[hidden].double(), (len(observed), observed.shape[1])
    return Hidden(shape, time, cell, truth, whole[time], of_cell, weight / weight.sum())


@dataclass(frozen=True, eq=False)
class Trial:
    """Result of one filler at the hidden values.

    Parameters
    ----------
    name
        Name of the filler.
    error
        Mean minus truth.
    spread
        Standard deviation, fitted to the errors of the other half of the hidden values.
    in_gaps, at_whole_times
        a and b of the two kinds, fitted to all errors.
    crps
        Mean of the CRPS, exact for a Gaussian: the limit of the fair CRPS of its members.
    mean_of_series, spread_of_series
        The filling of some cells at all times; its spread is fitted to all errors.
    """

    name: str
    error: Float[Tensor, " hidden"]
    spread: Float[Tensor, " hidden"]
    in_gaps: Line
    at_whole_times: Line
    crps: float
    mean_of_series: Float[Tensor, "time series"]
    spread_of_series: Float[Tensor, "time series"]


def attempt(
    name: str, filler: Filler, record: Record, hidden: Hidden, series: Int[Tensor, " series"] | None = None
) -> Trial:
    """Fill a record without its hidden values, and score the result there; `series` are cells to keep."""
    cells = hidden.cell[:0] if series is None else series
    filled = filler(record, None)
    error, claimed = hidden.at(filled.mean) - hidden.truth, hidden.at(filled.spread).square()
    half = hidden.time // BLOCK % 2 == 0
    spread = torch.empty_like(error)
    for fitted, scored in ((half, ~half), (~half, half)):
        for kind, (a, b) in zip(
            (~hidden.whole, hidden.whole), lines(error, claimed, hidden, fitted), strict=True
        ):
            here = scored & kind
            spread[here] = (a + b * claimed[here]).sqrt()
    crps = float((hidden.weight * gaussian_crps(error, spread)).sum())
    fits = lines(error, claimed, hidden, torch.ones_like(half))
    observed = record.observed[:, cells]
    of_series = error_spread(filled.spread[:, cells], record.observed.any(1), *fits).masked_fill(
        observed, 0.0
    )
    return Trial(name, error, spread, *fits, crps, filled.mean[:, cells], of_series)


def lines(
    error: Float[Tensor, " hidden"], claimed: Float[Tensor, " hidden"], hidden: Hidden,
    selected: Bool[Tensor, " hidden"],
) -> tuple[Line, Line]:  # fmt: skip
    """a and b in gaps and at whole times, fitted to selected errors; to all if none of a kind is selected."""
    fits = []
    for kind in (~hidden.whole, hidden.whole):
        source = next(where for where in (selected & kind, kind, torch.ones_like(kind)) if where.any())
        fits.append(error_variance(error[source].square(), claimed[source], hidden.area[source]))
    return fits[0], fits[1]


def error_spread(
    claimed: Float[Tensor, "time cell"], any_observed: Bool[Tensor, " time"], in_gaps: Line, at_whole_times: Line
) -> Float[Tensor, "time cell"]:  # fmt: skip
    """Standard deviation of the error where a filler claims the standard deviation `claimed`."""
    lines = claimed.new_tensor([at_whole_times, in_gaps])
    a, b = lines[any_observed.long()].unbind(1)
    return claimed.square().mul_(b[:, None]).add_(a[:, None]).sqrt_()


def calibrated(filled: Filling, trial: Trial, record: Record) -> Filling:
    """The filling with spreads and members scaled to the error variance of the trial.

    The spread of a cell with fewer than `FEWEST` observations, from which no method can learn how it varies with
    others, is at least the climatological one.
    """
    observed = record.observed
    least = torch.where(counts(observed)[1] < FEWEST, deviations(record.x, observed), 0.0)
    spread = error_spread(filled.spread, observed.any(1), trial.in_gaps, trial.at_whole_times)
    spread = torch.maximum(spread, least, out=spread).masked_fill_(observed, 0.0)
    if not filled.members.shape[1]:
        return Filling(filled.mean, spread, filled.members)
    ratio = spread / filled.spread.clamp(min=torch.finfo(spread.dtype).tiny)
    mean = filled.mean[:, None]
    members = (filled.members - mean).mul_(ratio.masked_fill_(observed, 0.0)[:, None]).add_(mean)
    return Filling(filled.mean, spread, members)


def busiest(
    hidden: Bool[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], length: int
) -> tuple[int, int]:
    """First time and cell of the stretch of `length` times with most hidden and most other observed values.

    The product of the two numbers decides; of several the first.
    """
    totals = []
    for present in (hidden, observed):
        total = torch.cat(
            [torch.zeros_like(present[:1], dtype=torch.int32), present.cumsum(0, dtype=torch.int32)]
        )
        totals.append(total[length:] - total[:-length])
    best = int((totals[0] * totals[1]).argmax())
    return divmod(best, hidden.shape[1])
