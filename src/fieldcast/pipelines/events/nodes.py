"""Events: their thresholds, from the training split."""

import logging
from typing import Any

import xarray as xr

from fieldcast.encoding.options import Events
from fieldcast.fields.splits import SplitRanges
from fieldcast.lineage import made_from, matches

LOG = logging.getLogger(__name__)


@made_from(event_thresholds="fieldcast.encoding.event_thresholds.made_from")
def fit_thresholds(
    fields: xr.Dataset, splits: SplitRanges, climatology: xr.Dataset, events: Events, previous_thresholds: Any
) -> xr.Dataset:  # fmt: skip
    """Thresholds of events; the earlier ones if data, training split and options are unchanged."""
    from fieldcast.encoding.event_thresholds import made_from, thresholds

    stored = previous_thresholds()
    if stored is not None and matches(stored, made_from(fields, splits, events)):
        LOG.info("Using the existing thresholds of events.")
        return stored
    return thresholds(fields, splits, climatology, events)
