"""Mapped variables in their own units: the missing values of a filling, and predictions of held-out values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float
from scipy.special import ndtr
from torch import Tensor

from fieldcast.encoding.gappy_record import MAX_SHARE_AT_BOUND, GappyRecord, OwnVariable
from fieldcast.fields.quantities import CENTRAL, CHUNK, TINY, Clip, Moments, Parts, Quantity, in_chunks
from fieldcast.geometry import GRID
from fieldcast.models.gaps.held_out import HeldOut
from fieldcast.models.gaps.record import Filling

LEAST_RATIO = (
    0.3  # smallest ratio of mean and spread above a bound, at which a seventh of the values is off it
)
SCORES = np.linspace(-2.0, 8.0, 4001)  # standard scores at which the moments of censored values are tabulated


class OwnFilling(NamedTuple):
    """The uncertain values of a mapped variable: where they are among its columns, and their distribution.

    They are the missing ones, and all if observed ones have errors.
    """

    uncertain: Bool[np.ndarray, "time column"]
    moments: Moments

    def on_columns(
        self, part: Float[np.ndarray, " uncertain"], observed: float = 0.0
    ) -> Float[np.ndarray, "time column"]:
        """One of the moments at all times."""
        values = np.full(self.uncertain.shape, observed, np.float32)
        values[self.uncertain] = part
        return values


def own_fillings(gappy: GappyRecord, filling: Filling) -> dict[str, OwnFilling]:
    """The mapped variables of a filling, by name, each in its own units."""
    own = {}
    for variable in gappy.own:
        name, quantity, parts = variable
        if quantity is not None:
            uncertain = ~gappy.record.observed[:, gappy.columns_of(parts[0])]
            if gappy.record.noise is not None:
                uncertain = torch.ones_like(uncertain)
            mean, spread = (
                np.stack([in_mapped_units(gappy, x, v, climatology)[uncertain].cpu().numpy() for v in parts])
                for x, climatology in ((filling.mean, True), (filling.spread, False))
            )
            mean, spread = of_censored(gappy, variable, mean, spread)
            own[name] = OwnFilling(uncertain.cpu().numpy(), in_chunks(quantity, mean, spread))
    return own


def in_mapped_units(
    gappy: GappyRecord, x: Float[Tensor, "time column"], v: int, climatology: bool
) -> Float[Tensor, "time some"]:
    """Anomalies of one variable of the record as mapped values, or their spreads, without the climatology."""
    columns = gappy.columns_of(v)
    values = x[:, columns] * float(gappy.codec.deviation[v])
    return values + gappy.climatology(columns) if climatology else values


def own_members(
    gappy: GappyRecord, filling: Filling, variable: OwnVariable
) -> Float[np.ndarray, "time member column"]:
    """The members of a mapped variable, each mapped back."""
    assert variable.quantity is not None
    drawn = filling.members
    columns = int(gappy.has_column[variable.parts[0]].sum())
    members = np.empty((*drawn.shape[:2], columns), np.float32)
    mean, spread = (
        np.stack([in_mapped_units(gappy, x, v, climatology).cpu().numpy() for v in variable.parts])
        for x, climatology in ((filling.mean, True), (filling.spread, False))
    )
    centre, width = of_censored(gappy, variable, mean, spread)
    for member in range(drawn.shape[1]):
        parts = [in_mapped_units(gappy, drawn[:, member], v, True).cpu().numpy() for v in variable.parts]
        x = np.stack(parts)
        if width is not spread:
            x = np.where(spread > 0, centre + (x - mean) * (width / np.where(spread > 0, spread, 1)), x)
        members[:, member] = variable.quantity.inverse(x)
    return members


def is_mostly_at_bound(gappy: GappyRecord, variable: OwnVariable) -> bool:
    """Whether the lower bound of a variable is the value of most of its values, for which no latent ones stand."""
    quantity, v = variable.quantity, variable.parts[0]
    if quantity is None or gappy.record.bounds is None or gappy.at_bound[v, 0] <= MAX_SHARE_AT_BOUND:
        return False
    return bool(quantity.forward(np.array([quantity.lowest]))[0, 0] == quantity.ends[0])


def of_censored(gappy: GappyRecord, variable: OwnVariable, mean: Parts, spread: Parts) -> tuple[Parts, Parts]:
    """The Gaussian of which a mean and a spread are those of its values cut at the bound, if most values are at it.

    The methods see the bound for each value at it, so that they predict the moments of max(y, b) and not those of y,

        E max(y, b) = b + s (phi(z) + z Phi(z)),    Var max(y, b) = s^2 ((1 + z^2) Phi(z) + z phi(z) - (phi + z Phi)^2),

    z = (m - b) / s (Tobin 1958): a place that is dry in nine of ten cases has a small positive mean, and a median of 0.
    A mean that is less than `LEAST_RATIO` spreads above the bound, or below it, is taken to be there.
    """
    if not is_mostly_at_bound(gappy, variable):
        return mean, spread
    assert variable.quantity is not None
    bound, table = variable.quantity.ends[0], censored_moments(SCORES)
    centre, width = np.array(mean), np.array(spread)
    flat = [x.reshape(-1) for x in (centre, width)]
    for first in range(0, centre.size, CHUNK):
        m, s = (x[first : first + CHUNK].astype(float) for x in flat)
        ratio = np.maximum((m - bound) / np.maximum(s, TINY), LEAST_RATIO)
        z = np.interp(ratio, table[0] / table[1], SCORES)
        wider = s / censored_moments(z)[1]
        near = ratio < SCORES[-1] - 1  # others are Gaussian
        flat[0][first : first + CHUNK] = np.where(near, bound + z * wider, m)
        flat[1][first : first + CHUNK] = np.where(near, wider, s)
    return centre, width


def censored_moments(z: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Mean and standard deviation of max(y, 0), y a Gaussian of mean z and variance 1."""
    phi, below = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), ndtr(z)
    mean = phi + z * below
    return mean, np.sqrt((1 + z**2) * below + z * phi - mean**2)


