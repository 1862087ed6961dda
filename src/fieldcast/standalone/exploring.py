"""A first look at data of any kind, `fieldcast.explore`: what is in them, and a quick result that suits them."""

from __future__ import annotations

import logging
import os
import shlex
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from fieldcast import calendars, runtime
from fieldcast.app.conf_source import configuration_folder
from fieldcast.calendars import TimeStep, lead_text
from fieldcast.encoding.anomalies import FieldCodec, space_of
from fieldcast.encoding.initial_times import select_initial_times
from fieldcast.encoding.observations import sparsify
from fieldcast.encoding.options import Limits, Rollout, Sparsification
from fieldcast.errors import InputError, counted
from fieldcast.experiments import quick_experiments
from fieldcast.fields import domain, table_layouts
from fieldcast.fields.contents import (
    Quality,
    Record,
    is_table,
    last_part,
    quality_flags,
    read_record,
    share_kept,
    table_in,
    variables_table,
)
from fieldcast.fields.conventions import EXTRAPOLATED, FILLED, FLAG, is_error, time_varying
from fieldcast.fields.ingest import ingest
from fieldcast.fields.meaning import circle_of
from fieldcast.fields.observation_error import BIAS, separate_errors
from fieldcast.fields.opening import reading
from fieldcast.fields.options import Gaps
from fieldcast.fields.paths import local
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.quantities import AUTO, Circle
from fieldcast.fields.splits import SplitRanges, make
from fieldcast.fields.stations import read_stations
from fieldcast.figures.gaps import colours, pictures
from fieldcast.figures.maps import station_maps
from fieldcast.figures.pictures import row_of_maps
from fieldcast.figures.sheet import outline
from fieldcast.figures.style import png
from fieldcast.geometry import edges, is_curvilinear
from fieldcast.inference.file_options import GapFilling
from fieldcast.inference.forecasts.ensemble import EnsembleForecaster, forecast
from fieldcast.inference.gaps.filling import TrustLimits, fill, method_scores
from fieldcast.inference.gaps.stored_fit import fill_options
from fieldcast.inference.gaps.trials import Comparison, Tried
from fieldcast.inference.quantities import choose_quantities
from fieldcast.inference.reconstruct import lineage_of, reconstruct
from fieldcast.inference.result_attributes import to_model_names
from fieldcast.inference.stations.gridding import grid_and_score, line_of_stations
from fieldcast.inference.stations.tracks import moves
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.kinds import CASE, LEAD, MEMBER, InitialTimes
from fieldcast.models.gaps.fillers import FILLERS
from fieldcast.report.data import about_fields, short_time
from fieldcast.report.exploration import Exploration
from fieldcast.scores.forecast import forecast_statistics
from fieldcast.scores.headline import observations as observations_of
from fieldcast.scores.leaderboard import FORECAST, RECONSTRUCT, Layout, leaderboard
from fieldcast.scores.numbers import significant
from fieldcast.scores.reconstruction import reconstruction_statistics
from fieldcast.scores.statistics_table import name_rows, with_origin
from fieldcast.standalone.fitting import fit_recipe, prepare, recipe_of
from fieldcast.tasks.scoring_inputs import cell_areas
from fieldcast.training.fill_gaps import SAMPLED, methods

LOG = logging.getLogger(__name__)
Explored: TypeAlias = str | Path | xr.Dataset | xr.DataArray | pd.DataFrame
TABLE_BYTES = 200_000_000  # largest table that is read
FILL_VALUES = 2_000_000  # values that are filled within about two minutes
TIME_COST = 500  # values whose filling takes as long as a time by itself
FORECAST_VALUES = 20_000_000  # values that are forecast from
RECONSTRUCTED_VALUES = 1500  # values of one time that are reconstructed
READINGS = 20_000  # readings of stations that are gridded
GRIDDED_VALUES = 1_000_000  # values on the grid of stations
GRIDDED_CELLS = 900  # cells of that grid
RESOLUTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0)  # degrees
ROUNDS = 2  # rounds of the race of methods
INTERVAL = 10.0  # time between lines that say how far it is [s]
STEPS, MEMBERS, STARTS = 5, 20, 32  # of the scored forecasts
MIN_STARTS = 3  # fewer leads are scored where they leave fewer starts
FORECAST_STEPS = 10  # of the forecast that is returned
OBSERVED = 0.1  # share of the cells that a reconstruction is given


