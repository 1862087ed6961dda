"""The four tasks: their stages, and how their results are compared and served. Importing this takes no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fieldcast.encoding.options import CycledAssimilation, Rollout
from fieldcast.inference.options import Drawing, Evaluation, Sampling, StateOptions
from fieldcast.scores import headline, summary

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from fieldcast.inference.trained_model import TrainedModel

# data sets of the experiments of all tasks
RESULTS = "scores", "diagnostics", "examples", "history", "costs"

# {kind: {experiment: value}}, with the parameters of the experiments, the comparisons, and the target under their names
StoredResults = Mapping[str, Any]


@dataclass(frozen=True)
class Serving:
    """A trained model as a function of arrays, as MLflow calls it.

    Parameters
    ----------
    draw
        The `TrainedModel`, a data set (None where the function takes nothing) and the parameters by name -> draws.
    takes
        What the data set holds: "observations", NaN where there are none, at whose times v (time, member, latitude,
        longitude) is drawn with v_mean and v_spread; successive "states", which v (lead, member, ...) follows, with
        its valid `time` (lead); or "nothing", for v (sample, ...).
    parameters
        Default values of its parameters, all whole numbers.
    """

    draw: Callable[..., xr.Dataset]
    takes: Literal["observations", "states", "nothing"]
    parameters: Mapping[str, int]


@dataclass(frozen=True)
class Task:
    """A use of models: one choice of the context, with its training, scores and tables.

    Parameters
    ----------
    name
        First part of the address of its experiments, `<name>.<experiment>`; without underscores.
    preparation
        Stages that run once for all experiments.
    stages
        Stages that run once for each experiment, from training to evaluation.
    target
        Data set of the preparation that draws are scored on, stored under its name in the layer `04_feature`; among
        the results of the task once it is there.
    results
        Data sets of an experiment that ranking and page read.
    headline
        The rows that an experiment's run in MLflow shows, or its rows of the leaderboard -> the score by which
        experiments are compared; None where it was not computed.
    summary
        A leaderboard, of one run or over several seeds, as the few lines that a run ends with.
    sections
        Types of the sections of parameters that are its own.
    options
        Type of the experiments' own `options`; None where they have none.
    takes_files
        Whether an experiment may be draws that were made elsewhere.
    serving
        A trained model as a function; None where it does not work alone, as a filter without the forecasts around
        which it was calibrated.
    training
        Class of its training data, with the default options, for `fieldcast.fit`; None where that trains nothing.
    """

    name: str
    preparation: tuple[str, ...]
    stages: tuple[str, ...]
    target: str
    results: tuple[str, ...]
    headline: headline.Measure
    summary: Callable[[pd.DataFrame], str]
    sections: Mapping[str, type] = field(default_factory=dict)
    options: type | None = None
    takes_files: bool = False
    serving: Serving | None = None
    training: str | None = None


def fill(trained: TrainedModel, data: xr.Dataset, members: int, seed: int) -> xr.Dataset:
    """Draws given the observations of a data set, as MLflow serves a model."""
    return trained.fill(data, members, seed=seed, where="the input")


def predict(trained: TrainedModel, data: xr.Dataset, steps: int, members: int, seed: int) -> xr.Dataset:
    """Draws of the states that follow the last ones of a data set, as MLflow serves a model."""
    return trained.forecast(data, steps, members, seed, "the input")


def draw(trained: TrainedModel, data: None, samples: int, seed: int) -> xr.Dataset:
    """Samples, as MLflow serves a model."""
    return trained.sample(samples, seed)


RECONSTRUCT = Task(
    name="reconstruct",
    preparation=("ingestion", "sparsification"),
    stages=("training", "reconstruction", "evaluation"),
    target="observations",
    results=RESULTS,
    headline=headline.reconstruction_headline,
    summary=summary.reconstruct_summary,
    sections={"evaluation": Evaluation},
    serving=Serving(fill, "observations", {"members": 19, "seed": 0}),
    training="fieldcast.tasks.reconstruct.Reconstruction",
)

FORECAST = Task(
    name="forecast",
    preparation=("ingestion", "initial_times", "events"),
    stages=("training", "rollout", "evaluation"),
    target="initial_times",
    results=(*RESULTS, "stability", "snapshots", "events"),
    headline=headline.forecast_headline,
    summary=summary.forecast_summary,
    sections={"rollout": Rollout},
    options=Drawing,
    takes_files=True,
    serving=Serving(predict, "states", {"steps": 10, "members": 10, "seed": 0}),
    training="fieldcast.tasks.forecast.Forecasting",
)

ASSIMILATE = Task(
    name="assimilate",
    preparation=("ingestion", "observing_network", "events"),
    stages=("calibration", "assimilation", "evaluation"),
    target="cycle_observations",
    results=(*RESULTS, "leads", "film", "events"),
    headline=headline.analysis_headline,
    summary=summary.assimilate_summary,
    sections={"assimilation": CycledAssimilation},
)

SAMPLE = Task(
    name="sample",
    preparation=("ingestion", "features"),
    stages=("training", "sampling", "evaluation"),
    target="extractor",
    results=(*RESULTS, "latents"),
    headline=headline.sample_headline,
    summary=summary.sample_summary,
    sections={"sampling": Sampling},
    options=StateOptions,
    serving=Serving(draw, "nothing", {"samples": 10, "seed": 0}),
    training="fieldcast.tasks.sample.StateSampling",
)

TASKS: dict[str, Task] = {task.name: task for task in (RECONSTRUCT, FORECAST, ASSIMILATE, SAMPLE)}
