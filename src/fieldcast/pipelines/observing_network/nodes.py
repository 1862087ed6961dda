"""Observing network: simulated observations of successive states of the test split."""

import xarray as xr

from fieldcast.encoding.options import CycledAssimilation, Limits, Sparsification
from fieldcast.fields.splits import SplitRanges
from fieldcast.lineage import made_from


@made_from(cycle_observations="fieldcast.encoding.cycle_observations.made_from")
def observe(
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    sparsification: Sparsification, assimilation: CycledAssimilation, limits: Limits,
) -> xr.Dataset:  # fmt: skip
    """Masked and noisy values at successive times, the same for every method."""
    from fieldcast.encoding.anomalies import FieldCodec, space_of
    from fieldcast.encoding.cycle_observations import observe_cycle

    codec = FieldCodec.of(fields, climatology, normalisation)
    space = space_of(fields, climatology, normalisation)
    return observe_cycle(fields, splits, codec, space, sparsification, assimilation, limits)