@runtime.reports_out_of_memory
def explore(data: Explored, *, where: str | None = None, seed: int = 0, device: str = "cpu") -> Exploration:
    """Look at data of any kind, and do within about two minutes what suits them.

    Complete fields are reconstructed from a tenth of their cells and forecast by models that are fitted in seconds; the
    gaps of others are filled by the method that leads after the first rounds of a race; readings of stations, or along
    tracks, become fields, with scores at left-out ones. At most 200 MB are read: the last successive times, and if
    fewer than 100 fit, every n-th cell; what is computed may take a smaller part, which is said.

    Parameters
    ----------
    data
        The path of a NetCDF file, Zarr store, table (CSV or Parquet), folder or glob; or a data set, an array with a
        name, or a table of readings.
    where
        Condition on a flag of quality, as in `fill_gaps`: values that do not satisfy it are missing. By default the
        one that the meanings of the flags give, if it leaves enough; an empty one takes all values.
    seed
        Seed of held-out values and members.
    device
        "auto", "cpu" or "cuda".

    Raises
    ------
    InputError
        If the data cannot be read, or a condition names what they do not have.
    """
    with noted() as notes, runtime.log_progress(partial(LOG.info, "%s"), INTERVAL):
        given = str(data) if isinstance(data, str | Path) else data
        if isinstance(given, str):
            given = table_in(given, notes)
        if isinstance(given, pd.DataFrame) or (isinstance(given, str) and is_table(given)):
            if where:
                raise InputError("where compares variables of a grid, and a table has none: leave it out.")
            return explore_readings(given, notes, seed, device)
        return explore_fields(given, where, notes, seed, device)


class Notes(logging.Handler):
    """Collects the warnings of a run; its progress goes on to the handlers of the program."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.sentences: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning once; pass on the progress of this module, and what the reader of tables made of one."""
        if record.name in (__name__, table_layouts.__name__) and record.levelno < logging.WARNING:
            logging.getLogger().handle(record)
        elif record.levelno >= logging.WARNING and record.getMessage() not in self.sentences:
            self.sentences.append(record.getMessage())


@contextmanager
def noted() -> Iterator[list[str]]:
    """Collect the warnings of the package, which would be logged."""
    package, notes = logging.getLogger("fieldcast"), Notes()
    before = package.handlers, package.propagate
    package.handlers, package.propagate = [notes], False
    try:
        yield notes.sentences
    finally:
        package.handlers, package.propagate = before


def plain(sentences: Sequence[str], where: str) -> list[str]:
    """Sentences without the name of the data."""
    return [each.removeprefix(f"{where}: ") for each in sentences]


# Fields: complete ones, and those with gaps.


class Outcome(NamedTuple):
    """A result with what is told of it."""

    answer: str
    tables: Mapping[str, pd.DataFrame] = {}
    figures: Mapping[str, bytes] = {}
    result: str = ""
    data: xr.Dataset | None = None
    report: str = ""
    best: Mapping[str, str] = {}  # addresses of the best experiments by task
    steps: int | None = None  # leads that are scored where the record is too short for those of a run
    part: str = ""  # what the result was made from; empty for the whole
    adds: str = ""  # what the command that makes the result from the whole adds
    method: str = ""  # that made the result, if not the first one of the scores


def explore_fields(
    data: str | xr.Dataset | xr.DataArray, where: str | None, notes: list[str], seed: int, device: str
) -> Exploration:
    """Look at fields, and fill, or reconstruct and forecast them."""
    record = read_record(data, where or None)
    LOG.info("Reading %s%s", record.name, f": {record.text}" if record.text else "")
    whole = not record.text and record.layout is None
    with reading(record.where, OSError, RuntimeError, ValueError):
        flags = quality_flags(record.dataset, whole)
    if record.layout is not None and (flags := quality_flags(record.layout, whole)):
        notes.append("Flags of quality are counted in the first file.")
    if where is not None:
        return look_at_fields(record, where, flags, notes, seed, device)
    option = "where=" if record.path is None else "--where "
    notes += [
        f'Bad values of {", ".join(flag.variables)} are used, too: {option}"{flag.where}" leaves them out, but also '
        "values of other variables, of which this flag says nothing."
        for flag in flags
        if flag.where and flag.variables
    ]
    if good := " and ".join(flag.where for flag in flags if flag.where and not flag.variables):
        few = f'Too few values have "{good}", so that bad ones are used, too; {option}CONDITION takes others.'
        notes.append(few)
        with suppress(InputError):
            kept = record.only(good) if record.layout is None else read_record(data, good)
            share = f"{significant(100 * share_kept(record.dataset, kept.dataset))} % of those there"
            del record  # as large as what is kept of it
            used = (
                f'Only values with "{good}" are used, {share}, which flags call good; {option}"" takes all.'
            )
            notes[notes.index(few)] = used
            looked = look_at_fields(kept, good, flags, notes, seed, device)
            if looked.data is not None:
                return looked
            del kept
        notes[:] = [few if each.startswith(f'Only values with "{good}"') else each for each in notes]
        record = read_record(data)
    return look_at_fields(record, None, flags, notes, seed, device)


