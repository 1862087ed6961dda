"""The task `reconstruct`: fields from sparse observations."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import pandas as pd
import xarray as xr

from fieldcast.arguments import by_field
from fieldcast.calendars import TimeStep
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.observations import require_observations
from fieldcast.encoding.options import POINTS, Limits, Sparsification
from fieldcast.errors import InputError
from fieldcast.experiments import descriptions, roles
from fieldcast.fields.prepared import PreparedData
from fieldcast.figures.sheet import outline
from fieldcast.inference.options import Evaluation
from fieldcast.inference.stations.observations import check_accepts_points
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.models.core import Model, Trained
from fieldcast.report import Reconstruct, pictures
from fieldcast.scores.examples import examples
from fieldcast.scores.headline import metric_rows
from fieldcast.scores.leaderboard import RECONSTRUCT as LAYOUT
from fieldcast.scores.leaderboard import empty_leaderboard, leaderboard
from fieldcast.scores.reconstruction import reconstruction_statistics
from fieldcast.scores.statistics_table import scored_digest, with_origin
from fieldcast.scores.summary import reconstruct_summary
from fieldcast.tasks.scoring_inputs import cell_areas, example_anomalies, require_draws
from fieldcast.tasks.task import StoredResults
from fieldcast.training.batches import ReconstructionBatches
from fieldcast.training.options import Fit
from fieldcast.training.stored_model import StoredModel
from fieldcast.training.task import OnFields, refuse_rollouts


@dataclass(frozen=True)
class Reconstruction(OnFields):
    """Single states from sparse observations of them, under masks that are drawn anew in each step."""

    sparsification: Sparsification
    task: ClassVar[str] = "reconstruct"
    takes_gaps: ClassVar[bool] = True

    def fit_options(self) -> dict[str, Any]:
        """The masks of training, not those of the test."""
        tested = "cases", "times", "masks"
        return {"sparsification": {k: v for k, v in asdict(self.sparsification).items() if k not in tested}}

    def check(self, kind: str, model: Model, fit: Fit) -> None:
        """Raise an InputError for a model that cannot use the observations, or if `fit` asks for rollouts."""
        if model.history:
            raise InputError(
                f"{kind} needs past states, and the task reconstruct has none: use it in an experiment of the task "
                "forecast, or leave model.history out."
            )
        if model.conditional is False:
            raise InputError(
                f"{kind} reads no observations: use it in an experiment of the task sample, or guide a diffusion model "
                "with edm.GuidedEDM."
            )
        if self.sparsification.cases.get(POINTS):
            check_accepts_points(model, f"a model of the type {kind} (sparsification.cases has points)")
        if isinstance(model, Trained):
            refuse_rollouts(kind, fit)

    def batches(
        self, split: xr.Dataset, codec: FieldCodec, model: Model, fit: Fit, training: bool
    ) -> ReconstructionBatches:
        """States with their masks."""
        return ReconstructionBatches(
            self.states(split, codec, model.space, fit), model.space, self.sparsification
        )


@by_field
def score(
    draws: xr.Dataset, observations: xr.Dataset, stored: StoredModel, data: PreparedData, evaluation: Evaluation,
    sparsification: Sparsification,
) -> tuple[pd.DataFrame, xr.Dataset]:  # fmt: skip
    """Statistics at each scored time, with the digest of the scored selection; rank histograms and spectra."""
    members, seed = stored.limits.cap("members", evaluation.members), stored.seed
    require_observations(observations, data.fields, data.splits, sparsification, stored.limits)
    sources = {"members": members, "seed": seed, "observations": observations.attrs["digest"]}
    require_draws(draws, sources, "reconstructions", "reconstruction")
    sources = {"model": stored.digest(data, Reconstruction(sparsification))}
    require_draws(draws, sources, "reconstructions", "reconstruction")
    scores, diagnostics = reconstruction_statistics(
        draws,
        observations,
        data.fields,
        climatology=data.climatology,
        normalisation=data.normalisation,
        area=cell_areas(data.fields),
        seed=seed,
    )
    scored = scored_digest(observations, members)
    step = TimeStep.of(data.fields)
    return with_origin(scores, seed, observations.attrs["data"], scored, step), diagnostics


def show(draws: xr.Dataset, observations: xr.Dataset, fields: xr.Dataset) -> xr.Dataset:
    """Select examples of fields for figures."""
    return examples(draws, observations, fields)


def metrics(scores: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Scores over all variables at unobserved cells, for each pattern and k."""
    return metric_rows(scores, seed, LAYOUT)


def rank(
    results: StoredResults, fields: xr.Dataset, evaluation: Evaluation, limits: Limits, seed: int
) -> tuple[pd.DataFrame, str]:
    """The leaderboard of the experiments that have been scored on these observations, and its summary."""
    observations = results.get("observations")
    if observations is None:
        return empty_leaderboard(LAYOUT), ""
    scored = scored_digest(observations, limits.cap("members", evaluation.members))
    by_role = roles(descriptions(results["experiments"]))
    table = leaderboard(results.get("scores", {}), fields.attrs["digest"], scored, seed=seed, roles=by_role)
    return table, reconstruct_summary(table)


def page(
    leaderboard: pd.DataFrame, results: StoredResults, fields: xr.Dataset, climatology: xr.Dataset
) -> tuple[dict[str, Reconstruct], dict[str, bytes]]:
    """The results for the page, and their figures; empty if nothing has been scored."""
    if leaderboard.empty:
        return {}, {}
    ranked = set(leaderboard["experiment"])
    anomalies = {
        name: example_anomalies(stored, climatology)
        for name, stored in results.get("examples", {}).items()
        if name in ranked
    }
    reconstructions = Reconstruct(
        leaderboard=leaderboard, **{**results, "examples": anomalies}, outline=outline(fields)
    )
    figures = {name: picture.png for name, picture in pictures(reconstructions).items()}
    return {"reconstruct": reconstructions}, figures


def fill(trained: TrainedModel, data: xr.Dataset, members: int, seed: int) -> xr.Dataset:
    """Draws given the observations of a data set, as MLflow serves a model."""
    return trained.fill(data, members, seed=seed, where="the input")
