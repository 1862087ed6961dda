"""Events: their thresholds, from the training split."""

import logging
from collections.abc import Mapping
from typing import Any

import xarray as xr

from fieldcast.encoding.event_thresholds import sources, thresholds
from fieldcast.encoding.options import Events
from fieldcast.fields.splits import SplitRanges
from fieldcast.lineage import matches

LOG = logging.getLogger(__name__)


def fit_thresholds(
    fields: xr.Dataset,
    splits: SplitRanges,
    climatology: xr.Dataset,
    events: Events,
    earlier: Mapping[str, Any],
) -> xr.Dataset:
    """Thresholds of events; the earlier ones if data, training split and options are unchanged."""
    stored = earlier.get("event_thresholds")
    if stored is not None and matches(stored.attrs, sources(fields, splits, events)):
        LOG.info("Using the existing thresholds of events.")
        return stored
    return thresholds(fields, splits, climatology, events)
