"""Evaluation of one forecast experiment: statistics of each start and lead, and diagnostics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Shaped

from fieldcast import calendars
from fieldcast.fields.prepared import mapped_by, of_mapped_values, quantities_in
from fieldcast.fields.quantities import mapped, near
from fieldcast.geometry import GRID
from fieldcast.kinds import MEMBER, START
from fieldcast.scores.alignment import AlignedForecasts
from fieldcast.scores.diagnostics import ForecastDiagnostics
from fieldcast.scores.event_tables import EventTables
from fieldcast.scores.regions import area_means, regions
from fieldcast.scores.statistics import OF_CELLS, POWER, CellEvaluator, Errors, cell_areas, with_overall
from fieldcast.scores.statistics_table import long_table, with_mapped_values

STATISTICS = (*OF_CELLS, "acc", "energy")
# [anomaly standard deviations]: a forecast with smaller anomalies is the climatology, to rounding error
MIN_ANOMALY = 1e-4


@np.errstate(invalid="ignore", over="ignore")  # a model may have blown up
def forecast_statistics(
    forecasts: xr.Dataset,
    truth: xr.Dataset,
    *,
    climatology: xr.Dataset,
    normalisation: xr.Dataset,
    area: xr.DataArray,
    seed: int = 0,
    events: EventTables | None = None,
) -> tuple[pd.DataFrame, xr.Dataset]:
    """Statistics of an ensemble of forecasts against the truth at start + lead, and diagnostics for figures.

    A variable is in physical units; variable "all" is the mean over variables in units of their anomaly standard
    deviation: value / anomaly_std ** power. `acc` is the correlation of anomalies from the climatology at one time, of
    the member mean, not centred (WeatherBench 2); NaN where the forecast is the climatology. `energy` is the energy
    score with the area-weighted norm over the region's cells; for "all" the norm is over cells and the mean over
    standardised variables together. Mapped variables have rows of their mapped values, too. A value is NaN where a
    single member has no such statistic; it is infinite (`acc`: minus infinity) at a start from which a member is not
    finite everywhere.

    Parameters
    ----------
    forecasts
        Dims (lead, start, member, latitude, longitude), leads in hours, the calendar of the truth; may be lazy, as one
        variable of one lead is in memory at a time.
    truth
        Fields at the valid times.
    climatology
        By dayofyear (365; 29 February is 28 February).
    normalisation
        `anomaly_std` of the variables that are scored.
    area
        Areas of the cells, in any unit.
    seed
        Seed of the random ranks of ties.
    events
        Collects the contingency tables of each variable, lead by lead.

    Returns
    -------
    DataFrame, Dataset
        A tidy table: lead_hours, region (those of `regions`), variable, statistic, time (the start), value; and the
        diagnostics of `ForecastDiagnostics`, over the whole grid.
    """
    aligned = AlignedForecasts.of(
        forecasts, truth, [str(name) for name in normalisation["variable"].to_numpy()]
    )
    deviations = normalisation["anomaly_std"].to_numpy().astype(float)
    bands = regions(truth["latitude"].to_numpy().astype(float), bool(truth.attrs["wraps"]))
    cells, selected = cell_areas(area, truth), np.stack(list(bands.values()))[:, :, None]
    members, leads, times = forecasts.sizes[MEMBER], len(aligned.leads), forecasts.sizes[START]
    diagnostics = ForecastDiagnostics(aligned, members)
    values = np.empty((leads, len(bands), len(aligned.variables), len(STATISTICS), times))
    distances = np.zeros((leads, len(bands), times, members + 1, members + 1))
    all_finite = np.ones((leads, times), dtype=bool)
    quantities = quantities_in(normalisation)
    for v, name in enumerate(aligned.variables):
        normal = climatology[name].transpose("dayofyear", *GRID)
        for lead, (drawn, y, days) in enumerate(aligned.pairs(name)):
            evaluator, x = CellEvaluator.of(y, cells), near(quantities.get(name), drawn, y)
            errors, weights = evaluator.errors(x), evaluator.weights(selected)
            of_days = near(quantities.get(name), normal.isel(dayofyear=days - 1).to_numpy(), y)
            actual = evaluator.existing(y - of_days)
            squared = squared_distances(errors.d, weights)
            values[lead, :, v] = area_statistics(errors, actual, weights, squared, deviations[v])
            distances[lead] += squared / deviations[v] ** 2 / len(aligned.variables)
            if events is not None:
                events.add(name, errors.d + actual, actual, days, weights, errors.finite)
            all_finite[lead] &= errors.finite
            diagnostics.add(lead, v, x, y, errors.finite, weights[0], np.random.default_rng([seed, lead, v]))
    power = np.array([POWER.get(name, 0) for name in STATISTICS])[:, None]
    values = with_overall(values, deviations, power, axis=2)
    energy = energy_score(distances)
    values[:, :, -1, STATISTICS.index("energy")] = np.where(all_finite[:, None], energy, np.inf)
    table = tidy(values, aligned, list(bands), calendars.iso(forecasts[START]))
    if names := mapped_by(quantities):
        of_mapped = of_mapped_values(climatology, normalisation)
        of_parts, _ = forecast_statistics(
            mapped(forecasts, quantities)[list(names)],
            mapped(truth, quantities),
            climatology=of_mapped.climatology,
            normalisation=of_mapped.normalisation.sel(variable=list(names)),
            area=area,
            seed=seed,
        )
        table = with_mapped_values(table, of_parts, names)
    return table, diagnostics.dataset()


def tidy(
    values: Float[np.ndarray, "lead region variable statistic time"],
    aligned: AlignedForecasts,
    bands: list[str],
    times: Shaped[np.ndarray, " time"],
) -> pd.DataFrame:
    """The values as a table with a row for each, variable "all" last."""
    variables = [*aligned.variables, "all"]
    axes = {
        "lead_hours": aligned.leads, "region": bands, "variable": variables, "statistic": STATISTICS, "time": times,
    }  # fmt: skip
    return long_table(values, *({name: np.asarray(axis)} for name, axis in axes.items()))


def area_statistics(
    errors: Errors,
    actual: Float[np.ndarray, "time latitude longitude"],
    weights: Float[np.ndarray, "region latitude longitude"],
    distances: Float[np.ndarray, "region time map map"],
    deviation: float,
) -> Float[np.ndarray, "region statistic time"]:
    """Area means of one variable at one lead, in the order of `STATISTICS`, from anomalies of the truth and the
    distances between maps."""
    anomaly = actual + errors.statistics["error"]
    acc = anomaly_correlation(anomaly, actual, weights, deviation)
    of_cells = [errors.statistics[name] for name in STATISTICS if name in errors.statistics]
    means = area_means(np.stack(of_cells), weights)
    means = np.concatenate([means, np.stack([acc, energy_score(distances)], axis=1)], axis=1)
    means[..., ~errors.finite] = np.inf
    means[:, STATISTICS.index("acc"), ~errors.finite] = -np.inf
    return means


def anomaly_correlation(
    anomaly: Float[np.ndarray, "time latitude longitude"],
    actual: Float[np.ndarray, "time latitude longitude"],
    weights: Float[np.ndarray, "region latitude longitude"],
    deviation: float,
) -> Float[np.ndarray, "region time"]:
    """⟨a b⟩ / √(⟨a²⟩⟨b²⟩) of the anomalies a of a forecast and b of the truth, not centred; NaN where a is 0
    to rounding error."""
    product, forecast, truth = np.moveaxis(
        area_means(np.stack([anomaly * actual, anomaly**2, actual**2]), weights), 1, 0
    )
    forecast = np.where(forecast > (MIN_ANOMALY * deviation) ** 2, forecast, np.nan)
    return product / np.sqrt(forecast * truth)


# The energy score of an ensemble of maps (Gneiting and Raftery 2007, doi:10.1198/016214506000001437, eq. 22).
#
# It generalises the fair CRPS from numbers to maps: the distance between two maps takes the place of |x - y|.


def squared_distances(
    d: Float[np.ndarray, "member time latitude longitude"],
    weights: Float[np.ndarray, "region latitude longitude"],
) -> Float[np.ndarray, "region time map map"]:
    """‖a - b‖² = Σ_cells w (a - b)² between all members and the truth, which is the last map.

    The squares add up over variables. The cost is M² products of maps per time.

    Parameters
    ----------
    d
        Errors x - y of the members in one variable; the truth itself is 0.
    weights
        Weights w of the cells in each region.

    Returns
    -------
    Array
        Dims (region, time, map, map), in squared units of d; NaN in a region without cells.
    """
    members, times = d.shape[:2]
    maps = np.moveaxis(d, 0, 1).reshape(times, members, -1)
    squares = np.full(
        (len(weights), times, members + 1, members + 1), np.nan
    )  # a region without cells stays NaN
    for region, weight in enumerate(weights):
        inside = weight.ravel() > 0
        if not inside.any():
            continue
        scaled = maps[..., inside] * np.sqrt(weight.ravel()[inside])
        product = np.zeros((times, members + 1, members + 1))
        product[:, :-1, :-1] = scaled @ scaled.swapaxes(1, 2)
        square = np.diagonal(product, axis1=1, axis2=2)
        squares[region] = np.maximum(square[:, :, None] + square[:, None, :] - 2 * product, 0.0)
    return squares


def energy_score(squared: Float[np.ndarray, "*batch map map"]) -> Float[np.ndarray, "*batch"]:
    """ES = mean_i ‖x_i - y‖ - 1/(2 M (M - 1)) Σ_ij ‖x_i - x_j‖, fair, over all pairs; one member: ‖x - y‖.

    In the units of the maps. `squared` comes from `squared_distances`.
    """
    distance = np.sqrt(squared)
    skill = distance[..., :-1, -1].mean(-1)
    members = squared.shape[-1] - 1
    if members == 1:
        return skill
    pairs = distance[..., :-1, :-1].sum((-2, -1))
    return skill - pairs / (2 * members * (members - 1))