def look_at_fields(
    record: Record, where: str | None, flags: Sequence[Quality], notes: list[str], seed: int, device: str
) -> Exploration:
    """Look at a record of those values that satisfy a condition."""
    fields, checks = ingest(record.dataset, record.where, "insert", missing="train")
    variables = variables_table(fields)
    complete, gaps = complete_fields(record, fields, variables)
    if complete is None:
        notes += checks.loc[checks["check"] == "gaps", "sentence"].tolist()
        never = int((~domain.exists(fields).any("variable")).sum())
        if never and domain.SEA not in fields.coords:
            notes.append(
                f"{counted(never, 'cell')} without any value {'stays' if never == 1 else 'stay'} missing: the file has "
                "no land mask. A variable `mask` in it, 1 in the sea and 0 on land, would have those of the sea filled."
            )
        outcome = attempt(fill_record, "Gaps are not filled", fields, record, seed, device)
    else:
        failed = "The record is complete, but neither forecast nor reconstructed"
        outcome = attempt(model_record, failed, complete, record, gaps, seed, device)
    facts = [*about_grid(fields, record.dataset), *([("read", record.text)] if record.text else ())]
    facts += [("values", f"those with {where}")] if where else []
    tables = {"variables": variables, "checks": checks, **outcome.tables}
    if flags:
        tables["quality"] = pd.concat([flag.counts for flag in flags], ignore_index=True)
    commands = commands_for(record, where or None, complete is not None, gaps, outcome)
    return Exploration(
        record.name, facts, outcome.answer, tables, commands,
        outcome.figures, outcome.result, outcome.data, plain(notes, record.where), outcome.report, outcome.method,
    )  # fmt: skip


def attempt(make: Callable[..., Outcome], failed: str, *given: Any, remedy: bool = True) -> Outcome:
    """An outcome, or the sentence that says why there is none; its remedy may be an option that is not one of these."""
    try:
        return make(*given)
    except InputError as error:
        return Outcome(f"{failed}: {str(error) if remedy else str(error).rpartition(': ')[0] + '.'}")


def about_grid(fields: xr.Dataset, given: xr.Dataset) -> list[tuple[str, str]]:
    """Period and grid of fields, with the name of the projection of the data set that they were made from."""
    period, grid = about_fields(fields, {})
    if is_curvilinear(fields):
        rows, columns = fields.sizes["latitude"], fields.sizes["longitude"]
        kinds = (str(array.attrs.get("grid_mapping_name", "")) for array in given.variables.values())
        kind = next(
            (name.replace("_", " ") for name in kinds if name not in ("", "latitude_longitude")),
            "curvilinear",
        )
        grid = ("Grid", f"{rows} × {columns} cells ({kind})")
    return [(name.lower(), text) for name, text in (period, grid)]


def complete_fields(
    record: Record, fields: xr.Dataset, variables: pd.DataFrame
) -> tuple[xr.Dataset | None, Gaps]:
    """The fields as training takes them, if no value is missing but those of missing dates, and the option `gaps`."""
    if not variables["missing"].any():
        return fields, "refuse"
    if (variables["missing"] * fields.sizes["time"] - variables["empty_times"]).abs().max() > 1e-6:
        return None, "insert"
    try:
        return ingest(record.dataset, record.where, "segment")[0], "segment"
    except InputError:
        return None, "insert"


