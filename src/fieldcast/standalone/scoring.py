"""Scores of any ensembles, of this project or made elsewhere: `fieldcast.score`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, get_args

import numpy as np
import pandas as pd
import xarray as xr

from fieldcast import arguments, calendars, runtime
from fieldcast.calendars import TimeStep, require_same_calendar, with_rounded_times
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.errors import InputError, counted
from fieldcast.fields import climatology as climatologies
from fieldcast.fields import conventions, domain
from fieldcast.fields import normalisation as normalisations
from fieldcast.fields.conventions import as_dataset, time_varying
from fieldcast.fields.ingest import ingest
from fieldcast.fields.repair import MIN_TIMES
from fieldcast.fields.stations import Source
from fieldcast.inference.compatibility import require_plausible, units_of_variables
from fieldcast.inference.forecasts.external import in_units_of, on_grid_of, refuse_twice, to_forecasts
from fieldcast.inference.stations.observations import Representativeness
from fieldcast.inference.stations.verification import NanPolicy, score_at_stations
from fieldcast.kinds import CASE, LEAD, MEMBER, START
from fieldcast.scores.bootstrap import MIN_BLOCKS, block_days
from fieldcast.scores.forecast import forecast_statistics
from fieldcast.scores.leaderboard import FORECAST, RECONSTRUCT, leaderboard
from fieldcast.scores.reconstruction import reconstruction_statistics
from fieldcast.scores.statistics import COVERAGE, coverage_interval
from fieldcast.scores.statistics_table import name_rows, with_origin
from fieldcast.tasks.scoring_inputs import cell_areas

LOG = logging.getLogger(__name__)
SCORED_TASKS = "forecast", "reconstruct"  # tasks whose draws can be scored


@runtime.reports_out_of_memory
def score(
    truth: Data | Source, draws: Data, *, task: str = "forecast", observed: Data | None = None,
    training: Data | None = None, name: str = "user", nan_policy: NanPolicy = "raise", seed: int = 0,
    representativeness: Representativeness = None, dem: Data | None = None,
    columns: Mapping[str, str] | str | None = None, crs: str | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Score any ensembles: one row for each score, in the columns of the leaderboard.

    Parameters
    ----------
    truth
        Fields at all valid times; or a table of stations, at whose readings forecasts are scored
        (`stations.verification`), or the path of one, CSV or Parquet.
    draws
        Forecasts (lead, start, member, latitude, longitude), whose leads are hours or time differences, or
        reconstructions (time, member, latitude, longitude), as `TrainedModel.fill` returns them. A missing dimension
        `member` means one member.
    task
        Task of the draws: "forecast" or "reconstruct".
    observed
        Data from which reconstructions were made, with NaN where nothing was observed.
    training
        Fields to which climatology and anomaly standard deviation are fitted; by default the truth.
    name
        The name in the column `experiment`.
    nan_policy
        Treatment of a member that is NaN where the truth is not: "raise" an error that names start (or time) and
        member; "omit" it, so that the start is scored without it at all leads; or "propagate": every score of that
        start is infinite.
    seed
        Seed of the bootstrap and of the ranks of ties, and of the errors of stations.
    representativeness
        Error of representativeness of stations, in the units of the variable, or one for each by name, which is added
        to the members, in addition to that of a column `error`; by default it is estimated.
    dem
        Elevations of the cells, to which stations with a column `elevation` are brought; by default `surface_altitude`
        of the draws.
    columns, crs
        Headings of the table of stations by the name of their column, and the coordinate reference system of x and y.

    Raises
    ------
    InputError
        If the task is another one, if the truth lacks a valid time or is too short for a climatology, if variables or
        grid differ, or if units do not convert or look wrong: half of the values are more than ten anomaly standard
        deviations from the climatology (of forecasts, those of the first lead); if a start or a time occurs twice, or a
        member is NaN.
    """
    arguments.choice(nan_policy, "nan_policy", get_args(NanPolicy))
    seed = arguments.seed_number(seed)
    arguments.text(name, "name", "user")
    if task not in SCORED_TASKS:
        raise InputError(f"score: task is '{task}'; give {' or '.join(SCORED_TASKS)}.")
    if isinstance(truth, str | Path | pd.DataFrame | tuple):
        return board_of_stations(
            truth, draws, task, observed, training, representativeness=representativeness, name=name,
            dem=None if dem is None else as_dataset(dem, "the elevation model"), columns=columns, crs=crs,
            nan_policy=nan_policy, seed=seed,
        )  # fmt: skip
    given = {"representativeness": representativeness, "dem": dem, "columns": columns, "crs": crs}
    if unused := [option for option, value in given.items() if value is not None]:
        raise InputError(
            f"score: `{unused[0]}` belongs to a table of stations, but the truth is a data set of fields."
        )
    fields, _ = ingest(as_dataset(truth, "the truth"), "the truth", fewest=1)
    statistics = statistics_of(fields, training)
    warn_of_few_members(as_dataset(draws, "the draws").sizes.get(MEMBER, 1))
    if task == "forecast":
        table = forecast_table(draws, fields, statistics, seed, nan_policy)
    elif observed is None:
        raise InputError("score: reconstructions need `observed`, the data that they were made from.")
    else:
        table = reconstruction_table(draws, observed, fields, statistics, seed, nan_policy)
    digest = fields.attrs["digest"]
    labelled = name_rows(with_origin(table, seed, digest, name, statistics.time_step), name)
    layout = FORECAST if task == "forecast" else RECONSTRUCT
    board = leaderboard({name: labelled}, digest, name, seed=seed, layout=layout)
    warn_of_missing_numbers(board, statistics.time_step)
    return board


