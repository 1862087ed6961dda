"""A complete record with 60 % of every field removed in blobs, and filled: `python -m studies.gaps FILE`.

FILE is a NetCDF file without missing values, such as the planet's z500. Prints, at all removed values, the RMSE beside
that of linear interpolation in time and of DINEOF, the ratio of spread to error, and how often errors exceed 5 and 20
spreads. `FILE learned` tries `corrected_interpolation`, a network, too.
FILE may be `monthly`, too, 120 months of 89 x 180 cells with land, or `waves`, 1000 days of 64 x 64 cells (synthetic).
`python -m studies.gaps lengths SOURCE LENGTH [LENGTH ...]` removes 60 % in discs that last so many steps, each length
with the same share, in the first 1000 times of the first variable of SOURCE (a NetCDF file, a Zarr store or `monthly`).
Prints rows of a table: the errors of missing values by the length of the gap that they belong to.
`python -m studies.gaps distances SOURCE [SEED]` removes half of every field in large areas with smooth borders, others
each day, in the first 600 times. Prints the errors by the distance from the nearest observation of the time. SEED is
that of the held-out values from which `fill_gaps` estimates its errors.
`python -m studies.gaps counts SOURCE [SEED]` removes 60 % of every field in discs, others each day, and in a third of
the cells, under other discs, all but 5 to 80 values. Prints the errors by the number of observations of the cell; SEED
draws the gaps.
`python -m studies.gaps append SOURCE [DAYS] [METHOD]` removes 60 % in blobs, in at most 20 x 20 cells, fills the first
1000 times, and appends DAYS (365) more, one by one; beside every fifth (each, of the first 20) the same method is
fitted to the record up to that day. Prints a row: the difference of both over the spread, for the first 20 days and for
all; the RMSE of the days as issued over that of the fits, and the share of days within 5 %; the RMSE of the days in the
end over that of one fit of all; and the processor time of an append and of a fit [s].
`python -m studies.gaps promises rain SEED [SEED ...]` (or `chlorophyll`) fills small records of a quantity that is not
Gaussian, one for each seed. Prints the expected RMSE of each report beside the true one, how often their ratio would be
within 1.5 if the truth were a draw of the result, and the calibration at the held-out values of all records together.
`python -m studies.gaps predictors FILE VARIABLE PREDICTOR [S,N,W,E]` removes 60 % of a variable in blobs, in a region,
and fills it alone and with the predictor. Prints a row for each: the RMSE at the removed values, in standard deviations
of the anomalies there, and the ratio of spread to error.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections import deque
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Bool, Float

from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.fields.ingest import ingest
from fieldcast.fields.selection import in_region
from fieldcast.geometry import unit_points
from fieldcast.inference.file_options import GapFilling
from fieldcast.inference.gaps.calibration import groups
from fieldcast.inference.gaps.filling import TrustLimits, fill
from fieldcast.inference.gaps.own_units import of_variable, own_statistics, predictions
from fieldcast.inference.gaps.stored_fit import fill_options
from fieldcast.inference.gaps.trials import Comparison
from fieldcast.inference.quantities import choose_quantities
from fieldcast.models.gaps.fillers import FILLERS, dineof
from fieldcast.models.gaps.in_time import gap_lengths
from fieldcast.models.gaps.reach import Columns, nearest_observation
from fieldcast.models.gaps.trial import ErrorStatistics
from fieldcast.scores.held_out import score_held_out
from fieldcast.training.fill_gaps import fill_gaps, methods
from studies.gap_records import (
    CASES,
    MOVING,
    SEED,
    SYNTHETIC,
    blobs,
    clouds,
    lasting,
    latitude_of,
    moving,
    quantity_with_gaps,
    root_mean_square,
    row_areas,
    seldom,
    synthetic,
    variable,
)

TIMES, DAYS = 1000, 600  # number of times of a record with lasting gaps, and of one under clouds
# upper ends of classes of the distance from observations [row spacings]
DISTANCES = 1.2, 2.2, 3.2, 5, 8, np.inf
COUNTS = 1, 10, 20, 40, 80, 1_000_000  # upper ends of classes of the number of observations of a cell
EARLY, EVERY = 20, 5  # days with a fit beside each append, and interval of later ones
WIDTH = 20  # rows and columns of a record to which days are appended
HALF_WIDTH_90 = 1.645  # half width of a 90 % interval [spreads]
# members of a filling; ratio of the expected and the true RMSE, or its inverse, at most
DRAWS, WITHIN = 60, 1.5


def dineof_rmse(gappy: xr.Dataset, truth: xr.Dataset) -> dict[str, float]:
    """RMSE of DINEOF at the removed values of each variable, in its units."""
    fields, complete = (ingest(part, missing="train")[0] for part in (gappy, truth.copy()))
    gappy_record = GappyRecord.of(fields, torch.device("cpu"))
    x = gappy_record.codec.encode(complete)[:, gappy_record.has_column]
    error = (dineof(gappy_record.record, None).mean - x) * gappy_record.scale
    removed = ~gappy_record.record.observed & torch.isfinite(x)
    area = gappy_record.record.columns.area.expand_as(error)
    columns = [(name, gappy_record.variable == v) for v, name in enumerate(gappy_record.codec.variables)]
    return {
        name: root_mean_square(error[:, of][removed[:, of]].numpy(), area[:, of][removed[:, of]].numpy())
        for name, of in columns
    }


def score(truth: xr.Dataset, learned: bool = False) -> None:
    """Remove values, fill, and print the errors of each variable."""
    times, rows, columns = truth[next(iter(truth.data_vars))].shape
    removed = blobs(times, rows, columns, np.random.default_rng(SEED))
    gappy = truth.where(~xr.DataArray(removed, dims=truth[next(iter(truth.data_vars))].dims))
    begun = time.process_time()
    filled = fill_gaps(gappy, learned=learned)
    print(f"{filled.attrs['comment']}\n\n{time.process_time() - begun:.0f} s of processor time")
    by_dineof = dineof_rmse(gappy, truth)
    for name in truth.data_vars:
        scored = removed & truth[name].notnull().values
        linear = gappy[name].interpolate_na("time").ffill("time").bfill("time")
        error = (filled[f"{name}_mean"] - truth[name]).values[scored].astype(float)
        in_time = (linear - truth[name]).values[scored].astype(float)
        spread = filled[f"{name}_spread"].values[scored].astype(float)
        area = np.broadcast_to(row_areas(truth), removed.shape)[scored]
        rmse = root_mean_square(error, area)
        print(
            f"{name}: RMSE {rmse:.3g}, {rmse / root_mean_square(in_time, area):.2f} of linear in time, "
            f"{rmse / by_dineof[str(name)]:.2f} of DINEOF; spread / error "
            f"{root_mean_square(spread, area) / rmse:.2f}; {np.mean(abs(error) > 5 * spread):.3%} of {error.size} "
            f"errors exceed 5 spreads, {np.sum(abs(error) > 20 * spread)} exceed 20"
        )


class Filled(NamedTuple):
    """Values that were removed and filled."""

    label: str
    method: str
    reported: str  # ratio of spread to error
    error: Float[np.ndarray, " missing"]
    spread: Float[np.ndarray, " missing"]
    area: Float[np.ndarray, " missing"]

    def row(self, here: Bool[np.ndarray, " missing"], kind: str) -> str:
        """A row of a table: RMSE, spread / error and coverage of some values, weighted by area."""
        e, s, w = self.error[here], self.spread[here], self.area[here] / self.area[here].sum()
        rmse = root_mean_square(e, w)
        ratio = root_mean_square(s, w) / rmse
        covered, beyond = (w * (abs(e) < HALF_WIDTH_90 * s)).sum(), (w * (abs(e) > 5 * s)).sum()
        return (
            f"| {self.label} | {self.method} | {kind} | {here.sum()} | {rmse:.3g} | {ratio:.2f} "
            f"| {self.reported if kind == 'all' else ''} | {covered:.2f} | {beyond:.3%} |"
        )


def remove_and_fill(
    truth: xr.Dataset, removed: Bool[np.ndarray, "time row column"], label: str, seed: int = 0
) -> Filled:
    """Remove values of the one variable, and fill them."""
    (name,) = truth.data_vars
    values = truth[name].values.astype(np.float32)
    gappy = truth.assign({name: truth[name].copy(data=np.where(removed, np.float32(np.nan), values))})
    filled, missing = fill_gaps(gappy, seed=seed), removed & np.isfinite(values)
    missing &= (np.isfinite(values) & ~removed).any(0)  # cells without any value stay empty
    method, reported = (
        match[1] if (match := re.search(pattern, filled.attrs["comment"])) else "-"
        for pattern in (r"Filled by (\w+)", rf"(?m)^ +spread-skill .*\n{name} +([\d.]+)")
    )
    return Filled(
        label, method, reported,
        (filled[f"{name}_mean"].values - values)[missing].astype(float),
        filled[f"{name}_spread"].values[missing].astype(float),
        np.broadcast_to(row_areas(truth), missing.shape)[missing],
    )  # fmt: skip


def by_length(source: str, lengths: list[int]) -> None:
    """Remove discs that last, fill, and print errors by the length of gaps as rows of a table."""
    truth = variable(source, TIMES)
    (name,) = truth.data_vars
    values = truth[name].values
    times, rows, columns = values.shape
    removed = lasting(times, rows, columns, lengths, np.random.default_rng(SEED))
    filled = remove_and_fill(truth, removed, f"{name}, {', '.join(map(str, lengths))}")
    observed = torch.from_numpy((np.isfinite(values) & ~removed).reshape(len(values), -1))
    segment = torch.zeros(len(observed), dtype=torch.long)
    length = gap_lengths(observed, segment).numpy().reshape(values.shape)[removed & np.isfinite(values)]
    lower = sorted({1, *lengths})
    for least, most in zip(lower, [*lower[1:], np.inf], strict=True):
        here = (length >= least) & (length < most)
        if here.any():
            print(filled.row(here, f"{least} to {most - 1:g}" if most < np.inf else f"{least} on"))
    print(filled.row(length > 0, "all"))


def by_distance(source: str, seed: int) -> None:
    """Remove large areas, fill, and print errors by the distance from observations as rows of a table."""
    truth = variable(source, DAYS)
    (name,) = truth.data_vars
    latitude = truth[latitude_of(truth)].values
    longitude = truth[next(name for name in ("longitude", "lon") if name in truth.coords)].values
    points = unit_points(latitude, longitude).reshape(-1, 3)
    exists = np.isfinite(truth[name].values).reshape(len(truth.time), -1)
    removed = clouds(points, len(exists), np.random.default_rng(SEED))
    filled = remove_and_fill(truth, removed.reshape(truth[name].shape), str(name), seed)
    nowhere, of_one = torch.zeros(len(points), dtype=torch.long), torch.ones(len(points))
    observed, missing = torch.from_numpy(exists & ~removed), torch.from_numpy(exists & removed)
    chord = nearest_observation(observed, Columns(points, nowhere, of_one), missing).numpy()[missing.numpy()]
    distance = chord / np.deg2rad(abs(latitude[1] - latitude[0]))
    for least, most in zip((0, *DISTANCES[:-1]), DISTANCES, strict=True):
        here = (distance >= least) & (distance < most)
        if here.any():
            print(filled.row(here, f"{least:g} to {most:g}" if most < np.inf else f"{least:g} on"))
    print(filled.row(distance > 0, "all"))


def by_count(source: str, seed: int) -> None:
    """Remove nearly all values of some cells, fill, and print errors by their observations as rows of a table."""
    truth, rng = variable(source, TIMES), np.random.default_rng(seed)
    (name,) = truth.data_vars
    exists = np.isfinite(truth[name].values)
    times, rows, columns = exists.shape
    chance = seldom(times, rows, columns, rng)
    removed = np.where(chance < 1, rng.random(exists.shape) >= chance, blobs(times, rows, columns, rng))
    filled, of_cell = remove_and_fill(truth, removed, str(name)), (exists & ~removed).sum(0)
    count = np.broadcast_to(of_cell, exists.shape)[exists & removed & (of_cell > 0)]
    for least, most in pairwise(COUNTS):
        here = (count >= least) & (count < most)
        if here.any():
            print(filled.row(here, f"{least} to {most - 1}" if most < COUNTS[-1] else f"{least} on"))
    print(filled.row(count > 0, "all"))


def by_append(source: str, days: int, method: str | None) -> None:
    """Append days one by one to a filled record, beside fits of all that is known then, and print a row of a table."""
    total = TIMES + days
    if source == MOVING:
        truth = moving(np.random.default_rng(SEED), (total, WIDTH, WIDTH))
    else:
        truth = synthetic(source, days) if source in SYNTHETIC else variable(source, total)
    (name,) = truth.data_vars
    first, (_, *grid) = latitude_of(truth), truth[name].dims
    begin = max(0, truth.sizes[first] // 4 - WIDTH // 2)  # middle latitudes
    window = {dim: slice(begin, begin + WIDTH) if dim == first else slice(WIDTH) for dim in grid}
    truth = truth.isel(window)[[name]]
    values = truth[name].values
    times, rows, columns = values.shape
    removed = blobs(times, rows, columns, np.random.default_rng(SEED))
    gappy = truth.assign({name: truth[name].where(~removed)})
    gappy[name].attrs = {"units": truth[name].attrs.get("units", "1")}
    (squares, costs), part = np.zeros((2, 5)), (lambda data, t: data.isel(time=t))
    with tempfile.TemporaryDirectory() as folder:
        fit = Path(folder) / "fit"
        filled = fill_gaps(part(gappy, slice(TIMES)), method=method, quantities="none", fit=fit)
        used, early, ratios = filled.attrs["fieldcast_method"], 0.0, []
        for day in range(TIMES, total):
            begun = time.process_time()
            filled = fill_gaps(part(gappy, slice(day, day + 1)), append=filled, fit=fit)
            costs[0] += (appended := time.process_time()) - begun
            if day >= TIMES + EARLY and day % EVERY:
                continue
            whole = fit_whole(part(gappy, slice(day + 1)), used)[-1]
            costs[1] += time.process_time() - appended
            here = removed[day] & np.isfinite(whole)
            issued, spread = (
                filled[f"{name}_{of}"].values[-1][here].astype(float) for of in ("mean", "spread")
            )
            terms = issued - whole[here], spread, issued - values[day][here], whole[here] - values[day][here]
            squares[:4] += [np.square(term).sum() for term in terms]
            ratios.append(np.square(terms[2]).sum() / np.square(terms[3]).sum())
            if len(ratios) <= EARLY:
                early = squares[0] / squares[1]
    last = np.arange(total)[:, None, None] >= TIMES
    once = fit_whole(gappy, used)
    here = removed & last & np.isfinite(once)
    in_the_end = [(each - values)[here] for each in (filled[f"{name}_mean"].values, once)]
    ratio = np.sqrt(np.square(in_the_end[0]).sum() / np.square(in_the_end[1]).sum())
    within = np.mean(np.sqrt(ratios) <= 1.05)
    print(
        f"| {Path(source).stem} | {TIMES} + {days} x {values[0].size} | {used} "
        f"| {np.sqrt(early):.3f} | {np.sqrt(squares[0] / squares[1]):.3f} "
        f"| {np.sqrt(squares[2] / squares[3]):.3f} | {within:.0%} | {ratio:.3f} | {costs[0] / days:.2f} "
        f"| {costs[1] / len(ratios):.1f} |"
    )


def fit_whole(gappy: xr.Dataset, method: str) -> Float[np.ndarray, "time row column"]:
    """The values of a record that a method fills, fitted to all of it."""
    record = GappyRecord.of(ingest(gappy, missing="train")[0], torch.device("cpu"))
    mean = FILLERS[method](record.record, None).mean
    return record.on_grid(mean * record.scale + record.climatology(slice(None)), 0)


def promises(kind: str, seeds: list[int]) -> None:
    """Fill records of a quantity, and print rows of a table: what their reports expect, and what is true."""
    print(
        "| seed | mapping | method | expected RMSE | RMSE | ratio | draws | spread-skill |\n"
        + "|---" * 8
        + "|"
    )
    ratios, shares, parts = [], [], list[pd.DataFrame]()
    for seed in seeds:
        truth, gappy = quantity_with_gaps(kind, seed)
        fields = ingest(gappy, missing="train")[0]
        mappings, choices = choose_quantities(fields, "auto", 0, "cpu")
        fillers = methods(fields, mappings, GapFilling(), 0, "cpu")
        comparison = Comparison.of(fields, 0, "cpu", fillers, mappings)
        tried = deque(comparison.trials(), maxlen=1).pop()[0]
        statistics = comparison.error_statistics(tried)
        filled = fill(
            comparison, tried, statistics, gappy, DRAWS, TrustLimits(), 0, choices, fill_options(seed=0)
        )[0]
        (name,) = truth.data_vars
        missing = gappy[name].isnull().values
        mean, spread, true = (
            x.values[missing].astype(float)
            for x in (filled[f"{name}_mean"], filled[f"{name}_spread"], truth[name])
        )
        members = filled[f"{name}_members"].transpose("member", *gappy[name].dims).values[:, missing]
        rmse, expected = (float(np.sqrt(np.mean(x**2))) for x in (mean - true, spread))
        of_members = np.sqrt(np.mean((members - mean) ** 2, 1))
        shares.append(float(np.mean(is_within(np.sqrt(np.mean(of_members**2)) / of_members))))
        ratios.append(expected / rmse)
        record = comparison.record()
        at_held_out = scored_predictions(record, fields, statistics)
        parts.append(at_held_out.assign(gap=1e6 * seed + at_held_out["gap"]))
        skill = np.sqrt(np.average(at_held_out["variance"], weights=at_held_out["weight"]))
        skill /= np.sqrt(np.average(at_held_out["square"], weights=at_held_out["weight"]))
        print(
            f"| {seed} | {record.own[0].quantity.kind if record.own[0].quantity else 'none'} | {tried.best.name} "
            f"| {expected:.3g} | {rmse:.3g} | {ratios[-1]:.2f} | {shares[-1]:.0%} | {skill:.2f} |",
            flush=True,
        )
    number = is_within(np.array(ratios)).sum()
    print(f"\nwithin {WITHIN:g}: {number} of {len(ratios)}; of the draws {np.mean(shares):.0%}\n")
    print("| values | number | gaps | share | interval |\n|---|---|---|---|---|")
    for group, of_group in pd.concat(parts).groupby("group", sort=False):
        columns = ("error", "square", "crps", "variance", "debiased", "coverage")
        table = score_held_out(
            "", "", {key: of_group[key].to_numpy() for key in columns}, of_group["weight"].to_numpy(),
            cluster=of_group["gap"].to_numpy(),
        )  # fmt: skip
        share, low, high = table.set_index("score").loc["coverage90", ["value", "low", "high"]]
        print(
            f"| {group} | {len(of_group)} | {of_group['gap'].nunique()} | {share:.3f} | {low:.3f} to {high:.3f} |"
        )


def is_within(ratio: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether ratios of the expected and the true RMSE are within a factor of `WITHIN`."""
    return np.abs(np.log(ratio)) <= np.log(WITHIN)