def fill_record(fields: xr.Dataset, record: Record, seed: int, device: str) -> Outcome:
    """Fill the gaps by the method that leads after the first rounds of the race."""
    part = record.last(FILL_VALUES, TIME_COST)
    if part is not record:
        fields, _ = ingest(part.dataset, record.where, "insert", missing="train")
    fields, _ = separate_errors(fields, None)
    LOG.info("Choosing how to fill %d times", fields.sizes["time"])
    chosen, choices = choose_quantities(fields, AUTO, seed, device)
    comparison = replace(Comparison.of(fields, seed, device, FILLERS, chosen), rounds=ROUNDS)
    tried = Tried()
    LOG.info("Comparing %d methods, and filling by the best one", len(FILLERS))
    deque(comparison.remaining(tried), maxlen=0)
    statistics = comparison.error_statistics(tried)
    layout = part.dataset if part.layout is None else part.layout
    options = fill_options(seed=seed)
    filled, _ = fill(comparison, tried, statistics, layout, 0, TrustLimits(), seed, choices, options)
    series = comparison.series(tried, statistics.variances)
    named = to_model_names(filled, fields)
    drawn = dict(pictures(named, series, outline(fields)))
    figures = {name: png(figure) for name, figure in drawn.items()}
    first = next((name for name in figures if name.endswith("_maps")), None)
    figures = {first: figures.pop(first), **figures} if first else figures
    scores = at_held_out(comparison, tried)
    best, used = tried.best.name, " of ".join(filter(None, dict.fromkeys((part.text, record.text))))
    answer = f"Gaps are filled by {best}" + (f", in {used}" if used else "")
    after, adds = "", ""
    if tried.ended_early:
        after = f", the best method after {counted(len(tried.rounds), 'round')} of a race"
        adds = f"methods are compared to the end, and another than {best} may win; "
    elif SAMPLED in methods(fields, chosen, GapFilling(), seed, device):
        adds = f"{SAMPLED} takes part, too, and may win; it stores no fit; "
    answer += f"{after}; scores at held-out values. {extrapolated_text(named, time_varying(fields))}"
    return Outcome(
        answer, {"scores": scores}, figures, "filled.nc", filled, str(filled.attrs["comment"]), part=used, adds=adds,
        method=best,
    )  # fmt: skip


def extrapolated_text(filled: xr.Dataset, variables: Sequence[str]) -> str:
    """The share of the filled values of each variable that are extrapolated."""
    shares = []
    for name in variables:
        flag = filled[f"{name}{FLAG}"]
        if number := int(flag.isin((FILLED, EXTRAPOLATED)).sum()):
            share = int((flag == EXTRAPOLATED).sum()) / number
            shares.append(f"{significant(100 * share)} % of the filled values of {name}")
    return f"{' and '.join(shares)} are extrapolated (flag 2)." if shares else ""


def at_held_out(comparison: Comparison, tried: Tried) -> pd.DataFrame:
    """Scores at held-out values: a row for each variable, kind of gap and method."""
    gappy, tables = comparison.record(), []
    for kind, whole in (("in gaps", False), ("at whole times", True)):
        table = method_scores(comparison, tried, gappy, whole)
        if len(table):
            tables.append(
                wide_scores(table[~table["variable"].str.contains(", mapped by ")]).assign(held_out=kind)
            )
    scores = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    return headed(scores, "Errors of the methods at held-out values, weighted like the missing ones")


def headed(table: pd.DataFrame, heading: str) -> pd.DataFrame:
    """A table with the line that stands above it."""
    table.attrs["heading"] = heading
    return table


