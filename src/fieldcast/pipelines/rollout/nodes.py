"""Rollout: forecasts from the stored initial times, lead by lead, and the statistics of a long rollout."""

import logging
from collections.abc import Iterator
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.options import Limits, Rollout
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges
from fieldcast.inference.options import Drawing, File
from fieldcast.kinds import LEAD, InitialTimes
from fieldcast.lineage import made_from, require
from fieldcast.pipelines.streams import empty_piece, is_complete, released
from fieldcast.training.options import Fit

LOG = logging.getLogger(__name__)


@made_from(draws="fieldcast.tasks.forecast.draws_made_from")
def roll(
    checkpoint: bytes, model: dict[str, Any], trained_by: str, trained_model: dict[str, Any], trained_fit: Fit,
    seed: int, limits: Limits, device: str,
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    initial_times: InitialTimes, rollout: Rollout, options: Drawing,
    previous_draws: Any, previous_costs: Any, **parts: bytes,
) -> Iterator[tuple[tuple[xr.Dataset, bytes], pd.DataFrame]]:  # fmt: skip
    """Forecasts lead by lead, with the state from which the rollout resumes, and the costs of drawing and training.

    Forecasts that exist are kept.
    """
    from fieldcast.encoding.initial_times import require_initial_times
    from fieldcast.inference.forecasts.ensemble import EnsembleForecaster, forecast
    from fieldcast.tasks.forecast import Forecasting, draws_made_from
    from fieldcast.training.stored_model import StoredModel

    require_initial_times(initial_times, fields, splits, rollout, limits)
    data = PreparedData(fields, climatology, normalisation, splits)
    drawing = model, trained_by, trained_model, trained_fit, seed, limits, device
    trained = StoredModel(checkpoint, *drawing, parts).restore(data, Forecasting())
    times, members = initial_times["scored"], initial_times["members"]
    forecaster = EnsembleForecaster(
        trained.model, trained.field_codec, fields, times, members, seed, options.feedback
    )
    (leads, state, draws), costs = previous_draws(), previous_costs()
    sources = draws_made_from(checkpoint, model, initial_times, options, seed)
    if is_complete(sources, draws, costs, kind="forecasts"):
        LOG.info("Using the existing forecasts.")
        yield released((empty_piece(draws, LEAD), state or b""), costs)
        return
    costs = {**trained.model.facts, **trained.header["costs"], "evaluations": trained.model.evaluations}
    for piece in forecast(forecaster, initial_times, state if leads else None, sources["model"], leads):
        table = pd.DataFrame([{**costs, "sample_ms": piece.sample_ms}])
        yield released((piece.forecasts, piece.state), table)


def roll_long(
    checkpoint: bytes, model: dict[str, Any], trained_by: str, trained_model: dict[str, Any], trained_fit: Fit,
    seed: int, limits: Limits, device: str,
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    initial_times: InitialTimes, rollout: Rollout, options: Drawing, previous_snapshots: Any, **parts: bytes,
) -> Iterator[tuple[pd.DataFrame, tuple[xr.Dataset, bytes]]]:  # fmt: skip
    """Statistics of each step of the long rollout, and some of its fields with the state from which it resumes."""
    from fieldcast.encoding.checkpoint import model_digest
    from fieldcast.encoding.initial_times import require_initial_times
    from fieldcast.inference.forecasts.ensemble import EnsembleForecaster, long_rollout
    from fieldcast.tasks.forecast import Forecasting
    from fieldcast.training.stored_model import StoredModel

    require_initial_times(initial_times, fields, splits, rollout, limits)
    data = PreparedData(fields, climatology, normalisation, splits)
    drawing = model, trained_by, trained_model, trained_fit, seed, limits, device
    trained = StoredModel(checkpoint, *drawing, parts).restore(data, Forecasting())
    times, members = initial_times["stability"], initial_times["stability_members"]
    forecaster = EnsembleForecaster(
        trained.model, trained.field_codec, fields, times, members, seed, options.feedback
    )
    _, state, _ = previous_snapshots()
    digest = model_digest(trained.header, model)
    for steps in long_rollout(forecaster, initial_times, fields, state, digest):
        yield released(steps.table, (steps.snapshots, steps.state))


@made_from(draws="fieldcast.tasks.forecast.file_made_from")
def import_forecasts(
    model: File, perfect_model: xr.Dataset, initial_times: InitialTimes, fields: xr.Dataset, splits: SplitRanges,
    rollout: Rollout, limits: Limits, seed: int,
) -> Iterator[tuple[xr.Dataset, bytes]]:  # fmt: skip
    """Forecasts that were made elsewhere, with no state to resume from."""
    from fieldcast.encoding.initial_times import require_initial_times
    from fieldcast.inference.forecasts import external
    from fieldcast.tasks.forecast import file_made_from

    require_initial_times(initial_times, fields, splits, rollout, limits)
    if model.dataset and perfect_model.data_vars:
        require(
            perfect_model,
            {
                "starts": initial_times["digest"],
                "seed": seed,
                "initial_error": rollout.perfect_model.initial_error,
            },
            "the forecasts of the perfect model were made",
            "recreate them with `kedro run --pipelines initial_times`",
        )
    attributes = file_made_from(model, initial_times, rollout, seed)
    for piece in external.import_forecasts(model, perfect_model, initial_times, fields):
        yield piece.assign_attrs(attributes), b""
