"""Reconstruction: the fields that fit the stored observations, as an ensemble."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.arguments import by_field
from fieldcast.encoding.checkpoint import model_digest
from fieldcast.encoding.observations import require_observations
from fieldcast.encoding.options import Sparsification
from fieldcast.fields.prepared import PreparedData
from fieldcast.inference.options import Evaluation
from fieldcast.inference.reconstruct import lineage_of, reconstruct
from fieldcast.kinds import CASE
from fieldcast.pipelines.streams import earlier_output, empty_piece, is_complete, streamed
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.training.stored_model import StoredModel

LOG = logging.getLogger(__name__)


@streamed
@by_field
def draw(
    stored: StoredModel, data: PreparedData, observations: xr.Dataset, evaluation: Evaluation,
    sparsification: Sparsification, earlier: Mapping[str, Any],
) -> Iterator[tuple[tuple[xr.Dataset, bytes], pd.DataFrame]]:  # fmt: skip
    """Reconstructions case by case, with the state from which they resume, and the costs of training and drawing.

    Those that exist are kept.
    """
    trained = stored.restore(data, Reconstruction(sparsification))
    require_observations(observations, data.fields, data.splits, sparsification, stored.limits)
    members = stored.limits.cap("members", evaluation.members)
    sources = lineage_of(model_digest(trained.header, stored.model), observations, members, stored.seed)
    cases, state, draws = earlier_output(earlier, "draws")
    if is_complete({**earlier, "draws": draws}, sources):
        LOG.info("Using the existing reconstructions.")
        yield (empty_piece(draws, CASE), b""), earlier["costs"]
        return
    costs = {**trained.model.facts, **trained.header["costs"]}
    for case in reconstruct(trained.model, trained.field_codec, observations, sources, state, cases):
        yield (case.fields, case.state), pd.DataFrame([{**costs, "sample_ms": case.sample_ms}])
