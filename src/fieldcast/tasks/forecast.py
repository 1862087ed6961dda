"""The task `forecast`: the states that follow, and a long rollout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
import xarray as xr

from fieldcast import calendars
from fieldcast.calendars import TimeStep
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.checkpoint import model_digest, read_header
from fieldcast.encoding.event_thresholds import ScoredEvents
from fieldcast.encoding.initial_times import regular_step, require_initial_times
from fieldcast.encoding.options import Limits, Rollout
from fieldcast.errors import InputError
from fieldcast.experiments import descriptions, roles
from fieldcast.fields.conventions import time_varying
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges
from fieldcast.figures.sheet import outline
from fieldcast.inference.forecasts.ensemble import lineage_of
from fieldcast.inference.forecasts.external import forecast_source
from fieldcast.inference.options import Drawing, File
from fieldcast.kinds import START, InitialTimes
from fieldcast.models.core import Model, Trained
from fieldcast.report import Forecast
from fieldcast.scores.event_tables import event_scores as scores_of_events
from fieldcast.scores.forecast import forecast_statistics
from fieldcast.scores.leaderboard import FORECAST as LAYOUT
from fieldcast.scores.leaderboard import empty_leaderboard, leaderboard
from fieldcast.scores.stability import stability_table
from fieldcast.scores.statistics_table import origin_of, scored_initial_times, with_origin
from fieldcast.scores.summary import forecast_summary
from fieldcast.tasks.records import StoredResults
from fieldcast.tasks.scoring_inputs import cell_areas, outside_range, require_draws, snapshot_anomalies, units
from fieldcast.training.batches import ForecastWindows
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe
from fieldcast.training.stored_model import StoredModel
from fieldcast.training.task import OnFields, refuse_rollouts


@dataclass(frozen=True)
class Forecasting(OnFields):
    """The next state, or several, from the last ones."""

    task: ClassVar[str] = "forecast"

    def fit_options(self) -> dict[str, Any]:
        """Return no options: forecasts are fitted with `fit` alone."""
        return {}

    def check(self, kind: str, model: Model, fit: Fit) -> None:
        """Raise an InputError for a trained model that looks at no past state, or cannot be trained over rollouts."""
        if not isinstance(model, Trained):
            return
        if not model.history:
            raise InputError(
                f"{kind}: a forecast starts from at least one past state: set its model.history to 1 or more."
            )
        if not model.trains_over_rollouts:
            refuse_rollouts(kind, fit)

    def batches(
        self, split: xr.Dataset, codec: FieldCodec, model: Model, fit: Fit, training: bool
    ) -> ForecastWindows:
        """Windows of successive states."""
        regular_step(split)
        reach = max(model.history, 1) - 1, max(fit.longest, 1)
        states = self.states(split, codec, model.space, fit, reach)
        windows = ForecastWindows(states, model.space, model.history, fit.longest)
        if not len(windows):
            raise InputError(
                f"a forecast from {model.history} states over {windows.steps} steps needs more successive "
                f"times than the split that begins at {split['time'].values[0]} has: lengthen the split, or lower "
                "fit.rollout and fit.pushforward_steps."
            )
        return windows


def checkpoint_made_from(
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    model: dict[str, Any], fit: Fit, seed: int, limits: Limits, **parts: bytes,
) -> dict[str, Any]:  # fmt: skip
    """Everything that a trained model depends on; `parts` are the checkpoints that its training uses, by role."""
    data = PreparedData(fields, climatology, normalisation, splits)
    return Recipe(Forecasting(), model, fit, seed, limits, "cpu").made_from(data, parts)


def draws_made_from(
    checkpoint: bytes, model: dict[str, Any], initial_times: InitialTimes, options: Drawing, seed: int
) -> dict[str, Any]:
    """Everything that forecasts depend on."""
    digest = model_digest(read_header(checkpoint, "its checkpoint"), model)
    return lineage_of(digest, initial_times, initial_times["members"], seed, options.feedback)


def file_made_from(model: File, initial_times: InitialTimes, rollout: Rollout, seed: int) -> dict[str, Any]:
    """Everything that forecasts which were made elsewhere depend on."""
    source, members = forecast_source(model, rollout), initial_times["members"]
    return {"model": source, "members": members, "seed": seed, "starts": initial_times["digest"]}


def scores_made_from(draws: xr.Dataset, initial_times: InitialTimes) -> dict[str, str]:
    """Digests of the data and of the scored selection, which the scores in one leaderboard share."""
    scored = scored_initial_times(initial_times, units(draws), initial_times["members"])
    return {"data_digest": initial_times["data"], "case_digest": scored}


def score(
    draws: xr.Dataset, initial_times: InitialTimes, stored: StoredModel, data: PreparedData, options: Drawing,
    rollout: Rollout, scored_events: ScoredEvents,
) -> tuple[pd.DataFrame, xr.Dataset, xr.Dataset]:  # fmt: skip
    """Statistics of each start and lead, with the digest of the scored selection; diagnostics; tables of events."""
    require_initial_times(initial_times, data.fields, data.splits, rollout, stored.limits)
    stored.digest(data, Forecasting())
    present = draws_made_from(stored.checkpoint, stored.model, initial_times, options, stored.seed)
    require_draws(draws, present, "forecasts", "rollout")
    return against_truth(draws, initial_times, data, stored.seed, scored_events)


def score_file(
    draws: xr.Dataset, initial_times: InitialTimes, model: File, data: PreparedData, rollout: Rollout, limits: Limits,
    seed: int, scored_events: ScoredEvents,
) -> tuple[pd.DataFrame, xr.Dataset, xr.Dataset]:  # fmt: skip
    """Statistics of forecasts that were made elsewhere; empty where there are none for these data."""
    require_initial_times(initial_times, data.fields, data.splits, rollout, limits)
    if not draws.data_vars:
        columns = ["lead_hours", "region", "variable", "statistic", "time", "value"]
        return pd.DataFrame(columns=columns), xr.Dataset(), xr.Dataset()
    require_draws(draws, file_made_from(model, initial_times, rollout, seed), "forecasts", "rollout")
    return against_truth(draws, initial_times, data, seed, scored_events)


def against_truth(
    draws: xr.Dataset, initial_times: InitialTimes, data: PreparedData, seed: int, scored_events: ScoredEvents
) -> tuple[pd.DataFrame, xr.Dataset, xr.Dataset]:
    """Scores of forecasts from these initial times with their origin, diagnostics, and tables of events."""
    events = scored_events.tables(data)
    scores, diagnostics = forecast_statistics(
        draws,
        data.fields,
        climatology=data.climatology,
        normalisation=data.normalisation,
        area=cell_areas(data.fields),
        seed=seed,
        events=events,
    )
    labels = {name: list(scores[name].unique()) for name in ("lead_hours", "region")}
    times = calendars.iso(draws[START])
    tables = events.dataset("lead_hours", "region", times, data.normalisation["anomaly_std"], labels)
    scores = scores.assign(model=draws.attrs["model"])
    digests = scores_made_from(draws, initial_times)
    origin = seed, digests["data_digest"], digests["case_digest"], TimeStep.of(data.fields)
    diagnostics = diagnostics.assign_attrs(outside_range(draws, data.fields))
    return with_origin(scores, *origin), diagnostics, tables.assign_attrs(origin_of(*origin))


def rank(results: StoredResults, fields: xr.Dataset, seed: int) -> tuple[pd.DataFrame, str]:
    """The leaderboard of the experiments that have been scored from these initial times, and its summary."""
    initial_times = results.get("initial_times")
    if initial_times is None:
        return empty_leaderboard(LAYOUT), ""
    scored = scores_made_from(fields[time_varying(fields)], initial_times)["case_digest"]
    present = with_matching_rollouts(results)
    scores = present.get("scores", {})
    by_role = roles(descriptions(results["experiments"]))
    table = leaderboard(scores, fields.attrs["digest"], scored, seed=seed, layout=LAYOUT, roles=by_role)
    return table, forecast_summary(table, present["stability"])


def page(
    leaderboard: pd.DataFrame, results: StoredResults, fields: xr.Dataset, climatology: xr.Dataset,
    event_scores: pd.DataFrame,
) -> tuple[dict[str, Forecast], dict[str, bytes], bytes]:  # fmt: skip
    """The results for the page, their figures and the animation; empty if nothing has been scored."""
    if leaderboard.empty:
        return {}, {}, b""
    matching = with_matching_rollouts(results)
    anomalies = {
        name: snapshot_anomalies(stored, climatology, TimeStep.stored_in(fields.attrs))
        for name, stored in matching["snapshots"].items()
    }
    forecasts = Forecast(
        leaderboard=leaderboard,
        **matching,
        event_scores=event_scores,
        snapshot_anomalies=anomalies,
        wraps=bool(fields.attrs["wraps"]),
        outline=outline(fields),
    )
    figures = {name: picture.png for name, picture in forecasts.pictures().items()}
    return {"forecast": forecasts}, figures, forecasts.animation() or b""


def forecast_events(results: StoredResults, fields: xr.Dataset, seed: int) -> pd.DataFrame:
    """Scores of events of the experiments that have been scored from these initial times."""
    initial_times = results.get("initial_times")
    if initial_times is None:
        return scores_of_events({}, "", "", LAYOUT)
    scored = scores_made_from(fields[time_varying(fields)], initial_times)["case_digest"]
    return scores_of_events(results.get("events", {}), fields.attrs["digest"], scored, LAYOUT, seed)


def tabulate(results: StoredResults) -> pd.DataFrame:
    """Each step of the long rollouts of all experiments."""
    return stability_table(with_matching_rollouts(results)["stability"])


def with_matching_rollouts(results: StoredResults) -> dict[str, Any]:
    """Results without long rollouts of other weights than those whose forecasts were scored."""
    scored = {name: model_in(table) for name, table in results.get("scores", {}).items()}
    rollouts: Mapping[str, pd.DataFrame] = results.get("stability", {})
    stability = {name: table for name, table in rollouts.items() if scored.get(name) == model_in(table)}
    snapshots = {name: fields for name, fields in results.get("snapshots", {}).items() if name in stability}
    return {**results, "stability": stability, "snapshots": snapshots}


def model_in(table: pd.DataFrame) -> str:
    """Digest of the model whose draws a table describes; empty where the table holds none."""
    return str(table["model"].iloc[0]) if "model" in table else ""
