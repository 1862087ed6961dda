"""Fieldcast without Kedro: fit a model to a data set, and score ensembles of any origin."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, get_args

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import TypeAdapter, ValidationError

from fieldcast import arguments, calendars, memory
from fieldcast.encoding.checkpoint import unpack
from fieldcast.encoding.options import Limits
from fieldcast.errors import InputError
from fieldcast.experiments import body_of, nearest
from fieldcast.fields import climatology as climatologies
from fieldcast.fields import conventions
from fieldcast.fields import normalisation as normalisations
from fieldcast.fields.conventions import as_dataset, time_varying
from fieldcast.fields.forecast_files import to_forecasts
from fieldcast.fields.ingest import ingest
from fieldcast.fields.options import Missing
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.repair import FEWEST_TIMES, Gaps
from fieldcast.fields.splits import make, select
from fieldcast.frame.conf_source import configuration_folder
from fieldcast.inference.external_forecasts import check_calendar, in_units_of, on_grid_of
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.models.configuration import check_model
from fieldcast.models.core import Model
from fieldcast.pipelines.parameters import type_of
from fieldcast.scores.forecast import forecast_statistics
from fieldcast.scores.leaderboard import FORECAST, RECONSTRUCT, leaderboard
from fieldcast.scores.reconstruction import reconstruction_statistics
from fieldcast.scores.statistics import COVERAGE, coverage_interval
from fieldcast.scores.statistics_table import name_rows, with_origin
from fieldcast.tasks import TASKS
from fieldcast.tasks.scoring_inputs import areas
from fieldcast.time_steps import TimeStep, unrounded
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train

LOG = logging.getLogger(__name__)
Data: TypeAlias = xr.Dataset | xr.DataArray
YEAR = 8766.0  # hours
SCORED = "forecast", "reconstruct"  # tasks of `score`


@memory.lack_in_words
def fit(
    dataset: Data,
    experiment: str,
    *,
    fit: Mapping[str, Any] | None = None,
    gaps: Gaps = "refuse",
    missing: Missing = "refuse",
    seed: int = 0,
    device: str = "auto",
    conf: Path | str | None = None,
) -> TrainedModel:
    """Fit the model of an experiment to the first 70 % of the times of a data set, tuned on the next 10 %.

    Parameters
    ----------
    dataset
        Fields in any layout that ingestion accepts.
    experiment
        The address of an experiment, as "reconstruct.optimal_interpolation".
    fit
        Options of the fit that replace those of the experiment: {"steps": 500}. "ranks" is 1 unless it is given: other
        ranks import the calling script, whose statements must then stand under `if __name__ == "__main__"`.
    gaps
        "refuse" missing dates, or "segment": each gap starts a new segment, which no forecast crosses.
    missing
        "refuse" values that are missing at some times of a cell, or "train": learn from the others.
    seed
        Seed of initial weights, batches and draws.
    device
        "auto", "cpu" or "cuda".
    conf
        The folder of configuration in which the experiment is; by default that of the project around the working
        folder, else the installed one.

    Raises
    ------
    InputError
        For data that cannot be used, an experiment that does not exist or is not trained, unknown options.
    """
    arguments.text(experiment, "experiment", "<task>.<name>")
    fit = {} if fit is None else arguments.mapping(fit, "fit", '{"steps": 500}')
    arguments.one_of(gaps, "gaps", get_args(Gaps))
    arguments.one_of(missing, "missing", get_args(Missing))
    seed, device = arguments.seed_number(seed), arguments.text(device, "device", "auto")
    folder = configuration_folder() if conf is None else Path(arguments.path(conf, "conf", "conf"))
    task_name = experiment.partition(".")[0]
    body = body_of(folder, experiment)
    if task_name == "assimilate":
        raise InputError(
            f"'{experiment}' is a filter, and filters are not fitted here: run `kedro run --pipelines {experiment}`, "
            "and load its checkpoint."
        )
    if "weights" in (body.get("uses") or {}) or body["model"].get("type") == "File":
        raise InputError(f"'{experiment}' is not trained itself: name the experiment whose weights it uses.")
    task = TASKS.get(task_name)
    if task is None or task.problem is None:
        raise InputError(f"'{experiment}': there is no such task to train for{nearest(task_name, TASKS)}")
    check_model(body["model"], f"{experiment}.model", Model)
    fields, _ = ingest(as_dataset(dataset, "the data set"), "the data set", gaps, missing=missing)
    splits = make(fields["time"])
    training = select(fields, splits, "train")
    climatology = climatologies.fit(training)
    normalisation = normalisations.fit(training, climatology)
    recipe = Recipe(
        task.problem(type_of(f"params:{task.options}", task.types)()) if task.options else task.problem(),
        body["model"],
        fit_options({"ranks": 1, **(body.get("fit") or {}), **fit}),
        seed,
        Limits(),
        device,
    )
    for saved in train(recipe, PreparedData(fields, climatology, normalisation, splits), None):
        checkpoint = saved.checkpoint
    feedback = (body.get("options") or {}).get("feedback", "members")
    return TrainedModel(unpack(checkpoint), feedback).to(device)


def fit_options(given: Mapping[str, Any]) -> Fit:
    """The options of a fit.

    Raises
    ------
    InputError
        For an unknown key or an invalid value.
    """
    try:
        options: Fit = TypeAdapter(Fit).validate_python(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(arguments.option_path(first["loc"]))
        if key not in Fit.__dataclass_fields__:
            suggestion = nearest(key, list(Fit.__dataclass_fields__))
            raise InputError(f"fit has no option '{key}'{suggestion}") from None
        messages = dict.fromkeys(detail["msg"] for detail in error.errors() if detail["loc"][:1] == (key,))
        raise InputError(f"fit.{key} = {first['input']!r}: {' or '.join(messages)}.") from None
    return options


@memory.lack_in_words
def score(
    truth: Data,
    draws: Data,
    *,
    task: str = "forecast",
    observed: Data | None = None,
    training: Data | None = None,
    name: str = "user",
    seed: int = 0,
) -> pd.DataFrame:
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
    if training is None and fields.sizes["time"] < FEWEST_TIMES:
        raise InputError(
            f"the truth has {fields.sizes['time']} times, too few for a climatology: pass `training`, the fields that "
            "the model was trained on, for example."
        )
    past = fields
    if training is not None:
        past, _ = ingest(as_dataset(training, "the training data"), "the training data")
    warn_of_members(as_dataset(draws, "the draws").sizes.get("member", 1))
    climatology = climatologies.fit(past)
    if training is None and climatology.attrs["kind"] == climatologies.CONSTANT:
        LOG.warning(
            "the truth spans %.1f years, so that its climatology is its own mean, without seasons: anomalies, and the "
            "skill over the climatology, would be others with `training`, a record of two years or more.",
            calendars.hours(fields["time"])[-1] / YEAR,
        )
    statistics = {"climatology": climatology, "normalisation": normalisations.fit(past, climatology)}
    variables = time_varying(fields)
    if task == "forecast":
        forecasts = to_forecasts(as_dataset(draws, "the forecasts"), "the forecasts", variables)
        forecasts = in_units_of(fields[variables], forecasts, "the forecasts")
        check_calendar(forecasts["start"], fields["time"], "the forecasts")
        aligned = on_grid_of(forecasts[variables], fields, "the forecasts")
        table, _ = forecast_statistics(aligned, fields, **statistics, area=areas(fields), seed=seed)
    elif observed is None:
        raise InputError("score: reconstructions need `observed`, the data that they were made from.")
    else:
        cases = as_case(observed, fields[variables], "the observed data").isel(member=0)
        members = as_case(draws, fields[variables], "the reconstructions").assign_coords(k=cases["k"])
        table, _ = reconstruction_statistics(
            members, cases, fields, **statistics, area=areas(fields), seed=seed
        )
    stamped = name_rows(with_origin(table, seed, fields.attrs["digest"], name, TimeStep.of(past)), name)
    layout = FORECAST if task == "forecast" else RECONSTRUCT
    return leaderboard({name: stamped}, fields.attrs["digest"], name, seed=seed, layout=layout)


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


def as_case(data: Data, fields: xr.Dataset, where: str) -> xr.Dataset:
    """Data of one case on (case, member, time, latitude, longitude), as reconstructions and observations are stored.

    The case has the pattern "given", and as k the fraction of values that are not NaN.

    Raises
    ------
    InputError
        If variables or grid are not those of `fields`, units do not convert to theirs, or a time is none of theirs.
    """
    dataset, variables = as_dataset(data, where), list(map(str, fields.data_vars))
    absent = [name for name in variables if name not in dataset]
    if absent:
        raise InputError(f"{where} has no variable '{absent[0]}', which the truth has: add it.")
    selected = dataset[variables]
    if "member" not in selected.dims:
        selected = selected.expand_dims("member")
    members = [selected.isel(member=number, drop=True) for number in range(selected.sizes["member"])]
    plain = [conventions.to_contract(member, where)[variables].sortby("latitude") for member in members]
    case = on_grid_of(xr.concat(plain, "member"), fields, where)
    case = in_units_of(fields, case, where)
    check_calendar(case["time"], fields["time"], where)
    case = unrounded(case)
    later = [str(time) for time in case["time"].values if time not in fields["time"].values]
    if later:
        raise InputError(
            f"{where} has the time {later[0]}, which the truth lacks: give the truth at all its times."
        )
    fraction = float(np.mean([np.isfinite(case[name]).mean() for name in variables]))
    return case.expand_dims("case").assign_coords(
        pattern=("case", ["given"]),
        k=("case", [fraction]),
        mask=("time", np.zeros(case.sizes["time"], dtype=int)),
    )
