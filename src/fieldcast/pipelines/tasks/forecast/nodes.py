"""The task `forecast` in the stages that all tasks have: the states that follow the last ones."""

from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.options import Events, Limits, Rollout
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges
from fieldcast.inference.options import Drawing, File
from fieldcast.kinds import InitialTimes
from fieldcast.lineage import made_from
from fieldcast.pipelines.evaluation.nodes import ForecastScores, named
from fieldcast.pipelines.reporting.nodes import Results, Stored, collect
from fieldcast.pipelines.training.nodes import Saves, saves
from fieldcast.training.options import Fit


@made_from(checkpoint="fieldcast.tasks.forecast.checkpoint_made_from")
def fit_forecast(
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    model: dict[str, Any], fit: Fit, seed: int, limits: Limits, device: str, previous_checkpoint: Any, **parts: bytes,
) -> Saves:  # fmt: skip
    """Checkpoint with training state, and history, at each save: the states that follow the last ones."""
    from fieldcast.tasks.forecast import Forecasting
    from fieldcast.training.run import Recipe

    data = PreparedData(fields, climatology, normalisation, splits)
    yield from saves(
        Recipe(Forecasting(), model, fit, seed, limits, device), data, previous_checkpoint, parts
    )


@made_from(
    scores="fieldcast.tasks.forecast.scores_made_from", events="fieldcast.tasks.forecast.scores_made_from"
)
def score_forecasts(
    address: str, checkpoint: bytes, model: dict[str, Any], trained_by: str, trained_model: dict[str, Any],
    trained_fit: Fit, seed: int, limits: Limits, device: str,
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    draws: xr.Dataset, initial_times: InitialTimes, event_thresholds: xr.Dataset,
    options: Drawing, rollout: Rollout, events: Events, **parts: bytes,
) -> ForecastScores:  # fmt: skip
    """Statistics of each start and lead, with the digest of the scored selection; diagnostics; tables of events."""
    from fieldcast.encoding.event_thresholds import ScoredEvents
    from fieldcast.tasks import forecast
    from fieldcast.training.stored_model import StoredModel

    data = PreparedData(fields, climatology, normalisation, splits)
    drawing = model, trained_by, trained_model, trained_fit, seed, limits, device
    stored, scored_events = StoredModel(checkpoint, *drawing, parts), ScoredEvents(event_thresholds, events)
    return named(address, forecast.score(draws, initial_times, stored, data, options, rollout, scored_events))


@made_from(
    scores="fieldcast.tasks.forecast.scores_made_from", events="fieldcast.tasks.forecast.scores_made_from"
)
def score_forecast_file(
    address: str, fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    draws: xr.Dataset, initial_times: InitialTimes, event_thresholds: xr.Dataset,
    model: File, rollout: Rollout, events: Events, seed: int, limits: Limits,
) -> ForecastScores:  # fmt: skip
    """Statistics of forecasts that were made elsewhere; empty where there are none for these data."""
    from fieldcast.encoding.event_thresholds import ScoredEvents
    from fieldcast.tasks import forecast

    data = PreparedData(fields, climatology, normalisation, splits)
    scored_events = ScoredEvents(event_thresholds, events)
    return named(
        address, forecast.score_file(draws, initial_times, model, data, rollout, limits, seed, scored_events)
    )


def show_forecasts(draws: xr.Dataset, fields: xr.Dataset, climatology: xr.Dataset) -> xr.Dataset:
    """An example of a forecast beside the truth."""
    from fieldcast.scores.examples import forecast_examples

    return forecast_examples(draws, fields, climatology=climatology) if draws.data_vars else xr.Dataset()


@made_from(metrics="fieldcast.scores.headline.made_from")
def summarise_forecasts(scores: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Scores over all variables and cells, lead by lead."""
    from fieldcast.scores import headline, leaderboard

    return headline.metric_rows(scores, seed, leaderboard.FORECAST)


def collect_forecast(
    stored: Stored, experiments: dict[str, Any], comparisons: list[Any], **published: list[str]
) -> Results:
    """The results of all experiments of `forecast`, and the initial times."""
    return collect("forecast", stored, experiments, comparisons, published)


def tabulate(results: Results) -> pd.DataFrame:
    """Each step of the long rollouts of all experiments."""
    from fieldcast.tasks import forecast

    return forecast.tabulate(results)


@made_from(event_scores_forecast="fieldcast.scores.leaderboard.made_from")
def forecast_events(results: Results, fields: xr.Dataset, seed: int) -> pd.DataFrame:
    """Scores of events of the experiments that have been scored from these initial times."""
    from fieldcast.tasks import forecast

    return forecast.forecast_events(results, fields, seed)


@made_from(leaderboard_forecast="fieldcast.scores.leaderboard.made_from")
def rank_forecast(results: Results, fields: xr.Dataset, seed: int) -> tuple[pd.DataFrame, str]:
    """The leaderboard of the experiments that have been scored from these initial times, and its summary."""
    from fieldcast.tasks import forecast

    return forecast.rank(results, fields, seed)


def gather_forecast(
    leaderboard: pd.DataFrame, results: Results, fields: xr.Dataset, climatology: xr.Dataset,
    event_scores: pd.DataFrame,
) -> tuple[dict[str, Any], dict[str, bytes], bytes]:  # fmt: skip
    """The results for the page, their figures and the animation; empty if nothing has been scored."""
    from fieldcast.tasks import forecast

    return forecast.page(leaderboard, results, fields, climatology, event_scores)