def spread_exceeds(gappy: GappyRecord, filling: Filling, share: float) -> Bool[Tensor, "time column"]:
    """Mask of the spreads above a share of the climatological one; of all parts of a variable together."""
    climatological = gappy.record.statistics().deviation
    exceeds = filling.spread > share * climatological
    for _, _, parts in gappy.own:
        if len(parts) > 1:
            columns, excess = [gappy.columns_of(v) for v in parts], torch.zeros(1)
            for v, c in zip(parts, columns, strict=True):
                variance = filling.spread[:, c].square() - (share * climatological[c]).square()
                excess = excess.to(variance) + float(gappy.codec.deviation[v]) ** 2 * variance
            for c in columns:
                exceeds[:, c] = excess > 0
    return exceeds


def largest_predictions(
    gappy: GappyRecord, held_out: HeldOut, error: Float[Tensor, " held_out"], fields: xr.Dataset
) -> dict[str, float]:
    """The largest prediction of a held-out value of each mapped variable, by name, as mapped."""
    largest = {}
    for variable in gappy.own:
        if variable.quantity is None or len(variable.parts) > 1 or isinstance(variable.quantity, Clip):
            continue
        selected = of_variable(gappy, held_out, variable)
        if selected.any():
            certain = torch.zeros_like(error)
            mean = predictions(gappy, fields, held_out, error, certain, variable, selected).mean
            largest[variable.name] = float(mean.max())
    return largest


def largest_seen(gappy: GappyRecord) -> dict[str, float]:
    """The largest observed value, as mapped, of each variable that is mostly at its bound."""
    largest = {}
    for variable in gappy.own:
        if is_mostly_at_bound(gappy, variable):
            v = variable.parts[0]
            values = in_mapped_units(gappy, gappy.record.x, v, True)
            largest[variable.name] = float(values[gappy.record.observed[:, gappy.columns_of(v)]].max())
    return largest


def within_seen(gappy: GappyRecord, filling: Filling, largest: Mapping[str, float]) -> Filling:
    """The filling with no mean of a variable above the largest value that was seen, which changes it in place.

    Where most values are at a bound, a linear method takes the few others for larger anomalies than a Gaussian field
    has, and may run away from them. What a mean exceeds the largest value seen by counts as an error of it:

        m' = min(m, m_seen),    s'^2 = s^2 + (m - m')^2,    and members x become m' + (x - m) s' / s.
    """
    for name, _, (v, *_) in gappy.own:
        if name not in largest:
            continue
        columns = gappy.columns_of(v)
        excess = in_mapped_units(gappy, filling.mean, v, True).sub_(largest[name]).clamp_(min=0)
        excess = (excess / float(gappy.codec.deviation[v])).masked_fill_(
            gappy.record.observed[:, columns], 0.0
        )
        mean, spread = filling.mean[:, columns], filling.spread[:, columns]
        wider = torch.hypot(spread, excess)
        if filling.members.shape[1]:
            ratio = torch.where(spread > 0, wider / spread, 1.0)[:, None]
            members = filling.members[:, :, columns]
            members.sub_(mean[:, None]).mul_(ratio).add_((mean - excess)[:, None])
        mean.sub_(excess)
        spread.copy_(wider)
    return filling


