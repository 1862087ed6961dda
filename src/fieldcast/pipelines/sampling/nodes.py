"""Sampling: states drawn without any context, and likelihoods and reconstructions of real states."""

import time
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.checkpoint import Checkpoint, model_digest
from fieldcast.encoding.device import choose_device
from fieldcast.encoding.options import Limits
from fieldcast.encoding.states import StateCodec
from fieldcast.errors import InputError
from fieldcast.inference import latent_space as insides
from fieldcast.inference.compatibility import fitted
from fieldcast.inference.likelihood import density_table, examine, split_of
from fieldcast.inference.options import Pixels, Sampling
from fieldcast.inference.sample import draw_states, physical
from fieldcast.kinds import are_images
from fieldcast.models.core import Model
from fieldcast.training.options import Fit
from fieldcast.training.run import fitted_by


def draw(
    checkpoint: bytes, model: dict[str, Any], options: Pixels, fields: xr.Dataset, splits: dict[str, Any],
    sampling: Sampling, seed: int, limits: Limits, device: str, fit: Fit, **lender: dict[str, Any],
) -> tuple[xr.Dataset, pd.DataFrame]:  # fmt: skip
    """Samples in physical units or grey values, with the costs of training and drawing."""
    trained = fitted(checkpoint, model, lender, fitted_by(fit, limits), fields, splits, seed)
    placed, codec = ready(trained, options, fields, device)
    sizes = sampling.capped(limits)
    begin = time.perf_counter()
    x = draw_states(placed, sizes["samples"], seed)
    milliseconds = 1000 * (time.perf_counter() - begin) / len(x)
    samples = physical(placed.space, codec, x).assign_attrs(
        drawn_with(trained, model, fields, seed, sizes), treatment=codec.treatment
    )
    costs = {**placed.facts, **trained.header["costs"], "sample_ms": milliseconds}
    return samples, pd.DataFrame([costs])


def look_inside(
    checkpoint: bytes, model: dict[str, Any], options: Pixels, fields: xr.Dataset, splits: dict[str, Any],
    sampling: Sampling, seed: int, limits: Limits, device: str, fit: Fit, **lender: dict[str, Any],
) -> tuple[pd.DataFrame, xr.Dataset, xr.Dataset]:  # fmt: skip
    """Likelihoods and reconstructions of test and training data, codes and prior, pictures."""
    trained = fitted(checkpoint, model, lender, fitted_by(fit, limits), fields, splits, seed)
    placed, codec = ready(trained, options, fields, device)
    sizes = sampling.capped(limits)
    parts = {}
    for name in ("test", "train"):
        split = split_of(fields, splits, name, sizes["likelihood"], codec, placed)
        parts[name] = split, examine(placed, split, sizes["members"] if name == "test" else 1, codec, seed)
    split, examined = parts["test"]
    inside = insides.latents(placed, examined, split, seed)
    inside = inside.assign_attrs(drawn_with(trained, model, fields, seed, sizes))
    return density_table(parts), inside, insides.pictures(placed, codec, split, inside, seed)


def drawn_with(
    trained: Checkpoint, model: dict[str, Any], fields: xr.Dataset, seed: int, sizes: dict[str, int]
) -> dict[str, Any]:
    """The lineage of draws, which the evaluation requires."""
    return {
        "model": model_digest(trained.header, model),
        "data": fields.attrs["digest"],
        "seed": seed,
        **sizes,
    }


def ready(trained: Checkpoint, options: Pixels, fields: xr.Dataset, device: str) -> tuple[Model, StateCodec]:
    """The model on the device, and its codec.

    Raises
    ------
    InputError
        If it was trained on another treatment of images.
    """
    codec = trained.state_codec
    if are_images(fields) and codec.treatment != options.treatment:
        raise InputError(
            f"the checkpoint was trained on images by treatment {codec.treatment}, the options say "
            f"{options.treatment}: give both experiments the same."
        )
    return trained.model.to(choose_device(device)), codec
