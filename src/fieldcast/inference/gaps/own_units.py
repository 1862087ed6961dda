"""Mapped variables in their own units: the missing values of a filling, and predictions of held-out values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast.encoding.gappy_record import GappyRecord, OwnVariable
from fieldcast.fields.quantities import CENTRAL, CHUNK, Clip, Moments, Quantity, in_chunks
from fieldcast.geometry import GRID
from fieldcast.models.gaps.held_out import HeldOut
from fieldcast.models.gaps.record import Filling


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
    for member in range(drawn.shape[1]):
        parts = [in_mapped_units(gappy, drawn[:, member], v, True).cpu().numpy() for v in variable.parts]
        members[:, member] = variable.quantity.inverse(np.stack(parts))
    return members


def spread_exceeds(gappy: GappyRecord, filling: Filling, share: float) -> Bool[Tensor, "time column"]:
    """Mask of the spreads above a share of the climatological one; of all parts of a variable together."""
    climatological = gappy.record.statistics().deviation
    if gappy.drift is not None:
        climatological = (climatological.square() + gappy.drift.var(0)).sqrt()
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
    return Predictions(variable.quantity.forward(truth) + errors, spreads, truth)


def own_statistics(
    quantity: Quantity, predicted: Predictions, certain: bool = False
) -> Mapping[str, Float[np.ndarray, " n"]]:
    """Statistics of predictions in own units, as `scores.held_out` averages them; `certain`: of a mean without spread.

    The coverage is the expected share of the randomised PIT within the interval of 90 %: at a mass, that of the values
    between the probabilities of smaller and of smaller or equal ones.
    """
    pieces = [
        statistics_of_some(quantity, Predictions(mean, spread, truth), certain)
        for mean, spread, truth in (
            (
                predicted.mean[:, i : i + CHUNK],
                predicted.spread[:, i : i + CHUNK],
                predicted.truth[i : i + CHUNK],
            )
            for i in range(0, max(1, len(predicted.truth)), CHUNK)
        )
    ]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def statistics_of_some(
    quantity: Quantity, predicted: Predictions, certain: bool
) -> Mapping[str, Float[np.ndarray, " n"]]:
    """The statistics of as many predictions as are in memory at once."""
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
