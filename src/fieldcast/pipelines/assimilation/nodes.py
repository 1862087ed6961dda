"""Assimilation: a cycle of forecasts and updates over the stored observations."""

import logging
from collections.abc import Iterator
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.options import CycledAssimilation, Limits, Sparsification
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges, select
from fieldcast.kinds import STATE
from fieldcast.lineage import digest, made_from, matches
from fieldcast.pipelines.streams import empty_piece, is_complete, released
from fieldcast.training.options import Fit

LOG = logging.getLogger(__name__)

SCORED_FROM = "made_from"  # column with the digest of the analyses, the forecast model and the options


@made_from(draws="fieldcast.tasks.assimilate.draws_made_from")
def cycle(
    checkpoint: bytes, model: dict[str, Any], trained_by: str, trained_model: dict[str, Any], trained_fit: Fit,
    seed: int, limits: Limits, device: str,
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    cycle_observations: xr.Dataset, planet_states: xr.Dataset,
    assimilation: CycledAssimilation, sparsification: Sparsification,
    previous_draws: Any, previous_costs: Any, **parts: bytes,
) -> Iterator[tuple[tuple[xr.Dataset, bytes], pd.DataFrame]]:  # fmt: skip
    """Backgrounds and analyses step by step, with the state from which the cycle resumes, and the costs; existing ones
    are kept."""
    from fieldcast.encoding.checkpoint import unpack
    from fieldcast.encoding.cycle_observations import require_cycle_observations
    from fieldcast.inference.cycle.assimilate import Assimilator, assimilate
    from fieldcast.models.replicas import choose_devices, replicate
    from fieldcast.tasks.assimilate import draws_made_from, problem_of
    from fieldcast.training.stored_model import StoredModel

    data = PreparedData(fields, climatology, normalisation, splits)
    options = model, trained_by, trained_model, trained_fit, seed, limits, device
    stored = StoredModel(checkpoint, *options, parts)
    problem = problem_of(stored, assimilation, sparsification)
    require_cycle_observations(
        cycle_observations, fields, normalisation, splits, sparsification, assimilation, limits
    )
    trained = stored.restore(data, problem)
    lineage = draws_made_from(checkpoint, model, cycle_observations, assimilation, limits, seed)
    (steps, state, draws), costs = previous_draws(), previous_costs()
    if is_complete(lineage, draws, costs, kind="analyses"):
        LOG.info("Using the existing analyses.")
        yield released((empty_piece(draws, "time"), state or b""), costs)
        return
    devices = choose_devices(device)
    forecaster = None if stored.base is None else replicate(unpack(stored.base).model, devices)
    assimilator = Assimilator.of(trained.model, forecaster, trained.field_codec, planet_states)
    costs = {**trained.model.facts, **trained.header["costs"]}
    training, since = select(fields, splits, "train"), state if steps else None
    for piece in assimilate(assimilator, cycle_observations, training, lineage, since, steps):
        table = pd.DataFrame([{**costs, "sample_ms": piece.step_ms}])
        yield released((piece.members, piece.state), table)


@made_from(leads="fieldcast.pipelines.assimilation.nodes.leads_made_from")
def forecast(
    draws: xr.Dataset, forecast: bytes, fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset,
    splits: SplitRanges, assimilation: CycledAssimilation, seed: int, limits: Limits, device: str, previous_leads: Any,
) -> pd.DataFrame:  # fmt: skip
    """Scores of forecasts from the analyses and from the truth, lead by lead; those of an earlier run are kept."""
    from fieldcast.encoding.anomalies import FieldCodec
    from fieldcast.encoding.checkpoint import unpack
    from fieldcast.inference.forecasts.ensemble import scores_by_lead
    from fieldcast.models.replicas import choose_devices, replicate

    checkpoint = unpack(forecast, "the checkpoint in the role 'forecast'")
    sources = leads_made_from(draws, forecast, fields, assimilation, seed, limits)
    stored = previous_leads()
    if stored is not None and matches(stored, sources):
        LOG.info("Using the existing scores of forecasts from the analyses.")
        return stored
    options = forecast_options(assimilation, seed, limits)
    model = replicate(checkpoint.model, choose_devices(device))
    analyses = draws.sel({STATE: "analysis"}, drop=True).drop_vars("mask")
    test, codec = select(fields, splits, "test"), FieldCodec.of(fields, climatology, normalisation)
    return scores_by_lead(analyses, test, model, codec, **options).assign(**sources)


def leads_made_from(
    draws: xr.Dataset,
    forecast: bytes,
    fields: xr.Dataset,
    assimilation: CycledAssimilation,
    seed: int,
    limits: Limits,
) -> dict[str, str]:
    """Digest of everything that forecasts from analyses depend on: the analyses, the forecast model and the options."""
    from fieldcast.encoding.checkpoint import model_digest, read_header

    forecaster = model_digest(read_header(forecast, "the checkpoint in the role 'forecast'"), {})
    options = forecast_options(assimilation, seed, limits)
    return {SCORED_FROM: digest(draws.attrs, fields.attrs["digest"], forecaster, options)}


def forecast_options(assimilation: CycledAssimilation, seed: int, limits: Limits) -> dict[str, int]:
    """Options of the forecasts from analyses, under the limits."""
    from fieldcast.encoding.cycle_observations import spin_up

    return {
        "first": spin_up(assimilation, limits),
        "every": assimilation.forecast_every,
        "steps": limits.cap("times", assimilation.forecast_steps),
        "members": limits.cap("members", assimilation.members),
        "seed": seed,
    }
