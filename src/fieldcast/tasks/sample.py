"""The task `sample`: states drawn from nothing, scored against the test split as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
import torch
import xarray as xr

from fieldcast.encoding.anomalies import space_of
from fieldcast.encoding.checkpoint import model_digest, read_header
from fieldcast.encoding.options import Limits
from fieldcast.encoding.states import AnyDayCodec, ImageCodec, StateCodec, space_of_images
from fieldcast.errors import InputError
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges
from fieldcast.figures.sheet import outline
from fieldcast.inference.options import Sampling, StateOptions
from fieldcast.inference.samples.features import load_features
from fieldcast.inference.samples.sets import compare
from fieldcast.kinds import are_images
from fieldcast.models.core import Model, Trained
from fieldcast.models.space import Space
from fieldcast.report import Sample
from fieldcast.scores.examples import BESIDE_NEAREST, sample_examples
from fieldcast.scores.leaderboard import sample_leaderboard
from fieldcast.scores.sample import sample_statistics
from fieldcast.scores.statistics_table import scored_samples, with_origin
from fieldcast.scores.summary import sample_summary
from fieldcast.tasks.records import StoredResults
from fieldcast.tasks.scoring_inputs import outside_range, require_draws, scored_period
from fieldcast.training.batches import StateBatches
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe
from fieldcast.training.state_source import InMemory, States, Streamed
from fieldcast.training.stored_model import StoredModel
from fieldcast.training.task import is_streamed, refuse_rollouts


@dataclass(frozen=True)
class StateSampling:
    """States as they are: fields of any day, or images under a treatment."""

    options: StateOptions = StateOptions()  # noqa: RUF009
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


def checkpoint_made_from(
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    model: dict[str, Any], fit: Fit, seed: int, limits: Limits, options: StateOptions, **parts: bytes,
) -> dict[str, Any]:  # fmt: skip
    """Everything that a trained model depends on; `parts` are the checkpoints that its training uses, by role."""
    data = PreparedData(fields, climatology, normalisation, splits)
    return Recipe(StateSampling(options), model, fit, seed, limits, "cpu").made_from(data, parts)


def draws_made_from(
    checkpoint: bytes,
    model: dict[str, Any],
    fields: xr.Dataset,
    sampling: Sampling,
    limits: Limits,
    seed: int,
) -> dict[str, Any]:
    """Everything that samples depend on."""
    digest = model_digest(read_header(checkpoint, "its checkpoint"), model)
    return {"model": digest, "data": fields.attrs["digest"], "seed": seed, **sampling.capped(limits)}


def latents_made_from(
    checkpoint: bytes, model: dict[str, Any], fields: xr.Dataset, sampling: Sampling, limits: Limits, seed: int,
    options: StateOptions,
) -> dict[str, Any]:  # fmt: skip
    """Everything that the codes of real states and the pictures of a latent space depend on."""
    draws = draws_made_from(checkpoint, model, fields, sampling, limits, seed)
    return {**draws, "grid": list(options.grid or ())}


def scores_made_from(
    fields: xr.Dataset, splits: SplitRanges, extractor: bytes, sampling: Sampling, limits: Limits
) -> dict[str, str]:
    """Digests of the data and of the scored selection, which the scores in one leaderboard share."""
    data, weights = fields.attrs["digest"], load_features(extractor).facts["weights"]
    numbers, period = sampling.capped(limits), scored_period(fields, splits)
    return {
        "data_digest": data,
        "case_digest": scored_samples(data, **numbers, features=weights, test=period),
    }


def score(
    draws: xr.Dataset, densities: pd.DataFrame, latents: xr.Dataset | None, extractor: bytes, stored: StoredModel,
    data: PreparedData, options: StateOptions, sampling: Sampling,
) -> tuple[pd.DataFrame, xr.Dataset, xr.Dataset]:  # fmt: skip
    """Scores with the digest of the scored selection, diagnostics; real and nearest training states for figures."""
    seed, limits = stored.seed, stored.limits
    stored.digest(data, StateSampling(options))
    sources = draws_made_from(stored.checkpoint, stored.model, data.fields, sampling, limits, seed)
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
    origin = scores_made_from(data.fields, data.splits, extractor, sampling, limits)
    diagnostics = diagnostics.assign_attrs(
        treatment=draws.attrs["treatment"], **outside_range(draws, data.fields)
    )
    # -1, of a sample that is not finite, becomes the first
    nearest = sets.training.states(diagnostics["nearest"].values[:BESIDE_NEAREST].clip(min=0))
    displayed = sample_examples(draws, sets.real, nearest)
    return with_origin(scores, seed, origin["data_digest"], origin["case_digest"]), diagnostics, displayed


def rank(
    results: StoredResults, fields: xr.Dataset, splits: SplitRanges, sampling: Sampling, limits: Limits
) -> tuple[pd.DataFrame, str]:
    """The leaderboard of the experiments whose samples have been scored in these features, and its summary."""
    extractor = results.get("extractor")
    if extractor is None:
        return sample_leaderboard({}, "", ""), ""
    digests = scores_made_from(fields, splits, extractor, sampling, limits)
    table = sample_leaderboard(results.get("scores", {}), digests["data_digest"], digests["case_digest"])
    return table, sample_summary(table, results.get("diagnostics", {}))


def page(
    leaderboard: pd.DataFrame, results: StoredResults, fields: xr.Dataset
) -> tuple[dict[str, Sample], dict[str, bytes]]:
    """The results for the page, and their figures; empty if nothing has been scored."""
    if leaderboard.empty:
        return {}, {}
    stored = {name: results[name] for name in results if name != "extractor"}
    samples = Sample(leaderboard=leaderboard, **stored, outline=outline(fields))
    return {"sample": samples}, {name: picture.png for name, picture in samples.pictures().items()}
