"""Quality of the analyses of a cycle, without any truth: scores at withheld observations, and the innovations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast.departures import MAX_DEPARTURE
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.fields import conventions
from fieldcast.fields.units import conversion
from fieldcast.inference.cycle.withheld import withheld_scores, withheld_sums
from fieldcast.inference.stations.left_out import TITLES
from fieldcast.inference.user_layout import original_name
from fieldcast.kinds import STATE
from fieldcast.scores.assimilation import INNOVATION_POWER, innovation_statistics
from fieldcast.scores.metrics import METRICS
from fieldcast.scores.observations import NOMINAL_COVERAGE
from fieldcast.scores.statistics import coverage_interval

SCORES = {
    "crps": f"{METRICS['crps'].title} of {{v}} at withheld observations",
    "rmse": "RMSE of the mean of {v} at withheld observations",
    "coverage90": f"{METRICS['coverage90'].title} of {{v}} at withheld observations",
}
INNOVATION_COLUMNS = (
    "innovation_squared",
    "innovation_expected",
    "desroziers",
    "suspect",
)  # innovation statistics that become variables of the result
CHI_SQUARED = "mean squared innovation of {v} divided by the expected one"
SUSPECT_TITLE = (
    f"share of observations of {{v}} more than {MAX_DEPARTURE:g} standard deviations from the background"
)
INFERRED = "observation error of {v} implied by innovations and residuals"
# smallest ensemble for which a coverage of 90 % is defined
MIN_MEMBERS = next(members for members in count(2) if coverage_interval(members, NOMINAL_COVERAGE))
DISTANCES = "distance_km", "missing_distance_km"  # attributes of the scores, see `distances_km`
FARTHER = 1.5  # ratio of these distances from which a run warns
INNOVATIONS, WITHHELD = "fieldcast_innovations", "fieldcast_withheld"  # variables beside the fields of a step


def quality_of_step(
    y: Float[Tensor, "variable y x"],
    withheld: Bool[Tensor, "y x"],
    estimates: Mapping[str, Float[Tensor, "1 members variable y x"]],
    noise: float,
    seed: int,
    number: int,
) -> xr.Dataset:
    """Innovations of one time and sums at its withheld observations, the input of `with_quality`.

    Parameters
    ----------
    y
        Observations, NaN elsewhere, in anomaly standard deviations.
    withheld
        The withheld cells.
    estimates
        Members by name; `background` and `analysis` give the innovations.
    noise
        Standard deviation of the observation error.
    seed
        Seed of the draws of observation errors.
    number
        Number of the time.
    """
    assimilated = y.masked_fill(withheld, torch.nan).double().cpu().numpy()
    b, a = (estimates[name][0].double().cpu().numpy() for name in ("background", "analysis"))
    by_variable = [
        [
            float(value[0])
            for value in innovation_statistics(v[None], b[:, i, None], a[:, i, None], noise).values()
        ]
        for i, v in enumerate(assimilated)
    ]
    sums = (
        withheld_sums(y.masked_fill(~withheld, torch.nan), estimates, noise, seed, number)
        if withheld.any()
        else {}
    )
    variables: dict[str, Any] = {INNOVATIONS: (("time", "number", "statistic"), np.array([by_variable]))}
    if sums:
        variables[WITHHELD] = ("time", STATE, "number", "sum"), np.stack([*sums.values()])[None]
    return xr.Dataset(variables, {STATE: [*sums]} if sums else None)


def with_quality(
    result: xr.Dataset,
    steps: xr.Dataset,
    dataset: xr.Dataset,
    codec: FieldCodec,
    noise: float,
    distances: Float[np.ndarray, "variable 2"],
) -> xr.Dataset:
    """The result with scores and innovation statistics of each variable, in its units.

    `steps` holds `quality_of_step` of all times; `dataset` is the user's record, and `distances` are the `distances_km`
    of its withheld observations and missing values.
    """
    (time,) = map(str, dataset[conventions.axes(dataset)["time"]].dims)
    innovations = steps[INNOVATIONS].to_numpy().T  # (statistic, variable, time)
    by_name = dict(zip(INNOVATION_POWER, innovations, strict=True))
    sums = steps[WITHHELD].sum("time", skipna=False).to_numpy() if WITHHELD in steps else None
    scores = {} if sums is None else withheld_scores(sums)  # (state, variable)
    variables: dict[str, xr.Variable] = {}
    for i, variable in enumerate(codec.variables):
        v, deviation = original_name(dataset, variable), float(codec.deviation[i])
        units = unit_attrs(str(codec.attrs[variable].get("units", "1")))
        for score, by_state in scores.items():
            factor, of_score = (1.0, unit_attrs("1")) if score == "coverage90" else (deviation, units)
            where = dict(zip(DISTANCES, map(float, distances[i]), strict=True))
            number = {"observations": int(sums[0, i, 0]), **where} if sums is not None else {}
            values = factor * by_state[:, i]
            variables[f"{v}_{score}"] = quality_variable(
                (STATE,), values, SCORES[score], v, {**of_score, **number}
            )
        squared, expected, desroziers, suspect = (by_name[name][i] for name in INNOVATION_COLUMNS)
        overall = {"ratio_of_means": ratio_of_means(squared, expected)}
        inferred = deviation * np.sqrt(max(mean(desroziers), 0.0))
        variables |= {
            f"{v}_chi_squared": quality_variable(
                (time,), squared / expected, CHI_SQUARED, v, unit_attrs("1") | overall
            ),
            f"{v}_suspect_share": quality_variable((time,), suspect, SUSPECT_TITLE, v, unit_attrs("1")),
            f"{v}_observation_error": quality_variable(
                (), inferred, INFERRED, v, {**units, "assumed": deviation * noise}
            ),
        }
    if scores:
        names = steps[STATE].to_numpy()
        variables[STATE] = xr.Variable(STATE, names, {"long_name": "estimate that is scored"})
    return result.assign(variables)


def quality_variable(
    dims: tuple[str, ...], values: np.ndarray | float, name: str, v: str, attrs: Mapping[str, Any]
) -> xr.Variable:
    """A variable of the result that describes the quality of the analyses of v."""
    about = {"long_name": name.format(v=v), "coverage_content_type": "qualityInformation"}
    return xr.Variable(dims, values, {**about, **attrs})


def unit_attrs(units: str) -> dict[str, str]:
    """The attributes of a difference of values in some units."""
    difference = {"units_metadata": "temperature: difference"} if conversion(units, "K") else {}
    return {"units": units, **difference}


def ratio_of_means(squared: Float[np.ndarray, " time"], expected: Float[np.ndarray, " time"]) -> float:
    """Chi-squared over the times with an expected innovation, which a background without spread lacks."""
    return mean(np.where(np.isnan(expected), np.nan, squared)) / mean(expected)


def mean(values: Float[np.ndarray, " time"]) -> float:
    """Mean over the times with a value, which may be infinite; NaN if there is none."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else float("nan")


