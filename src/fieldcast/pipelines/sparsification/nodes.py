"""Sparsification: simulated observations of the test split."""

import xarray as xr

from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.fields.splits import SplitRanges
from fieldcast.lineage import made_from


@made_from(observations="fieldcast.encoding.observations.made_from")
def observe(
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    sparsification: Sparsification, limits: Limits,
) -> xr.Dataset:  # fmt: skip
    """Masked and noisy values, the same for every method."""
    from fieldcast.encoding.anomalies import FieldCodec, space_of
    from fieldcast.encoding.observations import sparsify

    codec = FieldCodec.of(fields, climatology, normalisation)
    space = space_of(fields, climatology, normalisation)
    return sparsify(fields, splits, codec, space, sparsification, limits)
