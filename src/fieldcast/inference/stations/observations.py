"""Stations beside or in place of a gappy field: their representativeness error, and the rejected observations."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast import arguments
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.stations import points_of, time_shift_message
from fieldcast.errors import MAX_LISTED, InputError, listed
from fieldcast.fields.quantities import part_names
from fieldcast.fields.stations import observation_text
from fieldcast.inference.compatibility import refuse_wrong_units
from fieldcast.inference.stations.elevation import Relief, at_model_elevation
from fieldcast.innovations import MAX_INNOVATION
from fieldcast.models.capabilities import ChecksPoints
from fieldcast.models.core import Context, Model
from fieldcast.models.points import Points

LOG = logging.getLogger(__name__)
Representativeness: TypeAlias = float | Mapping[str, float] | None
FIRST_GUESS = 0.1  # variance of the representativeness error, as a share of the variance of the variable
ITERATIONS = 4  # iterations of the estimate, enough for convergence
MIN_TIMES = 12  # smallest number of times for the estimate, evenly spaced among those with observations
MIN_OBSERVATIONS = 30  # smallest number of observations of a variable for an estimate


def check_accepts_points(model: Model, subject: str) -> None:
    """Raise an InputError for a model that cannot use observations between cells."""
    if not model.accepts_points:
        raise InputError(
            f"{subject} reads observations in the cells of its grid only, not stations between them: choose a "
            "model that accepts points, such as optimal interpolation or kriging."
        )


@torch.no_grad()
def representativeness(model: Model, c: Context) -> Float[Tensor, " variable"]:
    """Variance of the representativeness error of the points of a context, for each variable, standardised.

        E[(y - H x_a)(y - H x_b)] = R

    (Desroziers et al. 2005, eq. 3) with the analysis x_a and the background x_b = 0, iterated from a first guess, minus
    the stated errors of the instruments; 0 for a variable with fewer than 30 observations.
    """
    variables = len(model.space.variables)
    variance = torch.full((variables,), FIRST_GUESS, dtype=torch.float64)
    if c.points is None or not isinstance(model, ChecksPoints):
        return 0 * variance
    present = c.points.datum.unique().cpu()
    if not len(present):
        return 0 * variance
    counts = torch.stack([(c.points.variable == v).sum() for v in range(variables)]).cpu()
    rarest = min((int(n) for n in counts if n >= MIN_OBSERVATIONS), default=len(c.points))
    count = min(len(present), max(MIN_TIMES, MIN_OBSERVATIONS * len(present) // rarest + 1))
    subset = c[present[torch.linspace(0, len(present) - 1, count).round().long()]]
    points = subset.points
    assert points is not None
    for _ in range(ITERATIONS):
        context = replace(subset, points=points.with_error(variance))
        mean, rejected = model.analysis(context)
        product = (points.y * (points.y - points.at(mean))).masked_fill(rejected, torch.nan)
        for v in range(variables):
            of_variable = points.variable == v
            if counts[v] < MIN_OBSERVATIONS:
                variance[v] = 0.0
            else:
                variance[v] = (product - points.error)[of_variable].nanmean().clamp(min=0).nan_to_num()
    return variance


def error_variance(
    model: Model, c: Context, codec: FieldCodec, stated: Representativeness
) -> Float[Tensor, " variable"]:
    """Variance of the representativeness error: `stated` as an error in units of the variables, or estimated."""
    check_representativeness(stated)
    if stated is None:
        return representativeness(model, c)
    by_name = stated if isinstance(stated, Mapping) else dict.fromkeys(codec.names, stated)
    if unknown := sorted(set(by_name) - set(codec.names)):
        raise InputError(
            f"representativeness names {', '.join(unknown)}, but the model has {', '.join(codec.names)}."
        )
    errors = [error for v in codec.names for error in mapped_error(codec, v, by_name.get(v, 0.0))]
    error = torch.tensor(errors, dtype=torch.float64)
    return (error / torch.as_tensor(codec.deviation, dtype=torch.float64)) ** 2


def mapped_error(codec: FieldCodec, v: str, error: float) -> list[float]:
    """An error in the units of a variable as that of its parts, linearised at the mean of the climatology."""
    if v not in codec.quantities:
        return [error]
    means = np.nanmean(codec.climatology[:, codec.parts(v)], axis=(0, 2, 3))
    at = codec.in_own_units(v, means[:, None, None].astype(float))
    low, high = (codec.mapped(v, at + sign * error) for sign in (-1, 1))
    return [float(x) for x in np.abs(high - low).ravel() / 2]


def check_representativeness(stated: object) -> None:
    """Raise an InputError unless the errors, one for all variables or one for each by name, are at least zero."""
    by_name = stated if isinstance(stated, Mapping) else {} if stated is None else {"": stated}
    for variable, error in by_name.items():
        name = f"representativeness of {variable}" if variable else "representativeness"
        arguments.real_number(error, name)


def errors_in_words(variance: Float[Tensor, " variable"], codec: FieldCodec) -> str:
    """The errors of all variables with their units."""
    errors = variance.sqrt().cpu().numpy() * codec.deviation
    mapped = [part for name in codec.quantities for part in part_names(name, codec.quantities[name])]
    return ", ".join(
        f"{v} {error:.3g} {'of mapped values' if v in mapped else codec.attrs[v].get('units', '')}".rstrip()
        for v, error in zip(codec.variables, errors, strict=True)
    )


def with_stations(
    c: Context, model: Model, codec: FieldCodec, table: pd.DataFrame, times: xr.DataArray, where: str,
    stated: Representativeness = None, relief: Relief | None = None,
) -> tuple[Context, dict[str, str]]:  # fmt: skip
    """The context with the stations of a table as points, and facts about them for the attributes of a result.

    `stated` is their representativeness error in the units of the variables; by default it is estimated. `relief` is
    the elevation of the cells, to which readings at other elevations are brought.
    """
    check_accepts_points(model, f"a model of type {type(model).__name__}")
    points = points_of(table, times, codec, model.space, where)
    points, sentences = at_model_elevation(points, table, codec, relief)
    for sentence in sentences:
        LOG.log(logging.INFO if relief else logging.WARNING, "%s: %s.", where, sentence)
    require_plausible_readings(points, table, codec, where)
    if message := time_shift_message(table, times, points.datum.cpu().numpy(), model.space.time_step):
        LOG.info(message)
    c = replace(c, points=points)
    variance = error_variance(model, c, codec, stated)
    c = replace(c, points=points.with_error(variance))
    rejected = (
        model.analysis(c)[1]
        if isinstance(model, ChecksPoints)
        else torch.zeros(len(points), dtype=torch.bool)
    )
    for sentence in rejection_messages(rejected, table, where):
        LOG.warning(sentence)
    return c, {
        "fieldcast_stations": f"{len(table)} observations, {int(rejected.sum())} of them left out",
        "fieldcast_representativeness": errors_in_words(variance, codec),
        **({"fieldcast_elevation": "; ".join(sentences)} if sentences else {}),
    }


def require_plausible_readings(points: Points, table: pd.DataFrame, codec: FieldCodec, where: str) -> None:
    """Raise an InputError if the readings of a variable are far from the climatology, as in wrong units.

    Otherwise their representativeness error would be estimated so large that none is rejected.
    """
    source = "as the table says" if "units" in table else "or add a column 'units' to the table"
    for v, name in enumerate(codec.variables):
        refuse_wrong_units(points.y[points.variable == v], name, codec, where, source)


def rejection_messages(rejected: Bool[Tensor, " points"], table: pd.DataFrame, where: str) -> Iterator[str]:
    """A sentence on the rejected observations, if there are any."""
    left_out = table[rejected.cpu().numpy()]
    if len(left_out):
        rows = left_out.head(MAX_LISTED).to_dict("records")
        texts = [f"{row['value']:.4g} ({observation_text(row)})" for row in rows]
        yield (
            f"{where}: {len(left_out)} of {len(table)} observations are more than {MAX_INNOVATION:g} standard "
            "deviations from the value that training data and neighbours predict, and were left out: "
            f"{listed(texts, len(left_out))}; check them."
        )
