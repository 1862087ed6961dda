"""A task: how it prepares data, trains, draws and scores, and how its results are ranked and shown.

A record of data and plain functions. Stages loop over the tasks and never ask for one by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from fieldcast.scores.headline import Measure
    from fieldcast.training.task import TrainingTask

RESULTS = (
    "scores",
    "diagnostics",
    "examples",
    "history",
    "costs",
)  # data sets of the experiments of all tasks


@dataclass(frozen=True)
class Step:
    """A function that a stage runs as a node.

    Each name in `data` is a data set and the argument that takes it, each in `parameters` a parameter and its
    argument; `outputs` are data sets in the order of the function's results. A function of `fieldcast.deferred` is
    imported when the node runs.
    """

    function: Callable[..., Any]
    data: tuple[str, ...]
    parameters: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def inputs(self) -> dict[str, str]:
        """Data sets and parameters, `params:` in front of the latter, by argument."""
        return {name: name for name in self.data} | {name: f"params:{name}" for name in self.parameters}


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
    problem
        Options -> the problem that a model is fitted to; None where the task makes its checkpoints in its own way.
    options
        The parameters that hold the options of `problem`, in the order of its arguments.
    draw_sections
        Parameters whose numbers of draws are stored with the draws as attributes, beside the seed; None where neither
        is stored.
    types
        Types of the experiments' own parameters that this task decides, such as `options`.
    results
        Data sets of an experiment that ranking and page read.
    score
        Draws and truth -> scores, diagnostics. With `checkpoint` among its data it is a function of a `StoredModel`,
        which receives the checkpoint that was drawn from and the other inputs of that record.
    show
        A few draws beside the truth -> examples.
    metrics
        Scores of one experiment and the seed of the run -> the rows that its run in MLflow shows.
    headline
        These rows, or an experiment's rows of the leaderboard -> the score by which experiments are compared; None
        where it was not computed.
    rank
        Results of all experiments -> leaderboard, summary.
    page
        Leaderboard and results -> the results for the report, their figures, further files.
    summary
        A leaderboard, of one run or over several seeds, as the few lines that a run ends with.
    further
        Results -> tables beside the leaderboard.
    score_file
        Function like `score` for external forecasts; None where the task takes none.
    serving
        A trained model as a function; None where it does not work alone, as a filter without the forecasts around
        which it was calibrated.
    """

    name: str
    preparation: tuple[str, ...]
    stages: tuple[str, ...]
    target: str
    score: Step
    show: Step
    metrics: Callable[[pd.DataFrame, int], pd.DataFrame]
    headline: Measure
    rank: Step
    page: Step
    summary: Callable[[pd.DataFrame], str]
    problem: Callable[..., TrainingTask] | None = None
    options: tuple[str, ...] = ()
    draw_sections: tuple[str, ...] | None = None
    types: Mapping[str, type] = field(default_factory=dict)
    results: tuple[str, ...] = RESULTS
    further: tuple[Step, ...] = ()
    score_file: Step | None = None
    serving: Serving | None = None


# {kind: {experiment: value}}, with the parameters of the experiments, the studies, and the target under their names
StoredResults = Mapping[str, Any]
