"""Rollout: forecasts from the stored initial times, lead by lead, and the statistics of a long rollout."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.arguments import by_field
from fieldcast.encoding.checkpoint import model_digest
from fieldcast.encoding.initial_times import require_initial_times
from fieldcast.encoding.options import Limits, Rollout
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges
from fieldcast.inference.forecasts import external
from fieldcast.inference.forecasts.ensemble import EnsembleForecaster, forecast
from fieldcast.inference.forecasts.long_rollout import long_rollout
from fieldcast.inference.options import Drawing, File
from fieldcast.kinds import LEAD, InitialTimes
from fieldcast.lineage import require
from fieldcast.pipelines.streams import earlier_output, empty_piece, is_complete, streamed
from fieldcast.tasks.forecast import Forecasting
from fieldcast.training.stored_model import StoredModel

LOG = logging.getLogger(__name__)


@streamed
@by_field
def roll(
    stored: StoredModel, data: PreparedData, initial_times: InitialTimes, rollout: Rollout, options: Drawing,
    earlier: Mapping[str, Any],
) -> Iterator[tuple[tuple[xr.Dataset, bytes], pd.DataFrame]]:  # fmt: skip
    """Forecasts lead by lead, with the state from which the rollout resumes, and the costs of drawing and training.

    Forecasts that exist are kept.
    """
    require_initial_times(initial_times, data.fields, data.splits, rollout, stored.limits)
    trained = stored.restore(data, Forecasting())
    model, digest = trained.model, model_digest(trained.header, stored.model)
    forecaster = EnsembleForecaster(
        model,
        trained.field_codec,
        data.fields,
        initial_times["scored"],
        initial_times["members"],
        stored.seed,
        options.feedback,
    )
    leads, state, draws = earlier_output(earlier, "draws")
    if is_complete({**earlier, "draws": draws}, forecaster.lineage(digest, initial_times)):
        LOG.info("Using the existing forecasts.")
        yield (empty_piece(draws, LEAD), state or b""), earlier["costs"]
        return
    costs = {**model.facts, **trained.header["costs"], "evaluations": model.evaluations}
    for piece in forecast(forecaster, initial_times, state if leads else None, digest, leads):
        yield (piece.forecasts, piece.state), pd.DataFrame([{**costs, "sample_ms": piece.sample_ms}])


@streamed
@by_field
def roll_long(
    stored: StoredModel, data: PreparedData, initial_times: InitialTimes, rollout: Rollout, options: Drawing,
    earlier: Mapping[str, Any],
) -> Iterator[tuple[pd.DataFrame, tuple[xr.Dataset, bytes]]]:  # fmt: skip
    """Statistics of each step of the long rollout, and some of its fields with the state from which it resumes."""
    require_initial_times(initial_times, data.fields, data.splits, rollout, stored.limits)
    trained = stored.restore(data, Forecasting())
    times, members = initial_times["stability"], initial_times["stability_members"]
    forecaster = EnsembleForecaster(
        trained.model, trained.field_codec, data.fields, times, members, stored.seed, options.feedback
    )
    state = earlier_output(earlier, "snapshots").state
    digest = model_digest(trained.header, stored.model)
    for steps in long_rollout(forecaster, initial_times, data.fields, state, digest):
        yield steps.table, (steps.snapshots, steps.state)


def import_forecasts(
    model: File, perfect_model: xr.Dataset, initial_times: InitialTimes, fields: xr.Dataset, splits: SplitRanges,
    rollout: Rollout, limits: Limits, seed: int,
) -> Iterator[tuple[xr.Dataset, bytes]]:  # fmt: skip
    """Forecasts that were made elsewhere, with no state to resume from."""
    require_initial_times(initial_times, fields, splits, rollout, limits)
    if model.dataset and perfect_model.data_vars:
        require(
            perfect_model.attrs,
            {
                "starts": initial_times["digest"],
                "seed": seed,
                "initial_error": rollout.perfect_model.initial_error,
            },
            "the forecasts of the perfect model were made",
            "recreate them with `kedro run --pipelines initial_times`",
        )
    attributes = {
        "model": external.forecast_source(model, rollout),
        "members": initial_times["members"],
        "seed": seed,
    }
    for piece in external.import_forecasts(model, perfect_model, initial_times, fields):
        yield piece.assign_attrs(attributes), b""
