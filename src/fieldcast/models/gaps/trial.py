"""Trials of the fillers of a record: each fills it without some observed values, and is scored at these.

Hidden are 3 % of the observed values, in the shape of other times' gaps, and 5 % of the times as a whole. The two kinds
count as the missing values do of which they are samples: a value of a time with some observations, or of one without
any. The variance of the error at hidden values is fitted to the variance s^2 that the filler claims,

    v = a + b s^2,    a, b >= 0,    minimal sum of w (log v + e^2 / v),

the likelihood of a Gaussian; spreads and members of the final filling are scaled by sqrt(v) / s. The scores of a trial
are those of spreads that were fitted to the other half of the hidden values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.gaps.record import FEWEST_TIMES, Filler, Filling, Record, hidden_like_other_times
from fieldcast.models.random_streams import RandomStreams, seed_for

HIDDEN = 0.03  # share of the observed values that are hidden in the shape of gaps
HIDDEN_TIMES = 0.05  # share of the times with observations that are hidden as a whole
ITERATIONS = 30  # of the weighted regression of squared errors
LEAST = 1e-6  # least fitted variance, as a share of the mean squared error
FEWEST = 10  # observations of a cell, below which its spread is at least the climatological one
BLOCK = 10  # times that belong to the same half


@dataclass(frozen=True, eq=False)
class Hidden:
    """Observed values hidden from the fillers, one after another.

    Parameters
    ----------
    record
        The record without them.
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

    record: Record
    time: Int[Tensor, " hidden"]
    cell: Int[Tensor, " hidden"]
    truth: Float[Tensor, " hidden"]
    whole: Bool[Tensor, " hidden"]
    area: Float[Tensor, " hidden"]
    weight: Float[Tensor, " hidden"]

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
    missing = torch.stack([(~observed[~empty]).sum(), (~observed[empty]).sum()]).double()
    of_cell, kind = area[cell].double(), whole[time].long()
    totals = torch.zeros(2, dtype=torch.float64, device=area.device).index_add(0, kind, of_cell)
    share = missing if (missing * totals).any() else torch.ones_like(missing)
    weight = of_cell * share[kind] / totals[kind]
    left = replace(record, observed=observed & ~hidden)
    return Hidden(left, time, cell, record.x[hidden].double(), whole[time], of_cell, weight / weight.sum())


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
    crps
        Mean of the CRPS, exact for a Gaussian: the limit of the fair CRPS of its members.
    in_gaps, at_whole_times
        a and b of the two kinds, fitted to all errors.
    """

    name: str
    error: Float[Tensor, " hidden"]
    spread: Float[Tensor, " hidden"]
    crps: float
    in_gaps: tuple[float, float]
    at_whole_times: tuple[float, float]


def attempt(name: str, filler: Filler, hidden: Hidden) -> Trial:
    """Fill the record without the hidden values, and score the result there."""
    streams = RandomStreams(0, torch.arange(len(hidden.record.x), device=hidden.record.x.device))
    filled = filler(hidden.record, streams)
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
    return Trial(name, error, spread, crps, *lines(error, claimed, hidden, torch.ones_like(half)))


def lines(
    error: Float[Tensor, " hidden"], claimed: Float[Tensor, " hidden"], hidden: Hidden,
    selected: Bool[Tensor, " hidden"],
) -> tuple[tuple[float, float], tuple[float, float]]:  # fmt: skip
    """a and b in gaps and at whole times, fitted to selected errors; to all if none of a kind is selected."""
    fits = []
    for kind in (~hidden.whole, hidden.whole):
        source = next(where for where in (selected & kind, kind, torch.ones_like(kind)) if where.any())
        fits.append(error_variance(error[source].square(), claimed[source], hidden.area[source]))
    return fits[0], fits[1]


def gaussian_crps(error: Float[Tensor, "*n"], spread: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = error / s (Gneiting et al. 2005, eq. 5)."""
    z = error / spread
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return spread * (z * torch.erf(z / math.sqrt(2)) + 2 * density - 1 / math.sqrt(math.pi))


def error_variance(
    square: Float[Tensor, " n"], claimed: Float[Tensor, " n"], weight: Float[Tensor, " n"]
) -> tuple[float, float]:
    """a and b of the variance of errors, from their squares, by iteratively reweighted least squares."""
    least = LEAST * float((weight * square).sum() / weight.sum()) or torch.finfo(torch.float64).tiny
    a, b = 0.0, float((weight * square).sum() / (weight * claimed).sum())
    for _ in range(ITERATIONS):
        w = weight / (a + b * claimed).clamp(min=least).square()
        a, b = nonnegative_line(claimed, square, w)
    return max(a, least), b


def nonnegative_line(
    x: Float[Tensor, " n"], y: Float[Tensor, " n"], weight: Float[Tensor, " n"]
) -> tuple[float, float]:
    """a, b >= 0 with the least weighted squares of y - a - b x, for x, y >= 0."""
    s, sx, sy, sxx, sxy = ((weight * term).sum().item() for term in (x.new_ones(()), x, y, x * x, x * y))
    determinant = s * sxx - sx * sx
    if determinant > 1e-9 * s * sxx:
        a, b = (sxx * sy - sx * sxy) / determinant, (s * sxy - sx * sy) / determinant
        if a >= 0 and b >= 0:
            return a, b
        return (0.0, sxy / sxx) if a < 0 else (sy / s, 0.0)
    return 0.0, sxy / sxx


def calibrated(filled: Filling, trial: Trial, record: Record) -> Filling:
    """The filling with spreads and members scaled to the error variance of the trial.

    The spread of a cell with fewer than `FEWEST` observations, from which no method can learn how it varies with
    others, is at least the climatological one.
    """
    observed = record.observed
    a, b = torch.where(
        observed.any(1)[:, None, None],
        filled.spread.new_tensor(trial.in_gaps),
        filled.spread.new_tensor(trial.at_whole_times),
    ).unbind(-1)
    least = torch.where(observed.sum(0) < FEWEST, record.scaled()[1], 0.0)
    spread = torch.maximum((a + b * filled.spread.square()).sqrt(), least).masked_fill(observed, 0.0)
    ratio = torch.where(observed, 0.0, spread / filled.spread.clamp(min=torch.finfo(spread.dtype).tiny))
    mean = filled.mean[:, None]
    return Filling(filled.mean, spread, mean + ratio[:, None] * (filled.members - mean))


def neighbours_in_time(
    observed: Bool[Tensor, "time cell"],
) -> tuple[Int[Tensor, "time cell"], Int[Tensor, "time cell"]]:
    """Index of the last observed time at or before each value, -1 without; of the first at or after, T without."""
    times = len(observed)
    index = torch.arange(times, device=observed.device)[:, None]
    before = torch.where(observed, index, -1).cummax(0).values
    after = torch.where(observed, index, times).flip(0).cummin(0).values.flip(0)
    return before, after


def linear_in_time(record: Record, hours: Float[Tensor, " time"]) -> Float[Tensor, "time cell"]:
    """Interpolation between the observed times of each cell, constant beyond them; 0 in cells never observed."""
    before, after = neighbours_in_time(record.observed)
    last = len(record.x) - 1
    x = torch.where(record.observed, record.x, 0.0)
    i = torch.where(before < 0, after.clamp(max=last), before)
    j = torch.where(after > last, before.clamp(min=0), after)
    apart = hours[j] - hours[i]
    share = torch.where(apart > 0, (hours[:, None] - hours[i]) / torch.where(apart > 0, apart, 1.0), 0.0).to(
        x
    )
    return (1 - share) * x.gather(0, i) + share * x.gather(0, j)
