"""Quality of the analyses of a cycle, without any truth: scores at held-out observations, and the innovations.

Whole blocks of neighbouring cells are held out, at all times: the neighbour of a cell, or the cell itself on the day
before, would reveal its value. The predicted observation is x + e with observation error e.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from torch import Tensor

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.errors import InputError
from fieldcast.fields import conventions
from fieldcast.fields.units import conversion
from fieldcast.geometry import great_circle_km
from fieldcast.inference.result_attributes import original_name
from fieldcast.innovations import MAX_INNOVATION
from fieldcast.kinds import STATE
from fieldcast.models import masks
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.space import Space, evenly
from fieldcast.scores.assimilation import INNOVATION_POWER, innovation_statistics
from fieldcast.scores.held_out import CELL_WIDTH, held_out_statistics, score_held_out
from fieldcast.scores.held_out import as_text as scores_as_text
from fieldcast.scores.metrics import METRICS
from fieldcast.scores.numbers import significant
from fieldcast.scores.summary import text_table

MEASURED_TIMES = 60  # times of a record at which distances to observations are measured, at most
SUMS = ("count", "crps", "square", "coverage")  # sums over observations, see `held_out_statistics`
SCORES = {
    "crps": f"{METRICS['crps'].title} of {{v}} at held-out observations",
    "rmse": "RMSE of the mean of {v} at held-out observations",
    "coverage90": f"{METRICS['coverage90'].title} of {{v}} at held-out observations",
}
# innovation statistics that become variables of the result
INNOVATION_COLUMNS = "innovation_squared", "innovation_expected", "desroziers", "suspect"
CHI_SQUARED = "mean squared innovation of {v} divided by the expected one"
SUSPECT_TITLE = (
    f"share of observations of {{v}} more than {MAX_INNOVATION:g} standard deviations from the background"
)
INFERRED = "observation error of {v} implied by innovations and residuals"
INFERRED_MAPPED = "observation error of mapped {v} implied by innovations and residuals"
DISTANCES = "distance_km", "missing_distance_km"  # attributes of the scores, see `distances_km`
INNOVATIONS, SUMS_OF_STEP = "fieldcast_innovations", "fieldcast_withheld"  # beside the fields of a step
LEGEND = f"""chi-squared: mean squared innovation over the expected one, 1 if the assumed errors are right.
suspect: observations more than {MAX_INNOVATION:g} standard deviations from the background.
error: observation error that innovations and residuals imply, beside the assumed one."""
LEGEND_OF_DISTANCES = """held out, missing: median distances of these values from the nearest assimilated
observations of their time; if missing values lie farther away, expect larger errors than the scores say."""


def held_out_cells(
    mask: Bool[Tensor, "time variable y x"], share: float, space: Space, seed: int
) -> Bool[Tensor, "y x"]:
    """Mask of blocks of cells that hold about a share of all observations; no cell for a share of 0.

    These are the cells where a smooth random field is lowest, as for the clouds of `masks.blocks`.
    """
    count = mask.sum((0, 1))
    if share == 0:
        return torch.zeros_like(count, dtype=torch.bool)
    streams = RandomStreams(seed_for("withheld", seed), torch.zeros(1, dtype=torch.long, device=mask.device))
    order = masks.smooth_field(streams, space, 1).flatten().argsort()
    below = count.flatten()[order].cumsum(0) <= share * count.sum()
    cells = torch.zeros_like(below).scatter(0, order, below).view_as(count)
    if not count[cells].sum():
        raise InputError(
            f"the share of observations to hold out, {share:g} of {int(count.sum())}, is less than the observations "
            "of a single cell: hold out more, or none."
        )
    return cells


def distances_km(
    mask: Bool[Tensor, "time variable y x"], held_out: Bool[Tensor, "y x"], space: Space
) -> Float[np.ndarray, "variable 2"]:
    """Median distances [km] from the held-out observations, and from missing values, to the nearest assimilated ones.

    Observations of the same time and variable count; a time without any is infinitely far. A long record is measured at
    evenly spaced times.
    """
    points, exists = space.points.flatten(0, 1).cpu().numpy(), space.exists.flatten().cpu().numpy()
    excluded = held_out.flatten().cpu().numpy()
    observed = mask[evenly(len(mask), min(len(mask), MEASURED_TIMES))].flatten(2).cpu().numpy()
    medians = np.full((observed.shape[1], 2), nan)
    for v in range(observed.shape[1]):
        for number, kind in enumerate((observed[:, v] & excluded, exists & ~observed[:, v])):
            chords = [
                chords_to(points[present & ~excluded], points[cells])
                for present, cells in zip(observed[:, v], kind, strict=True)
            ]
            if any(map(len, chords)):
                medians[v, number] = great_circle_km(float(np.median(np.concatenate(chords))))
    return medians


def chords_to(
    points: Float[np.ndarray, "point 3"], locations: Float[np.ndarray, "location 3"]
) -> Float[np.ndarray, " location"]:
    """Chord from each location to the nearest point; infinite if there is no point."""
    return cKDTree(points).query(locations)[0] if len(points) else np.full(len(locations), np.inf)


class OwnUnits(NamedTuple):
    """A codec with mapped variables, and the climatology of a time."""

    codec: FieldCodec
    normal: Float[np.ndarray, "variable y x"]

    def values(self, x: Float[Tensor, "*lead variable y x"]) -> Float[Tensor, "*lead own y x"]:
        """Mapped variables in their own units; others in anomaly standard deviations, as they are."""
        physical = self.codec.own_values(self.codec.to_physical(x.cpu().numpy(), self.normal))
        scored = [
            torch.from_numpy(own)
            if name in self.codec.quantities
            else x[..., self.codec.parts(name)[0], :, :].cpu()
            for name, own in physical
        ]
        return torch.stack([each.to(x.dtype) for each in scored], dim=-3)


def held_out_sums(
    y: Float[Tensor, "variable y x"], members: Float[Tensor, "1 members variable y x"],
    noise: float | Float[Tensor, "variable y x"], seed: int, time: int, own: OwnUnits | None = None,
) -> Float[np.ndarray, "variable sum"]:  # fmt: skip
    """SUMS over the held-out observations y of one time, NaN elsewhere; NaN for a score that needs more members.

    `noise` is the standard deviation of the observation errors, whose draws depend on the seed and on the number of the
    time, and are the same for the members of all estimates. Values are in anomaly standard deviations, those of mapped
    variables in their `own` units.
    """
    shape, zero = members.shape, torch.zeros(1, dtype=torch.long, device=members.device)
    streams = RandomStreams(seed_for("errors of withheld observations", seed), zero, shape[1]).at_lead(time)
    predicted, sums = (members + noise * streams.normal(*shape[2:]))[0].double(), []
    if own is not None:
        y, predicted = own.values(y.double()), own.values(predicted)
    for v, values in enumerate(y):
        observed, totals = values.isfinite(), dict.fromkeys(SUMS, 0.0)
        if observed.any():
            x, truth = predicted[:, v][:, observed].cpu().numpy(), values[observed].double().cpu().numpy()
            x = x if own is None else own.codec.near(own.codec.names[v], x, truth)
            statistics = held_out_statistics(truth, x)
            totals = {name: float(each.sum()) for name, each in statistics.items()}
            totals["count"] = float(observed.sum())
        sums.append([totals.get(name, nan) for name in SUMS])
    return np.array(sums)


def quality_of_step(
    y: Float[Tensor, "variable y x"],
    held_out: Bool[Tensor, "y x"],
    estimates: Mapping[str, Float[Tensor, "1 members variable y x"]],
    noise: float | Float[Tensor, "variable y x"],
    seed: int,
    number: int,
    own: OwnUnits | None = None,
) -> xr.Dataset:
    """Innovations of one time and sums at its held-out observations, the input of `with_quality`.

    Parameters
    ----------
    y
        Observations, NaN elsewhere, in anomaly standard deviations.
    held_out
        The held-out cells.
    estimates
        Members by name; `background` and `analysis` give the innovations.
    noise
        Standard deviation of the observation error, or of each.
    seed
        Seed of the draws of observation errors.
    number
        Number of the time.
    own
        Units of mapped variables, if there are any.
    """
    assimilated = y.masked_fill(held_out, torch.nan).double().cpu().numpy()
    b, a = (estimates[name][0].double().cpu().numpy() for name in ("background", "analysis"))
    errors = (
        (noise.double().cpu() if isinstance(noise, Tensor) else torch.tensor(noise)).expand(y.shape).numpy()
    )
    by_variable = [
        [
            float(value[0])
            for value in innovation_statistics(v[None], b[:, i, None], a[:, i, None], errors[i]).values()
        ]
        for i, v in enumerate(assimilated)
    ]
    innovations = np.array([by_variable])
    if own is not None:  # the mean over the parts of a variable
        names = own.codec.names
        innovations = np.stack([innovations[:, own.codec.parts(name)].mean(1) for name in names], axis=1)
    variables: dict[str, Any] = {INNOVATIONS: (("time", "number", "statistic"), innovations)}
    if not held_out.any():
        return xr.Dataset(variables)
    kept = y.masked_fill(~held_out, torch.nan)
    sums = [held_out_sums(kept, members, noise, seed, number, own) for members in estimates.values()]
    variables[SUMS_OF_STEP] = ("time", STATE, "number", "sum"), np.stack(sums)[None]
    return xr.Dataset(variables, {STATE: [*estimates]})


def with_quality(
    result: xr.Dataset,
    steps: xr.Dataset,
    dataset: xr.Dataset,
    codec: FieldCodec,
    noise: Float[np.ndarray, " mapped"],
    distances: Float[np.ndarray, "variable 2"],
) -> xr.Dataset:
    """The result with scores and innovation statistics of each variable, in its units; observation errors as mapped.

    `steps` holds `quality_of_step` of all times; `dataset` is the user's record, `noise` the assumed error of each
    mapped variable, and `distances` are the `distances_km` of its held-out observations and missing values.
    """
    (time,) = map(str, dataset[conventions.axes(dataset)["time"]].dims)
    innovations = steps[INNOVATIONS].to_numpy().T  # (statistic, variable, time)
    by_name = dict(zip(INNOVATION_POWER, innovations, strict=True))
    sums = steps[SUMS_OF_STEP].sum("time", skipna=False) if SUMS_OF_STEP in steps else None
    variables: dict[str, xr.Variable] = {}
    for i, variable in enumerate(codec.names):
        v, part = original_name(dataset, variable), codec.parts(variable)[0]
        deviation = float(codec.deviation[part])
        units, is_mapped = (
            unit_attrs(str(codec.attrs[variable].get("units", "1"))),
            variable in codec.quantities,
        )
        if sums is not None:
            table = scores_of_states(sums.isel(number=i), v, 1.0 if is_mapped else deviation)
            where: dict[str, Any] = {"observations": int(table["observations"].iloc[0])}
            where |= dict(zip(DISTANCES, map(float, distances[i]), strict=True))
            for score, title in SCORES.items():
                values = table["value"][table["score"] == score].to_numpy()
                attrs = (unit_attrs("1") if score == "coverage90" else units) | where
                variables[f"{v}_{score}"] = quality_variable((STATE,), values, title, v, attrs)
        squared, expected, desroziers, suspect = (by_name[name][i] for name in INNOVATION_COLUMNS)
        overall = {"ratio_of_means": ratio_of_means(squared, expected)}
        inferred = deviation * np.sqrt(max(mean(desroziers), 0.0))
        variables |= {
            f"{v}_chi_squared": quality_variable(
                (time,), squared / expected, CHI_SQUARED, v, unit_attrs("1") | overall
            ),
            f"{v}_suspect_share": quality_variable((time,), suspect, SUSPECT_TITLE, v, unit_attrs("1")),
            f"{v}_observation_error": quality_variable(
                (),
                inferred,
                INFERRED_MAPPED if is_mapped else INFERRED,
                v,
                {**(unit_attrs("1") if is_mapped else units), "assumed": deviation * float(noise[part])},
            ),
        }
    if sums is not None:
        names = steps[STATE].to_numpy()
        variables[STATE] = xr.Variable(STATE, names, {"long_name": "estimate that is scored"})
    return result.assign(variables)


def scores_of_states(sums: xr.DataArray, v: str, scale: float) -> pd.DataFrame:
    """Scores of each state from SUMS (state, sum) of a variable; NaN without held-out observations."""
    tables = []
    for state, total in zip(sums[STATE].values, sums.to_numpy(), strict=True):
        means = total[:, None] / (total[0] or nan)
        table = score_held_out(str(state), v, dict(zip(SUMS, means, strict=True)), scale=scale)
        tables.append(table.assign(observations=int(total[0])))
    return pd.concat(tables, ignore_index=True)


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
    """Scores of a cycle's result at held-out observations, a table for each variable, and one of its innovations."""
    suffix, tables, innovations = "_chi_squared", [], {}
    for v in (str(name).removesuffix(suffix) for name in result.data_vars if str(name).endswith(suffix)):
        error, chi_squared = result[f"{v}_observation_error"], result[f"{v}{suffix}"]
        suspect = mean(result[f"{v}_suspect_share"].values)
        numbers = [chi_squared.attrs["ratio_of_means"], 100 * suspect, float(error), error.attrs["assumed"]]
        for score in SCORES if f"{v}_crps" in result else ():
            values = result[f"{v}_{score}"]
            table = pd.DataFrame(
                {"experiment": values[STATE], "variable": v, "score": score, "value": values}
            )
            unit, number = values.attrs["units"], values.attrs["observations"]
            tables.append(table.assign(low=nan, high=nan, unit=unit, observations=number))
        numbers += [result[f"{v}_crps"].attrs[name] for name in DISTANCES] if f"{v}_crps" in result else []
        innovations[f"{v} [{error.attrs['units']}]"] = [significant(number) for number in numbers]
    headings = ["chi-squared", "suspect [%]", "error", "assumed", "held out [km]", "missing [km]"]
    text = "\n".join([*text_table("", headings[: len(numbers)], innovations, CELL_WIDTH), LEGEND])
    if not tables:
        return text
    scores = scores_as_text(pd.concat(tables), f"held-out observations of {chi_squared.size} times")
    return f"{scores}\n\n{text}\n{LEGEND_OF_DISTANCES}"
