"""Gaps: a record filled from its own observed values."""

import xarray as xr

from fieldcast.encoding.options import Limits
from fieldcast.inference.fill_gaps import Trust, fill_fields
from fieldcast.inference.options import Fill


def fill_gaps(
    fields: xr.Dataset, fill: Fill, seed: int, limits: Limits, device: str
) -> tuple[xr.Dataset, str]:
    """Fill the fields by the method that predicts their hidden values best; the result and its report."""
    trust, members = (
        Trust(fill.max_gap, fill.max_spread),
        fill.members and limits.cap("members", fill.members),
    )
    filled = fill_fields(fields, fields, members, trust, seed, device)
    return filled, filled.attrs["comment"]