def scored_predictions(record: GappyRecord, fields: xr.Dataset, statistics: ErrorStatistics) -> pd.DataFrame:
    """Statistics of the predictions of held-out values of the one variable, with their weight, gap and group."""
    (variable,), held_out = record.own, statistics.held_out
    assert variable.quantity is not None
    predicted = predictions(
        record, fields, held_out, statistics.error, statistics.spread, variable,
        of_variable(record, held_out, variable),
    )  # fmt: skip
    table = pd.DataFrame(own_statistics(variable.quantity, predicted))
    weight = held_out.weights(torch.ones_like(held_out.whole)).numpy()
    table = table.assign(weight=weight / weight.sum(), gap=held_out.group.numpy(), group="")
    for name, selected in groups(variable.quantity, predicted):
        table.loc[selected, "group"] = name
    return table[table["weight"] > 0]


def by_predictor(source: str, name: str, predictor: str, region: str | None) -> None:
    """Remove values of a variable, fill them without and with a predictor, and print the errors as rows of a table."""
    data = xr.open_dataset(source)[[name, predictor]]
    if region is not None:
        data = in_region(data, [float(limit) for limit in region.split(",")])
    data = data.load()
    axis, *grid = data[name].dims
    truth = data[name].transpose(axis, *grid)
    times, rows, columns = truth.shape
    removed = xr.DataArray(blobs(times, rows, columns, np.random.default_rng(SEED)), dims=truth.dims)
    gappy = data.assign({name: truth.where(~removed)})
    area = np.broadcast_to(row_areas(data), removed.shape)

    def at_removed(x: xr.DataArray) -> float:
        values = x.transpose(*truth.dims).values.astype(float)
        return root_mean_square(values[removed.values], area[removed.values])

    deviation = at_removed(truth - truth.mean(axis))
    for label, predictors in (("alone", None), (f"with {predictor}", [predictor])):
        filled = fill_gaps(gappy if predictors else gappy[[name]], predictors=predictors)
        error, spread = at_removed(filled[f"{name}_mean"] - truth), at_removed(filled[f"{name}_spread"])
        method = filled.attrs["fieldcast_method"]
        print(f"| {name} {label} | {method} | {error / deviation:.3f} | {spread / error:.2f} |", flush=True)


