"""Sampling: states drawn without any context, and likelihoods and reconstructions of real states."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.arguments import by_field
from fieldcast.encoding.checkpoint import Checkpoint, model_digest
from fieldcast.fields.prepared import PreparedData
from fieldcast.inference.options import Sampling, StateOptions
from fieldcast.inference.samples import latent_space
from fieldcast.inference.samples.likelihood import density_table, examine, split_of
from fieldcast.inference.samples.sets import draw_states, physical_states
from fieldcast.pipelines.streams import is_complete
from fieldcast.tasks.sample import StateSampling
from fieldcast.training.stored_model import StoredModel

LOG = logging.getLogger(__name__)
LATENT_SPACE = ("densities", "latents", "pictures")  # outputs in the order in which they are stored


@by_field
def draw(
    stored: StoredModel,
    data: PreparedData,
    options: StateOptions,
    sampling: Sampling,
    earlier: Mapping[str, Any],
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Samples in physical units or grey values, with the costs of training and drawing; those that exist are kept."""
    trained, sources = restore(stored, data, options, sampling)
    if is_complete(earlier, sources):
        LOG.info("Using the existing samples.")
        return earlier["draws"], earlier["costs"]
    model, codec = trained.model, trained.state_codec
    begin = time.perf_counter()
    x = draw_states(model, sources["samples"], stored.seed)
    milliseconds = 1000 * (time.perf_counter() - begin) / len(x)
    samples = physical_states(model.space, codec, x).assign_attrs(sources, treatment=codec.treatment)
    return samples, pd.DataFrame([{**model.facts, **trained.header["costs"], "sample_ms": milliseconds}])


@by_field
def examine_latent_space(
    stored: StoredModel,
    data: PreparedData,
    options: StateOptions,
    sampling: Sampling,
    earlier: Mapping[str, Any],
) -> tuple[pd.DataFrame, xr.Dataset, xr.Dataset]:
    """Likelihoods and reconstructions of test and training data, codes and prior, pictures; kept if they exist."""
    trained, sources = restore(stored, data, options, sampling)
    sources["grid"] = list(options.grid or ())
    if is_complete(earlier, sources, LATENT_SPACE):
        LOG.info("Using the existing likelihoods, codes and pictures.")
        return earlier["densities"], earlier["latents"], earlier["pictures"]
    model, codec, seed = trained.model, trained.state_codec, stored.seed
    splits = {}
    for name in ("test", "train"):
        split = split_of(data.fields, data.splits, name, sources["likelihood"], codec, model)
        members = sources["members"] if name == "test" else 1
        splits[name] = split, examine(model, split, members, codec, seed)
    split, examined = splits["test"]
    mixture = None
    if examined.mean is not None:
        count = max(1, latent_space.MIXTURE_NUMBERS // examined.mean.shape[1])
        mixture = split_of(data.fields, data.splits, "train", count, codec, model)
    codes = (
        latent_space.latents(model, examined, split, seed, mixture),
        latent_space.training_codes(model, splits["train"][0]),
    )
    latents = xr.merge(codes).assign_attrs(sources)
    pictures = latent_space.pictures(model, codec, split, latents, seed, options.grid).assign_attrs(sources)
    return density_table(splits), latents, pictures


def restore(
    stored: StoredModel, data: PreparedData, options: StateOptions, sampling: Sampling
) -> tuple[Checkpoint, dict[str, Any]]:
    """The trained model, and the lineage of draws from it, which the evaluation requires."""
    trained = stored.restore(data, StateSampling(options))
    sources = {
        "model": model_digest(trained.header, stored.model), "data": data.fields.attrs["digest"], "seed": stored.seed,
        **sampling.capped(stored.limits),
    }  # fmt: skip
    return trained, sources
