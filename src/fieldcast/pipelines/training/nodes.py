"""Training: one model, fitted to the training split of its task."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.figures.training import loss_curve
from fieldcast.inference.options import Pixels
from fieldcast.pipelines.streams import streamed
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train


@streamed
def fit_reconstruction(
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: dict[str, Any],
    earlier: bytes | None, model: dict[str, Any], fit: Fit, seed: int, limits: Limits, device: str,
    sparsification: Sparsification, base: bytes | None = None,
) -> Iterator[tuple[bytes, bytes, pd.DataFrame]]:  # fmt: skip
    """Training state, checkpoint and history, again and again until the end."""
    recipe = Recipe("reconstruct", model, fit, sparsification, seed, limits, device)
    yield from train(recipe, fields, climatology, normalisation, splits, earlier, base)


@streamed
def fit_forecast(
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: dict[str, Any],
    earlier: bytes | None, model: dict[str, Any], fit: Fit, seed: int, limits: Limits, device: str,
) -> Iterator[tuple[bytes, bytes, pd.DataFrame]]:  # fmt: skip
    """The same of a model of the next state."""
    recipe = Recipe("forecast", model, fit, Sparsification(), seed, limits, device)
    yield from train(recipe, fields, climatology, normalisation, splits, earlier)


@streamed
def fit_sampler(
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: dict[str, Any],
    earlier: bytes | None, model: dict[str, Any], fit: Fit, seed: int, limits: Limits, device: str,
    options: Pixels,
) -> Iterator[tuple[bytes, bytes, pd.DataFrame]]:  # fmt: skip
    """The same of a model of states."""
    recipe = Recipe("sample", model, fit, Sparsification(), seed, limits, device, options.treatment)
    yield from train(recipe, fields, climatology, normalisation, splits, earlier)


def plot_history(history: pd.DataFrame) -> Figure:
    """Training and validation loss against the step; of a closed-form model the scores of its trials."""
    return loss_curve(history if "loss" in history else history.assign(loss=history["validation"]))