def main() -> None:
    """Read the arguments, and print the tables that they ask for."""
    of_parts = ("counts", "lengths", "distances", "append", "promises", "predictors")
    sources = f"a NetCDF file, a Zarr store, or one of {', '.join((*SYNTHETIC, MOVING, *CASES))}"
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", metavar="FILE", help=f"{sources}; or {', '.join(of_parts)}")
    parser.add_argument("rest", nargs="*", metavar="ARGUMENT", help="see the beginning of this file")
    given = parser.parse_args()
    if given.what in of_parts:
        if not given.rest:
            parser.error(f"{given.what} needs a SOURCE: {sources}")
        source, *numbers = given.rest
        if given.what == "append":
            days, *method = numbers or ["365"]
            by_append(source, int(days), method[0] if method else None)
        elif given.what == "lengths":
            by_length(source, [int(length) for length in numbers])
        elif given.what == "promises":
            promises(source, [int(seed) for seed in numbers])
        elif given.what == "predictors":
            by_predictor(source, numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else None)
        elif given.what == "counts":
            by_count(source, int(numbers[0]) if numbers else 0)
        else:
            by_distance(source, int(numbers[0]) if numbers else 0)
        return
    is_file = Path(given.what).is_file()
    score(xr.load_dataset(given.what) if is_file else variable(given.what, None), given.rest == ["learned"])


if __name__ == "__main__":
    main()
