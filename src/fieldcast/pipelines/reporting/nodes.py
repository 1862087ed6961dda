"""Reporting: all experiments of a task in one table, all tasks in one page."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr
from pydantic_core import to_jsonable_python

from fieldcast import lineage
from fieldcast.fields.splits import SplitRanges
from fieldcast.figures.style import Picture
from fieldcast.pipelines.names import RESULTS_OF
from fieldcast.report import describe, report
from fieldcast.report import studies as read_studies
from fieldcast.scores.headline import headlines
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


def collect(
    kinds: tuple[str, ...], target_name: str, experiments: dict[str, Any], studies: list[dict[str, Any]],
    earlier: Mapping[str, Any], target: Any = None, **published: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The results of all experiments, {kind: {experiment: value}}, and the task's target if there is one.

    Parameters
    ----------
    kinds
        Names of the data sets of a result, `Task.results`.
    target_name
        Name of the data set that draws are scored on, `Task.target`.
    experiments
        Parameters of the experiments, with their descriptions.
    studies
        Named comparisons of experiments.
    earlier
        Results of earlier runs on the disk (`ResultsDataset`).
    target
        The data set that this run's draws are scored on; without it, the stored one is taken.
    published
        Results of the experiments of this run, {kind: value} under `results_of_<experiment>`.
    """
    present = {name.removeprefix(RESULTS_OF): results for name, results in published.items()}
    results: dict[str, Any] = {kind: {} for kind in kinds}
    for name in sorted(experiments):
        for kind in kinds:
            value = (
                present[name].get(kind) if name in present else earlier.get(kind, {}).get(name, absent_file)()
            )
            if value is not None and len(value):
                results[kind][name] = value
    if target is None:
        target = earlier.get(target_name, absent_file)()
    results |= {} if target is None else {target_name: target}
    # plain values: other nodes turn the same parameters into dataclasses
    plain = to_jsonable_python(experiments)
    return {**results, "experiments": plain, "studies": read_studies(studies)}


def absent_file() -> None:
    """Stand in for the function that reads a file where there is no file."""


def compare(**leaderboards: pd.DataFrame) -> str:
    """The experiments of each task by their headline, on one screen."""
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
    parameters: Mapping[str, Any], **gathered: Any,
) -> str:  # fmt: skip
    """One self-contained page; `gathered` are <task> and <task>_figures, empty where nothing has been scored.

    Figures come as they are stored, {name: function that reads a PNG file}.
    """
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
