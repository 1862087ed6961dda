"""The task `assimilate` in the stages that all tasks have: analyses, cycle after cycle."""

from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.options import CycledAssimilation, Events, Limits, Sparsification
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges
from fieldcast.lineage import made_from
from fieldcast.pipelines.evaluation.nodes import ForecastScores, named
from fieldcast.pipelines.reporting.nodes import Results, Stored, collect
from fieldcast.training.options import Fit


@made_from(
    scores="fieldcast.tasks.assimilate.scores_made_from", events="fieldcast.tasks.assimilate.scores_made_from"
)
def score_analyses(
    address: str, checkpoint: bytes, model: dict[str, Any], trained_by: str, trained_model: dict[str, Any],
    trained_fit: Fit, seed: int, limits: Limits, device: str,
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    draws: xr.Dataset, cycle_observations: xr.Dataset, event_thresholds: xr.Dataset,
    assimilation: CycledAssimilation, sparsification: Sparsification, events: Events, **parts: bytes,
) -> ForecastScores:  # fmt: skip
    """Statistics at each scored time, with the digest of the scored selection; diagnostics; tables of events."""
    from fieldcast.encoding.event_thresholds import ScoredEvents
    from fieldcast.tasks import assimilate
    from fieldcast.training.stored_model import StoredModel

    data = PreparedData(fields, climatology, normalisation, splits)
    drawing = model, trained_by, trained_model, trained_fit, seed, limits, device
    stored, scored_events = StoredModel(checkpoint, *drawing, parts), ScoredEvents(event_thresholds, events)
    options = assimilation, sparsification, scored_events
    return named(address, assimilate.score(draws, cycle_observations, stored, data, *options))


def show_analyses(
    draws: xr.Dataset, cycle_observations: xr.Dataset, fields: xr.Dataset
) -> tuple[xr.Dataset, xr.Dataset]:
    """A few analyses of scored times; a film of the first steps, from the climatological start."""
    from fieldcast.tasks import assimilate

    return assimilate.show(draws, cycle_observations, fields)


@made_from(metrics="fieldcast.scores.headline.made_from")
def summarise_analyses(scores: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Scores of the analysis over all variables at unobserved cells, for each pattern and k."""
    from fieldcast.scores import headline, leaderboard

    return headline.metric_rows(scores, seed, leaderboard.ASSIMILATE)


def collect_assimilate(
    stored: Stored, experiments: dict[str, Any], comparisons: list[Any], **published: list[str]
) -> Results:
    """The results of all experiments of `assimilate`, and the observations of the cycle."""
    return collect("assimilate", stored, experiments, comparisons, published)


def tabulate_leads(
    results: Results, fields: xr.Dataset, assimilation: CycledAssimilation, limits: Limits
) -> pd.DataFrame:
    """The lead time lost by forecasts from the analyses of the experiments scored on these observations."""
    from fieldcast.tasks import assimilate

    return assimilate.tabulate_leads(results, fields, assimilation, limits)


@made_from(event_scores_assimilate="fieldcast.scores.leaderboard.made_from")
def cycle_events(
    results: Results, fields: xr.Dataset, assimilation: CycledAssimilation, limits: Limits, seed: int
) -> pd.DataFrame:
    """Scores of events of the experiments that have been scored on these observations."""
    from fieldcast.tasks import assimilate

    return assimilate.cycle_events(results, fields, assimilation, limits, seed)


@made_from(leaderboard_assimilate="fieldcast.scores.leaderboard.made_from")
def rank_assimilate(
    results: Results, fields: xr.Dataset, assimilation: CycledAssimilation, limits: Limits, seed: int
) -> tuple[pd.DataFrame, str]:
    """The leaderboard of the experiments that have been scored on these observations, and its summary."""
    from fieldcast.tasks import assimilate

    return assimilate.rank(results, fields, assimilation, limits, seed)


def gather_assimilate(
    leaderboard: pd.DataFrame, results: Results, fields: xr.Dataset, climatology: xr.Dataset,
    event_scores: pd.DataFrame,
) -> tuple[dict[str, Any], dict[str, bytes]]:  # fmt: skip
    """The results for the page, and their figures; empty if nothing has been scored."""
    from fieldcast.tasks import assimilate

    return assimilate.page(leaderboard, results, fields, climatology, event_scores)
