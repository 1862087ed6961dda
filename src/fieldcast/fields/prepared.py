"""Data and statistics that ingestion prepares for all experiments."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

from fieldcast.fields.splits import SplitRanges


@dataclass(frozen=True, eq=False)
class PreparedData:
    """Fields with their splits, and the statistics of the training split.

    Parameters
    ----------
    fields
        All variables at all times, in physical units; or images.
    climatology, normalisation
        Statistics of the training split, as `fields.climatology` and `fields.normalisation` fit them; empty for images.
    splits
        First and last time of each split.
    """

    fields: xr.Dataset
    climatology: xr.Dataset
    normalisation: xr.Dataset
    splits: SplitRanges

    @property
    def statistics(self) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
        """Fields, climatology and normalisation, from which a codec is made."""
        return self.fields, self.climatology, self.normalisation