def board_of_stations(
    stations: Source, draws: Data, task: str, observed: Data | None, training: Data | None, **options: Any
) -> pd.DataFrame:
    """Scores of forecasts at stations; the log says how readings were used."""
    if task != "forecast" or observed is not None or training is not None:
        raise InputError(
            "score: at stations only forecasts are scored, without `observed` and `training`: give fields as the truth."
        )
    warn_of_few_members(as_dataset(draws, "the draws").sizes.get(MEMBER, 1))
    verified = score_at_stations(stations, as_dataset(draws, "the forecasts"), **options)
    for sentence in verified.sentences:
        LOG.info("%s.", sentence)
    warn_of_missing_numbers(verified.board, verified.step)
    return verified.board


class Statistics(NamedTuple):
    """Climatology, normalisation and time step of a record."""

    climatology: xr.Dataset
    normalisation: xr.Dataset
    time_step: TimeStep

    def codec(self, fields: xr.Dataset) -> FieldCodec:
        """The codec of some fields by these statistics."""
        return FieldCodec.of(fields, self.climatology, self.normalisation)


def statistics_of(fields: xr.Dataset, training: Data | None) -> Statistics:
    """Climatology, normalisation and time step of the training data, by default of the truth."""
    if training is None and fields.sizes["time"] < MIN_TIMES:
        raise InputError(
            f"the truth has {counted(fields.sizes['time'], 'time')}, too few for a climatology: pass `training`, the "
            "fields that the model was trained on, for example."
        )
    record = fields
    if training is not None:
        where = "the training data"
        record, _ = ingest(as_dataset(training, where), where)
        record = in_units_of(fields[list(time_varying(fields))], on_grid_of(record, fields, where), where)
    climatology = climatologies.fit(record)
    if training is None and climatology.attrs["kind"] == climatologies.CONSTANT:
        LOG.warning(
            "the truth spans %.1f years, so that its climatology is its own mean, without seasons: anomalies, and the "
            "skill over the climatology, would differ with `training`, a record of two years or more.",
            calendars.hours(fields["time"])[-1] / calendars.HOURS_PER_YEAR,
        )
    step = TimeStep.of(fields if fields.sizes["time"] > 1 else record)
    return Statistics(climatology, normalisations.fit(record, climatology), step)


