"""Rollout: forecasts from the stored starts, lead by lead, and a long rollout of which statistics are kept."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.checkpoint import model_digest
from fieldcast.encoding.device import choose_device
from fieldcast.encoding.initial_times import require_starts
from fieldcast.encoding.options import Limits, Rollout
from fieldcast.inference import external_forecasts as adopting
from fieldcast.inference.compatibility import fitted
from fieldcast.inference.ensemble_forecast import EnsembleForecaster, forecast
from fieldcast.inference.long_rollout import stability
from fieldcast.inference.options import Drawing, File
from fieldcast.lineage import require
from fieldcast.pipelines.streams import streamed
from fieldcast.training.options import Fit
from fieldcast.training.run import fitted_by


@streamed
def roll(
    checkpoint: bytes, model: dict[str, Any], options: Drawing, fields: xr.Dataset, starts: dict[str, Any],
    splits: dict[str, Any], seed: int, rollout: Rollout, limits: Limits, device: str,
    earlier: Mapping[str, Any], fit: Fit, **lender: dict[str, Any],
) -> Iterator[tuple[tuple[xr.Dataset, bytes], pd.DataFrame]]:  # fmt: skip
    """Forecasts lead by lead, with what the rollout resumes from, and what drawing and training cost.

    `lender`: see `compatibility.fitted`.
    """
    trained = fitted(checkpoint, model, lender, fitted_by(fit, limits), fields, splits, seed)
    placed = trained.model.to(choose_device(device))
    require_starts(starts, fields, splits, rollout, limits)
    times, members = starts["scored"], starts["members"]
    forecaster = EnsembleForecaster(placed, trained.by_day, fields, times, members, seed, options.feedback)
    facts = {**placed.facts, **trained.header["costs"]}
    leads, state = earlier.get("draws", (0, None))
    for piece in forecast(
        forecaster, starts, state if leads else None, model_digest(trained.header, model), leads
    ):
        costs = {**facts, "evaluations": placed.evaluations, "sample_ms": piece.sample_ms}
        yield (piece.forecasts, piece.state), pd.DataFrame([costs])


@streamed
def stabilise(
    checkpoint: bytes, model: dict[str, Any], options: Drawing, fields: xr.Dataset, starts: dict[str, Any],
    splits: dict[str, Any], seed: int, rollout: Rollout, limits: Limits, device: str,
    earlier: Mapping[str, Any], fit: Fit, **lender: dict[str, Any],
) -> Iterator[tuple[pd.DataFrame, tuple[xr.Dataset, bytes]]]:  # fmt: skip
    """Statistics of each step of the long rollout, and some of its fields with what the rollout resumes from."""
    trained = fitted(checkpoint, model, lender, fitted_by(fit, limits), fields, splits, seed)
    placed = trained.model.to(choose_device(device))
    require_starts(starts, fields, splits, rollout, limits)
    times, members = starts["stability"], starts["stability_members"]
    forecaster = EnsembleForecaster(placed, trained.by_day, fields, times, members, seed, options.feedback)
    _, state = earlier.get("snapshots", (0, None))
    for steps in stability(forecaster, starts, fields, state, model_digest(trained.header, model)):
        yield steps.table, (steps.snapshots, steps.state)


def adopt(
    model: File, perfect_model: xr.Dataset, starts: dict[str, Any], fields: xr.Dataset, splits: dict[str, Any],
    rollout: Rollout, limits: Limits, seed: int,
) -> Iterator[tuple[xr.Dataset, bytes]]:  # fmt: skip
    """Forecasts that were made elsewhere, with no state to resume from."""
    require_starts(starts, fields, splits, rollout, limits)
    if model.dataset and perfect_model.data_vars:
        require(
            perfect_model.attrs,
            {"starts": starts["digest"], "seed": seed, "initial_error": rollout.perfect_model.initial_error},
            "the forecasts of the perfect model were made",
            "recreate them with `kedro run --pipelines initial_times`",
        )
    attributes = {
        "model": adopting.made_elsewhere(model, rollout),
        "members": starts["members"],
        "seed": seed,
    }
    for piece in adopting.adopt(model, perfect_model, starts, fields):
        yield piece.assign_attrs(attributes), b""
