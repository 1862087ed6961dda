"""Thresholds of events with their lineage, shared by every method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import xarray as xr

from fieldcast import lineage
from fieldcast.argument_groups import ArgumentGroup
from fieldcast.encoding.options import Events
from fieldcast.fields import event_thresholds
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges, select
from fieldcast.scores.event_tables import EventTables


def thresholds(
    fields: xr.Dataset, splits: SplitRanges, climatology: xr.Dataset, options: Events
) -> xr.Dataset:
    """Climatological quantiles of the training split."""
    training = select(fields, splits, "train")
    fitted = event_thresholds.fit(training, climatology, options.quantiles, options.window)
    return fitted.assign_attrs(sources(fields, splits, options))


def sources(fields: xr.Dataset, splits: SplitRanges, options: Events) -> dict[str, Any]:
    """Everything that the thresholds depend on."""
    return {
        "data": fields.attrs["digest"],
        "train": [str(time) for time in splits["train"]],
        "quantiles": list(options.quantiles),
        "window": options.window,
    }


@dataclass(frozen=True, eq=False)
class ScoredEvents(ArgumentGroup):
    """Stored thresholds of events, and the options of this run for them."""

    event_thresholds: xr.Dataset
    events: Events

    def tables(self, data: PreparedData) -> EventTables:
        """Empty contingency tables of these events.

        Raises
        ------
        InputError
            If the thresholds were estimated from other fields, another training split or with other options.
        """
        lineage.require(
            self.event_thresholds.attrs,
            sources(data.fields, data.splits, self.events),
            "the thresholds of events were estimated",
            "estimate them again with `kedro run --pipelines events`",
        )
        return EventTables(self.event_thresholds)
