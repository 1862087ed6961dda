"""Reconstruction: the fields that fit the stored observations, as an ensemble."""

import logging
from collections.abc import Iterator
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges
from fieldcast.inference.options import Evaluation
from fieldcast.kinds import CASE
from fieldcast.lineage import made_from
from fieldcast.pipelines.streams import empty_piece, is_complete, released
from fieldcast.training.options import Fit

LOG = logging.getLogger(__name__)


@made_from(draws="fieldcast.tasks.reconstruct.draws_made_from")
def draw(
    checkpoint: bytes, model: dict[str, Any], trained_by: str, trained_model: dict[str, Any], trained_fit: Fit,
    seed: int, limits: Limits, device: str,
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    observations: xr.Dataset, evaluation: Evaluation, sparsification: Sparsification,
    previous_draws: Any, previous_costs: Any, **parts: bytes,
) -> Iterator[tuple[tuple[xr.Dataset, bytes], pd.DataFrame]]:  # fmt: skip
    """Reconstructions case by case, with the state from which they resume, and the costs of training and drawing.

    Those that exist are kept.
    """
    from fieldcast.encoding.observations import require_observations
    from fieldcast.inference.reconstruct import reconstruct
    from fieldcast.tasks.reconstruct import Reconstruction, draws_made_from
    from fieldcast.training.stored_model import StoredModel

    data = PreparedData(fields, climatology, normalisation, splits)
    options = model, trained_by, trained_model, trained_fit, seed, limits, device
    trained = StoredModel(checkpoint, *options, parts).restore(data, Reconstruction(sparsification))
    require_observations(observations, fields, normalisation, splits, sparsification, limits)
    sources = draws_made_from(checkpoint, model, observations, evaluation, limits, seed)
    (cases, state, draws), costs = previous_draws(), previous_costs()
    if is_complete(sources, draws, costs, kind="reconstructions"):
        LOG.info("Using the existing reconstructions.")
        yield released((empty_piece(draws, CASE), b""), costs)
        return
    costs = {**trained.model.facts, **trained.header["costs"]}
    for case in reconstruct(trained.model, trained.field_codec, observations, sources, state, cases):
        table = pd.DataFrame([{**costs, "sample_ms": case.sample_ms}])
        yield released((case.fields, case.state), table)
