"""The task `reconstruct`: fields from sparse observations."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import pandas as pd
import xarray as xr

from fieldcast.calendars import TimeStep
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.checkpoint import model_digest, read_header
from fieldcast.encoding.observations import require_observations
from fieldcast.encoding.options import POINTS, Limits, Sparsification
from fieldcast.errors import InputError
from fieldcast.experiments import descriptions, roles
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges
from fieldcast.figures.sheet import outline
from fieldcast.inference.options import Evaluation
from fieldcast.inference.reconstruct import lineage_of
from fieldcast.inference.stations.observations import check_accepts_points
from fieldcast.models.core import Model, Trained
from fieldcast.report import Reconstruct
from fieldcast.scores.leaderboard import RECONSTRUCT as LAYOUT
from fieldcast.scores.leaderboard import empty_leaderboard, leaderboard
from fieldcast.scores.reconstruction import reconstruction_statistics
from fieldcast.scores.statistics_table import scored_digest, with_origin
from fieldcast.scores.summary import reconstruct_summary
from fieldcast.tasks.records import StoredResults
from fieldcast.tasks.scoring_inputs import cell_areas, example_anomalies, outside_range, require_draws
from fieldcast.training.batches import ReconstructionBatches
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe
from fieldcast.training.stored_model import StoredModel
from fieldcast.training.task import OnFields, refuse_rollouts


@dataclass(frozen=True)
class Reconstruction(OnFields):
    """Single states from sparse observations of them, under masks that are drawn anew in each step."""

    sparsification: Sparsification = Sparsification()  # noqa: RUF009
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


def checkpoint_made_from(
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    model: dict[str, Any], fit: Fit, seed: int, limits: Limits, sparsification: Sparsification, **parts: bytes,
) -> dict[str, Any]:  # fmt: skip
    """Everything that a trained model depends on; `parts` are the checkpoints that its training uses, by role."""
    data = PreparedData(fields, climatology, normalisation, splits)
    return Recipe(Reconstruction(sparsification), model, fit, seed, limits, "cpu").made_from(data, parts)


def draws_made_from(
    checkpoint: bytes, model: dict[str, Any], observations: xr.Dataset, evaluation: Evaluation, limits: Limits,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Everything that reconstructions depend on."""
    digest = model_digest(read_header(checkpoint, "its checkpoint"), model)
    return lineage_of(digest, observations, limits.cap("members", evaluation.members), seed)


def scores_made_from(observations: xr.Dataset, evaluation: Evaluation, limits: Limits) -> dict[str, str]:
    """Digests of the data and of the scored selection, which the scores in one leaderboard share."""
    scored = scored_digest(observations, limits.cap("members", evaluation.members))
    return {"data_digest": observations.attrs["data"], "case_digest": scored}


def score(
    draws: xr.Dataset, observations: xr.Dataset, stored: StoredModel, data: PreparedData, evaluation: Evaluation,
    sparsification: Sparsification,
) -> tuple[pd.DataFrame, xr.Dataset]:  # fmt: skip
    """Statistics at each scored time, with the digest of the scored selection; rank histograms and spectra."""
    limits, seed = stored.limits, stored.seed
    require_observations(observations, data.fields, data.normalisation, data.splits, sparsification, limits)
    stored.digest(data, Reconstruction(sparsification))
    present = draws_made_from(stored.checkpoint, stored.model, observations, evaluation, limits, seed)
    require_draws(draws, present, "reconstructions", "reconstruction")
    scores, diagnostics = reconstruction_statistics(
        draws,
        observations,
        data.fields,
        climatology=data.climatology,
        normalisation=data.normalisation,
        area=cell_areas(data.fields),
        seed=seed,
    )
    diagnostics = diagnostics.assign_attrs(outside_range(draws, data.fields))
    digests = scores_made_from(observations, evaluation, limits)
    step = TimeStep.of(data.fields)
    return with_origin(scores, seed, digests["data_digest"], digests["case_digest"], step), diagnostics


def rank(
    results: StoredResults, fields: xr.Dataset, evaluation: Evaluation, limits: Limits, seed: int
) -> tuple[pd.DataFrame, str]:
    """The leaderboard of the experiments that have been scored on these observations, and its summary."""
    observations = results.get("observations")
    if observations is None:
        return empty_leaderboard(LAYOUT), ""
    scored = scores_made_from(observations, evaluation, limits)["case_digest"]
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
    figures = {name: picture.png for name, picture in reconstructions.pictures().items()}
    return {"reconstruct": reconstructions}, figures