def beyond_predictions(
    gappy: GappyRecord, filling: Filling, largest: Mapping[str, float]
) -> Bool[Tensor, "time column"]:
    """Mask of the values of mapped variables above the largest prediction of a held-out value."""
    beyond = torch.zeros_like(gappy.record.observed)
    for name, _, (v, *_) in gappy.own:
        if name in largest:
            beyond[:, gappy.columns_of(v)] = in_mapped_units(gappy, filling.mean, v, True) > largest[name]
    return beyond & ~gappy.record.observed


class Predictions(NamedTuple):
    """Predictions of held-out values of one variable: mapped means and spreads, and the truth in own units."""

    mean: Float[np.ndarray, "part n"]
    spread: Float[np.ndarray, "part n"]
    truth: Float[np.ndarray, " n"]


def of_variable(gappy: GappyRecord, held_out: HeldOut, variable: OwnVariable) -> Bool[Tensor, " held_out"]:
    """Mask of the held-out values of a variable, of its first part."""
    return gappy.variable[held_out.cell] == variable.parts[0]


def predictions(
    gappy: GappyRecord, fields: xr.Dataset, held_out: HeldOut, error: Float[Tensor, " held_out"],
    spread: Float[Tensor, " held_out"], variable: OwnVariable, selected: Bool[Tensor, " held_out"],
) -> Predictions:  # fmt: skip
    """Predictions of the selected values of a mapped variable.

    Parameters
    ----------
    gappy, fields
        The record, and its fields in own units.
    held_out
        Held-out values; the parts of a variable are in the same order.
    error, spread
        Predicted minus true anomaly, and the standard deviation of the prediction; 0 without one.
    variable
        The variable.
    selected
        Values of its first part.
    """
    assert variable.quantity is not None
    of_parts = [gappy.variable[held_out.cell] == v for v in variable.parts]
    among = selected[of_parts[0]]
    time, cell = (x[of_parts[0]][among].cpu() for x in (held_out.time, held_out.cell))
    _, y, x = gappy.has_column.nonzero()[cell].T
    truth = fields[variable.name].transpose("time", *GRID).values[time, y, x].astype(float)
    deviation = gappy.codec.deviation[list(variable.parts), None].astype(float)
    errors, spreads = (
        deviation * np.stack([x[of_part][among].double().cpu().numpy() for of_part in of_parts])
        for x in (error, spread)
    )
    mean, spreads = of_censored(gappy, variable, variable.quantity.forward(truth) + errors, spreads)
    return Predictions(mean, spreads, truth)


def own_statistics(
    quantity: Quantity, predicted: Predictions, certain: bool = False
) -> Mapping[str, Float[np.ndarray, " n"]]:
    """Statistics of predictions in own units, as `scores.held_out` averages them; `certain`: of a mean without spread.

    The coverage is the expected share of the randomised PIT within the interval of 90 %: at a mass, that of the values
    between the probabilities of smaller and of smaller or equal ones.
    """
    mean, spread, truth = predicted
    if certain:
        error = quantity.difference(quantity.inverse(mean), truth)
        return {"error": error, "square": error**2, "crps": np.abs(error)}
    moments = quantity.moments(mean, spread)
    error = quantity.difference(moments.mean, truth)
    low, high = quantity.pit(mean, spread, truth)
    inside = np.clip(high, *CENTRAL) - np.clip(low, *CENTRAL)
    covered = np.where(
        high > low, inside / np.maximum(high - low, 1e-12), (low >= CENTRAL[0]) & (low <= CENTRAL[1])
    )
    return {
        "error": error, "square": error**2, "crps": quantity.crps(mean, spread, truth),
        "variance": moments.spread**2, "debiased": error**2, "coverage": covered,
    }  # fmt: skip
