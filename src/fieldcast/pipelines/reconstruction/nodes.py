"""Reconstruction: the fields that fit the stored observations, as an ensemble."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.checkpoint import origin
from fieldcast.encoding.device import choose_device
from fieldcast.encoding.observations import check_plan
from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.inference.compatibility import check_observations, drawn_from
from fieldcast.inference.options import Evaluation
from fieldcast.inference.reconstruct import reconstruct
from fieldcast.models.core import place
from fieldcast.pipelines.streams import streamed
from fieldcast.training.options import Fit
from fieldcast.training.run import decided


@streamed
def draw(
    checkpoint: bytes, model: dict[str, Any], observations: xr.Dataset, fields: xr.Dataset, splits: dict[str, Any],
    evaluation: Evaluation, seed: int, limits: Limits, device: str, fit: Fit, sparsification: Sparsification,
    **whose: dict[str, Any],
) -> Iterator[tuple[xr.Dataset, pd.DataFrame]]:  # fmt: skip
    """Reconstructions case by case, and what drawing and training cost; `whose`: see `drawn_from`."""
    made = drawn_from(checkpoint, model, whose, decided(fit, limits, sparsification))
    check_observations(observations, splits, made, seed, *whose)
    check_plan(observations, fields, splits, sparsification, limits)
    members = limits.cap("members", evaluation.members)
    parameters = sum(p.numel() for p in made.model.parameters())
    known = {"parameters": parameters, **made.header["costs"]}
    times: list[float] = []
    one, known_by = place(made.model, choose_device(device)), origin(made.header, model)
    for piece, sample_ms in reconstruct(one, made.by_day, observations, members, seed, known_by):
        times.append(sample_ms)
        yield piece, pd.DataFrame([{**known, "sample_ms": sum(times) / len(times)}])
