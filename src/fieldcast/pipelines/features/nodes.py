"""Features, fitted once for each data set."""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from fieldcast.fields.splits import SplitRanges
from fieldcast.inference.samples import features


def fit_features(
    fields: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges, earlier: Mapping[str, Any]
) -> bytes:
    """Features of a classifier for labelled images; otherwise principal components and local statistics."""
    return features.fit_features(fields, normalisation, splits, earlier.get("extractor"))
