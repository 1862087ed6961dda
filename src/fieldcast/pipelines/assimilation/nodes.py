"""Assimilation: a cycle of forecasts and updates over the stored observations."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.arguments import by_field
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.checkpoint import model_digest, unpack
from fieldcast.encoding.cycle_observations import require_cycle_observations, spin_up
from fieldcast.encoding.device import choose_devices
from fieldcast.encoding.options import CycledAssimilation, Limits, Sparsification
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import select
from fieldcast.inference.cycle.assimilate import Assimilator, assimilate
from fieldcast.inference.forecasts.from_analyses import scores_by_lead
from fieldcast.kinds import STATE
from fieldcast.lineage import digest
from fieldcast.models.replicas import replicate
from fieldcast.pipelines.streams import earlier_output, empty_piece, is_complete, streamed
from fieldcast.tasks.assimilate import problem_of, sources
from fieldcast.training.stored_model import StoredModel

LOG = logging.getLogger(__name__)

MADE_FROM = "made_from"  # column with the digest of the analyses, the forecast model and the options


@streamed
@by_field
def run(
    stored: StoredModel, data: PreparedData, cycle_observations: xr.Dataset, assimilation: CycledAssimilation,
    sparsification: Sparsification, planet_states: xr.Dataset, earlier: Mapping[str, Any],
) -> Iterator[tuple[tuple[xr.Dataset, bytes], pd.DataFrame]]:  # fmt: skip
    """Backgrounds and analyses step by step, with the state from which the cycle resumes, and the costs; existing ones
    are kept."""
    observations, problem = cycle_observations, problem_of(stored, assimilation, sparsification)
    require_cycle_observations(
        observations, data.fields, data.splits, sparsification, assimilation, stored.limits
    )
    trained = stored.restore(data, problem)
    lineage = sources(stored, dict(trained.header), observations, assimilation)
    steps, state, draws = earlier_output(earlier, "draws")
    if is_complete({**earlier, "draws": draws}, lineage):
        LOG.info("Using the existing analyses.")
        yield (empty_piece(draws, "time"), state or b""), earlier["costs"]
        return
    devices = choose_devices(stored.device)
    forecaster = None if stored.base is None else replicate(unpack(stored.base).model, devices)
    assimilator = Assimilator.of(trained.model, forecaster, trained.field_codec, planet_states)
    costs = {**trained.model.facts, **trained.header["costs"]}
    training = select(data.fields, data.splits, "train")
    for piece in assimilate(assimilator, observations, training, lineage, state if steps else None, steps):
        yield (piece.members, piece.state), pd.DataFrame([{**costs, "sample_ms": piece.step_ms}])


@by_field
def forecast_on(
    draws: xr.Dataset, forecast: bytes, data: PreparedData, assimilation: CycledAssimilation, seed: int, limits: Limits,
    device: str, earlier: Mapping[str, Any],
) -> pd.DataFrame:  # fmt: skip
    """Scores of forecasts from the analyses and from the truth, lead by lead; those of an earlier run are kept."""
    checkpoint = unpack(forecast, "the checkpoint in the role 'forecast'")
    options = {
        "first": spin_up(assimilation, limits),
        "every": assimilation.forecast_every,
        "steps": limits.cap("times", assimilation.forecast_steps),
        "members": limits.cap("members", assimilation.members),
        "seed": seed,
    }
    forecaster = model_digest(checkpoint.header, {})
    made_from = digest(draws.attrs, data.fields.attrs["digest"], forecaster, options)
    scored = earlier.get("leads")
    if scored is not None and len(scored) and set(scored.get(MADE_FROM, ())) == {made_from}:
        LOG.info("Using the existing scores of forecasts from the analyses.")
        return scored
    model = replicate(checkpoint.model, choose_devices(device))
    analyses = draws.sel({STATE: "analysis"}, drop=True).drop_vars("mask")
    test, codec = select(data.fields, data.splits, "test"), FieldCodec.of(*data.statistics)
    return scores_by_lead(analyses, test, model, codec, **options).assign(**{MADE_FROM: made_from})
