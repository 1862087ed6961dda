"""Reconstruction: the fields that fit the stored observations, as an ensemble."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.checkpoint import model_digest
from fieldcast.encoding.device import choose_device
from fieldcast.encoding.observations import require_observations
from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.inference.compatibility import fitted
from fieldcast.inference.options import Evaluation
from fieldcast.inference.reconstruct import reconstruct
from fieldcast.pipelines.streams import streamed
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.training.options import Fit
from fieldcast.training.run import fitted_by


@streamed
def draw(
    checkpoint: bytes, model: dict[str, Any], observations: xr.Dataset, fields: xr.Dataset, splits: dict[str, Any],
    evaluation: Evaluation, seed: int, limits: Limits, device: str, fit: Fit, sparsification: Sparsification,
    **lender: dict[str, Any],
) -> Iterator[tuple[xr.Dataset, pd.DataFrame]]:  # fmt: skip
    """Reconstructions case by case, with the costs of training and drawing; `lender`: see `compatibility.fitted`."""
    options = fitted_by(fit, limits, Reconstruction(sparsification).fitted_by())
    trained = fitted(checkpoint, model, lender, options, fields, splits, seed)
    require_observations(observations, fields, splits, sparsification, limits)
    members = limits.cap("members", evaluation.members)
    costs = {**trained.model.facts, **trained.header["costs"]}
    times: list[float] = []
    placed, digest = trained.model.to(choose_device(device)), model_digest(trained.header, model)
    for piece, sample_ms in reconstruct(placed, trained.by_day, observations, members, seed, digest):
        times.append(sample_ms)
        yield piece, pd.DataFrame([{**costs, "sample_ms": sum(times) / len(times)}])
