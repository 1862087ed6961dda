"""The task `reconstruct` in the stages that all tasks have: fields from sparse observations of them."""

from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges
from fieldcast.inference.options import Evaluation
from fieldcast.lineage import made_from
from fieldcast.pipelines.evaluation.nodes import named
from fieldcast.pipelines.reporting.nodes import Results, Stored, collect
from fieldcast.pipelines.training.nodes import Saves, saves
from fieldcast.training.options import Fit


@made_from(checkpoint="fieldcast.tasks.reconstruct.checkpoint_made_from")
def fit_reconstruct(
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    model: dict[str, Any], fit: Fit, seed: int, limits: Limits, device: str, previous_checkpoint: Any,
    sparsification: Sparsification, **parts: bytes,
) -> Saves:  # fmt: skip
    """Checkpoint with training state, and history, at each save: states from sparse observations of them."""
    from fieldcast.tasks.reconstruct import Reconstruction
    from fieldcast.training.run import Recipe

    data = PreparedData(fields, climatology, normalisation, splits)
    recipe = Recipe(Reconstruction(sparsification), model, fit, seed, limits, device)
    yield from saves(recipe, data, previous_checkpoint, parts)


@made_from(scores="fieldcast.tasks.reconstruct.scores_made_from")
def score_reconstructions(
    address: str, checkpoint: bytes, model: dict[str, Any], trained_by: str, trained_model: dict[str, Any],
    trained_fit: Fit, seed: int, limits: Limits, device: str,
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    draws: xr.Dataset, observations: xr.Dataset, evaluation: Evaluation, sparsification: Sparsification,
    **parts: bytes,
) -> tuple[pd.DataFrame, xr.Dataset]:  # fmt: skip
    """Statistics at each scored time, with the digest of the scored selection; rank histograms and spectra."""
    from fieldcast.tasks import reconstruct
    from fieldcast.training.stored_model import StoredModel

    data = PreparedData(fields, climatology, normalisation, splits)
    options = model, trained_by, trained_model, trained_fit, seed, limits, device
    stored = StoredModel(checkpoint, *options, parts)
    return named(address, reconstruct.score(draws, observations, stored, data, evaluation, sparsification))


def show_reconstructions(draws: xr.Dataset, observations: xr.Dataset, fields: xr.Dataset) -> xr.Dataset:
    """A few reconstructions beside the truth."""
    from fieldcast.scores.examples import examples

    return examples(draws, observations, fields)


@made_from(metrics="fieldcast.scores.headline.made_from")
def summarise_reconstructions(scores: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Scores over all variables at unobserved cells, for each pattern and k."""
    from fieldcast.scores import headline, leaderboard

    return headline.metric_rows(scores, seed, leaderboard.RECONSTRUCT)


def collect_reconstruct(
    stored: Stored, experiments: dict[str, Any], comparisons: list[Any], **published: list[str]
) -> Results:
    """The results of all experiments of `reconstruct`, and the observations."""
    return collect("reconstruct", stored, experiments, comparisons, published)


@made_from(leaderboard_reconstruct="fieldcast.scores.leaderboard.made_from")
def rank_reconstruct(
    results: Results, fields: xr.Dataset, evaluation: Evaluation, limits: Limits, seed: int
) -> tuple[pd.DataFrame, str]:
    """The leaderboard of the experiments that have been scored on these observations, and its summary."""
    from fieldcast.tasks import reconstruct

    return reconstruct.rank(results, fields, evaluation, limits, seed)


def gather_reconstruct(
    leaderboard: pd.DataFrame, results: Results, fields: xr.Dataset, climatology: xr.Dataset
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The results for the page, and their figures; empty if nothing has been scored."""
    from fieldcast.tasks import reconstruct

    return reconstruct.page(leaderboard, results, fields, climatology)
