"""Reconstruction: the fields that fit the stored observations, as an ensemble."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.loops.checkpoint import unpack
from fieldcast.loops.draw import reconstruct
from fieldcast.loops.load import choose_device
from fieldcast.loops.matching import check_observations
from fieldcast.loops.options import Evaluation, Limits
from fieldcast.models.core import place


def draw(
    checkpoint: bytes, model: dict[str, Any], observations: xr.Dataset,
    evaluation: Evaluation, seed: int, limits: Limits, device: str,
) -> Iterator[tuple[xr.Dataset, pd.DataFrame]]:  # fmt: skip
    """Reconstructions case by case, and what drawing and training cost."""
    made = unpack(checkpoint, model=model)
    check_observations(observations, made, seed)
    members = limits.cap("members", evaluation.members)
    parameters = sum(p.numel() for p in made.model.parameters())
    known = {"parameters": parameters, **made.header["costs"]}
    times: list[float] = []
    for piece, sample_ms in reconstruct(
        place(made.model, choose_device(device)), made.by_day, observations, members, seed
    ):
        times.append(sample_ms)
        yield piece, pd.DataFrame([{**known, "sample_ms": sum(times) / len(times)}])
