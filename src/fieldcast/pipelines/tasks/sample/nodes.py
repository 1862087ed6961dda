"""The task `sample` in the stages that all tasks have: states drawn from nothing."""

from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.options import Limits
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges
from fieldcast.inference.options import Sampling, StateOptions
from fieldcast.lineage import made_from
from fieldcast.pipelines.evaluation.nodes import named
from fieldcast.pipelines.reporting.nodes import Results, Stored, collect
from fieldcast.pipelines.training.nodes import Saves, saves
from fieldcast.training.options import Fit


@made_from(checkpoint="fieldcast.tasks.sample.checkpoint_made_from")
def fit_sample(
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    model: dict[str, Any], fit: Fit, seed: int, limits: Limits, device: str, previous_checkpoint: Any,
    options: StateOptions, **parts: bytes,
) -> Saves:  # fmt: skip
    """Checkpoint with training state, and history, at each save: states as they are."""
    from fieldcast.tasks.sample import StateSampling
    from fieldcast.training.run import Recipe

    data = PreparedData(fields, climatology, normalisation, splits)
    yield from saves(
        Recipe(StateSampling(options), model, fit, seed, limits, device), data, previous_checkpoint, parts
    )


@made_from(
    scores="fieldcast.tasks.sample.scores_made_from", displayed="fieldcast.tasks.sample.draws_made_from"
)
def score_samples(
    address: str, checkpoint: bytes, model: dict[str, Any], trained_by: str, trained_model: dict[str, Any],
    trained_fit: Fit, seed: int, limits: Limits, device: str,
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    draws: xr.Dataset, densities: pd.DataFrame, latents: Any, extractor: bytes,
    options: StateOptions, sampling: Sampling, **parts: bytes,
) -> tuple[pd.DataFrame, xr.Dataset, xr.Dataset]:  # fmt: skip
    """Scores with the digest of the scored selection, diagnostics; real and nearest training states for figures."""
    from fieldcast.tasks import sample
    from fieldcast.training.stored_model import StoredModel

    data = PreparedData(fields, climatology, normalisation, splits)
    drawing = model, trained_by, trained_model, trained_fit, seed, limits, device
    stored = StoredModel(checkpoint, *drawing, parts)
    return named(address, sample.score(draws, densities, latents, extractor, stored, data, options, sampling))


def show_samples(pictures: xr.Dataset, displayed: xr.Dataset) -> xr.Dataset:
    """Samples, real states and what a model decodes, for figures."""
    from fieldcast.scores.examples import with_pictures

    return with_pictures(displayed, pictures)


@made_from(metrics="fieldcast.scores.headline.made_from")
def summarise_samples(scores: pd.DataFrame) -> pd.DataFrame:
    """All rows: a table of samples has no cases to select from."""
    return scores


def collect_sample(
    stored: Stored, experiments: dict[str, Any], comparisons: list[Any], **published: list[str]
) -> Results:
    """The results of all experiments of `sample`, and the extractor of features."""
    return collect("sample", stored, experiments, comparisons, published)


@made_from(leaderboard_sample="fieldcast.scores.leaderboard.made_from")
def rank_sample(
    results: Results, fields: xr.Dataset, splits: SplitRanges, sampling: Sampling, limits: Limits
) -> tuple[pd.DataFrame, str]:
    """The leaderboard of the experiments whose samples have been scored in these features, and its summary."""
    from fieldcast.tasks import sample

    return sample.rank(results, fields, splits, sampling, limits)


def gather_sample(
    leaderboard: pd.DataFrame, results: Results, fields: xr.Dataset
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The results for the page, and their figures; empty if nothing has been scored."""
    from fieldcast.tasks import sample

    return sample.page(leaderboard, results, fields)
