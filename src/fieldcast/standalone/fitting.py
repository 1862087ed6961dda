"""A model fitted to a data set: `fieldcast.fit`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, get_args

import xarray as xr

from fieldcast import arguments, runtime
from fieldcast.app.conf_source import configuration_folder
from fieldcast.encoding.checkpoint import unpack
from fieldcast.encoding.options import Limits, TrainingMasks
from fieldcast.errors import InputError
from fieldcast.experiments import body_of
from fieldcast.fields.conventions import as_dataset
from fieldcast.fields.ingest import ingest
from fieldcast.fields.options import Gaps, Missing
from fieldcast.fields.prepared import PreparedData, fit_statistics
from fieldcast.fields.quantities import AUTO, NONE
from fieldcast.fields.splits import make, select
from fieldcast.inference.forecasts.ensemble import Feedback
from fieldcast.inference.quantities import choose_quantities
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.models.configuration import check_model
from fieldcast.models.core import Model
from fieldcast.tasks import TASKS
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train
from fieldcast.training.task import TrainingTask


@runtime.reports_out_of_memory
def fit(
    dataset: xr.Dataset | xr.DataArray, experiment: str, *, fit: Mapping[str, Any] | None = None,
    gaps: Gaps = "refuse", missing: Missing = "refuse", quantities: str | Mapping[str, str] = AUTO, seed: int = 0,
    device: str = "auto", conf: Path | str | None = None,
) -> TrainedModel:  # fmt: skip
    """Fit the model of an experiment to the first 70 % of the times of a data set, tuned on the next 10 %.

    Parameters
    ----------
    dataset
        Fields in any layout that ingestion accepts.
    experiment
        The address of an experiment, such as "reconstruct.optimal_interpolation".
    fit
        Options of the fit that replace those of the experiment: {"steps": 500}. "ranks" is 1 by default: further ranks
        import the calling script, whose statements must then be under `if __name__ == "__main__"`.
    gaps
        "refuse" missing dates; "segment": each gap starts a new segment, which no forecast crosses; or "insert" them
        without values, which `missing="train"` allows.
    missing
        "refuse" values that are missing at some times of a cell, or "train" on the others.
    quantities
        "auto", which chooses by held-out values how each variable is mapped (docs/data.md#quantities), "none", or the
        name of a mapping, for all variables or for each by its name.
    seed
        Seed of initial weights, batches and draws.
    device
        "auto", "cpu" or "cuda".
    conf
        The configuration folder that defines the experiment; by default the folder of the current project, or the
        installed one outside of a project.

    Raises
    ------
    InputError
        If the data cannot be used, the experiment does not exist or is not trained, or an option is unknown.
    """
    arguments.text(experiment, "experiment", "<task>.<name>")
    fit = {} if fit is None else arguments.mapping(fit, "fit", '{"steps": 500}')
    arguments.choice(gaps, "gaps", get_args(Gaps))
    arguments.choice(missing, "missing", get_args(Missing))
    seed, device = arguments.seed_number(seed), arguments.text(device, "device", "auto")
    recipe, feedback = recipe_of(experiment, fit, seed, device, conf)
    fields, _ = ingest(as_dataset(dataset, "the data set"), "the data set", gaps, missing=missing)
    return fit_recipe(recipe, prepare(fields, quantities, seed, device), feedback)


def recipe_of(
    experiment: str, fit: Mapping[str, Any], seed: int, device: str, conf: Path | str | None = None
) -> tuple[Recipe, Feedback]:
    """The recipe of an experiment, and the states from which it forecasts; the arguments are those of `fit`."""
    folder = configuration_folder() if conf is None else Path(arguments.path(conf, "conf", "conf"))
    body = body_of(folder, experiment)
    problem = problem_of(experiment, body)
    options = arguments.validated(Fit, {"ranks": 1, **(body.get("fit") or {}), **fit}, "fit")
    feedback: Feedback = (body.get("options") or {}).get("feedback", "members")
    return Recipe(problem, body["model"], options, seed, Limits(), device), feedback


def fit_recipe(recipe: Recipe, data: PreparedData, feedback: Feedback = "members") -> TrainedModel:
    """The model of a recipe, fitted to prepared data."""
    checkpoints = (saved.checkpoint for saved in train(recipe, data, None))
    checkpoint = next(filter(None, checkpoints))  # the only one: that of the finished training
    return TrainedModel(unpack(checkpoint), feedback).to(recipe.device)


def problem_of(experiment: str, body: Mapping[str, Any]) -> TrainingTask:
    """The training problem of an experiment."""
    name = experiment.partition(".")[0]
    if name not in TASKS:
        raise InputError(
            f"'{experiment}': there is no such task to train for{arguments.nearest(name, TASKS)}"
        )
    training = TASKS[name].training
    if training is None:
        raise InputError(
            f"'{experiment}': experiments of {name} are not fitted here: run `kedro run --pipelines {experiment}`, and "
            "load its checkpoint."
        )
    if "weights" in (body.get("uses") or {}):
        raise InputError(f"'{experiment}' is not trained itself: name the experiment whose weights it uses.")
    if body["model"].get("type") == "File":
        raise InputError(
            f"'{experiment}' is of type File: its forecasts were made elsewhere, so there is nothing to fit."
        )
    check_model(body["model"], f"{experiment}.model", Model)
    if "parts" in body["model"]:
        raise InputError(
            f"'{experiment}' is made of the checkpoints of other experiments: run `kedro run --pipelines "
            f"{experiment}`, and load its checkpoint."
        )
    problem: TrainingTask = resolve_name(training)()
    return problem


def prepare(
    fields: xr.Dataset, quantities: str | Mapping[str, str] = NONE, seed: int = 0, device: str = "cpu"
) -> PreparedData:
    """Fields with splits, and with quantities, climatology and normalisation fitted to the training split."""
    splits = make(fields["time"])
    training = select(fields, splits, "train")
    chosen, _ = choose_quantities(training, quantities, seed, device, TrainingMasks())
    return PreparedData(fields, *fit_statistics(training, chosen), splits)
