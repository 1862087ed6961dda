"""Evaluation of one reconstruction experiment: statistics at each scored time, and diagnostics."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float, Int, Shaped
from scipy.ndimage import gaussian_filter

from fieldcast import calendars
from fieldcast.errors import InputError
from fieldcast.fields.prepared import mapped_by, of_mapped_values, quantities_in
from fieldcast.fields.quantities import Quantity, mapped, near
from fieldcast.geometry import GRID
from fieldcast.kinds import CASE, MEMBER
from fieldcast.scores.alignment import require_variables
from fieldcast.scores.diagnostics import Diagnostics
from fieldcast.scores.event_tables import EventTables
from fieldcast.scores.regions import area_means
from fieldcast.scores.statistics import POWER, CellEvaluator, Errors, cell_areas, ranks, with_overall
from fieldcast.scores.statistics_table import CELLS, tidy, with_mapped_values


@np.errstate(invalid="ignore", over="ignore")  # a model may have blown up
def reconstruction_statistics(
    reconstructions: xr.Dataset, observations: xr.Dataset, truth: xr.Dataset, *, climatology: xr.Dataset,
    normalisation: xr.Dataset, area: xr.DataArray, seed: int = 0, events: EventTables | None = None,
) -> tuple[pd.DataFrame, xr.Dataset]:  # fmt: skip
    """Statistics of an ensemble of reconstructions against the truth, and diagnostics for figures.

    A variable is in physical units; variable "all" is the mean over variables in units of their anomaly standard
    deviation, value / anomaly_std ** power: the climatology cancels from the differences x - y. Mapped variables have
    rows of their mapped values, too. `ssim` is of the member mean. `observed_squared_error` compares each draw with the
    observed values, noise included, over the observed cells. A value is NaN where there are no such cells, or where a
    single member has no such statistic. It is infinite at a time when a draw is not finite everywhere: a model that
    blew up does not stop the others, and is penalised for that time.

    Parameters
    ----------
    reconstructions
        Draws of each case (pattern, k), with a dim member; may be lazy, as one variable of one case is in memory at a
        time.
    observations
        Values and masks of the cases; their variables are scored.
    truth
        Fields at the scored times; others are ignored.
    climatology, normalisation
        Climatology by dayofyear (365), and `anomaly_std` by variable.
    area
        Areas of the cells, in any unit.
    seed
        Seed of the random ranks of ties.
    events
        Collects the contingency tables of each variable, case by case.

    Returns
    -------
    DataFrame, Dataset
        A tidy table: pattern, k, mask, cells ("unobserved" or "all"), variable, statistic, time, value; and the
        diagnostics of `Diagnostics`.
    """
    variables = [str(name) for name in observations.data_vars]
    require_same_observations(reconstructions, observations, variables)
    truth = truth[variables].sel(time=observations.time).transpose("time", *GRID).load()
    deviations = normalisation.anomaly_std.sel(variable=variables).to_numpy().astype(float)
    cells, wraps = cell_areas(area, truth), bool(truth.attrs["wraps"])
    days = calendars.day_of_year(truth["time"])
    quantities = quantities_in(normalisation)
    references = [
        reference(truth[name], climatology[name], days, deviation, cells, quantities.get(name))
        for name, deviation in zip(variables, deviations, strict=True)
    ]
    normals = [each.normal for each in references]
    diagnostics = Diagnostics(truth, normals, observations, reconstructions.sizes[MEMBER])
    values = np.empty(
        (observations.sizes[CASE], len(variables), len(CELLS), len(POWER), observations.sizes["time"])
    )
    for case in range(observations.sizes[CASE]):
        for v, (name, (evaluator, normal, limits)) in enumerate(zip(variables, references, strict=True)):
            x = reconstructions[name].isel({CASE: case}).transpose(MEMBER, "time", *GRID).to_numpy()
            x = near(quantities.get(name), x, evaluator.y)
            observed = observations[name].isel({CASE: case}).transpose("time", *GRID).to_numpy()
            rank = ranks(x, evaluator.y, np.random.default_rng([seed, case, v]))
            weights = evaluator.weights(kinds_of_cells(observed))
            errors = evaluator.errors(x, rank)
            values[case, v] = area_statistics(evaluator, x, errors, observed, weights, limits, wraps)
            diagnostics.add(case, v, x, rank, weights[CELLS.index("unobserved")], errors.finite)
            if events is not None:
                actual = evaluator.existing(evaluator.y - normal)
                events.add(name, errors.d + actual, actual, days, weights[: len(CELLS)], errors.finite)
    values = with_overall(values, deviations, np.array(list(POWER.values()))[:, None], axis=1)
    table = tidy(values, [*variables, "all"], observations)
    if names := mapped_by(quantities):
        of_mapped = of_mapped_values(climatology, normalisation)
        of_parts, _ = reconstruction_statistics(
            mapped(reconstructions, quantities)[list(names)],
            mapped(observations, quantities)[list(names)],
            mapped(truth, quantities),
            climatology=of_mapped.climatology,
            normalisation=of_mapped.normalisation,
            area=area,
            seed=seed,
        )
        table = with_mapped_values(table, of_parts, names)
    return table, diagnostics.dataset()


class Reference(NamedTuple):
    """The truth of a variable, the climatology of its days, and the range of values that SSIM is relative to."""

    evaluator: CellEvaluator
    normal: Float[np.ndarray, "time latitude longitude"]
    limits: tuple[float, float]


def reference(
    truth: xr.DataArray, climatology: xr.DataArray, days: Int[np.ndarray, " time"], deviation: float,
    cells: Float[np.ndarray, "latitude longitude"], quantity: Quantity | None,
) -> Reference:  # fmt: skip
    """Collect the truth and the climatology with which reconstructions of a variable are compared on these days."""
    normal = climatology.transpose("dayofyear", *GRID).to_numpy()[days - 1]
    normal = near(quantity, normal, truth.to_numpy())
    return Reference(CellEvaluator.of(truth.to_numpy(), cells), normal, value_range(climatology, deviation))


def value_range(climatology: xr.DataArray, deviation: float) -> tuple[float, float]:
    """Range of values that SSIM is relative to: the range of the climatology, and 3 anomaly sd beyond either end."""
    return float(climatology.min()) - 3 * deviation, float(climatology.max()) + 3 * deviation


def kinds_of_cells(
    observed: Float[np.ndarray, "time latitude longitude"],
) -> Bool[np.ndarray, "kind time latitude longitude"]:
    """Cells of each kind of `CELLS`, then the observed ones; `observed` is NaN elsewhere."""
    present = np.isfinite(observed)
    return np.stack([~present, np.ones_like(present), present])


def area_statistics(
    evaluator: CellEvaluator,
    x: Float[np.ndarray, "member time latitude longitude"],
    errors: Errors,
    observed: Float[np.ndarray, "time latitude longitude"],
    weights: Float[np.ndarray, "kind time latitude longitude"],
    limits: tuple[float, float],
    wraps: bool,
) -> Float[np.ndarray, "cells statistic time"]:
    """Area means of all statistics of one case, in the orders of `CELLS` and `POWER`; `weights` are those of
    `kinds_of_cells`, `limits` the ends of the range of values that SSIM is relative to."""
    lowest, highest = limits
    mean, truth = ((values - lowest) / (highest - lowest) for values in (x.mean(0), evaluator.y))
    ssim = structural_similarity(mean, truth, evaluator.exists, wraps)
    statistics = {**errors.statistics, "ssim": evaluator.existing(ssim)}
    means = area_means(np.stack(list(statistics.values())), weights[:2])
    # cells that were not observed have weight 0, so their value does not matter
    from_observed = ((x - np.where(np.isfinite(observed), observed, 0.0)) ** 2).mean(0)
    consistency = area_means(evaluator.existing(from_observed)[None], weights[2:])
    means = np.concatenate([means, np.concatenate([np.full_like(consistency, np.nan), consistency])], axis=1)
    means[..., ~errors.finite] = np.inf
    order = [*statistics, "observed_squared_error"]
    return means[:, [order.index(name) for name in POWER]]


def require_same_observations(
    reconstructions: xr.Dataset, observations: xr.Dataset, variables: list[str]
) -> None:
    """Raise InputError unless the reconstructions are of these variables, cases, times and cells."""
    require_variables(reconstructions, "reconstructions", "observations", variables)
    for name in ("pattern", "k", "time", *GRID):
        reconstructed, observed = reconstructions[name].to_numpy(), observations[name].to_numpy()
        if not equal_coordinates(reconstructed, observed):
            raise InputError(
                f"the {name} of the reconstructions differs from that of the observations they are scored against: "
                f"recreate them from the stored observations."
            )


def equal_coordinates(x: Shaped[np.ndarray, "..."], y: Shaped[np.ndarray, "..."]) -> bool:
    """Whether two coordinates are equal, fractions to rounding error."""
    if x.shape != y.shape:
        return False
    return bool(np.allclose(x, y) if x.dtype.kind == "f" else (x == y).all())


# Structural similarity of two maps (Wang, Bovik, Sheikh and Simoncelli 2004, doi:10.1109/TIP.2003.819861, eq. 13).


SIGMA, TRUNCATE = 1.5, 3.5  # width of the window [cells] and its end [widths]: 11 x 11 cells, as in the paper
C1, C2 = 0.01**2, 0.03**2  # (K1 L)², (K2 L)² with a range of values L = 1


def structural_similarity(
    x: Float[np.ndarray, "*batch latitude longitude"],
    y: Float[np.ndarray, "*batch latitude longitude"],
    exists: Bool[np.ndarray, "*time latitude longitude"],
    wraps: bool,
) -> Float[np.ndarray, "*batch latitude longitude"]:
    """SSIM = (2 μ_x μ_y + C1)(2 σ_xy + C2) / ((μ_x² + μ_y² + C1)(σ_x² + σ_y² + C2)) round every cell.

    x and y must be scaled beforehand so that 0..1 is the range of values, fixed for all times. μ, σ² and σ_xy
    are moments under a Gaussian window in cells, which goes round the globe where longitude wraps; cells that do
    not exist or lie outside the grid have no weight. The score is 1 for identical maps and NaN where the cell does
    not exist.
    """

    def smooth(f: np.ndarray) -> np.ndarray:
        modes = ("constant", "wrap" if wraps else "constant")
        return gaussian_filter(f, SIGMA, mode=modes, truncate=TRUNCATE, axes=(-2, -1))

    weight = np.where(exists, smooth(exists.astype(float)), np.nan)
    x, y = np.where(exists, x, 0.0), np.where(exists, y, 0.0)
    mean_x, mean_y = smooth(x) / weight, smooth(y) / weight
    var_x, var_y = smooth(x * x) / weight - mean_x**2, smooth(y * y) / weight - mean_y**2
    covariance = smooth(x * y) / weight - mean_x * mean_y
    return ((2 * mean_x * mean_y + C1) * (2 * covariance + C2)) / (
        (mean_x**2 + mean_y**2 + C1) * (var_x + var_y + C2)
    )
