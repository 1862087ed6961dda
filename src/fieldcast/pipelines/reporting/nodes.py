"""Reporting: all experiments of a task in one table, all tasks in one page."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast import lineage
from fieldcast.arguments import validated
from fieldcast.experiments import Comparison
from fieldcast.fields.splits import SplitRanges
from fieldcast.lineage import with_present_columns
from fieldcast.tasks import TASKS

COSTS = (
    *("task", "experiment", "parameters", "train_seconds", "step_ms", "sample_ms", "peak_mb"),
    *(
        "evaluations",
        "train_steps",
    ),  # evaluations of the model in a step of a forecast; steps of gradient descent
    *("learned", "density"),  # trained by gradients; an exact density, a lower bound, or none
    "omits_noise",  # draws without the noise of a likelihood
    *("latent_kl", "rmse_posterior", "rmse_other", "rmse_prior"),  # whether a VAE uses its latent
)
# prefix of experiments as arguments, whose names might be those of other arguments
RESULTS_OF = "results_of_"
Stored = Mapping[str, Any]  # a function that reads each file, by name, or by kind and experiment
Results = Mapping[
    str, Any
]  # {kind: {experiment: value}}, the parameters of the experiments, comparisons, and the target


def collect(
    task: str, stored: Stored, experiments: dict[str, Any], comparisons: list[Any], published: Mapping[str, list[str]]
) -> dict[str, Any]:  # fmt: skip
    """The results of a task that are stored, {kind: {experiment: value}}, and its target if there is one.

    Parameters
    ----------
    task
        Name of the task.
    stored
        Everything that its experiments have stored, in this run and earlier (`ResultsDataset`).
    experiments
        Parameters of the experiments, with their descriptions.
    comparisons
        Named comparisons of experiments.
    published
        Names of the results that experiments have stored in this run: what else is there of them is older.
    """
    from pydantic_core import to_jsonable_python

    made = {name.removeprefix(RESULTS_OF): results for name, results in published.items()}
    kinds, target = TASKS[task].results, TASKS[task].target
    results: dict[str, Any] = {kind: {} for kind in kinds}
    for name in sorted(experiments):
        for kind in kinds:
            if kind in made.get(name, kinds) and name in stored.get(kind, {}):
                value = stored[kind][name]()
                if value is not None and len(value):
                    results[kind][name] = with_present_columns(value)
    if target in stored:
        results[target] = stored[target]()
    results["comparisons"] = validated(list[Comparison], comparisons, "comparisons")
    # plain values: other nodes turn the same parameters into dataclasses
    return {**results, "experiments": to_jsonable_python(experiments)}


def compare_alone(address: str, leaderboard: pd.DataFrame) -> str:
    """An experiment that ran alone beside the others of its task by their headline, and the command for the page."""
    task = address.partition(".")[0]
    board = compare(**{task: leaderboard})
    return f"{board}\n\n`kedro run --pipelines reporting` makes the page of these and all other results.".lstrip()


def compare(**leaderboards: pd.DataFrame) -> str:
    """The experiments of each task by their headline, on one screen."""
    from fieldcast.scores.headline import headlines

    return headlines(leaderboards, {task: TASKS[task].headline for task in leaderboards})


def join_summaries(**summaries: str) -> str:
    """The summaries of the tasks, one after another; those of tasks without results are empty."""
    return "\n\n".join(text.strip("\n") for text in summaries.values() if text)


def list_costs(**results: Mapping[str, Any]) -> pd.DataFrame:
    """The costs of training and drawing from the results of each task: one row for each experiment that has run."""
    costs = [
        {"task": task, "experiment": experiment, **row}
        for task, by_kind in results.items()
        for experiment, table in by_kind.get("costs", {}).items()
        for row in table.to_dict("records")
    ]
    return pd.DataFrame(costs, columns=COSTS)


def write_page(
    fields: xr.Dataset, splits: SplitRanges, climatology: xr.Dataset, quality: pd.DataFrame,
    parameters: dict[str, Any], **gathered: Any,
) -> str:  # fmt: skip
    """One self-contained page; `gathered` are <task> and <task>_figures, empty where nothing has been scored.

    Figures come as they are stored, {name: function that reads a PNG file}.
    """
    from fieldcast.figures.style import Picture
    from fieldcast.report import describe, report

    code = lineage.code()
    about_run = {
        "Created": lineage.now(),
        "Commit": code["commit"],
        "Seed": parameters["seed"],
        "Versions": code["versions"],
    }
    data = describe(fields, splits, climatology, quality)
    tasks = {name: results[name] for name, results in gathered.items() if name in results}
    figures = {
        task: {name: Picture(load()) for name, load in gathered[f"{task}_figures"].items()} for task in tasks
    }
    return report(tasks, data, about_run, parameters, figures)
