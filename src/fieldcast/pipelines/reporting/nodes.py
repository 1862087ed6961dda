"""Reporting: all experiments of a task in one table, all tasks in one page."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr
from pydantic_core import to_jsonable_python

from fieldcast import provenance
from fieldcast.pipelines.names import by_part
from fieldcast.report import describe, report
from fieldcast.report import studies as read_studies

COSTS = (
    *("task", "experiment", "parameters", "train_seconds", "step_ms", "sample_ms", "peak_mb"),
    *("evaluations", "train_steps"),  # of the model in a step of a forecast; of gradient descent
    *("learned", "density"),  # trained by gradients; an exact density, a lower bound, or none
)


def collect(experiments: dict[str, Any], studies: list[dict[str, Any]], **parts: Any) -> dict[str, Any]:
    """The results of all experiments of a task, {part: {experiment: value}}, from arguments <experiment>__<part>.

    `experiments` are their parameters, which say how each presents itself; `studies` are named comparisons of them.
    """
    plain = to_jsonable_python(experiments)  # not the dataclasses that other nodes have Kedro make of options
    return {**by_part(parts), "experiments": plain, "studies": read_studies(studies)}


def list_costs(**results: Mapping[str, Any]) -> pd.DataFrame:
    """The costs of training and drawing from the results of each task: one row for each experiment that has run."""
    costs = [
        {"task": task, "experiment": experiment, **row}
        for task, parts in results.items()
        for experiment, table in parts.get("costs", {}).items()
        for row in table.to_dict("records")
    ]
    return pd.DataFrame(costs, columns=COSTS)


def write_page(
    fields: xr.Dataset, splits: dict[str, Any], climatology: xr.Dataset, quality: pd.DataFrame,
    parameters: Mapping[str, Any], **gathered: Any,
) -> str:  # fmt: skip
    """One self-contained page; `gathered` are <task> and <task>_figures, empty where nothing has been scored."""
    code = provenance.code()
    about_run = {
        "Made": provenance.now(),
        "Commit": code["commit"],
        "Seed": parameters["seed"],
        "Versions": code["versions"],
    }
    data = describe(fields, splits, climatology, quality)
    tasks = {name: parts[name] for name, parts in gathered.items() if name in parts}
    return report(tasks, data, about_run, parameters, {name: gathered[f"{name}_figures"] for name in tasks})
