"""Scores of ensembles of any origin: `fieldcast.score`."""

from __future__ import annotations

import logging
from typing import NamedTuple

import pandas as pd
import xarray as xr

from fieldcast import arguments, calendars, memory
from fieldcast.errors import InputError
from fieldcast.fields import climatology as climatologies
from fieldcast.fields import normalisation as normalisations
from fieldcast.fields.conventions import as_dataset, time_varying
from fieldcast.fields.ingest import ingest
from fieldcast.fields.repair import FEWEST_TIMES
from fieldcast.scores.forecast import forecast_statistics
from fieldcast.scores.leaderboard import FORECAST, RECONSTRUCT, leaderboard
from fieldcast.scores.reconstruction import reconstruction_statistics
from fieldcast.scores.statistics import COVERAGE, coverage_interval
from fieldcast.scores.statistics_table import name_rows, with_origin
from fieldcast.standalone.user_draws import Data, as_case, as_forecasts
from fieldcast.tasks.scoring_inputs import cell_areas
from fieldcast.time_steps import TimeStep

LOG = logging.getLogger(__name__)
YEAR = 8766.0  # hours
SCORED = "forecast", "reconstruct"  # tasks of `score`


@memory.reports_out_of_memory
def score(
    truth: Data, draws: Data, *, task: str = "forecast", observed: Data | None = None,
    training: Data | None = None, name: str = "user", seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Score ensembles of any origin: one row for each score, in the columns of the leaderboard.

    Parameters
    ----------
    truth
        Fields at all valid times.
    draws
        Forecasts (lead, start, member, latitude, longitude), whose leads are hours or time differences, or
        reconstructions (time, member, latitude, longitude), as `TrainedModel.fill` returns them. A missing dimension
        `member` means one member.
    task
        What was drawn: "forecast" or "reconstruct".
    observed
        What reconstructions were made from: NaN where nothing was observed.
    training
        Fields to which climatology and anomaly standard deviation are fitted; by default the truth.
    name
        The name in the column `experiment`.
    seed
        Seed of the bootstrap and of the ranks of ties.

    Raises
    ------
    InputError
        For another task; if the truth lacks a valid time, variables or grid differ, or units do not convert; if the
        truth is too short for a climatology.
    """
    seed = arguments.seed_number(seed)
    arguments.text(name, "name", "user")
    if task not in SCORED:
        raise InputError(f"score: task is '{task}'; give {' or '.join(SCORED)}.")
    fields, _ = ingest(as_dataset(truth, "the truth"), "the truth", fewest=1)
    normals = normals_of(fields, training)
    warn_of_members(as_dataset(draws, "the draws").sizes.get("member", 1))
    if task == "forecast":
        table = forecast_table(draws, fields, normals, seed)
    elif observed is None:
        raise InputError("score: reconstructions need `observed`, the data that they were made from.")
    else:
        table = reconstruction_table(draws, observed, fields, normals, seed)
    digest = fields.attrs["digest"]
    stamped = name_rows(with_origin(table, seed, digest, name, normals.time_step), name)
    layout = FORECAST if task == "forecast" else RECONSTRUCT
    return leaderboard({name: stamped}, digest, name, seed=seed, layout=layout)


class Normals(NamedTuple):
    """Climatology and normalisation of a record, and its time step."""

    climatology: xr.Dataset
    normalisation: xr.Dataset
    time_step: TimeStep


def normals_of(fields: xr.Dataset, training: Data | None) -> Normals:
    """The normals of the training data, by default of the truth itself.

    Raises
    ------
    InputError
        If the truth is too short for a climatology, or the training data cannot be used.
    """
    if training is None and fields.sizes["time"] < FEWEST_TIMES:
        raise InputError(
            f"the truth has {fields.sizes['time']} times, too few for a climatology: pass `training`, the fields that "
            "the model was trained on, for example."
        )
    past = fields
    if training is not None:
        past, _ = ingest(as_dataset(training, "the training data"), "the training data")
    climatology = climatologies.fit(past)
    if training is None and climatology.attrs["kind"] == climatologies.CONSTANT:
        LOG.warning(
            "the truth spans %.1f years, so that its climatology is its own mean, without seasons: anomalies, and the "
            "skill over the climatology, would differ with `training`, a record of two years or more.",
            calendars.hours(fields["time"])[-1] / YEAR,
        )
    step = TimeStep.of(fields if fields.sizes["time"] > 1 else past)
    return Normals(climatology, normalisations.fit(past, climatology), step)


def forecast_table(draws: Data, fields: xr.Dataset, normals: Normals, seed: int) -> pd.DataFrame:
    """Statistics of forecasts.

    Raises
    ------
    InputError
        If the truth lacks a valid time, variables or grid differ, or units do not convert.
    """
    table, _ = forecast_statistics(
        as_forecasts(draws, fields), fields, climatology=normals.climatology,
        normalisation=normals.normalisation, area=cell_areas(fields), seed=seed,
    )  # fmt: skip
    return table


def reconstruction_table(
    draws: Data, observed: Data, fields: xr.Dataset, normals: Normals, seed: int
) -> pd.DataFrame:
    """Statistics of reconstructions from observed data.

    Raises
    ------
    InputError
        If the truth lacks a time, variables or grid differ, or units do not convert.
    """
    variables = fields[time_varying(fields)]
    cases = as_case(observed, variables, "the observed data").isel(member=0)
    members = as_case(draws, variables, "the reconstructions").assign_coords(k=cases["k"])
    table, _ = reconstruction_statistics(
        members, cases, fields, climatology=normals.climatology,
        normalisation=normals.normalisation, area=cell_areas(fields), seed=seed,
    )  # fmt: skip
    return table


def warn_of_members(members: int) -> None:
    """Log which scores an ensemble of this size lacks."""
    lacking = [name for name, nominal in COVERAGE.items() if coverage_interval(members, nominal) is None]
    if members == 1:
        LOG.warning(
            "the draws have one member: their CRPS is the mean absolute error, and spreads have no score."
        )
    elif lacking:
        LOG.warning(
            "no %s: the ranks of %d members bound no interval of that probability; those of 19 bound both.",
            " and no ".join(lacking), members,
        )  # fmt: skip