def forecast_table(
    draws: Data, fields: xr.Dataset, statistics: Statistics, seed: int, nan_policy: NanPolicy
) -> pd.DataFrame:
    forecasts = as_forecasts(draws, fields, statistics.codec(fields))
    tables = [
        forecast_statistics(
            part, fields, climatology=statistics.climatology,
            normalisation=statistics.normalisation, area=cell_areas(fields), seed=seed,
        )[0]
        for part in complete_parts(forecasts, fields, START, nan_policy)
    ]  # fmt: skip
    return in_order(tables)


def reconstruction_table(
    draws: Data, observed: Data, fields: xr.Dataset, statistics: Statistics, seed: int, nan_policy: NanPolicy
) -> pd.DataFrame:
    variables, codec = fields[time_varying(fields)], statistics.codec(fields)
    cases = as_case(observed, variables, codec, "the observed data").isel({MEMBER: 0})
    members = as_case(draws, variables, codec, "the reconstructions").assign_coords(k=cases["k"])
    tables = [
        reconstruction_statistics(
            part, cases if len(part["time"]) == len(members["time"]) else cases.sel(time=part["time"]), fields,
            climatology=statistics.climatology, normalisation=statistics.normalisation, area=cell_areas(fields),
            seed=seed,
        )[0]
        for part in complete_parts(members, fields, "time", nan_policy)
    ]  # fmt: skip
    return in_order(tables)


