"""Sentences on whether the spread of a filled record is right, and where not to trust the result."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from fieldcast import calendars
from fieldcast.geometry import EARTH_RADIUS
from fieldcast.inference.gaps_outcome import Outcome
from fieldcast.inference.gaps_result import CLIMATOLOGICAL, EXTRAPOLATED, FARTHEST, FILLED
from fieldcast.models.gaps.hiding import SELECTIONS
from fieldcast.models.gaps.pieces import counts
from fieldcast.models.gaps.reach import nearest_observation, steps_to_observation

RIGHT = (0.85, 1.15)  # ratios of spread to error that count as right
RARE = 0.05  # share of the hidden values that may be farther from an observation than the usual ones
MANY = 0.1  # share of the missing values beyond these of which the report warns
MOST = 5  # times that are listed
FAR = 5.0  # spreads
UNCHECKED = (
    f"{{}} of the missing values {{}}, but at most {RARE:.0%} of the hidden ones there, are more than {{}}: there "
    "the spread is unchecked, and may be far too small."
)
MIDNIGHT = "T00:00:00"  # which dates do without


def share_of(number: int, total: int) -> str:
    """A share of some values in percent, which is not 0 where there are some."""
    return f"{number / total:.1%}" if number >= total / 1000 else "less than 0.1%"


def reliability(outcome: Outcome, columns: Bool[Tensor, " column"], name: str) -> Iterator[str]:
    """Whether the spread is right, and where not to trust the result."""
    statistics, hidden = outcome.statistics, outcome.statistics.hidden
    here = columns[hidden.cell]
    if not here.any():
        yield f"No value of {name} was hidden, so its spread is unchecked."
        return
    error, spread, weight = statistics.error[here], statistics.spread[here], hidden.weights(here)[here]
    ratio = ratio_of(spread, error, weight)
    verdict = "right" if RIGHT[0] <= ratio <= RIGHT[1] else "too small" if ratio < 1 else "too large"
    beyond = float((error.abs() > FAR * spread).double().mean())
    doubts = list(unchecked(outcome, columns))
    subject = "Where it could be checked (but see below), the spread" if doubts else "The spread"
    yield (
        f"{subject} is {verdict} on average in {SELECTIONS} selections of hidden values: {ratio:.2f} of the error, "
        f"weighted like the missing values; {beyond:.2%} of {int(here.sum())} errors exceed {FAR:g} spreads; the "
        f"largest is {float((error.abs() / spread).max()):.1f} spreads."
    )
    yield from by_variability(error, spread, weight, statistics.claims.climatological[here])
    yield from doubts
    yield from extrapolation(outcome, columns, name)
    left = int(outcome.distrusted[:, columns].count_nonzero())
    if left:
        yield f"{left} values are left missing by max_gap or max_spread."


def ratio_of(
    spread: Float[Tensor, " hidden"], error: Float[Tensor, " hidden"], weight: Float[Tensor, " hidden"]
) -> float:
    """Ratio of the root mean square of the spread to that of the error."""
    return math.sqrt(float((weight * spread.square()).sum() / (weight * error.square()).sum()))


def by_variability(
    error: Float[Tensor, " hidden"], spread: Float[Tensor, " hidden"], weight: Float[Tensor, " hidden"],
    climatological: Float[Tensor, " hidden"],
) -> Iterator[str]:  # fmt: skip
    """The ratio where the cells vary least, moderately and most: a third of the hidden values each."""
    thirds = [part for part in climatological.argsort().tensor_split(3) if weight[part].any()]
    if len(thirds) == 3:
        ratios = (f"{ratio_of(spread[part], error[part], weight[part]):.2f}" for part in thirds)
        yield "In the cells that vary least, moderately and most it is {}, {} and {}.".format(*ratios)


def unchecked(outcome: Outcome, columns: Bool[Tensor, " column"]) -> Iterator[str]:
    """A warning where many missing values are farther in time, or in space, from observations than the hidden ones.

    Missing values of times with observations, and of those without any, are compared to hidden ones of the same kind.
    """
    record, hidden = outcome.gappy.record, outcome.hidden.mask & columns
    left = record.observed & ~outcome.hidden.mask
    missing = ~record.observed & record.observed.any(0) & columns
    steps = steps_to_observation(left, record.segment), steps_to_observation(record.observed, record.segment)
    chords = (
        nearest_observation(left, record.places, hidden),
        nearest_observation(record.observed, record.places, missing),
    )
    for whole, kind in ((False, "in gaps"), (True, "at whole times")):
        of_kind = hidden & (chords[0].isinf() == whole), missing & (chords[1].isinf() == whole)
        if of_kind[1].any() and not of_kind[0].any():
            yield f"No value was hidden {kind}, so the spread is unchecked there."
        elif far := farther(*(of_part[here] for of_part, here in zip(steps, of_kind, strict=True))):
            yield UNCHECKED.format(
                far.share, kind, f"{steps_of(far.usual)} from an observation of their cell"
            )
        if not whole and (
            far := farther(*(of_part[here] for of_part, here in zip(chords, of_kind, strict=True)))
        ):
            usual = 2 * EARTH_RADIUS / 1000 * math.asin(far.usual / 2)
            yield UNCHECKED.format(far.share, kind, f"{usual:.0f} km from the observations of their time")


def steps_of(number: float) -> str:
    """A number of steps in words."""
    return f"{number:.0f} step{'' if number == 1 else 's'}"


class Farther(NamedTuple):
    """Distance within which nearly all hidden values have observations, and the share of missing ones beyond it."""

    usual: float
    share: str


def farther(hidden: Shaped[Tensor, " hidden"], missing: Shaped[Tensor, " missing"]) -> Farther | None:
    """Compare distances of hidden and of missing values; None unless many missing ones are farther."""
    if not len(hidden):
        return None
    usual = hidden.sort().values[int((1 - RARE) * (len(hidden) - 1))]
    far = int((missing > usual).count_nonzero())
    return Farther(float(usual), share_of(far, len(missing))) if far > MANY * len(missing) else None


def extrapolation(outcome: Outcome, columns: Bool[Tensor, " column"], name: str) -> Iterator[str]:
    """Lengths of the correlation, and the number of values beyond the reach of observations, by time."""
    space, time = outcome.lengths[name]
    kilometres = 2 * EARTH_RADIUS / 1000 * math.asin(min(1.0, space / 2))
    flag = outcome.flag[:, columns]
    filled, extrapolated = ((flag == value) for value in (FILLED, EXTRAPOLATED))
    missing = int(filled.count_nonzero() + extrapolated.count_nonzero())
    yield f"Correlation falls to 1/e at {kilometres:.0f} km and at {time} step{'s' * (time != 1)}."
    count = counts(extrapolated)[0]
    if not count.any():
        yield (
            f"None of the {missing} missing values is extrapolated (flag 2): the spread of each is below "
            f"{CLIMATOLOGICAL:g} of the climatological one, and each is within {FARTHEST:g} of these lengths of an "
            "observation."
        )
    else:
        number = int(count.sum())
        yield (
            f"Of {missing} missing values {number} ({share_of(number, missing)}) are extrapolated (flag 2): their "
            f"spread exceeds {CLIMATOLOGICAL:g} of the climatological one, or they are farther than {FARTHEST:g} of "
            "these lengths from any observation. Do not trust them."
        )
        worst = torch.argsort(count, descending=True, stable=True)[:MOST]
        dates = outcome.gappy.times
        listed = ", ".join(
            f"{calendars.date(dates[t]).removesuffix(MIDNIGHT)} ({int(count[t])})"
            for t in worst.tolist()
            if count[t]
        )
        yield f"Most of them at {listed}."
