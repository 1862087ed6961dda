"""Features: made once for some data."""

from typing import Any

import xarray as xr

from fieldcast.loops import features


def fit_features(
    fields: xr.Dataset, normalisation: xr.Dataset, splits: dict[str, Any], earlier: bytes | None
) -> bytes:
    """Of labelled images a classifier's, of all else principal components and local statistics."""
    return features.fit_features(fields, normalisation, splits, earlier)
