"""Reporting: all experiments of a task in one table, all tasks in one page."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast import provenance
from fieldcast.encoding.options import Limits
from fieldcast.fields.conventions import time_varying
from fieldcast.figures.png import Picture
from fieldcast.inference.feature_extractor import load_features
from fieldcast.inference.options import Evaluation, Sampling
from fieldcast.pipelines.evaluation.nodes import tested, units
from fieldcast.report import Forecast, Reconstruct, Sample, describe, pictures, report
from fieldcast.scores.leaderboard import FORECAST, leaderboard, sample_leaderboard
from fieldcast.scores.sample_summary import sample_short_table
from fieldcast.scores.stability import stability_table
from fieldcast.scores.statistics_table import scored_digest, scored_samples, scored_starts
from fieldcast.scores.summary import forecast_short_table, short_table

COSTS = (
    *("task", "experiment", "parameters", "train_seconds", "step_ms", "sample_ms", "peak_mb"),
    *("evaluations", "train_steps"),  # of the model in a step of a forecast; of gradient descent
)
Drawn = tuple[dict[str, Picture], dict[str, bytes]]  # for the page, and for the disk


def rank(
    observations: xr.Dataset | None, fields: xr.Dataset, evaluation: Evaluation, limits: Limits, seed: int,
    **scores: pd.DataFrame,
) -> tuple[pd.DataFrame, str]:  # fmt: skip
    """The leaderboard of the experiments that have been scored on these observations, and its short form."""
    if observations is None:
        return pd.DataFrame(), ""
    scored = scored_digest(observations, limits.cap("members", evaluation.members))
    table = leaderboard(named(scores), fields.attrs["digest"], scored, seed=seed)
    return table, short_table(table)


def rank_forecasts(
    starts: dict[str, Any] | None, fields: xr.Dataset, seed: int, **parts: pd.DataFrame
) -> tuple[pd.DataFrame, str]:
    """The leaderboard of the experiments that have been scored from these starts, and its short form.

    `parts` are <experiment>__scores and <experiment>__stability.
    """
    if starts is None:
        return pd.DataFrame(), ""
    scored = scored_starts(starts, units(fields[time_varying(fields)]), starts["members"])
    found = of_one_model(by_part(parts))
    table = leaderboard(
        named(found.get("scores", {})), fields.attrs["digest"], scored, seed=seed, layout=FORECAST
    )
    return table, forecast_short_table(table, found["stability"])


def rank_samples(
    extractor: bytes | None, fields: xr.Dataset, splits: dict[str, Any], sampling: Sampling, limits: Limits,
    **parts: Any,
) -> tuple[pd.DataFrame, str]:  # fmt: skip
    """The leaderboard of the experiments whose samples have been scored in these features, and its short form.

    `parts` are <experiment>__scores and <experiment>__diagnostics.
    """
    if extractor is None:
        return pd.DataFrame(), ""
    weights = load_features(extractor).known["weights"]
    asked = {**sampling.capped(limits), "features": weights}
    scored = scored_samples(fields.attrs["digest"], **asked, test=tested(fields, splits))
    found = by_part(parts)
    table = sample_leaderboard(named(found.get("scores", {})), fields.attrs["digest"], scored)
    return table, sample_short_table(table, found.get("diagnostics", {}))


def gather(
    leaderboard: pd.DataFrame, observations: xr.Dataset | None, **parts: Any
) -> tuple[dict[str, Reconstruct], dict[str, Picture], dict[str, bytes]]:
    """What the page says of the task, and its figures for it and for the disk; empty if nothing has been scored.

    `parts` are <experiment>__<part>.
    """
    if observations is None or leaderboard.empty:
        return {}, {}, {}
    task = Reconstruct(leaderboard=leaderboard, observations=observations, **by_part(parts))
    return {"reconstruct": task}, *drawn(task)


def gather_forecasts(
    leaderboard: pd.DataFrame, starts: dict[str, Any] | None, **parts: Any
) -> tuple[dict[str, Forecast], dict[str, Picture], dict[str, bytes], bytes, pd.DataFrame]:
    """The same of forecasts, with their animation and the table of all long rollouts."""
    if starts is None or leaderboard.empty:
        return {}, {}, {}, b"", pd.DataFrame()
    task = Forecast(leaderboard=leaderboard, starts=starts, **of_one_model(by_part(parts)))
    return {"forecast": task}, *drawn(task), task.animation() or b"", stability_table(task.stability)


def gather_samples(
    leaderboard: pd.DataFrame, **parts: Any
) -> tuple[dict[str, Sample], dict[str, Picture], dict[str, bytes]]:
    """The same of samples."""
    if leaderboard.empty:
        return {}, {}, {}
    task = Sample(leaderboard=leaderboard, **by_part(parts))
    return {"sample": task}, *drawn(task)


def list_costs(**costs: pd.DataFrame) -> pd.DataFrame:
    """What training and drawing cost, by <task>.<experiment>: one row each, without those that have not run."""
    rows = []
    for address, table in costs.items():
        task, _, experiment = address.partition(".")
        rows += [{"task": task, "experiment": experiment, **row} for row in table.to_dict("records")]
    return pd.DataFrame(rows, columns=COSTS)


def write_page(
    fields: xr.Dataset, splits: dict[str, Any], climatology: xr.Dataset, quality: pd.DataFrame,
    parameters: Mapping[str, Any], **gathered: Any,
) -> str:  # fmt: skip
    """One self-contained page; `gathered` are <task> and <task>_figures, empty where nothing has been scored."""
    code = provenance.code()
    made = {
        "Made": provenance.now(),
        "Commit": code["commit"],
        "Seed": parameters["seed"],
        "Versions": code["versions"],
    }
    data = describe(fields, splits, climatology, quality)
    tasks = {name: found[name] for name, found in gathered.items() if name in found}
    return report(tasks, data, made, parameters, {name: gathered[f"{name}_figures"] for name in tasks})


def named(scores: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Scores that say whose they are."""
    return {name: table.assign(experiment=name) for name, table in scores.items()}


def by_part(parts: Mapping[str, Any]) -> dict[str, Any]:
    """`<experiment>__<part>` as {part: {experiment: value}}, without what is empty; all experiments by name."""
    found: dict[str, Any] = defaultdict(dict)
    for name, value in parts.items():
        experiment, _, part = name.rpartition("__")
        if value is not None and len(value):
            found[part][experiment] = value
    return {**found, "experiments": sorted({name.rpartition("__")[0] for name in parts})}


def of_one_model(found: Mapping[str, Any]) -> dict[str, Any]:
    """Parts without long rollouts of other weights than those whose forecasts were scored: of an earlier training."""
    scored = {name: model_of(table) for name, table in found.get("scores", {}).items()}
    long = found.get("stability", {})
    stability = {name: table for name, table in long.items() if scored.get(name) == model_of(table)}
    snapshots = {name: one for name, one in found.get("snapshots", {}).items() if name in stability}
    return {**found, "stability": stability, "snapshots": snapshots}


def model_of(table: pd.DataFrame) -> str:
    """The origin of what it is of; tables of earlier versions do not know."""
    return str(table["model"].iloc[0]) if "model" in table else ""


def drawn(task: Reconstruct | Forecast | Sample) -> Drawn:
    """Figures by name, and as files."""
    found = pictures(task)
    return found, {name: picture.png for name, picture in found.items()}