def in_order(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of different times as one, in the order that a table of all times has."""
    if len(tables) == 1:
        return tables[0]
    names = [name for name in tables[0].columns if name not in ("time", "value")]
    joined = pd.concat(tables, ignore_index=True)
    order = [pd.factorize(joined[name])[0] for name in names]
    times = joined["time"].to_numpy().astype(str)
    return joined.iloc[np.lexsort([times, *order[::-1]])].reset_index(drop=True)


def complete_parts(
    draws: xr.Dataset, fields: xr.Dataset, axis: str, nan_policy: NanPolicy
) -> Iterator[xr.Dataset]:
    """Yield the draws in parts along `axis`, each without the members that are NaN there where the truth is not."""
    if nan_policy == "propagate":
        yield draws
        return
    exists = domain.exists(fields)
    complete = np.ones((draws.sizes[axis], draws.sizes[MEMBER]), dtype=bool)
    for name in time_varying(fields):
        cells = exists.sel(variable=name, drop=True)
        for lead in range(draws.sizes.get(LEAD, 1)):
            x = draws[name].isel({LEAD: lead}, drop=True) if LEAD in draws.dims else draws[name]
            absent = (x.isnull() & cells).any([dim for dim in x.dims if dim not in (axis, MEMBER)])
            complete &= ~absent.transpose(axis, MEMBER).values
    if complete.all():
        yield draws
        return
    at, member = map(int, np.argwhere(~complete)[0])
    kind = "start" if axis == START else "time"
    first = f"member {member}, counted from 0, at the {kind} {calendars.date(draws[axis][at])}"
    number = counted(int((~complete).any(1).sum()), kind)
    if nan_policy == "raise":
        raise InputError(
            f"a member of the draws is NaN where the truth is not ({first}; at {number} in all): correct it, or score "
            f"without such members by nan_policy='omit'."
        )
    if not complete.any(1).all():
        alone = calendars.date(draws[axis][int((~complete.any(1)).argmax())])
        raise InputError(f"all members of the draws are NaN at the {kind} {alone}: leave it out.")
    LOG.warning("members that are NaN were left out at %s: the first is %s.", number, first)
    for members in np.unique(complete, axis=0):
        same = np.flatnonzero((complete == members).all(1))
        yield draws.isel({axis: same, MEMBER: np.flatnonzero(members)})


def warn_of_few_members(members: int) -> None:
    """Log the scores that an ensemble of this size is too small for."""
    missing = [name for name, nominal in COVERAGE.items() if coverage_interval(members, nominal) is None]
    if members == 1:
        LOG.warning(
            "the draws have one member: their CRPS is the mean absolute error, and spreads have no score."
        )
    elif missing:
        LOG.warning(
            "%s cannot be computed from %d members, whose ranks bound no interval of that probability; "
            "19 members bound both.",
            " and ".join(missing), members,
        )  # fmt: skip


def warn_of_missing_numbers(board: pd.DataFrame, step: TimeStep) -> None:
    """Log why intervals, or scores at unobserved cells, are NaN throughout."""
    if "cells" in board and board.loc[board["cells"] == "unobserved", "value"].isna().all():
        LOG.warning(
            "the observed data have values in all cells, so that the scores of unobserved cells are NaN: "
            "put NaN where nothing was observed."
        )
    if np.isfinite(board["value"]).any() and board["low"].isna().all():
        LOG.warning(
            "the scored times are too few for intervals, so that `low` and `high` are NaN: %d times are needed, and "
            "%.0f days.",
            MIN_BLOCKS,
            MIN_BLOCKS * block_days(step.months),
        )


# A user's forecasts, reconstructions and observations in the layout of the scores, on the grid of the truth.


Data: TypeAlias = xr.Dataset | xr.DataArray


def as_forecasts(data: Data, fields: xr.Dataset, codec: FieldCodec) -> xr.Dataset:
    """Forecasts (lead, start, member, latitude, longitude) of the variables that vary in time.

    The first lead is judged by the climatology of `codec`: later ones may have blown up.
    """
    variables, where = time_varying(fields), "the forecasts"
    given = on_grid_of(to_forecasts(as_dataset(data, where), where, variables), fields, where)
    forecasts = in_units_of(fields[variables], given, where)
    require_same_calendar(forecasts[START], fields["time"], where, "the fields")
    refuse_twice(forecasts[START], "start", where)
    first = given.isel({LEAD: int(given[LEAD].values.argmin())})
    valid = first.get_index(START) + timedelta(hours=float(first[LEAD]))
    require_right_units(first.rename({START: "time"}).assign_coords(time=valid), codec, where)
    return forecasts


def as_case(data: Data, fields: xr.Dataset, codec: FieldCodec, where: str) -> xr.Dataset:
    """Data of one case on (case, member, time, latitude, longitude), the layout of stored reconstructions.

    The pattern of the case is "given", and its k the fraction of values that are not NaN.
    """
    dataset, variables = as_dataset(data, where), list(map(str, fields.data_vars))
    absent = [name for name in variables if name not in dataset]
    if absent:
        raise InputError(
            f"there is no variable '{absent[0]}' in {where}, although the truth has one: add it."
        )
    selected = dataset[variables]
    if MEMBER not in selected.dims:
        selected = selected.expand_dims(MEMBER)
    members = [selected.isel({MEMBER: number}, drop=True) for number in range(selected.sizes[MEMBER])]
    converted = [conventions.to_contract(member, where)[variables].sortby("latitude") for member in members]
    given = on_grid_of(xr.concat(converted, MEMBER), fields, where)
    case = in_units_of(fields, given, where)
    require_same_calendar(case["time"], fields["time"], where, "the fields")
    refuse_twice(case["time"], "time", where)
    require_right_units(given, codec, where)
    case = with_rounded_times(case)
    unknown_times = [str(time) for time in case["time"].values if time not in fields["time"].values]
    if unknown_times:
        raise InputError(
            f"the truth lacks {unknown_times[0]}, a time of {where}: give the truth at all of their times."
        )
    fraction = float(np.mean([np.isfinite(case[name]).mean() for name in variables]))
    return case.expand_dims(CASE).assign_coords(
        pattern=(CASE, ["given"]),
        k=(CASE, [fraction]),
        mask=("time", np.zeros(case.sizes["time"], dtype=int)),
    )


def require_right_units(data: xr.Dataset, codec: FieldCodec, where: str) -> None:
    """Raise an InputError if values in their own units are so far from the climatology that the units look wrong."""
    source = "as their attribute says, and check the units of the truth"
    require_plausible(data, codec.in_units(units_of_variables(data, codec, where), where), where, source)
