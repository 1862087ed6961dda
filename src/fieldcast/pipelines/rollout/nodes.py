"""Rollout: forecasts from the stored starts, lead by lead, and a long rollout of which statistics are kept."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.checkpoint import Checkpoint, origin
from fieldcast.encoding.device import choose_device
from fieldcast.encoding.initial_times import check_starts
from fieldcast.encoding.options import Limits, Rollout
from fieldcast.errors import InputError
from fieldcast.inference import external_forecasts as adopting
from fieldcast.inference.compatibility import check_fields, drawn_from
from fieldcast.inference.ensemble_forecast import Forecaster, forecast
from fieldcast.inference.long_rollout import stability
from fieldcast.inference.options import Drawing, File
from fieldcast.models.core import place
from fieldcast.pipelines.streams import streamed
from fieldcast.training.options import Fit
from fieldcast.training.run import decided


@streamed
def roll(
    checkpoint: bytes, model: dict[str, Any], options: Drawing, fields: xr.Dataset, starts: dict[str, Any],
    splits: dict[str, Any], seed: int, rollout: Rollout, limits: Limits, device: str, fit: Fit,
    earlier: bytes | None, on_disk: xr.Dataset | None, **whose: dict[str, Any],
) -> Iterator[tuple[xr.Dataset, bytes, pd.DataFrame]]:  # fmt: skip
    """Forecasts lead by lead, what the rollout is gone on from, and what drawing and training cost.

    `whose`: see `drawn_from`.
    """
    made = ready(
        drawn_from(checkpoint, model, whose, decided(fit, limits)), fields, splits, seed, device, *whose
    )
    check_starts(starts, fields, splits, rollout, limits)
    times, members = starts["scored"], starts["members"]
    forecaster = Forecaster(made.model, made.by_day, fields, times, members, seed, options.feed)
    known = {"parameters": sum(p.numel() for p in made.model.parameters()), **made.header["costs"]}
    leads = 0 if on_disk is None else on_disk.sizes.get("lead", 0)
    for piece in forecast(forecaster, starts, earlier if leads else None, origin(made.header, model), leads):
        costs = {**known, "evaluations": made.model.evaluations, "sample_ms": piece.sample_ms}
        yield piece.forecasts, piece.state, pd.DataFrame([costs])


@streamed
def stabilise(
    checkpoint: bytes, model: dict[str, Any], options: Drawing, fields: xr.Dataset, starts: dict[str, Any],
    splits: dict[str, Any], seed: int, rollout: Rollout, limits: Limits, device: str, fit: Fit,
    earlier: bytes | None, **whose: dict[str, Any],
) -> Iterator[tuple[pd.DataFrame, xr.Dataset, bytes]]:  # fmt: skip
    """Statistics of each step of the long rollout, and some of its fields."""
    made = ready(
        drawn_from(checkpoint, model, whose, decided(fit, limits)), fields, splits, seed, device, *whose
    )
    check_starts(starts, fields, splits, rollout, limits)
    times, members = starts["stability"], starts["stability_members"]
    forecaster = Forecaster(made.model, made.by_day, fields, times, members, seed, options.feed)
    yield from stability(forecaster, starts, fields, earlier, origin(made.header, model))


def adopt(
    model: File, perfect_model: xr.Dataset, starts: dict[str, Any], fields: xr.Dataset, splits: dict[str, Any],
    rollout: Rollout, limits: Limits, seed: int,
) -> Iterator[xr.Dataset]:  # fmt: skip
    """Forecasts that were made elsewhere."""
    check_starts(starts, fields, splits, rollout, limits)
    if model.dataset and perfect_model.data_vars:
        check_perfect_model(perfect_model, starts, rollout, seed)
    known = {"model": adopting.made_elsewhere(model, rollout), "members": starts["members"], "seed": seed}
    for piece in adopting.adopt(model, perfect_model, starts, fields):
        yield piece.assign_attrs(known)


def check_perfect_model(stored: xr.Dataset, starts: dict[str, Any], rollout: Rollout, seed: int) -> None:
    """One sentence if the stored forecasts are not those that the stage initial_times would make now."""
    asked = {
        "starts": starts["digest"],
        "seed": seed,
        "initial_error": rollout.perfect_model.initial_error,
    }
    if any(stored.attrs.get(name) != value for name, value in asked.items()):
        raise InputError(
            "the forecasts of the perfect model are from other starts, or of another seed or initial error, than this "
            "run has: make them again with `kedro run --pipelines initial_times` and the same --env and --params."
        )


def ready(
    made: Checkpoint, fields: xr.Dataset, splits: dict[str, Any], seed: int, device: str, address: str
) -> Checkpoint:
    """What is drawn from, on the device, if it is of these fields, splits and seed."""
    check_fields(fields, splits, made, seed, address)
    return replace(made, model=place(made.model, choose_device(device)))
