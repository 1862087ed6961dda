"""Networks: simulated observations of each day of the test split."""

from typing import Any

import xarray as xr

from fieldcast.encoding.anomalies import FieldCodec, space_of
from fieldcast.encoding.daily_observations import observe_daily
from fieldcast.encoding.options import Cycling, Limits, Sparsification


def observe(
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: dict[str, Any],
    sparsification: Sparsification, assimilation: Cycling, limits: Limits,
) -> xr.Dataset:  # fmt: skip
    """Masked and noisy values of successive days, the same for every method."""
    codec = FieldCodec.of(fields, climatology, normalisation)
    space = space_of(fields, climatology, normalisation)
    return observe_daily(fields, splits, codec, space, sparsification, assimilation, limits)