def wide_scores(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each method and variable, the lowest CRPS of a variable first; a column for each score."""
    values = table.pivot_table(index=["variable", "experiment"], columns="score", values="value", sort=False)
    units = table[table["score"] == "crps"].set_index(["variable", "experiment"])["unit"]
    order = [name for name in ("crps", "rmse", "ssr", "coverage90") if name in values]
    wide = values[order].assign(unit=units)
    if "coverage90" in order:
        covered = table[table["score"] == "coverage90"].set_index(["variable", "experiment"])
        wide.insert(len(order), "coverage_error", (covered["high"] - covered["low"]) / 2)
    wide = wide.reset_index().rename(columns={"experiment": "method"})
    wide = wide.sort_values(["variable", "crps"], kind="stable").reset_index(drop=True)
    return wide[["method", "variable", *(name for name in wide if name not in ("method", "variable"))]]


# Complete fields: quick models of reconstruction and forecast.


def model_record(fields: xr.Dataset, record: Record, gaps: Gaps, seed: int, device: str) -> Outcome:
    """Score quick models of forecast and reconstruction, and forecast by the best of the first."""
    domain.refuse_curvilinear(fields)
    part = record.last(FORECAST_VALUES)
    if part is not record:
        fields, _ = ingest(part.dataset, record.where, gaps)
    states = part.dataset if part.layout is None else fields
    future = attempt(
        forecast_fields, "There is no forecast", fields, states, record.where, seed, device, remedy=False
    )
    estimate = attempt(reconstruct_fields, "There is no reconstruction", fields, seed, device, remedy=False)
    used = " of ".join(filter(None, dict.fromkeys((part.text, record.text))))
    answer = f"The record is complete{f', of which {used} are used' if used else ''}"
    answer += " but for missing dates" if gaps == "segment" else ""
    return future._replace(
        answer=f"{answer}. {future.answer} {estimate.answer}", part=used,
        tables={**future.tables, **estimate.tables}, figures={**future.figures, **estimate.figures},
        best={**estimate.best, **future.best},
    )  # fmt: skip


def reconstruct_fields(fields: xr.Dataset, seed: int, device: str) -> Outcome:
    """Score quick models of reconstruction."""
    part = last_part(fields, RECONSTRUCTED_VALUES * fields.sizes["time"], fewest=fields.sizes["time"])
    board, picture = reconstructions(prepare(part.of(fields), AUTO, seed, device), seed, device)
    best, of_what = str(board["method"].iloc[0]), f" (of {part.text})" if part.text else ""
    return Outcome(
        f"Of the quick models, {best} is best at reconstructing it from a tenth of the cells{of_what}.",
        {"reconstructions": board}, {"reconstruction": picture}, best={"reconstruct": f"reconstruct.{best}"},
    )  # fmt: skip


def forecast_fields(fields: xr.Dataset, states: xr.Dataset, where: str, seed: int, device: str) -> Outcome:
    """Score quick models of forecast, and forecast by the best one; `states` are the fields in the user's layout."""
    board, models = scored_forecasts(prepare(fields, AUTO, seed, device), seed, device)
    best = str(board["method"].iloc[0])
    future, in_contract = (
        models[best].forecast(each, FORECAST_STEPS, MEMBERS, seed, where) for each in (states, fields)
    )
    leads = f"{counted(len(future[LEAD]), 'step')} of {TimeStep.of(fields)}"
    picture = forecast_picture(fields, in_contract, best, models[best].checkpoint.field_codec)
    return Outcome(
        f"Of the quick models, {best} forecasts best; forecast.nc holds {leads}.", {"scores": board},
        {"forecast": picture}, "forecast.nc", future, best={"forecast": f"forecast.{best}"}, steps=fewer_steps(fields),
    )  # fmt: skip


def quick_models(task: str, data: PreparedData, seed: int, device: str) -> Iterator[tuple[str, TrainedModel]]:
    """Name and fitted model of each quick experiment of a task; those that the data do not suffice for are left out."""
    addresses = [each for each in quick_experiments(configuration_folder()) if each.startswith(f"{task}.")]
    refusals: dict[str, InputError] = {}
    for address in addresses:
        LOG.info("Fitting %s", address)
        recipe, feedback = recipe_of(address, {}, seed, device)
        try:
            model = fit_recipe(recipe, data, feedback)
        except InputError as error:
            refusals[address] = error
        else:
            yield address.partition(".")[2], model
    if len(refusals) == len(addresses):
        raise next(iter(refusals.values()))
    for address, refusal in refusals.items():
        LOG.warning("%s is left out: %s.", address, str(refusal).rpartition(": ")[0])


def reconstructions(data: PreparedData, seed: int, device: str) -> tuple[pd.DataFrame, bytes]:
    """Scores of reconstructions from some of the cells, and a picture of one."""
    fields, climatology, normalisation = data.statistics
    codec, space = (
        FieldCodec.of(fields, climatology, normalisation),
        space_of(fields, climatology, normalisation),
    )
    options = Sparsification(cases={"random": [OBSERVED]}, times=STARTS)
    observations = sparsify(fields, data.splits, codec, space, options, Limits())
    scores, draws = {}, {}
    for name, trained in quick_models("reconstruct", data, seed, device):
        lineage = lineage_of(name, observations, MEMBERS, seed)
        model = trained.checkpoint.model
        (case,) = reconstruct(model, trained.checkpoint.field_codec, observations, lineage)
        draws[name] = case.fields
        scores[name] = reconstruction_statistics(
            case.fields, observations, fields, climatology=climatology, normalisation=normalisation,
            area=cell_areas(fields), seed=seed,
        )[0]  # fmt: skip
    board = board_of(scores, fields, seed, RECONSTRUCT)
    board = board[board["cells"] == "unobserved"]
    board = headed(
        mean_scores(board).assign(given=observations_of(board)),
        "Reconstructions from a tenth of the cells: means over all variables, at the other cells, in the test split",
    )
    best, variable = str(board["method"].iloc[0]), time_varying(fields)[0]
    given = observations[variable].isel({CASE: 0, "time": -1})
    truth = fields[variable].sel(time=given["time"])
    estimate = draws[best][variable].isel({CASE: 0, "time": -1}).mean(MEMBER)
    maps = {"given: a tenth of the cells": given, f"estimate: {best}": estimate, "truth": truth}
    mapping = getattr(codec.quantities.get(variable), "kind", None)
    return board, drawn_row(fields, variable, date(given["time"]), maps, mapping)


def scored_forecasts(
    data: PreparedData, seed: int, device: str
) -> tuple[pd.DataFrame, dict[str, TrainedModel]]:
    """Scores of forecasts, means over leads, and the models."""
    fields, climatology, normalisation = data.statistics
    initial_times = starts_of(fields, data.splits)
    scores, models = {}, {}
    for name, models[name] in quick_models("forecast", data, seed, device):
        checkpoint, feedback = models[name].checkpoint, models[name].feedback
        forecaster = EnsembleForecaster(
            checkpoint.model, checkpoint.field_codec, fields, initial_times["scored"], MEMBERS, seed, feedback
        )
        leads = [lead.forecasts for lead in forecast(forecaster, initial_times, None, name)]
        scores[name] = forecast_statistics(
            xr.concat(leads, LEAD, combine_attrs="override"), fields, climatology=climatology,
            normalisation=normalisation, area=cell_areas(fields), seed=seed,
        )[0]  # fmt: skip
    board = board_of(scores, fields, seed, FORECAST)
    steps, starts = initial_times["leads"], counted(len(initial_times["scored"]), "start")
    heading = (
        f"Forecasts: means over {counted(steps, 'lead')} and all variables, from {starts} in the test split"
    )
    return headed(mean_scores(board), heading), models


def starts_of(fields: xr.Dataset, splits: SplitRanges) -> InitialTimes:
    """Initial times of `STEPS` leads, or of as many as leave several starts."""
    for steps in range(STEPS, 1, -1):
        rollout = Rollout(steps=steps, members=MEMBERS, initial_times=STARTS)
        with suppress(InputError):
            initial_times = select_initial_times(fields, splits, rollout, Limits())
            if len(initial_times["scored"]) >= MIN_STARTS:
                return initial_times
    return select_initial_times(fields, splits, replace(rollout, steps=1), Limits())


def fewer_steps(fields: xr.Dataset) -> int | None:
    """The number of scored leads; None if a run with its default options has starts, too."""
    splits = make(fields["time"])
    try:
        select_initial_times(fields, splits, Rollout(), Limits())
    except InputError:
        return starts_of(fields, splits)["leads"]
    return None


def board_of(
    scores: Mapping[str, pd.DataFrame], fields: xr.Dataset, seed: int, layout: Layout
) -> pd.DataFrame:
    """The leaderboard of some statistics."""
    digest, step = fields.attrs["digest"], TimeStep.of(fields)
    labelled = {
        name: name_rows(with_origin(table, seed, digest, "", step), name) for name, table in scores.items()
    }
    return leaderboard(labelled, digest, "", seed=seed, layout=layout)


def mean_scores(board: pd.DataFrame) -> pd.DataFrame:
    """CRPS, RMSE and spread-skill ratio of all variables together, means over leads; the lowest CRPS first."""
    board = board[(board["variable"] == "all") & board["score"].isin(["crps", "rmse", "ssr"])]
    means = board.pivot_table(index="experiment", columns="score", values="value", sort=False)
    wide = means.reindex(columns=["crps", "rmse", "ssr"]).sort_values("crps").reset_index()
    return wide.rename(columns={"experiment": "method"}).assign(unit="anomaly s.d.")


def drawn_row(
    fields: xr.Dataset, variable: str, when: str, maps: Mapping[str, xr.DataArray], mapping: str | None
) -> bytes:
    """Maps in one scale of colours, which the mapping of the variable makes logarithmic, or a circle."""
    values = {title: each.transpose("latitude", "longitude").values for title, each in maps.items()}
    mapping = Circle.kind if circle_of(fields[variable]) else mapping
    scale = colours(np.stack(list(values.values())), {**fields[variable].attrs, "quantity": mapping})
    return png(row_of_maps(fields, variable, when, values, scale, outline(fields)))


def date(time: xr.DataArray) -> str:
    """A time as text."""
    return calendars.without_midnight(calendars.date(time))


def forecast_picture(fields: xr.Dataset, future: xr.Dataset, best: str, codec: FieldCodec) -> bytes:
    """The last state, and two leads of the mean of a forecast."""
    variable = time_varying(fields)[0]
    last = fields[variable].isel(time=-1)
    mean = future[f"{variable}_mean"]
    step = TimeStep.of(fields)
    maps = {"the last state": last}
    for lead in (0, STEPS - 1):
        maps[f"{lead_text((lead + 1) * float(step.hours))} ahead: {best}"] = mean.isel({LEAD: lead})
    mapping = getattr(codec.quantities.get(variable), "kind", None)
    return drawn_row(fields, variable, date(last["time"]), maps, mapping)


# Readings of stations, and along tracks.


def explore_readings(data: str | pd.DataFrame, notes: list[str], seed: int, device: str) -> Exploration:
    """Look at readings, and make fields of them."""
    where, name, path = "the table", "the table", None
    if isinstance(data, str):
        where, name, path = f"'{data}'", os.path.basename(data), data
        if os.path.getsize(local(data)) > TABLE_BYTES:
            raise InputError(
                f"{where} has {os.path.getsize(local(data)) / 1e6:.0f} MB, and explore reads tables of at most "
                f"{TABLE_BYTES / 1e6:.0f}: give a part of it, or grid it with `fieldcast grid-stations`."
            )
    table = read_stations(data, where)
    LOG.info("Reading %s: %d readings", name, len(table))
    used, text = last_readings(table)
    resolution = resolution_for(used)
    outcome = attempt(grid_readings, "There are no fields", used, resolution, text, where, seed, device)
    times = calendars.iso(np.sort(table["time"].to_numpy().astype("M8[ns]"))[[0, -1]])
    tracks = moves(table)
    places = table.drop_duplicates(["latitude", "longitude"])
    facts = [
        ("readings", f"{len(table)} readings {'along tracks' if tracks else f'at {len(places)} places'}"),
        ("period", " to ".join(map(short_time, times))),
        ("region", f"{table['latitude'].min():g} to {table['latitude'].max():g} °N, "
         f"{table['longitude'].min():g} to {table['longitude'].max():g} °E"),
    ]  # fmt: skip
    if "elevation" in table:
        notes.append(
            "The elevation of the stations is not used here: it is with an elevation model, --dem FILE."
        )
    file, each = shlex.quote(path) if path else "FILE.csv", "pass" if tracks else "station"
    about = "the same fields, or by --resolution and --like others" if outcome.data is not None else "fields"
    about = f"fields from all readings, of which {text} are used here" if text else about
    about += f"; a table has the scores at each {each}"
    commands = [(about, f"fieldcast grid-stations {file} --resolution {resolution:g} --output fields.nc")]
    tables = {"variables": readings_table(table), **outcome.tables}
    return Exploration(
        name, facts, outcome.answer, tables, commands, outcome.figures, outcome.result, outcome.data,
        plain(notes, where), report=outcome.report,
    )  # fmt: skip


def last_readings(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The readings of the last times, at most `READINGS`, and what they are; empty for all."""
    if len(table) <= READINGS:
        return table, ""
    first = np.sort(table["time"].to_numpy())[len(table) - READINGS]
    last = table[table["time"] > first]
    if last.empty:  # all at one time
        last = table[table["time"] == first]
        last = last.iloc[:: -(-len(last) // READINGS)]
    return last.reset_index(drop=True), f"the last {len(last)} of {len(table)} readings"


def readings_table(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each variable of readings."""
    parts = []
    for name, part in table.groupby("variable", sort=False):
        low, high = np.percentile(part["value"], (5, 95))
        units = str(part["units"].iloc[0]) if "units" in part else ""
        parts.append(
            {"variable": name, "units": units, "low": float(low), "high": float(high), "readings": len(part),
             "places": len(part.drop_duplicates(["latitude", "longitude"])), "times": part["time"].nunique()}
        )  # fmt: skip
    return pd.DataFrame(parts)


def resolution_for(table: pd.DataFrame) -> float:
    """The finest resolution with at most `GRIDDED_CELLS` cells, and `GRIDDED_VALUES` values at all times."""
    most = min(GRIDDED_CELLS, GRIDDED_VALUES // table["time"].nunique())
    tall, wide = (float(np.ptp(table[axis])) for axis in ("latitude", "longitude"))
    fits = (r for r in RESOLUTIONS if (tall / r + 2) * (wide / r + 2) <= most)
    return next(fits, RESOLUTIONS[-1])


def grid_readings(
    table: pd.DataFrame, resolution: float, text: str, where: str, seed: int, device: str
) -> Outcome:
    """Fields from readings, with scores at left-out stations or passes."""
    result = grid_and_score(table, resolution, None, None, seed, device, where)
    fields = result.fields
    west = float(edges(fields["longitude"].to_numpy())[0])
    lines = outline(fields)
    variable = next(str(name) for name in fields.data_vars)
    times = [0, fields.sizes["time"] // 2, fields.sizes["time"] - 1]
    maps = {date(fields["time"][t]): fields[variable].isel(time=t) for t in times}
    mapping = fields[variable].attrs.get("quantity")
    figures = {"fields": drawn_row(fields, variable, f"every {resolution:g} degrees", maps, mapping)}
    tables: dict[str, pd.DataFrame] = {}
    if not result.scores.empty:
        drawn = dict(station_maps(result.scores, result.by_station, lines, west))
        figures |= {name: png(figure) for name, figure in drawn.items()}
        plain = result.scores[~result.scores["variable"].str.contains(", mapped by ")]
        tables["scores"] = headed(
            wide_scores(plain),
            f"Errors of the methods at held-out {'passes' if moves(table) else 'stations'}",
        )
    answer = f"Fields every {resolution:g} degrees and {TimeStep.of(fields)}"
    answer += f", from {text}" if text else ""
    kind = "passes" if moves(table) else "stations"
    of_score = "held-out passes" if moves(table) else "stations that are held out with their neighbours"
    answer += f"; scores at {of_score}." if tables else f", without scores: too few {kind}."
    if "station" in fields.dims:
        answer += f" {line_of_stations(fields).replace('the result', 'fields.nc').capitalize()}."
        unused = fields["station_not_used"].to_series()
        if (unused != "").any():
            tables["not_used"] = unused[unused != ""].rename("why").reset_index()
    return Outcome(answer, tables, figures, "fields.nc", fields, result.text)


# The commands to go on with.


def commands_for(
    record: Record, where: str | None, complete: bool, gaps: str, outcome: Outcome
) -> list[tuple[str, str]]:
    """Pairs of what to do next and the command, or the call of Python for data that are no file."""
    own, file, best = record.path is None, shlex.quote(record.path or ""), outcome.best
    given = (", where={!r}" if own else ' --where "{}"').format(where) if where else ""
    fill = "fieldcast.fill_gaps(dataset{})" if own else f"fieldcast fill-gaps {file} --output filled.nc{{}}"
    whole = f"the whole record, of which {outcome.part} are used here" if outcome.part else "the record"
    if not complete:
        same = outcome.data is not None and not (outcome.part or outcome.adds)
        about = f"fill {whole}{' again, with the same values' * same}: {outcome.adds}"
        about += "fit=FILE stores the fit, by which append" if own else "it stores the fit, by which --append"
        commands = [(f"{about} adds later times", fill.format(given))]
        errors = [
            str(name)
            for name, array in record.dataset.data_vars.items()
            if array.ndim > 1
            and array.dtype.kind == "f"
            and is_error(array)
            and BIAS not in str(name).lower()
        ]
        if len(errors) == 1:
            about = f"the same, with observed values smoothed by their errors, {errors[0]}"
            noise = f", noise={errors[0]!r}" if own else f" --noise {shlex.quote(errors[0])}"
            commands.append((about, fill.format(given + noise)))
        return commands
    if own:
        about = f"the model {{}} of {whole}, to keep: here it is fitted and not returned"
        about += f"; mask the data set by {where} before" if where else ""
        return [(about.format(each), f'fieldcast.fit(dataset, "{each}")') for each in best.values()]
    about = "fill the missing dates, which stay missing here"
    commands = [(about, fill.format(given))] if gaps == "segment" else []
    if best:
        options = given + " --gaps segment" * (gaps == "segment")
        options += f" --params rollout.steps={outcome.steps}" if outcome.steps else ""
        train = f"fieldcast train {file} --experiment {','.join(best.values())}{options}"
        about = f"train these models on {whole}, and store them in data_netcdf, with scores of more cases "
        about += "(--experiment explore instead: seven quick models, and a page)"
        commands.append((about, train))
    if "forecast" in best:
        predict = f"fieldcast predict {file} --experiment {best['forecast']} --output forecast.nc{given}"
        commands.append(("then forecast by the stored model, also from later states", predict))
    return commands