def as_text(result: xr.Dataset) -> str:
    """A table for each variable of a cycle's result: scores at withheld observations, and innovations."""
    suffix = "_chi_squared"
    variables = [str(name).removesuffix(suffix) for name in result.data_vars if str(name).endswith(suffix)]
    return "\n\n".join("\n".join(lines_of(result, v)) for v in variables)


def lines_of(result: xr.Dataset, v: str) -> Iterator[str]:
    """The lines of one variable."""
    error, chi_squared, suspect = (
        result[f"{v}_{name}"] for name in ("observation_error", "chi_squared", "suspect_share")
    )
    unit, overall = error.attrs["units"], chi_squared.attrs["ratio_of_means"]
    if f"{v}_crps" in result:
        number = result[f"{v}_crps"].attrs["observations"]
        yield f"{v} at {number} withheld observations of {chi_squared.size} times; CRPS and RMSE in {unit}"
        yield f"{'':16}" + "".join(f"{TITLES[score]:>18}" for score in SCORES)
        for state in result[STATE].values:
            values = (float(result[f"{v}_{score}"].sel({STATE: state})) for score in SCORES)
            yield f"{state:16}" + "".join(f"{value:>18.4g}" for value in values)
        yield from warning_of_distance(result[f"{v}_crps"].attrs)
        if np.isnan(result[f"{v}_coverage90"]).all():
            yield f"A 90 % interval needs at least {MIN_MEMBERS} members: with fewer there is no coverage."
    yield (
        f"{v} innovations: chi-squared {overall:.3g}, {100 * mean(suspect.values):.2g} % above "
        f"{MAX_DEPARTURE:g} standard deviations, inferred observation error {float(error):.3g} {unit} "
        f"(assumed {error.attrs['assumed']:.3g})"
    )


def warning_of_distance(attrs: Mapping[str, Any]) -> Iterator[str]:
    """A line if missing values lie farther from observations than the withheld ones, which then err less."""
    withheld, missing = (attrs[name] for name in DISTANCES)
    if missing > FARTHER * withheld:
        far = (
            "are mostly at times without observations"
            if np.isinf(missing)
            else f"lie {missing:.0f} km from them"
        )
        yield (
            f"Withheld observations lie {withheld:.0f} km from the nearest assimilated ones, missing values {far} "
            "(medians): expect larger errors there than these scores say."
        )
