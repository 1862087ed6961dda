"""Sampling: states drawn without any context, and likelihoods and reconstructions of real states."""

import logging
import time
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.options import Limits
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges
from fieldcast.inference.options import Sampling, StateOptions
from fieldcast.lineage import made_from
from fieldcast.pipelines.streams import is_complete
from fieldcast.training.options import Fit

LOG = logging.getLogger(__name__)


@made_from(draws="fieldcast.tasks.sample.draws_made_from")
def draw(
    checkpoint: bytes, model: dict[str, Any], trained_by: str, trained_model: dict[str, Any], trained_fit: Fit,
    seed: int, limits: Limits, device: str,
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    options: StateOptions, sampling: Sampling, previous_draws: Any, previous_costs: Any, **parts: bytes,
) -> tuple[xr.Dataset, pd.DataFrame]:  # fmt: skip
    """Samples in physical units or grey values, with the costs of training and drawing; those that exist are kept."""
    from fieldcast.inference.samples.sets import draw_states, physical_states
    from fieldcast.tasks.sample import StateSampling, draws_made_from
    from fieldcast.training.stored_model import StoredModel

    data = PreparedData(fields, climatology, normalisation, splits)
    drawing = model, trained_by, trained_model, trained_fit, seed, limits, device
    trained = StoredModel(checkpoint, *drawing, parts).restore(data, StateSampling(options))
    sources = draws_made_from(checkpoint, model, fields, sampling, limits, seed)
    stored = previous_draws(), previous_costs()
    if is_complete(sources, *stored):
        LOG.info("Using the existing samples.")
        return stored
    begin = time.perf_counter()
    x = draw_states(trained.model, sources["samples"], seed)
    milliseconds = 1000 * (time.perf_counter() - begin) / len(x)
    samples = physical_states(trained.model.space, trained.state_codec, x)
    costs = {**trained.model.facts, **trained.header["costs"], "sample_ms": milliseconds}
    return samples.assign_attrs(sources, treatment=trained.state_codec.treatment), pd.DataFrame([costs])


@made_from(
    latents="fieldcast.tasks.sample.latents_made_from", pictures="fieldcast.tasks.sample.latents_made_from"
)
def examine_latent_space(
    checkpoint: bytes, model: dict[str, Any], trained_by: str, trained_model: dict[str, Any], trained_fit: Fit,
    seed: int, limits: Limits, device: str,
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    options: StateOptions, sampling: Sampling,
    previous_densities: Any, previous_latents: Any, previous_pictures: Any, **parts: bytes,
) -> tuple[pd.DataFrame, xr.Dataset, xr.Dataset]:  # fmt: skip
    """Likelihoods and reconstructions of test and training data, codes and prior, pictures; kept if they exist."""
    from fieldcast.inference.samples import latent_space
    from fieldcast.inference.samples.latent_space import density_table, examine, split_of
    from fieldcast.tasks.sample import StateSampling, latents_made_from
    from fieldcast.training.stored_model import StoredModel

    data = PreparedData(fields, climatology, normalisation, splits)
    drawing = model, trained_by, trained_model, trained_fit, seed, limits, device
    trained = StoredModel(checkpoint, *drawing, parts).restore(data, StateSampling(options))
    sources = latents_made_from(checkpoint, model, fields, sampling, limits, seed, options)
    stored = previous_densities(), previous_latents(), previous_pictures()
    if is_complete(sources, *stored):
        LOG.info("Using the existing likelihoods, codes and pictures.")
        return stored
    fitted, codec = trained.model, trained.state_codec
    examined_splits = {}
    for name in ("test", "train"):
        split = split_of(fields, splits, name, sources["likelihood"], codec, fitted)
        members = sources["members"] if name == "test" else 1
        examined_splits[name] = split, examine(fitted, split, members, codec, seed)
    split, examined = examined_splits["test"]
    mixture = None
    if examined.mean is not None:
        count = max(1, latent_space.MIXTURE_NUMBERS // examined.mean.shape[1])
        mixture = split_of(fields, splits, "train", count, codec, fitted)
    codes = (
        latent_space.latents(fitted, examined, split, seed, mixture),
        latent_space.training_codes(fitted, examined_splits["train"][0]),
    )
    latents = xr.merge(codes).assign_attrs(sources)
    pictures = latent_space.pictures(fitted, codec, split, latents, seed, options.grid).assign_attrs(sources)
    return density_table(examined_splits), latents, pictures
