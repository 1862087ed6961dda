"""Stations beside or in place of a gappy field: their error of representativeness, and those that are rejected."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

import pandas as pd
import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast import arguments
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.stations import points_of, time_shift_message
from fieldcast.errors import InputError
from fieldcast.fields.stations import observation_text
from fieldcast.inference.compatibility import FAR
from fieldcast.models.capabilities import ChecksPoints
from fieldcast.models.core import Context, Model
from fieldcast.models.points import Points

LOG = logging.getLogger(__name__)
Representativeness: TypeAlias = float | Mapping[str, float] | None
FIRST_GUESS = 0.1  # variance of the error of representativeness, in variances of the variable
ROUNDS = 4  # of the estimate, which has settled by then
TIMES = 12  # times that it uses at least, spread evenly over those with observations
FEWEST = 30  # observations of a variable without which there is no estimate
LISTED = 5  # rejected observations that a sentence lists


def check_accepts_points(model: Model, what: str) -> None:
    """Raise an InputError for a model that cannot use observations between cells."""
    if not model.accepts_points:
        raise InputError(
            f"{what} reads observations in the cells of its grid only, not stations between them: choose a "
            "model that accepts points, such as optimal interpolation or kriging."
        )


@torch.no_grad()
def representativeness(model: Model, c: Context) -> Float[Tensor, " variable"]:
    """Variance of the error of representativeness of the points of a context, for each variable, standardised.

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
    rarest = min((int(n) for n in counts if n >= FEWEST), default=len(c.points))
    count = min(len(present), max(TIMES, FEWEST * len(present) // rarest + 1))
    some = c[present[torch.linspace(0, len(present) - 1, count).round().long()]]
    points = some.points
    assert points is not None
    for _ in range(ROUNDS):
        given = replace(some, points=points.with_error(variance))
        mean, rejected = model.analysis(given)
        product = (points.y * (points.y - points.at(mean))).masked_fill(rejected, torch.nan)
        for v in range(variables):
            of_variable = points.variable == v
            if counts[v] < FEWEST:
                variance[v] = 0.0
            else:
                variance[v] = (product - points.error)[of_variable].nanmean().clamp(min=0).nan_to_num()
    return variance


def error_variance(
    model: Model, c: Context, codec: FieldCodec, given: Representativeness
) -> Float[Tensor, " variable"]:
    """Variance of the error of representativeness as `given` in units of the variables, else as estimated.

    Raises
    ------
    InputError
        For an error that is negative or no number, or one of a variable that the model lacks.
    """
    check_representativeness(given)
    if given is None:
        return representativeness(model, c)
    by_name = given if isinstance(given, Mapping) else dict.fromkeys(codec.variables, given)
    if unknown := sorted(set(by_name) - set(codec.variables)):
        raise InputError(
            f"representativeness names {', '.join(unknown)}, but the model has {', '.join(codec.variables)}."
        )
    error = torch.tensor([by_name.get(v, 0.0) for v in codec.variables], dtype=torch.float64)
    return (error / torch.as_tensor(codec.deviation, dtype=torch.float64)) ** 2


def check_representativeness(given: object) -> None:
    """Raise an InputError unless errors are numbers of at least zero, of all variables or by name."""
    by_name = given if isinstance(given, Mapping) else {} if given is None else {"": given}
    for variable, error in by_name.items():
        name = f"representativeness of {variable}" if variable else "representativeness"
        arguments.real_number(error, name)


def in_words(variance: Float[Tensor, " variable"], codec: FieldCodec) -> str:
    """Errors of the variables in their units."""
    errors = variance.sqrt().cpu().numpy() * codec.deviation
    return ", ".join(
        f"{v} {error:.3g} {codec.attrs[v].get('units', '')}".rstrip()
        for v, error in zip(codec.variables, errors, strict=True)
    )


def with_stations(
    c: Context, model: Model, codec: FieldCodec, table: pd.DataFrame, times: xr.DataArray, where: str,
    given: Representativeness = None,
) -> tuple[Context, dict[str, str]]:  # fmt: skip
    """The context with the stations of a table as points, and facts about them for the attributes of a result.

    `given` is their error of representativeness, in the units of the variables; by default it is estimated.

    Raises
    ------
    InputError
        For a model that cannot use them, and for stations outside its grid or of variables that it lacks.
    """
    check_accepts_points(model, f"a model of type {type(model).__name__}")
    points = points_of(table, times, codec, model.space, where)
    require_plausible_readings(points, table, codec, where)
    if message := time_shift_message(table, times, points.datum.cpu().numpy(), model.space.time_step):
        LOG.info(message)
    c = replace(c, points=points)
    variance = error_variance(model, c, codec, given)
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
        "fieldcast_representativeness": in_words(variance, codec),
    }


def require_plausible_readings(points: Points, table: pd.DataFrame, codec: FieldCodec, where: str) -> None:
    """Raise an InputError for a variable whose readings are far from the climatology, as in wrong units.

    Their errors of representativeness would be estimated so large that none is rejected. The median decides.
    """
    for v, name in enumerate(codec.variables):
        readings = points.y[points.variable == v].abs()
        if len(readings) >= FEWEST and (far := float(readings.median())) > FAR:
            units = codec.attrs[name].get("units", "1")
            given = "as the table says" if "units" in table else "or add a column 'units' to the table"
            raise InputError(
                f"half of the readings of '{name}' in {where} are more than {far:.3g} standard deviations of the "
                f"training data from its climatology: check that they are in {units}, {given}."
            )


def rejection_messages(rejected: Bool[Tensor, " points"], table: pd.DataFrame, where: str) -> Iterator[str]:
    """A sentence on the observations that were rejected, if there are any."""
    rows = table[rejected.cpu().numpy()]
    if len(rows):
        listed = "; ".join(
            f"{row['value']:.4g} ({observation_text(row)})" for row in rows.head(LISTED).to_dict("records")
        )
        rest = f", and {len(rows) - LISTED} more" if len(rows) > LISTED else ""
        yield (
            f"{where}: {len(rows)} of {len(table)} observations are more than five standard deviations from the value "
            f"that training data and neighbours predict, and were left out: {listed}{rest}; check them."
        )
