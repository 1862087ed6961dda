"""Fields drawn given a data set, stations, or both, in the layout of the data set."""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from fieldcast.encoding.checkpoint import Checkpoint
from fieldcast.inference.compatibility import match_model, require_plausible
from fieldcast.inference.ensemble_moments import with_moments
from fieldcast.inference.quality_control import suspect_messages, suspects
from fieldcast.inference.reconstruct import context_of, draw
from fieldcast.inference.stations import Representativeness, with_stations
from fieldcast.inference.user_layout import restore_layout

LOG = logging.getLogger(__name__)


class Stations(NamedTuple):
    """A table of stations, its name in messages, and the representativeness error of the stations."""

    table: pd.DataFrame
    where: str
    representativeness: Representativeness


def fill_fields(
    checkpoint: Checkpoint, dataset: xr.Dataset, stations: Stations | None, members: int, noise: float,
    seed: int, where: str,
) -> tuple[xr.Dataset, dict[str, str]]:  # fmt: skip
    """Members with their mean, spread and flags of doubtful observations, and facts about the stations as attributes.

    The log lists doubtful observations; `where` names the data set in messages.
    """
    model, stored = checkpoint.model, checkpoint.field_codec
    data, codec = match_model(dataset, stored, where)
    require_plausible(data, codec, where)
    c, facts = context_of(data, codec, model.space, noise), dict[str, str]()
    if stations is not None:
        table, where_stations, representativeness = stations
        c, facts = with_stations(c, model, stored, table, data["time"], where_stations, representativeness)
    filled = codec.decode(draw(model, c, members, seed), data["time"])
    if noise == 0:
        filled = with_observed(filled, data)
    flags = suspects(model, c, data, codec)
    for sentence in suspect_messages(flags, data):
        LOG.warning("%s: %s", where, sentence)
    return restore_layout(dataset, with_moments(filled, codec).merge(flags), codec), facts


def with_observed(filled: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """The members with the observed values in their cells."""
    return filled.map(lambda v: xr.where(np.isfinite(data[v.name]), data[v.name], v).transpose(*v.dims))
