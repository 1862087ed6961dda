"""The task `sample`: states drawn from nothing, scored against the test split as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
import torch
import xarray as xr

from fieldcast.arguments import by_field
from fieldcast.encoding.anomalies import space_of
from fieldcast.encoding.options import Limits
from fieldcast.encoding.states import AnyDayCodec, ImageCodec, StateCodec, space_of_images
from fieldcast.errors import InputError
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges
from fieldcast.figures.sheet import outline
from fieldcast.inference.options import Sampling, StateOptions
from fieldcast.inference.samples.features import load_features
from fieldcast.inference.samples.sets import compare
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.kinds import are_images
from fieldcast.models.core import Model, Trained
from fieldcast.models.space import Space
from fieldcast.report import Sample, pictures
from fieldcast.scores.examples import BESIDE_NEAREST, sample_examples, with_pictures
from fieldcast.scores.leaderboard import sample_leaderboard
from fieldcast.scores.sample import sample_statistics
from fieldcast.scores.statistics_table import scored_samples, with_origin
from fieldcast.scores.summary import sample_summary
from fieldcast.tasks.scoring_inputs import require_draws, scored_period
from fieldcast.tasks.task import StoredResults
from fieldcast.training.batches import StateBatches
from fieldcast.training.options import Fit
from fieldcast.training.state_source import InMemory, States
from fieldcast.training.stored_model import StoredModel
from fieldcast.training.streamed import Streamed
from fieldcast.training.task import is_streamed, refuse_rollouts


@dataclass(frozen=True)
class StateSampling:
    """States as they are: fields of any day, or images under a treatment."""

    options: StateOptions
    task: ClassVar[str] = "sample"
    takes_gaps: ClassVar[bool] = False

    def fit_options(self) -> dict[str, Any]:
        """The treatment of images."""
        return {"treatment": self.options.treatment}

    def check(self, kind: str, model: Model, fit: Fit) -> None:
        """Raise an InputError for a conditional model, or if `fit` asks for training over rollouts."""
        if model.conditional or model.history:
            raise InputError(
                f"{kind} needs observations or past states, and the task sample has neither: use it in an experiment "
                "of the task reconstruct or forecast."
            )
        if isinstance(model, Trained):
            refuse_rollouts(kind, fit)

    def codec(
        self, fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset
    ) -> tuple[StateCodec, Space]:
        """Grey values of images; standardised values of fields, whatever their day."""
        if are_images(fields):
            return ImageCodec(self.options.treatment, fields.attrs["levels"]), space_of_images(fields)
        return AnyDayCodec.of(fields, normalisation), space_of(fields, climatology, normalisation)

    def batches(
        self, split: xr.Dataset, codec: StateCodec, model: Model, fit: Fit, training: bool
    ) -> StateBatches:
        """States, with their labels where they have them."""
        space, device = model.space, model.space.area.device
        label = torch.from_numpy(split["label"].values).to(device) if "label" in split.coords else None
        if is_streamed(split, fit):
            states: States = Streamed.undated(split, codec.encode, device)
        else:
            states = InMemory.undated(codec.encode(split).to(device))
        return StateBatches(states, label, space, codec, not training)


@by_field
def score(
    draws: xr.Dataset, densities: pd.DataFrame, latents: xr.Dataset | None, extractor: bytes, stored: StoredModel,
    data: PreparedData, options: StateOptions, sampling: Sampling,
) -> tuple[pd.DataFrame, xr.Dataset, xr.Dataset]:  # fmt: skip
    """Scores with the digest of the scored selection, diagnostics; real and nearest training states for figures."""
    seed, digest, numbers = stored.seed, data.fields.attrs["digest"], sampling.capped(stored.limits)
    sources = {**numbers, "seed": seed, "data": digest}
    require_draws(draws, sources, "samples", "sampling")
    sources["model"] = stored.digest(data, StateSampling(options))
    require_draws(draws, sources, "samples", "sampling")
    if latents is not None:
        require_draws(latents, sources, "latents", "sampling")
    sets = compare(draws, data.fields, data.normalisation, data.splits, extractor, seed)
    scores, diagnostics = sample_statistics(
        draws,
        sets.real,
        densities,
        xr.Dataset() if latents is None else latents,
        features=sets.features,
        states=sets.states,
        extractor=sets.facts,
        noise=sets.noise,
        seed=seed,
    )
    scored = scored_samples(
        digest, **numbers, features=sets.facts["weights"], test=scored_period(data.fields, data.splits)
    )
    diagnostics = diagnostics.assign_attrs(treatment=draws.attrs["treatment"])
    # -1, of a sample that is not finite, becomes the first
    nearest = sets.training.states(diagnostics["nearest"].values[:BESIDE_NEAREST].clip(min=0))
    displayed = sample_examples(draws, sets.real, nearest)
    return with_origin(scores, seed, digest, scored), diagnostics, displayed


def show(pictures: xr.Dataset, displayed: xr.Dataset) -> xr.Dataset:
    """Select examples of states for figures."""
    return with_pictures(displayed, pictures)


def metrics(scores: pd.DataFrame, seed: int) -> pd.DataFrame:
    """All rows: a table of samples has no cases to select from."""
    return scores


def rank(
    results: StoredResults, fields: xr.Dataset, splits: SplitRanges, sampling: Sampling, limits: Limits
) -> tuple[pd.DataFrame, str]:
    """The leaderboard of the experiments whose samples have been scored in these features, and its summary."""
    extractor = results.get("extractor")
    if extractor is None:
        return sample_leaderboard({}, "", ""), ""
    data, weights = fields.attrs["digest"], load_features(extractor).facts["weights"]
    scored = scored_samples(
        data, **sampling.capped(limits), features=weights, test=scored_period(fields, splits)
    )
    table = sample_leaderboard(results.get("scores", {}), data, scored)
    return table, sample_summary(table, results.get("diagnostics", {}))


def page(
    leaderboard: pd.DataFrame, results: StoredResults, fields: xr.Dataset
) -> tuple[dict[str, Sample], dict[str, bytes]]:
    """The results for the page, and their figures; empty if nothing has been scored."""
    if leaderboard.empty:
        return {}, {}
    stored = {name: results[name] for name in results if name != "extractor"}
    samples = Sample(leaderboard=leaderboard, **stored, outline=outline(fields))
    return {"sample": samples}, {name: picture.png for name, picture in pictures(samples).items()}


def draw(trained: TrainedModel, data: None, samples: int, seed: int) -> xr.Dataset:
    """Samples, as MLflow serves a model."""
    return trained.sample(samples, seed)
